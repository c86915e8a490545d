//! Image files in a folder, by class subfolder if there are any.
//!
//! Hidden entries and files of other kinds (by extension) are left out. An empty subfolder is a class
//! all the same, so that a subset keeps its numbering. Pictures beside class folders have no label and
//! come last.

use std::path::{Path, PathBuf};

use super::{DatasetError, Source};
use foldnet_image::{Image, ImageError};

const EXTENSIONS: [&str; 5] = ["bmp", "jpeg", "jpg", "png", "webp"];
/// Folders below folders; a link in a circle ends here.
const MAX_DEPTH: usize = 16;

/// The picture files below a folder, sorted by path.
pub fn images_below(folder: &Path) -> Result<Vec<PathBuf>, DatasetError> {
    let mut found = Vec::new();
    collect(folder, 0, &mut found)?;
    found.sort();
    Ok(found)
}

pub(super) struct Folder {
    root: PathBuf,
    files: Vec<(PathBuf, Option<usize>)>,
    pub(super) classes: Vec<String>,
}

impl Folder {
    pub(super) fn open(root: &Path) -> Result<Self, DatasetError> {
        let (mut folders, mut loose) = (Vec::new(), Vec::new());
        for (path, is_folder) in entries(root)? {
            if is_folder {
                folders.push(path);
            } else {
                loose.push(path);
            }
        }
        folders.sort();
        loose.sort();
        let mut files = Vec::new();
        for (label, folder) in folders.iter().enumerate() {
            files.extend(images_below(folder)?.into_iter().map(|path| (path, Some(label))));
        }
        files.extend(loose.into_iter().map(|path| (path, None)));
        let classes = folders.iter().map(|folder| super::file_name(folder)).collect();
        Ok(Self { root: root.into(), files, classes })
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
}

fn collect(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) -> Result<(), DatasetError> {
    for (path, is_folder) in entries(folder)? {
        if !is_folder {
            found.push(path);
        } else if depth < MAX_DEPTH {
            collect(&path, depth + 1, found)?;
        }
    }
    Ok(())
}

/// Subfolders (true) and picture files (false).
fn entries(folder: &Path) -> Result<Vec<(PathBuf, bool)>, DatasetError> {
    let io = |source| DatasetError::Io { path: folder.into(), source };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(io)? {
        let entry = entry.map_err(io)?;
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        let path = entry.path();
        // Links are followed; one that leads nowhere counts as the file that it is named after.
        let is_folder = std::fs::metadata(&path).is_ok_and(|m| m.is_dir());
        if is_folder || is_picture(&path) {
            found.push((path, is_folder));
        }
    }
    Ok(found)
}

fn is_picture(path: &Path) -> bool {
    let extension = path.extension().unwrap_or_default().to_ascii_lowercase();
    EXTENSIONS.iter().any(|&e| extension == e)
}
