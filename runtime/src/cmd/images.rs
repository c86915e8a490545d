//! The images that an argument of a command means.

use std::path::{Path, PathBuf};

use foldnet_dataset::{Dataset, DatasetError, Found, ItemError, LeftOut, find_images};
use foldnet_image::{Image, ImageError};

/// Images and their names, read one by one.
pub enum Images {
    /// That on standard input.
    Stdin,
    /// The files in a folder, at least one, and those of other kinds.
    Folder(Vec<PathBuf>, LeftOut),
    /// A file with one image or many.
    File(Dataset, PathBuf),
}

impl Images {
    /// Those of `-`, a folder, an image, or a CIFAR .bin or .npy file.
    pub fn open(argument: &Path) -> Result<Self, DatasetError> {
        if argument.as_os_str() == "-" {
            return Ok(Self::Stdin);
        }
        if argument.is_dir() {
            let Found { files, left_out } = find_images(argument)?;
            return match (files.is_empty(), left_out.count()) {
                (false, _) => Ok(Self::Folder(files, left_out)),
                (true, 0) => Err(DatasetError::Empty(argument.into())),
                (true, _) => Err(DatasetError::OtherKinds { path: argument.into(), left_out }),
            };
        }
        let folder = argument.parent().unwrap_or(Path::new(""));
        Ok(Self::File(Dataset::open(argument)?, folder.into()))
    }

    /// How many, at least one.
    pub fn count(&self) -> usize {
        match self {
            Self::Stdin => 1,
            Self::Folder(files, _) => files.len(),
            Self::File(dataset, _) => dataset.len(),
        }
    }

    /// What was left out of a folder.
    pub fn left_out(&self) -> Option<&LeftOut> {
        match self {
            Self::Folder(_, left_out) if left_out.count() > 0 => Some(left_out),
            _ => None,
        }
    }

    /// The characters of the longest name.
    pub fn widest(&self) -> usize {
        match self {
            Self::Stdin => 1,
            Self::Folder(files, _) => {
                files.iter().map(|file| file.to_string_lossy().chars().count()).max().unwrap_or(0)
            }
            Self::File(dataset, folder) => shown(folder, &dataset.name(dataset.len() - 1)).chars().count(),
        }
    }

    /// Each with its name.
    pub fn iter(&self) -> Box<dyn Iterator<Item = (String, Result<Image, ImageError>)> + '_> {
        match self {
            Self::Stdin => Box::new(std::iter::once_with(|| ("-".into(), Image::read(std::io::stdin())))),
            Self::Folder(files, _) => {
                Box::new(files.iter().map(|file| (file.to_string_lossy().into_owned(), Image::open(file))))
            }
            Self::File(dataset, folder) => Box::new(dataset.iter().map(|item| match item {
                Ok(item) => (shown(folder, &item.name), Ok(item.picture)),
                Err(ItemError { name, problem }) => (shown(folder, &name), Err(problem)),
            })),
        }
    }
}

fn shown(folder: &Path, name: &str) -> String {
    folder.join(name).to_string_lossy().into_owned()
}
