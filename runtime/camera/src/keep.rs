//! A ring of kept frames: those that the network is unsure of, to label and to train on again.
//!
//! ```text
//! DIR/1795651200123_cat_43.jpg      milliseconds since 1970, label, its share in percent
//! ```
//! A camera's own JPEG is kept as it came, other frames are encoded. When the folder would grow past its
//! bound, the oldest go first; files with other names are left alone. Encoding and writing have a thread
//! of their own; while it is busy, frames are let go. What cannot be written (a full disk, a folder
//! without rights) is counted and said, and tried again with the next frame.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageEncoder};

use super::{Listener, Model, Report};
use foldnet_image::frame::Frame;

/// The least time between two kept frames.
const PAUSE: Duration = Duration::from_secs(1);
const QUALITY: u8 = 92;

/// What is kept, and where.
#[derive(Clone, Debug)]
pub struct Keep {
    /// The folder; made when it is not there.
    pub folder: PathBuf,
    /// The most bytes of kept frames.
    pub max_bytes: u64,
    /// Frames whose best score is below this.
    pub below: f32,
}

/// How it went so far.
#[derive(Debug, Default)]
pub struct Kept {
    /// Frames written.
    pub written: AtomicU64,
    /// Frames that could not be written.
    pub failed: AtomicU64,
}

struct Job {
    frame: Frame,
    label: String,
    score: f32,
}

/// Listens to the camera and keeps frames.
pub struct Keeper {
    below: f32,
    labels: Vec<String>,
    last: Option<Instant>,
    spare: Arc<Mutex<Option<Frame>>>,
    /// Gone when the keeper ends, which ends the thread.
    jobs: Option<SyncSender<Job>>,
    thread: Option<std::thread::JoinHandle<()>>,
    kept: Arc<Kept>,
}

impl Keeper {
    /// Makes the folder and starts the thread. A folder that cannot be used is an error now, not later.
    pub fn start(keep: Keep) -> Result<Self, String> {
        let mut ring = Ring::open(&keep.folder, keep.max_bytes)
            .map_err(|e| format!("--keep-uncertain {}: {e}", keep.folder.display()))?;
        let (send, receive) = sync_channel::<Job>(1);
        let (spare, kept) = (Arc::new(Mutex::new(None)), Arc::new(Kept::default()));
        let (their_spare, their_kept) = (spare.clone(), kept.clone());
        let work = move || write_all(&receive, &mut ring, &their_spare, &their_kept);
        let thread =
            std::thread::Builder::new().name("keep".into()).spawn(work).map_err(|e| e.to_string())?;
        let (jobs, thread) = (Some(send), Some(thread));
        Ok(Self { below: keep.below, labels: Vec::new(), last: None, spare, jobs, thread, kept })
    }

    /// How it went so far.
    pub fn kept(&self) -> Arc<Kept> {
        self.kept.clone()
    }
}

impl Drop for Keeper {
    /// What was begun is finished.
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // A panic there has been told by its hook.
            let _ = thread.join();
        }
    }
}

impl Listener for Keeper {
    fn model(&mut self, model: &Model) {
        self.labels.clone_from(&model.labels);
    }

    fn frame(&mut self, frame: &Frame, _pixels: &[u8], report: &Report) -> bool {
        let (class, score) = report.alone;
        let due = self.last.is_none_or(|last| last.elapsed() >= PAUSE);
        if score < self.below
            && due
            && let (Some(jobs), Some(label)) = (&self.jobs, self.labels.get(class))
        {
            let spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner).take();
            let mut copy = spare.unwrap_or_default();
            copy.clone_from(frame);
            match jobs.try_send(Job { frame: copy, label: label.clone(), score }) {
                Ok(()) => self.last = Some(Instant::now()),
                Err(TrySendError::Full(job) | TrySendError::Disconnected(job)) => {
                    *self.spare.lock().unwrap_or_else(PoisonError::into_inner) = Some(job.frame);
                }
            }
        }
        true
    }
}

fn write_all(jobs: &Receiver<Job>, ring: &mut Ring, spare: &Mutex<Option<Frame>>, kept: &Kept) {
    while let Ok(Job { frame, label, score }) = jobs.recv() {
        let written =
            encode(&frame).and_then(|jpeg| ring.put(&name(&label, score), &jpeg).map_err(|e| e.to_string()));
        match written {
            Ok(()) => {
                kept.written.fetch_add(1, Ordering::Relaxed);
            }
            Err(e) => {
                let failed = kept.failed.fetch_add(1, Ordering::Relaxed) + 1;
                if failed.is_power_of_two() {
                    tracing::warn!("a frame cannot be kept: {e} ({failed} so far)");
                }
            }
        }
        *spare.lock().unwrap_or_else(PoisonError::into_inner) = Some(frame);
    }
}

fn encode(frame: &Frame) -> Result<Vec<u8>, String> {
    if !frame.jpeg.is_empty() {
        return Ok(frame.jpeg.clone());
    }
    let picture = frame.picture().ok_or("an empty frame")?;
    let mut jpeg = Vec::new();
    let (width, height) = (picture.width() as u32, picture.height() as u32);
    JpegEncoder::new_with_quality(&mut jpeg, QUALITY)
        .write_image(picture.rgb(), width, height, ExtendedColorType::Rgb8)
        .map_err(|e| e.to_string())?;
    Ok(jpeg)
}

fn name(label: &str, score: f32) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis());
    // Labels come from the archive: nothing of them may mean something to a file system.
    let plain = |c: char| if c.is_alphanumeric() { c } else { '-' };
    let label: String = label.chars().take(40).map(plain).collect();
    format!("{now:013}_{label}_{:02.0}.jpg", (100.0 * score).min(99.0))
}

/// Whether a file is one of ours.
fn is_ours(name: &str) -> bool {
    let (head, tail) = (name.as_bytes().get(..13), name.get(13..));
    head.is_some_and(|h| h.iter().all(u8::is_ascii_digit))
        && tail.is_some_and(|t| t.starts_with('_') && t.ends_with(".jpg"))
}

/// A folder with a bound.
struct Ring {
    folder: PathBuf,
    max_bytes: u64,
    bytes: u64,
    /// Names and sizes, the oldest first.
    files: VecDeque<(String, u64)>,
}

impl Ring {
    fn open(folder: &Path, max_bytes: u64) -> std::io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let mut files: Vec<(String, u64)> = std::fs::read_dir(folder)?
            .flatten()
            .filter_map(|entry| {
                let name = entry.file_name().into_string().ok()?;
                let size = entry.metadata().ok()?.len();
                is_ours(&name).then_some((name, size))
            })
            .collect();
        files.sort();
        let bytes = files.iter().map(|(_, size)| size).sum();
        let mut ring = Self { folder: folder.into(), max_bytes, bytes, files: files.into() };
        ring.make_room(0)?;
        Ok(ring)
    }

    fn make_room(&mut self, bytes: u64) -> std::io::Result<()> {
        while self.bytes + bytes > self.max_bytes
            && let Some((name, size)) = self.files.front()
        {
            match std::fs::remove_file(self.folder.join(name)) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e),
                _ => self.bytes -= size,
            }
            self.files.pop_front();
        }
        Ok(())
    }

    fn put(&mut self, name: &str, bytes: &[u8]) -> std::io::Result<()> {
        let size = bytes.len() as u64;
        if size > self.max_bytes {
            return Err(std::io::Error::other(format!("{size} bytes are more than the folder may hold")));
        }
        self.make_room(size)?;
        // The folder may have been taken away.
        std::fs::create_dir_all(&self.folder)?;
        let part = self.folder.join(".part");
        let whole =
            std::fs::write(&part, bytes).and_then(|()| std::fs::rename(&part, self.folder.join(name)));
        if whole.is_err() {
            // Of no use, and perhaps what fills the disk.
            let _ = std::fs::remove_file(&part);
            return whole;
        }
        self.bytes += size;
        self.files.push_back((name.into(), size));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use foldnet_image::frame::{Colors, Format};

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn the_oldest_go_and_others_files_stay() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("deep/kept");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("0000000000001_old_10.jpg"), [0; 50]).unwrap();
        std::fs::write(folder.join("notes.txt"), [0; 5000]).unwrap();
        std::fs::write(folder.join("holiday.jpg"), [0; 5000]).unwrap();
        let mut ring = Ring::open(&folder, 100).unwrap();
        for n in 2..6 {
            ring.put(&format!("{n:013}_x_10.jpg"), &[7; 30]).unwrap();
        }
        let ours: Vec<String> = names(&folder).into_iter().filter(|n| is_ours(n)).collect();
        assert_eq!(ours, ["0000000000003_x_10.jpg", "0000000000004_x_10.jpg", "0000000000005_x_10.jpg"]);
        assert_eq!(names(&folder).len(), 5);
        assert!(ring.put("0000000000009_x_10.jpg", &[7; 101]).is_err());
        // Someone took the folder away, and someone else put a file into its place.
        std::fs::remove_dir_all(&folder).unwrap();
        ring.put("0000000000010_x_10.jpg", &[7; 30]).unwrap();
        assert_eq!(names(&folder), ["0000000000010_x_10.jpg"]);
        std::fs::remove_dir_all(&folder).unwrap();
        std::fs::write(&folder, "").unwrap();
        assert!(ring.put("0000000000011_x_10.jpg", &[7; 30]).is_err());
        std::fs::remove_file(&folder).unwrap();
        ring.put("0000000000012_x_10.jpg", &[7; 30]).unwrap();
        // A smaller bound holds at once.
        assert_eq!(Ring::open(&folder, 10).unwrap().bytes, 0);
        assert!(names(&folder).is_empty());
    }

    #[test]
    fn unsure_frames_are_kept_as_they_came() {
        let place = tempfile::tempdir().unwrap();
        let keep = Keep { folder: place.path().into(), max_bytes: 1 << 20, below: 0.6 };
        let mut keeper = Keeper::start(keep).unwrap();
        keeper.labels = vec!["a/../b".into()];
        let mut frame = Frame::default();
        frame.shape(Format::Rgb, 16, 8, Colors::default()).unwrap().fill(200);
        let report = |score| Report { alone: (0, score), ..Report::default() };
        assert!(keeper.frame(&frame, &[], &report(0.9)));
        assert!(keeper.frame(&frame, &[], &report(0.43)));
        // Within the pause, however busy the machine is.
        keeper.last = Some(Instant::now() + Duration::from_secs(3600));
        assert!(keeper.frame(&frame, &[], &report(0.1)));
        let kept = keeper.kept();
        drop(keeper);
        assert_eq!((kept.written.load(Ordering::Relaxed), kept.failed.load(Ordering::Relaxed)), (1, 0));
        let names = names(place.path());
        assert_eq!(names.len(), 1);
        assert!(is_ours(&names[0]) && names[0].ends_with("_a----b_43.jpg"), "{names:?}");
        let picture = image::open(place.path().join(&names[0])).unwrap().to_rgb8();
        assert_eq!((picture.dimensions(), picture.get_pixel(3, 3).0), ((16, 8), [200; 3]));
        let camera = Frame { jpeg: b"the camera's".into(), ..frame };
        assert_eq!(encode(&camera).unwrap(), b"the camera's");
    }
}
