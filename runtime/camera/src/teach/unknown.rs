//! Frames that belong to no class, kept to be named later.
//!
//! ```text
//! pets.teach.images/.unknown/0123456789abcdef.png
//! ```
//! At most one a second is kept, and at most [`MAX_IMAGES`]; the oldest go. A thread of its own encodes and writes them,
//! and while it is busy, frames are dropped.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::album::{file_name, hash_of, images_in};
use super::png;

/// The folder's name; training leaves folders with a dot alone.
pub const FOLDER: &str = ".unknown";
/// The most frames that are kept.
pub const MAX_IMAGES: usize = 48;
/// The most bytes of them.
const MAX_BYTES: u64 = 16 << 20;
/// The shortest time between two.
const PAUSE: Duration = Duration::from_secs(1);

type Job = (Vec<u8>, [usize; 3]);

/// See the module.
pub struct Unknown {
    folder: PathBuf,
    /// The thread's end of it, once there is one, and when it got the last frame.
    jobs: Mutex<(Option<SyncSender<Job>>, Option<Instant>)>,
    /// Another number after each change.
    revision: Arc<AtomicU64>,
}

impl Unknown {
    /// In an album's folder.
    pub fn within(album: &Path) -> Self {
        Self { folder: album.join(FOLDER), jobs: Mutex::default(), revision: Arc::new(AtomicU64::new(1)) }
    }

    /// Another number after each change.
    pub fn revision(&self) -> u64 {
        self.revision.load(Ordering::Relaxed)
    }

    /// Keeps a frame as the network saw it, if it is time for one. Costs a copy a second.
    pub fn see(&self, pixels: &[u8], shape: [usize; 3]) {
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        if jobs.1.is_some_and(|last| last.elapsed() < PAUSE) {
            return;
        }
        if jobs.0.is_none() {
            jobs.0 = self.start();
        }
        let sent = jobs.0.as_ref().map(|send| send.try_send((pixels.to_vec(), shape)));
        if let Some(Err(TrySendError::Disconnected(_))) = sent {
            jobs.0 = None;
        }
        jobs.1 = Some(Instant::now());
    }

    fn start(&self) -> Option<SyncSender<Job>> {
        let (send, receive) = sync_channel::<Job>(1);
        let (folder, revision) = (self.folder.clone(), self.revision.clone());
        let write = move || {
            foldnet::cores::step_back();
            let mut failed: u64 = 0;
            while let Ok((pixels, shape)) = receive.recv() {
                match keep(&folder, &pixels, shape) {
                    Ok(true) => _ = revision.fetch_add(1, Ordering::Relaxed),
                    Ok(false) => {}
                    Err(e) => {
                        failed += 1;
                        if failed.is_power_of_two() {
                            tracing::warn!("an unknown frame is not kept: {e} ({failed} so far)");
                        }
                    }
                }
            }
        };
        std::thread::Builder::new().name("unknown".into()).spawn(write).ok().map(|_| send)
    }

    /// The files, the oldest first.
    pub fn images(&self) -> Vec<PathBuf> {
        images_in(&self.folder)
    }

    /// The files of these hashes. An error names one that is not there any more.
    pub fn find(&self, hashes: &[u64]) -> Result<Vec<PathBuf>, u64> {
        let path = |&hash: &u64| Some(self.folder.join(file_name(hash))).filter(|p| p.is_file()).ok_or(hash);
        hashes.iter().map(path).collect()
    }

    /// Deletes the files of these hashes.
    pub fn forget(&self, hashes: &[u64]) {
        for hash in hashes {
            // One that is gone already is as it should be.
            let _ = std::fs::remove_file(self.folder.join(file_name(*hash)));
        }
        self.revision.fetch_add(1, Ordering::Relaxed);
    }
}

/// Writes a frame and lets the oldest go. `false` if it is there already.
fn keep(folder: &Path, pixels: &[u8], shape: [usize; 3]) -> std::io::Result<bool> {
    let path = folder.join(file_name(foldnet_teach::hash_pixels(pixels)));
    let Some(png) = png::encode(pixels, shape).filter(|_| !path.exists()) else { return Ok(false) };
    std::fs::create_dir_all(folder)?;
    let size = |path: &PathBuf| std::fs::metadata(path).map_or(0, |data| data.len());
    let mut files: std::collections::VecDeque<_> =
        images_in(folder).into_iter().map(|p| (size(&p), p)).collect();
    let mut bytes = png.len() as u64 + files.iter().map(|(size, _)| size).sum::<u64>();
    while files.len() >= MAX_IMAGES || bytes > MAX_BYTES {
        let Some((size, oldest)) = files.pop_front() else { return Ok(false) };
        std::fs::remove_file(oldest)?;
        bytes -= size;
    }
    foldnet_archive::write_file(&path, &png)?;
    debug_assert!(hash_of(&path).is_some());
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_go_and_others_files_stay() {
        let place = tempfile::tempdir().unwrap();
        std::fs::write(place.path().join("notes.png"), "mine").unwrap();
        let pixels = |n: u8| vec![n; 12];
        for n in 0..MAX_IMAGES as u8 + 10 {
            assert!(keep(place.path(), &pixels(n), [2, 2, 3]).unwrap());
        }
        assert!(!keep(place.path(), &pixels(MAX_IMAGES as u8), [2, 2, 3]).unwrap(), "it is there");
        assert!(!keep(place.path(), &pixels(200), [2, 3, 3]).unwrap(), "no image of that size");
        assert_eq!(images_in(place.path()).len(), MAX_IMAGES);
        assert!(place.path().join("notes.png").exists());
        std::fs::write(place.path().join("file"), "").unwrap();
        assert!(keep(&place.path().join("file"), &pixels(250), [2, 2, 3]).is_err());
    }
}
