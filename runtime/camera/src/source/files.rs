//! A picture, or a folder of pictures in the order of their names, over and over, at a steady pace.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::{Source, SourceError, Wishes};
use foldnet_dataset::images_below;
use foldnet_image::Image;
use foldnet_image::frame::{Colors, Format, Frame};

/// Frames per second when nothing is wished.
const FPS: f64 = 10.0;

/// See the module.
pub struct Files {
    what: PathBuf,
    files: Vec<PathBuf>,
    next: usize,
    once: bool,
    interval: Duration,
    due: Option<Instant>,
    /// Nothing but failures since this many files: there is no good one.
    failed: usize,
}

impl Files {
    /// The pictures there are now.
    pub fn open(path: &Path, wishes: &Wishes) -> Result<Self, SourceError> {
        let at = |e: &dyn std::fmt::Display| SourceError::Lost(format!("{}: {e}", path.display()));
        let files = if std::fs::metadata(path).map_err(|e| at(&e))?.is_dir() {
            images_below(path).map_err(|e| SourceError::lost(&e))?
        } else {
            vec![path.into()]
        };
        if files.is_empty() {
            return Err(at(&"no pictures"));
        }
        let interval = Duration::from_secs_f64(1.0 / wishes.fps.unwrap_or(FPS));
        Ok(Self { what: path.into(), files, next: 0, once: wishes.once, interval, due: None, failed: 0 })
    }
}

impl Source for Files {
    fn next(&mut self, frame: &mut Frame) -> Result<(), SourceError> {
        if self.next == self.files.len() {
            if self.once {
                return Err(SourceError::End);
            }
            self.next = 0;
        }
        let now = Instant::now();
        let due = *self.due.get_or_insert(now);
        if let Some(early) = due.checked_duration_since(now).filter(|e| !e.is_zero()) {
            std::thread::sleep(early.min(super::PATIENCE));
            if early > super::PATIENCE {
                return Err(SourceError::Nothing);
            }
        }
        // Whoever is late does not hurry afterwards.
        self.due = Some(due.max(Instant::now().checked_sub(self.interval).unwrap_or(due)) + self.interval);
        let file = &self.files[self.next];
        self.next += 1;
        frame.number += 1;
        let picture = Image::open(file).map_err(|e| {
            self.failed += 1;
            if self.failed >= self.files.len() {
                return SourceError::Lost(format!("{}: {e}", file.display()));
            }
            SourceError::Frame(e.into())
        })?;
        self.failed = 0;
        frame
            .shape(Format::Rgb, picture.width(), picture.height(), Colors::default())?
            .copy_from_slice(picture.rgb());
        frame.captured = Instant::now();
        Ok(())
    }

    fn describe(&self) -> String {
        let n = self.files.len();
        format!("{}: {n} picture{}", self.what.display(), if n == 1 { "" } else { "s" })
    }
}
