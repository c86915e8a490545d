//! Image files in a folder, grouped by class subfolder if there are any.
//!
//! Hidden entries, folders that operating systems create (`__MACOSX`) and other kinds of files (by extension) are
//! left out. Images of unsupported kinds are counted. An empty subfolder is still a class, so that a subset keeps
//! its numbering. Images beside class folders have no label and come last. If the class folders are inside a
//! `train`, `val` or `test` folder, that folder is used.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::{DatasetError, Source};
use foldnet_image::{Image, ImageError};

/// The extensions of the files that are read; the last two are also JPEG's.
const EXTENSIONS: [&str; 7] = ["bmp", "jpeg", "jpg", "png", "webp", "jfif", "jpe"];
/// The extensions of images that are not read.
const OTHER_IMAGES: [&str; 28] = [
    "apng", "arw", "avif", "cr2", "cr3", "dcm", "dng", "exr", "gif", "heic", "heif", "hif", "ico", "jp2",
    "jxl", "nef", "orf", "pbm", "pcx", "pgm", "pnm", "ppm", "psd", "raw", "svg", "tga", "tif", "tiff",
];
/// Folders that are never classes, whatever they contain.
const NO_CLASSES: [&str; 4] = ["__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information"];
/// The names of folders that divide a dataset.
const SPLITS: [&str; 11] = [
    "train",
    "training",
    "val",
    "valid",
    "validation",
    "test",
    "testing",
    "eval",
    "evaluation",
    "dev",
    "holdout",
];
/// The largest nesting of folders; it ends a cycle of links.
const MAX_DEPTH: usize = 16;

/// Images below a folder.
#[derive(Debug, Default)]
pub struct Found {
    /// The files that are read, sorted by path.
    pub files: Vec<PathBuf>,
    /// The files of other kinds.
    pub left_out: LeftOut,
}

/// Images that were left out, counted by file extension.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeftOut(BTreeMap<String, usize>);

impl LeftOut {
    /// Returns their number.
    pub fn count(&self) -> usize {
        self.0.values().sum()
    }

    /// Returns the extensions and the number of files with each.
    pub fn kinds(&self) -> impl Iterator<Item = (&str, usize)> {
        self.0.iter().map(|(ending, count)| (ending.as_str(), *count))
    }

    fn add(&mut self, more: &Self) {
        for (ending, count) in &more.0 {
            *self.0.entry(ending.clone()).or_default() += count;
        }
    }
}

impl std::fmt::Display for LeftOut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kinds: Vec<String> = self.kinds().map(|(ending, count)| format!("{count} .{ending}")).collect();
        let images = if self.count() == 1 { "image" } else { "images" };
        write!(
            f,
            "{} {images} left out ({}): JPEG, PNG, WebP and BMP are read, so convert them first",
            self.count(),
            kinds.join(", ")
        )
    }
}

/// Finds the image files below a folder.
pub fn find_images(folder: &Path) -> Result<Found, DatasetError> {
    let mut found = Found::default();
    collect(folder, 0, &mut found)?;
    found.files.sort();
    Ok(found)
}

/// Returns the image files below a folder, sorted by path.
pub fn images_below(folder: &Path) -> Result<Vec<PathBuf>, DatasetError> {
    Ok(find_images(folder)?.files)
}

pub(super) struct Folder {
    root: PathBuf,
    files: Vec<(PathBuf, Option<usize>)>,
    pub(super) classes: Vec<String>,
    pub(super) left_out: LeftOut,
    /// A folder inside the given one whose subfolders are the classes.
    pub(super) within: Option<PathBuf>,
}

impl Folder {
    pub(super) fn open(root: &Path) -> Result<Self, DatasetError> {
        let top = Entries::of(root)?;
        let within = class_level(root, &top)?;
        let Entries { mut folders, mut files, mut left_out } = match &within {
            Some(folder) => Entries::of(folder)?,
            None => top,
        };
        folders.sort();
        files.sort();
        let loose = !files.is_empty();
        let mut labelled = Vec::new();
        for (label, folder) in folders.iter().enumerate() {
            let found = find_images(folder)?;
            left_out.add(&found.left_out);
            labelled.extend(found.files.into_iter().map(|path| (path, Some(label))));
        }
        labelled.extend(files.into_iter().map(|path| (path, None)));
        // A single folder beside images only groups some of them: there is no classifier of one class.
        let classes: Vec<String> = match (folders.as_slice(), loose) {
            ([_], true) => Vec::new(),
            _ => folders.iter().map(|folder| super::file_name(folder)).collect(),
        };
        if classes.is_empty() {
            labelled.iter_mut().for_each(|(_, label)| *label = None);
        }
        Ok(Self { root: root.into(), files: labelled, classes, left_out, within })
    }
}

impl Source for Folder {
    fn len(&self) -> usize {
        self.files.len()
    }

    fn name(&self, i: usize) -> String {
        let path = &self.files[i].0;
        path.strip_prefix(&self.root).unwrap_or(path).to_string_lossy().into_owned()
    }

    fn read(&self, i: usize) -> Result<(Image, Option<usize>), ImageError> {
        let (path, label) = &self.files[i];
        Ok((Image::open(path)?, *label))
    }

    fn content(&self, i: usize) -> Result<Vec<u8>, ImageError> {
        let mut bytes = Vec::new();
        foldnet_archive::open_file(&self.files[i].0)?.read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

/// Returns the folder whose subfolders are the classes, if it is not `root` itself. That is the only subfolder, if
/// it is a split (`val`) or wraps the dataset. If there are several splits, the error asks for one of them.
fn class_level(root: &Path, entries: &Entries) -> Result<Option<PathBuf>, DatasetError> {
    if entries.folders.is_empty() || !entries.files.is_empty() {
        return Ok(None);
    }
    let name = |folder: &PathBuf| super::file_name(folder);
    let is_split = |folder: &PathBuf| SPLITS.contains(&name(folder).to_lowercase().as_str());
    let inner: Vec<Entries> = entries.folders.iter().map(|f| Entries::of(f)).collect::<Result<_, _>>()?;
    let holds_classes = |entries: &Entries| !entries.folders.is_empty() && entries.files.is_empty();
    match entries.folders.as_slice() {
        [only] if holds_classes(&inner[0]) && (is_split(only) || inner[0].folders.len() > 1) => {
            Ok(Some(class_level(only, &inner[0])?.unwrap_or_else(|| only.clone())))
        }
        several if several.len() > 1 && several.iter().all(is_split) && inner.iter().any(holds_classes) => {
            let mut choices: Vec<String> = several.iter().map(|f| f.display().to_string()).collect();
            choices.sort();
            Err(DatasetError::Labels {
                path: root.into(),
                message: format!("it is divided; name one of its parts: {}", choices.join(", ")),
            })
        }
        _ => Ok(None),
    }
}

fn collect(folder: &Path, depth: usize, found: &mut Found) -> Result<(), DatasetError> {
    let entries = Entries::of(folder)?;
    found.files.extend(entries.files);
    found.left_out.add(&entries.left_out);
    if depth < MAX_DEPTH {
        for folder in entries.folders {
            collect(&folder, depth + 1, found)?;
        }
    }
    Ok(())
}

/// The entries of a folder.
struct Entries {
    folders: Vec<PathBuf>,
    files: Vec<PathBuf>,
    left_out: LeftOut,
}

impl Entries {
    fn of(folder: &Path) -> Result<Self, DatasetError> {
        let io = |source| DatasetError::Io { path: folder.into(), source };
        let mut found = Self { folders: Vec::new(), files: Vec::new(), left_out: LeftOut::default() };
        for entry in std::fs::read_dir(folder).map_err(io)? {
            let entry = entry.map_err(io)?;
            let name = entry.file_name();
            if name.as_encoded_bytes().starts_with(b".") {
                continue;
            }
            let path = entry.path();
            // Links are followed. A broken link counts as a file of its name.
            if std::fs::metadata(&path).is_ok_and(|m| m.is_dir()) {
                if !NO_CLASSES.iter().any(|&no| name == no) {
                    found.folders.push(path);
                }
                continue;
            }
            let ending = path.extension().unwrap_or_default().to_ascii_lowercase();
            if EXTENSIONS.iter().any(|&e| ending == e) {
                found.files.push(path);
            } else if let Some(&kind) = OTHER_IMAGES.iter().find(|&&e| ending == e) {
                *found.left_out.0.entry(kind.to_owned()).or_default() += 1;
            }
        }
        Ok(found)
    }
}
