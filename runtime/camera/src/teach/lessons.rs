//! What a person can do with the taught classes.

use std::time::{Duration, Instant};

use foldnet_archive::Input;
use foldnet_image::{Image, fit};
use foldnet_teach::{FalseAlarms, TeachError, hash_pixels};

use super::{Desk, DeskError, Lesson, MAX_FRAMES, lock, png};

/// What images show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A class that is taught.
    Class(String),
    /// Some of the network's own classes.
    Own,
}

impl Subject {
    /// What is taught, for the list of changes.
    fn in_words(&self) -> &str {
        match self {
            Self::Class(name) => name,
            Self::Own => "the network's own classes",
        }
    }
}

/// An image as the network reads it, and its file's name where it has one.
type Named = (Option<String>, Vec<u8>);

impl Desk {
    /// Teaches the frames of the last `span` as examples. Returns how many are new.
    pub fn teach_frames(&self, subject: &Subject, span: Duration) -> Result<usize, DeskError> {
        let frames = lock(&self.recent).pick(Instant::now(), span, MAX_FRAMES);
        self.teach(subject, |input| {
            let bytes = input.width * input.height * input.channels;
            let frames = frames.into_iter().filter(|frame| frame.len() == bytes);
            let frames: Vec<_> = frames.map(|frame| (None, frame)).collect();
            if frames.is_empty() { Err(DeskError::NoFrames) } else { Ok(frames) }
        })
    }

    /// Teaches images, as the files' bytes with their names. Returns how many are new.
    pub fn teach_images(&self, subject: &Subject, images: &[(String, Vec<u8>)]) -> Result<usize, DeskError> {
        if images.is_empty() {
            return Err(DeskError::NoImages);
        }
        self.teach(subject, |input| {
            let pixels = |(name, bytes): &(String, Vec<u8>)| match Image::decode(bytes) {
                Ok(image) => Ok((Some(name.clone()), fit(&image, input))),
                Err(error) => Err(DeskError::Image { name: name.clone(), error }),
            };
            images.iter().map(pixels).collect()
        })
    }

    /// Teaches kept frames of no class, by their hashes, which are then no longer kept. Returns how many are new.
    pub fn teach_unknown(&self, subject: &Subject, hashes: &[u64]) -> Result<usize, DeskError> {
        if hashes.is_empty() {
            return Err(DeskError::NoImages);
        }
        let new = self.teach(subject, |input| {
            let paths = self.unknown.find(hashes).map_err(|_| DeskError::Gone)?;
            let pixels = |path| png::read(path, input).map(|pixels| (None, pixels)).ok_or(DeskError::Gone);
            paths.iter().map(|path| pixels(path)).collect()
        })?;
        self.unknown.forget(hashes);
        Ok(new)
    }

    /// Lets kept frames of no class go.
    pub fn forget_unknown(&self, hashes: &[u64]) {
        self.unknown.forget(hashes);
    }

    fn teach(
        &self,
        subject: &Subject,
        images: impl FnOnce(&Input) -> Result<Vec<Named>, DeskError>,
    ) -> Result<usize, DeskError> {
        let mut new = 0;
        self.change(format!("teach {}", subject.in_words()), None, |teacher, pupil| {
            let images = images(&pupil.input)?;
            let mut lesson = Lesson { count: images.len(), ..Lesson::default() };
            for (name, pixels) in images {
                let added = match subject {
                    Subject::Class(class) => teacher.add(class, pupil.example(&pixels)?),
                    Subject::Own => {
                        pupil.own.check()?;
                        teacher.add_own(pupil.own_example(&pixels))
                    }
                };
                let added = match (added, name) {
                    (Err(error @ TeachError::Contradiction { .. }), Some(name)) => {
                        return Err(DeskError::Example { name, error });
                    }
                    (added, _) => added?,
                };
                if added {
                    new += 1;
                    lesson.images.push((hash_pixels(&pixels), pixels));
                }
            }
            if let Subject::Class(class) = subject {
                lesson.class = Some(class.clone());
            }
            Ok(lesson)
        })
        .map(|()| new)
    }

    /// Gives a class another name.
    pub fn rename(&self, from: &str, to: &str) -> Result<(), DeskError> {
        self.change(format!("rename {from}"), None, |teacher, _| {
            teacher.rename(from, to)?;
            Ok(Lesson::default())
        })
    }

    /// Forgets a class. Without its last class the file goes, and the network says its own classes again.
    pub fn remove(&self, class: &str) -> Result<(), DeskError> {
        self.change(format!("remove {class}"), None, |teacher, _| {
            teacher.remove(class)?;
            Ok(Lesson::default())
        })
    }

    /// Sets whether the network's own classes are answered beside the taught ones.
    pub fn mix(&self, mixed: bool) -> Result<(), DeskError> {
        let what =
            if mixed { "mix in the network's own classes" } else { "leave out the network's own classes" };
        self.change(what.into(), None, |teacher, pupil| {
            if mixed {
                pupil.own.check()?;
            }
            teacher.mix(mixed);
            Ok(Lesson::default())
        })
    }

    /// Sets the rate of false alarms.
    pub fn set_rate(&self, asked: FalseAlarms) -> Result<(), DeskError> {
        let what = format!("false alarms {} %", 100.0 * asked.share());
        self.change(what, Some(asked), |_, _| Ok(Lesson::default()))
    }
}
