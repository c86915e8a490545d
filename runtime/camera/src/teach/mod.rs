//! Teaching while the camera runs.
//!
//! ```text
//! page ─ frames, images, names ─▶ Desk ─ Teacher ─▶ teaching file ─▶ the loop reads it again, as on SIGHUP
//! ```
//! The file is the truth: each change reads it, and writes it whole or not at all, so that a program beside this one may
//! change it too. The network that learns is a second one, with one thread, which is loaded when it is first needed: the
//! one that classifies is not touched.

mod album;
mod error;
mod groups;
mod lessons;
mod png;
mod recent;
mod shown;
mod unknown;

use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use foldnet::Session;
use foldnet_archive::Input;
use foldnet_teach::{
    Example, FalseAlarms, Metric, Other, OwnClasses, OwnExample, TeachError, Teacher, Teaching,
};

use album::Album;
pub use error::DeskError;
pub use groups::{Group, GroupImage};
pub use lessons::Subject;
use recent::Recent;
pub use recent::SPAN;
pub use shown::{Shown, ShownClass, ShownOwn, ShownRate};
use unknown::Unknown;

/// The most frames that one press of the button teaches.
pub const MAX_FRAMES: usize = 20;
/// The rate of false alarms, in percent, until a file says another.
const RATE: f64 = 5.0;
/// Changes that can be undone.
const MAX_UNDO: usize = 5;

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
    /// Its own classes.
    pub own: OwnClasses,
}

impl Pupil {
    fn example(&mut self, pixels: &[u8]) -> Result<Example, TeachError> {
        let (_, features) = self.session.run_with_features(pixels).ok_or(TeachError::NoFeatures)?;
        Ok(Example::new(pixels, features))
    }

    /// An image of one of the network's own classes.
    fn own_example(&mut self, pixels: &[u8]) -> OwnExample {
        let mut shares = Vec::new();
        self.own.scores.fill(self.session.run(pixels), &mut shares);
        OwnExample::new(pixels, &shares)
    }
}

struct Inside {
    pupil: Option<Pupil>,
    teaching: Option<Teaching>,
    /// What was done, and what was taught before, the oldest first.
    before: VecDeque<(String, Option<Teaching>)>,
    album: Album,
    /// What the network answers for unknown frames, by their hash.
    seen: HashMap<u64, groups::Seen>,
}

/// What a change has taught.
#[derive(Default)]
struct Lesson {
    /// The class that got images.
    class: Option<String>,
    /// The number of images that came.
    count: usize,
    /// Those that are new, with their hashes.
    images: Vec<(u64, Vec<u8>)>,
}

type Open = dyn Fn(&Path) -> Result<Pupil, String> + Send + Sync;

/// See the module.
pub struct Desk {
    file: PathBuf,
    archive: PathBuf,
    open: Box<Open>,
    changed: Box<dyn Fn() + Send + Sync>,
    recent: Mutex<Recent>,
    unknown: Unknown,
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
        let album = Album::beside(file);
        let unknown = Unknown::within(album.folder());
        let (teaching, before, seen) = (None, VecDeque::new(), HashMap::new());
        Self {
            file: file.into(),
            archive: archive.into(),
            open: Box::new(open),
            changed: Box::new(changed),
            recent: Mutex::default(),
            unknown,
            inside: Mutex::new(Inside { pupil: None, teaching, before, album, seen }),
            revision: AtomicU64::new(1),
        }
    }

    /// Another number after each change.
    pub fn revision(&self) -> u64 {
        self.revision.load(Ordering::Relaxed)
    }

    /// Another number after each frame of no class that is kept.
    pub fn unknown_revision(&self) -> u64 {
        self.unknown.revision()
    }

    /// A frame of no class came, as the network sees it: pixels per row, rows, channels.
    pub fn see_unknown(&self, pixels: &[u8], shape: [usize; 3]) {
        self.unknown.see(pixels, shape);
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
        self.turn_to(&mut inside, "import".into(), Some(teaching))
    }

    /// Takes the last change back, and returns what it was.
    pub fn undo(&self) -> Result<String, DeskError> {
        let mut inside = lock(&self.inside);
        self.read(&mut inside)?;
        let (what, teaching) = inside.before.back().cloned().ok_or(DeskError::NothingToUndo)?;
        if let Some(teaching) = &teaching {
            self.check(teaching, self.pupil(&mut inside.pupil)?.archive)?;
        }
        self.write(teaching.as_ref())?;
        inside.before.pop_back();
        inside.album.follow(teaching.as_ref());
        inside.teaching = teaching;
        self.tell();
        Ok(what)
    }

    /// The teaching file.
    pub fn export(&self) -> Result<Vec<u8>, DeskError> {
        let mut inside = lock(&self.inside);
        self.read(&mut inside)?;
        inside.teaching.as_ref().map(foldnet_teach::pack).ok_or(DeskError::NothingTaught)
    }

    /// What is taught.
    pub fn shown(&self) -> Result<Shown, DeskError> {
        let mut inside = lock(&self.inside);
        self.read(&mut inside)?;
        let file = self.file.file_name().unwrap_or(self.file.as_os_str()).to_string_lossy().into_owned();
        let undo = inside.before.back().map(|(what, _)| what.clone());
        // Without the network there are no small images, but there is a list.
        let input = self.pupil(&mut inside.pupil).ok().map(|pupil| pupil.input.clone());
        let Inside { teaching, album, .. } = &mut *inside;
        Ok(Shown::new(file, undo, self.revision(), teaching.as_ref(), |class| {
            album.shown(class, input.as_ref())
        })
        .with_folder(album))
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
        if found != inside.teaching {
            // The first look at it, after a start, is no change.
            inside.before.clear();
            inside.album.follow(found.as_ref());
            inside.teaching = found;
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

    /// Changes what is taught. Teaches at `asked` false alarms, or as before.
    fn change(
        &self,
        what: String,
        asked: Option<FalseAlarms>,
        edit: impl FnOnce(&mut Teacher, &mut Pupil) -> Result<Lesson, DeskError>,
    ) -> Result<(), DeskError> {
        let mut inside = lock(&self.inside);
        self.read(&mut inside)?;
        let before = inside.teaching.clone();
        let pupil = self.pupil(&mut inside.pupil)?;
        let input = pupil.input.clone();
        let (mut teacher, rate) = match before {
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
        let lesson = edit(&mut teacher, pupil)?;
        let teaching = match teacher.finish(asked.unwrap_or(rate)) {
            Ok(teaching) => Some(teaching),
            // The last class went. Without any, there was nothing to change.
            Err(TeachError::NoClasses) if inside.teaching.is_some() => None,
            Err(TeachError::OneExample(_)) if lesson.count > 1 => {
                return Err(DeskError::Still { count: lesson.count });
            }
            Err(error) => return Err(error.into()),
        };
        self.turn_to(&mut inside, what, teaching)?;
        if let Some(class) = &lesson.class {
            inside.album.keep(class, &lesson.images, &input);
        }
        Ok(())
    }

    /// Writes what is taught now, and goes on with it.
    fn turn_to(
        &self,
        inside: &mut Inside,
        what: String,
        teaching: Option<Teaching>,
    ) -> Result<(), DeskError> {
        if teaching == inside.teaching {
            return Ok(());
        }
        self.write(teaching.as_ref())?;
        inside.album.follow(teaching.as_ref());
        let old = std::mem::replace(&mut inside.teaching, teaching);
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
