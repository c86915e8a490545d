//! An image, or a folder of images in the order of their names, over and over, at a steady pace.
//!
//! An image that cannot be decoded is a damaged frame. When none of them ever could be, the input is
//! unusable.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::kind::{Kind, scheme, shown_as_path};
use super::{Source, SourceError, Wishes, video};
use foldnet_dataset::{LeftOut, find_images};
use foldnet_image::frame::{Colors, Format, Frame};
use foldnet_image::{Image, ImageError};

/// See the module.
pub static KIND: Kind = Kind {
    claims: |at| scheme(at).is_none(),
    shown: shown_as_path,
    is_live: false,
    is_stills: true,
    open: |at, wishes| Ok(Box::new(Files::open(at.as_ref(), wishes)?)),
};

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
    /// Files that could not be decoded so far, and files in a row that were not there.
    failed: usize,
    absent: usize,
    /// Whether one could be.
    decoded: bool,
}

impl Files {
    /// The images there are now.
    pub fn open(path: &Path, wishes: &Wishes) -> Result<Self, SourceError> {
        let at = |e: &dyn std::fmt::Display| SourceError::Lost(format!("{}: {e}", path.display()));
        let about = std::fs::metadata(path).map_err(|e| at(&e))?;
        let (files, left_out) = if about.is_dir() {
            let found = find_images(path).map_err(|e| SourceError::lost(&e))?;
            (found.files, found.left_out)
        } else {
            check(path, about.is_file())?;
            (vec![path.into()], LeftOut::default())
        };
        match (files.is_empty(), left_out.count()) {
            (true, 0) => return Err(at(&"no images in this folder")),
            (true, _) => return Err(at(&format!("no images in this folder; {left_out}"))),
            (false, 0) => {}
            (false, _) => tracing::warn!("{}: {left_out}", path.display()),
        }
        let interval = Duration::from_secs_f64(1.0 / wishes.fps.unwrap_or(FPS));
        let (what, once) = (path.into(), wishes.once);
        Ok(Self { what, files, next: 0, once, interval, due: None, failed: 0, absent: 0, decoded: false })
    }
}

/// Refuses a file that is not one to decode, before it is waited for.
fn check(path: &Path, is_file: bool) -> Result<(), SourceError> {
    let unusable = |what: String| SourceError::Unusable(format!("{}: {what}", path.display()));
    if !is_file {
        return Err(unusable(
            "not a file; a stream of frames comes on standard input, with --input -".into(),
        ));
    }
    let at = |e: std::io::Error| SourceError::Lost(format!("{}: {e}", path.display()));
    let mut start = Vec::new();
    let file = std::fs::File::open(path).map_err(at)?;
    file.take(video::PREFIX as u64).read_to_end(&mut start).map_err(at)?;
    match video::kind(&start) {
        Some(kind) => Err(unusable(format!(
            "{kind}, which is not decoded here; {}",
            video::advice(&path.to_string_lossy())
        ))),
        None if start.starts_with(b"YUV4MPEG2 ") => {
            Err(unusable("Y4M video comes on standard input: runtime camera ARCHIVE --input - < FILE".into()))
        }
        None => Ok(()),
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
            let text = format!("{}: {e}", file.display());
            // A pipe or a device is there, and never becomes an image.
            if matches!(&e, ImageError::Io(io) if io.kind() != std::io::ErrorKind::InvalidInput) {
                self.absent += 1;
                let all = self.absent >= self.files.len();
                return if all { SourceError::Lost(text) } else { SourceError::Frame(e.into()) };
            }
            self.failed += 1;
            if !self.decoded && self.failed >= self.files.len() {
                return SourceError::Unusable(match self.files.len() {
                    1 => text,
                    n => format!(
                        "{}: none of {n} images can be decoded; the last: {text}",
                        self.what.display()
                    ),
                });
            }
            SourceError::Frame(e.into())
        })?;
        (self.decoded, self.absent) = (true, 0);
        frame
            .shape(Format::Rgb, picture.width(), picture.height(), Colors::default())?
            .copy_from_slice(picture.rgb());
        frame.captured = Instant::now();
        Ok(())
    }

    fn describe(&self) -> String {
        let n = self.files.len();
        format!("{}: {n} image{}", self.what.display(), if n == 1 { "" } else { "s" })
    }
}
