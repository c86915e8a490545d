//! The images that classes were taught with, kept beside the teaching file.
//!
//! ```text
//! pets.teach.images/mug/0123456789abcdef.png     an image as the network saw it, named by its hash
//! pets.teach.images/.removed/…                   of classes that are gone, until there are too many
//! ```
//! This is the layout that `foldnet-train fit` reads, one folder for each class. The teaching file has the hashes of the
//! images of each class, so files are only ever moved to where it puts them: after a rename, a removal, an undo or an
//! import. Whatever happens to this folder, the classes stay taught.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use foldnet_archive::Input;
use foldnet_teach::Teaching;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::png;
use super::shown::thumbnail;

/// The most images of a class that are kept.
pub const MAX_OF_CLASS: usize = 200;
/// The most bytes of all of them.
const MAX_BYTES: u64 = 64 << 20;
/// The most images of classes that are gone.
const MAX_REMOVED: usize = 1000;
/// Where these are; training leaves folders with a dot alone.
const REMOVED: &str = ".removed";
/// Small images of a class that are shown.
pub const THUMBNAILS: usize = 4;
/// Small images that are kept in memory.
const MAX_SMALL: usize = 4096;
/// What means something to a file system, and the percent sign.
const SPECIAL: &AsciiSet = &CONTROLS
    .add(b'/')
    .add(b'\\')
    .add(b':')
    .add(b'*')
    .add(b'?')
    .add(b'"')
    .add(b'<')
    .add(b'>')
    .add(b'|')
    .add(b'%');

/// See the module.
pub struct Album {
    folder: PathBuf,
    /// Small images by hash, as JPEG in base64.
    small: HashMap<u64, Option<Arc<str>>>,
    /// Why the last image is not kept.
    problem: Option<String>,
}

/// The name of the file of an image.
pub fn file_name(hash: u64) -> String {
    format!("{hash:016x}.png")
}

/// The hash in the name of one of our files.
pub fn hash_of(path: &Path) -> Option<u64> {
    let name = path.file_name()?.to_str()?.strip_suffix(".png")?;
    u64::from_str_radix(name, 16).ok().filter(|&hash| file_name(hash).strip_suffix(".png") == Some(name))
}

/// The folder's name for a class.
fn folder_name(class: &str) -> String {
    let name = utf8_percent_encode(class, SPECIAL).to_string();
    match name.strip_prefix('.') {
        Some(rest) => format!("%2E{rest}"),
        None => name,
    }
}

/// Our files in a folder, the oldest first. None where there is no such folder.
pub fn images_in(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<_> = entries
        .filter(|entry| hash_of(&entry.path()).is_some())
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .collect();
    found.sort();
    found.into_iter().map(|(_, path)| path).collect()
}

impl Album {
    /// Beside a teaching file.
    pub fn beside(file: &Path) -> Self {
        let mut name = file.as_os_str().to_owned();
        name.push(".images");
        Self { folder: name.into(), small: HashMap::new(), problem: None }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Why the last image that was taught is not kept.
    pub fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }

    /// Keeps images of a class. What cannot be kept is not: the class is taught without it.
    pub fn keep(&mut self, class: &str, images: &[(u64, Vec<u8>)], input: &Input) {
        let folder = self.folder.join(folder_name(class));
        let mut bytes = self.bytes();
        let mut count = images_in(&folder).len();
        self.problem = None;
        for (hash, pixels) in images {
            let path = folder.join(file_name(*hash));
            if path.exists() {
                continue;
            }
            let Some(png) = png::encode(pixels, [input.width, input.height, input.channels]) else {
                continue;
            };
            bytes += png.len() as u64;
            count += 1;
            let kept = if count > MAX_OF_CLASS {
                Err(format!("{MAX_OF_CLASS} images of a class are kept at most"))
            } else if bytes > MAX_BYTES {
                Err(format!("{} are full: {} MB are kept at most", self.folder.display(), MAX_BYTES >> 20))
            } else {
                std::fs::create_dir_all(&folder)
                    .and_then(|()| foldnet_archive::write_file(&path, &png))
                    .map_err(|e| format!("{}: {e}", path.display()))
            };
            if let Err(problem) = kept {
                tracing::warn!("an image that was taught is not kept: {problem}");
                self.problem = Some(problem);
                return;
            }
        }
    }

    /// Moves each file to the class that has its image.
    pub fn follow(&mut self, teaching: Option<&Teaching>) {
        let mut places = HashMap::new();
        for class in teaching.into_iter().flat_map(Teaching::classes) {
            let folder = self.folder.join(folder_name(class.name()));
            places.extend(class.images().map(|image| (image, folder.clone())));
        }
        let removed = self.folder.join(REMOVED);
        for folder in self.folders() {
            for path in images_in(&folder) {
                let place = hash_of(&path).and_then(|hash| places.get(&hash)).unwrap_or(&removed);
                if *place != folder {
                    self.relocate(&path, place);
                }
            }
            // Only an empty one goes.
            let _ = std::fs::remove_dir(&folder);
        }
        let gone = images_in(&removed);
        for path in &gone[..gone.len().saturating_sub(MAX_REMOVED)] {
            let _ = std::fs::remove_file(path);
        }
    }

    fn relocate(&mut self, path: &Path, folder: &Path) {
        let to = folder.join(path.file_name().expect("a file's path"));
        if let Err(e) = std::fs::create_dir_all(folder).and_then(|()| std::fs::rename(path, &to)) {
            let problem = format!("{}: {e}", to.display());
            tracing::warn!("an image that was taught is left where it was: {problem}");
            self.problem = Some(problem);
        }
    }

    /// The folders of classes, and that of those that are gone.
    fn folders(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        folders.map(|entry| entry.path()).filter(|path| !path.ends_with(super::unknown::FOLDER)).collect()
    }

    fn bytes(&self) -> u64 {
        let files = self.folders().into_iter().flat_map(|folder| images_in(&folder));
        files.filter_map(|path| std::fs::metadata(path).ok()).map(|data| data.len()).sum()
    }

    /// How many images of a class are kept, and small ones of some, spread over them.
    pub fn shown(&mut self, class: &str, input: Option<&Input>) -> (usize, Vec<String>) {
        let files = images_in(&self.folder.join(folder_name(class)));
        let Some(input) = input else { return (files.len(), Vec::new()) };
        let step = files.len().div_ceil(THUMBNAILS).max(1);
        let small = files.iter().step_by(step).filter_map(|path| self.small(path, input));
        (files.len(), small.map(|small| small.to_string()).collect())
    }

    /// A small image of a file.
    pub fn small(&mut self, path: &Path, input: &Input) -> Option<Arc<str>> {
        let hash = hash_of(path)?;
        if self.small.len() > MAX_SMALL {
            self.small.clear();
        }
        let make = || png::read(path, input).and_then(|pixels| thumbnail(&pixels, input));
        self.small.entry(hash).or_insert_with(make).clone()
    }
}
