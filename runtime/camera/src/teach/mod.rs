//! Teaching while the camera runs.
//!
//! ```text
//! page ─ frames, images, names ─▶ Desk ─ Teacher ─▶ teaching file ─▶ the loop reads it again, as on SIGHUP
//! ```
//! The file is the truth: each change reads it, and writes it whole or not at all, so that a program beside this one may
//! change it too. The network that learns is a second one, with one thread, which is loaded when it is first needed: the
//! one that classifies is not touched.

mod error;
mod recent;
mod shown;

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use foldnet::Session;
use foldnet_archive::Input;
use foldnet_image::{Image, fit};
use foldnet_teach::{Example, FalseAlarms, Metric, Other, TeachError, Teacher, Teaching};

pub use error::DeskError;
use recent::Recent;
pub use recent::SPAN;
use shown::thumbnail;
pub use shown::{Shown, ShownClass, ShownRate};

/// The most frames that one press of the button teaches.
pub const MAX_FRAMES: usize = 20;
/// The rate of false alarms, in percent, until a file says another.
const RATE: f64 = 5.0;
/// Changes that can be undone.
const MAX_UNDO: usize = 5;
/// Small images of a class that are kept to be shown.
const THUMBNAILS: usize = 4;

/// A network that looks at examples.
pub struct Pupil {
    /// SHA-256 of its archive.
    pub archive: [u8; 32],
    /// Its input.
    pub input: Input,
    /// Runs it.
    pub session: Session,
    /// How its features are compared.
    pub metric: Metric,
}

impl Pupil {
    fn example(&mut self, pixels: &[u8]) -> Result<Example, TeachError> {
        let (_, features) = self.session.run_with_features(pixels).ok_or(TeachError::NoFeatures)?;
        Ok(Example::new(pixels, features))
    }
}

/// What a person may want to undo: the classes, and their small images.
#[derive(Clone, Default)]
struct Book {
    teaching: Option<Teaching>,
    thumbnails: BTreeMap<String, VecDeque<Arc<str>>>,
}

#[derive(Default)]
struct Inside {
    pupil: Option<Pupil>,
    book: Book,
    /// What was done, and what was there before, the oldest first.
    before: VecDeque<(String, Book)>,
}

type Open = dyn Fn(&Path) -> Result<Pupil, String> + Send + Sync;

/// See the module.
pub struct Desk {
    file: PathBuf,
    archive: PathBuf,
    open: Box<Open>,
    changed: Box<dyn Fn() + Send + Sync>,
    recent: Mutex<Recent>,
    inside: Mutex<Inside>,
    revision: AtomicU64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Desk {
    /// For a teaching file, which need not be there, and an archive. `open` loads the archive; `changed` is called when
    /// the file is another.
    pub fn new(
        file: &Path,
        archive: &Path,
        open: impl Fn(&Path) -> Result<Pupil, String> + Send + Sync + 'static,
        changed: impl Fn() + Send + Sync + 'static,
    ) -> Self {
        Self {
            file: file.into(),
            archive: archive.into(),
            open: Box::new(open),
            changed: Box::new(changed),
            recent: Mutex::default(),
            inside: Mutex::default(),
            revision: AtomicU64::new(1),
        }
    }

    /// Another number after each change.
    pub fn revision(&self) -> u64 {
        self.revision.load(Ordering::Relaxed)
    }

    /// A frame came, as the network sees it. Costs a copy now and then.
    pub fn see(&self, pixels: &[u8]) {
        let now = Instant::now();
        // Whoever picks frames holds the lock for a moment only; that frame is not missed.
        if let Ok(mut recent) = self.recent.try_lock()
            && recent.wants(now)
        {
            recent.push(now, pixels);
        }
    }

    /// Other frames will come: another network, another part of the image.
    pub fn forget_frames(&self) {
        lock(&self.recent).clear();
    }

    /// Teaches the frames of the last `span` as examples of a class. Returns how many are new.
    pub fn teach_frames(&self, class: &str, span: Duration) -> Result<usize, DeskError> {
        let frames = lock(&self.recent).pick(Instant::now(), span, MAX_FRAMES);
        self.teach(class, |input| {
            let bytes = input.width * input.height * input.channels;
            let frames = frames.into_iter().filter(|frame| frame.len() == bytes);
            let frames: Vec<_> = frames.map(|frame| (None, frame)).collect();
            if frames.is_empty() { Err(DeskError::NoFrames) } else { Ok(frames) }
        })
    }

    /// Teaches images, as the files' bytes with their names. Returns how many are new.
    pub fn teach_images(&self, class: &str, images: &[(String, Vec<u8>)]) -> Result<usize, DeskError> {
        if images.is_empty() {
            return Err(DeskError::NoImages);
        }
        self.teach(class, |input| {
            let pixels = |(name, bytes): &(String, Vec<u8>)| match Image::decode(bytes) {
                Ok(image) => Ok((Some(name.clone()), fit(&image, input))),
                Err(error) => Err(DeskError::Image { name: name.clone(), error }),
            };
            images.iter().map(pixels).collect()
        })
    }

    fn teach(
        &self,
        class: &str,
        images: impl FnOnce(&Input) -> Result<Vec<(Option<String>, Vec<u8>)>, DeskError>,
    ) -> Result<usize, DeskError> {
        let mut new = 0;
        self.change(format!("teach {class}"), |teacher, pupil, thumbnails| {
            let images = images(&pupil.input)?;
            let small = thumbnails.entry(class.into()).or_default();
            for (name, pixels) in &images {
                let added = match (teacher.add(class, pupil.example(pixels)?), name) {
                    (Err(error @ TeachError::Contradiction { .. }), Some(name)) => {
                        return Err(DeskError::Example { name: name.clone(), error });
                    }
                    (added, _) => added?,
                };
                if added {
                    new += 1;
                    small.extend(thumbnail(pixels, &pupil.input));
                }
            }
            while small.len() > THUMBNAILS {
                // Every other one goes, so that those that stay are spread over the time.
                let mut n = 0;
                small.retain(|_| {
                    n += 1;
                    n % 2 == 1
                });
            }
            Ok(images.len())
        })
        .map(|()| new)
    }

    /// Gives a class another name.
    pub fn rename(&self, from: &str, to: &str) -> Result<(), DeskError> {
        self.change(format!("rename {from}"), |teacher, _, thumbnails| {
            teacher.rename(from, to)?;
            let small = thumbnails.remove(from);
            thumbnails.extend(small.map(|small| (to.into(), small)));
            Ok(0)
        })
    }

    /// Forgets a class. Without its last class the file goes, and the network says its own classes again.
    pub fn remove(&self, class: &str) -> Result<(), DeskError> {
        self.change(format!("remove {class}"), |teacher, _, thumbnails| {
            teacher.remove(class)?;
            thumbnails.remove(class);
            Ok(0)
        })
    }

    /// Takes the classes of a teaching file in place of those that there are.
    pub fn import(&self, bytes: &[u8]) -> Result<(), DeskError> {
        let name = Path::new("the uploaded file");
        let teaching = foldnet_teach::unpack(bytes, name).map_err(DeskError::Read)?;
        let mut inside = lock(&self.inside);
        self.read(&mut inside)?;
        let pupil = self.pupil(&mut inside.pupil)?;
        let foreign = |error| DeskError::Foreign { file: name.display().to_string(), error };
        teaching.check(pupil.archive).map_err(foreign)?;
        let (got, want) = (teaching.metric().len(), pupil.metric.len());
        if got != want {
            return Err(TeachError::WrongFeatures { got, want }.into());
        }
        self.turn_to(&mut inside, "import".into(), Book { teaching: Some(teaching), ..Book::default() })
    }

    /// Takes the last change back, and returns what it was.
    pub fn undo(&self) -> Result<String, DeskError> {
        let mut inside = lock(&self.inside);
        self.read(&mut inside)?;
        let (what, book) = inside.before.back().cloned().ok_or(DeskError::NothingToUndo)?;
        if let Some(teaching) = &book.teaching {
            self.check(teaching, self.pupil(&mut inside.pupil)?.archive)?;
        }
        self.write(book.teaching.as_ref())?;
        inside.before.pop_back();
        inside.book = book;
        self.tell();
        Ok(what)
    }

    /// The teaching file.
    pub fn export(&self) -> Result<Vec<u8>, DeskError> {
        let mut inside = lock(&self.inside);
        self.read(&mut inside)?;
        inside.book.teaching.as_ref().map(foldnet_teach::pack).ok_or(DeskError::NothingTaught)
    }

    /// What is taught.
    pub fn shown(&self) -> Result<Shown, DeskError> {
        let mut inside = lock(&self.inside);
        self.read(&mut inside)?;
        let file = self.file.file_name().unwrap_or(self.file.as_os_str()).to_string_lossy().into_owned();
        let undo = inside.before.back().map(|(what, _)| what.clone());
        Ok(Shown::new(file, undo, self.revision(), inside.book.teaching.as_ref(), &inside.book.thumbnails))
    }

    /// Reads the file again, which another program may have changed. Then nothing can be undone.
    fn read(&self, inside: &mut Inside) -> Result<(), DeskError> {
        let found = match foldnet_teach::read(&self.file) {
            Ok(teaching) => Some(teaching),
            Err(foldnet_teach::FileError::Io { source, .. })
                if source.kind() == std::io::ErrorKind::NotFound =>
            {
                None
            }
            Err(error) => return Err(DeskError::Read(error)),
        };
        if found != inside.book.teaching {
            inside.before.clear();
            let named = |name: &String| {
                found.as_ref().is_some_and(|t| t.classes().iter().any(|class| class.name() == name))
            };
            inside.book.thumbnails.retain(|name, _| named(name));
            inside.book.teaching = found;
        }
        Ok(())
    }

    /// The network that looks at examples: that of the archive as it is now.
    fn pupil<'a>(&self, pupil: &'a mut Option<Pupil>) -> Result<&'a mut Pupil, DeskError> {
        let hash = foldnet_teach::hash_archive(&self.archive);
        let hash = hash.map_err(|error| DeskError::Network(error.to_string()))?;
        if pupil.as_ref().is_none_or(|pupil| pupil.archive != hash) {
            *pupil = Some((self.open)(&self.archive).map_err(DeskError::Network)?);
        }
        Ok(pupil.as_mut().expect("just opened"))
    }

    fn check(&self, teaching: &Teaching, archive: [u8; 32]) -> Result<(), DeskError> {
        let foreign = |error| DeskError::Foreign { file: self.file.display().to_string(), error };
        teaching.check(archive).map_err(foreign)
    }

    /// Changes what is taught. `edit` returns the number of images that it was given.
    fn change(
        &self,
        what: String,
        edit: impl FnOnce(
            &mut Teacher,
            &mut Pupil,
            &mut BTreeMap<String, VecDeque<Arc<str>>>,
        ) -> Result<usize, DeskError>,
    ) -> Result<(), DeskError> {
        let mut inside = lock(&self.inside);
        self.read(&mut inside)?;
        let mut book = inside.book.clone();
        let pupil = self.pupil(&mut inside.pupil)?;
        let (mut teacher, asked) = match book.teaching.take() {
            Some(teaching) => {
                self.check(&teaching, pupil.archive)?;
                let asked = teaching.calibration().asked;
                (teaching.into_teacher(), asked)
            }
            None => {
                let teacher = Teacher::new(pupil.archive, pupil.metric.clone(), Other::Unknown);
                (teacher, FalseAlarms::percent(RATE).expect("a rate"))
            }
        };
        let count = edit(&mut teacher, pupil, &mut book.thumbnails)?;
        book.teaching = match teacher.finish(asked) {
            Ok(teaching) => Some(teaching),
            Err(TeachError::NoClasses) => None,
            Err(TeachError::OneExample(_)) if count > 1 => return Err(DeskError::Still { count }),
            Err(error) => return Err(error.into()),
        };
        self.turn_to(&mut inside, what, book)
    }

    /// Writes a book's classes and goes on with it.
    fn turn_to(&self, inside: &mut Inside, what: String, book: Book) -> Result<(), DeskError> {
        if book.teaching == inside.book.teaching {
            return Ok(());
        }
        self.write(book.teaching.as_ref())?;
        let old = std::mem::replace(&mut inside.book, book);
        if inside.before.len() == MAX_UNDO {
            inside.before.pop_front();
        }
        inside.before.push_back((what, old));
        self.tell();
        Ok(())
    }

    /// Whole or not at all. Nothing taught is no file.
    fn write(&self, teaching: Option<&Teaching>) -> Result<(), DeskError> {
        let written = match teaching {
            Some(teaching) => foldnet_teach::write(&self.file, teaching),
            None => match std::fs::remove_file(&self.file) {
                Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                    Err(foldnet_teach::FileError::Io { path: self.file.clone(), source })
                }
                _ => Ok(()),
            },
        };
        written.map_err(DeskError::Write)
    }

    fn tell(&self) {
        self.revision.fetch_add(1, Ordering::Relaxed);
        (self.changed)();
    }
}

#[cfg(test)]
mod tests;
