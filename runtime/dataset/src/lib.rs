//! Images to measure or calibrate with: [`Dataset::open`] detects the kind of a path.
//!
//! | path | images | labels |
//! |---|---|---|
//! | folder with subfolders | all below each subfolder | the subfolders' names; see [`Dataset::match_labels`] |
//! | folder without | all in it | none |
//! | `.bin` | CIFAR-10's or CIFAR-100's records, see `cifar.rs` | the label byte |
//! | `.npy` | u8 or f32, `[n, h, w, 3 or 1]`, see `npy.rs` | none |
//! | an image | itself | none |
//!
//! The order is fixed (sorted by name, or as in the file). Images are read one by one on request: memory does not
//! grow with their number. If an image cannot be read, only that item is an error. A new kind needs a file in this
//! crate and a line in [`Dataset::open`].

mod cifar;
mod folder;
mod labels;
mod npy;

use std::io::Read;
use std::path::{Path, PathBuf};

use foldnet_image::{Image, ImageError};

pub use folder::{Found, LeftOut, find_images, images_below};
pub use labels::{LabelFile, LabelsBy, Matching, check_count, known, parse_labels, read_labels};

/// The reason why a path is not a dataset.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    /// The operating system reported an error.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The path.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The folder contains no images, or the file no records.
    #[error("{path}: no images in it (JPEG, PNG, WebP and BMP files, or a .bin or .npy file, are understood)", path = .0.display())]
    Empty(PathBuf),
    /// The folder contains only images of unsupported kinds.
    #[error("{path}: {left_out}", path = path.display())]
    OtherKinds {
        /// The folder.
        path: PathBuf,
        /// The images that it contains.
        left_out: LeftOut,
    },
    /// The file's content does not match its extension.
    #[error("{path}: {message}", path = path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// The problem.
        message: String,
    },
    /// The dataset's classes do not match the network's.
    #[error("{path}: {message}", path = path.display())]
    Labels {
        /// The dataset.
        path: PathBuf,
        /// The mismatch.
        message: String,
    },
}

/// One image.
#[derive(Clone, Debug)]
pub struct Item {
    /// The path relative to the dataset's, or file and number: `test.bin[12]`.
    pub name: String,
    /// The index of its class, if it is known.
    pub label: Option<usize>,
    /// The image.
    pub picture: Image,
}

/// An image that could not be read.
#[derive(Debug, thiserror::Error)]
#[error("{name}: {problem}")]
pub struct ItemError {
    /// Like [`Item::name`].
    pub name: String,
    /// The problem with the image.
    pub problem: ImageError,
}

/// A source of images.
trait Source: Send + Sync {
    /// Returns the number of images.
    fn len(&self) -> usize;
    /// Returns the name of image `i`.
    fn name(&self, i: usize) -> String;
    /// Reads image `i`, and its label if it has one.
    fn read(&self, i: usize) -> Result<(Image, Option<usize>), ImageError>;
    /// Returns the bytes that identify image `i`, see [`Dataset::content`].
    fn content(&self, i: usize) -> Result<Vec<u8>, ImageError> {
        Ok(self.read(i)?.0.rgb().to_vec())
    }
    /// Returns whether labels come with the images rather than from class folders.
    fn is_labelled(&self) -> bool {
        false
    }
}

/// Images in a fixed order, some or all with labels.
pub struct Dataset {
    path: PathBuf,
    source: Box<dyn Source>,
    classes: Vec<String>,
    left_out: LeftOut,
    within: Option<PathBuf>,
    /// Maps the source's labels to the network's, once they are matched.
    mapping: Option<Vec<usize>>,
}

impl Dataset {
    /// Opens the dataset at this path; see the module for the supported kinds.
    pub fn open(path: &Path) -> Result<Self, DatasetError> {
        let io = |source| DatasetError::Io { path: path.into(), source };
        let extension = path.extension().unwrap_or_default().to_ascii_lowercase();
        let (mut classes, mut left_out, mut within) = (Vec::new(), LeftOut::default(), None);
        let source: Box<dyn Source> = if std::fs::metadata(path).map_err(io)?.is_dir() {
            let mut folder = folder::Folder::open(path)?;
            classes = std::mem::take(&mut folder.classes);
            left_out = std::mem::take(&mut folder.left_out);
            within = folder.within.take();
            Box::new(folder)
        } else if extension == "bin" {
            Box::new(cifar::Cifar::open(path)?)
        } else if extension == "npy" || starts_with(path, npy::MAGIC).map_err(io)? {
            Box::new(npy::Npy::open(path)?)
        } else {
            Box::new(OneImage(path.into()))
        };
        if source.len() == 0 {
            return Err(match left_out.count() {
                0 => DatasetError::Empty(path.into()),
                _ => DatasetError::OtherKinds { path: path.into(), left_out },
            });
        }
        Ok(Self { path: path.into(), source, classes, left_out, within, mapping: None })
    }

    /// Returns the path with which the dataset was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the number of images, readable or not; at least one.
    #[allow(clippy::len_without_is_empty)] // it is never empty
    pub fn len(&self) -> usize {
        self.source.len()
    }

    /// Returns the names of the class folders, in the order of their labels; empty if there are none.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// Returns notes for people on the images that were found, one sentence each.
    pub fn notes(&self) -> Vec<String> {
        let within = self.within.as_ref().map(|folder| {
            format!("{}: the classes are the folders in {}", self.path.display(), folder.display())
        });
        let left_out =
            (self.left_out.count() > 0).then(|| format!("{}: {}", self.path.display(), self.left_out));
        within.into_iter().chain(left_out).collect()
    }

    /// Returns the images that were left out because of their kind.
    pub fn left_out(&self) -> &LeftOut {
        &self.left_out
    }

    /// Returns whether any image has a label.
    pub fn is_labelled(&self) -> bool {
        !self.classes.is_empty() || self.source.is_labelled()
    }

    /// Maps the labels to those of a network that has `outputs` classes with these names (empty if it has no
    /// names). Labels that are already numbers stay unchanged. Class folders are matched by name unless the caller
    /// requests their order.
    ///
    /// An error names the folders that match no class, so that accuracy is never measured against the wrong
    /// classes.
    pub fn match_labels(
        &mut self,
        names: &[String],
        outputs: usize,
        matching: Matching,
    ) -> Result<LabelsBy, DatasetError> {
        let (by, mapping) = labels::match_labels(&self.classes, names, outputs, matching)
            .map_err(|message| DatasetError::Labels { path: self.path.clone(), message })?;
        self.mapping = mapping;
        Ok(by)
    }

    /// Returns the name of image `i`, below [`Dataset::len`].
    pub fn name(&self, i: usize) -> String {
        self.source.name(i)
    }

    /// Reads image `i`, below [`Dataset::len`].
    pub fn get(&self, i: usize) -> Result<Item, ItemError> {
        let name = self.source.name(i);
        match self.source.read(i) {
            Ok((picture, label)) => {
                let mapped = |label: usize| self.mapping.as_ref().map_or(label, |m| m[label]);
                Ok(Item { name, label: label.map(mapped), picture })
            }
            Err(problem) => Err(ItemError { name, problem }),
        }
    }

    /// Returns the bytes that identify image `i`, below [`Dataset::len`], wherever it lies: those of its file in a
    /// folder, otherwise its RGB bytes, row by row.
    pub fn content(&self, i: usize) -> Result<Vec<u8>, ItemError> {
        self.source.content(i).map_err(|problem| ItemError { name: self.source.name(i), problem })
    }

    /// Returns all images in order; each is read when it is requested.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Result<Item, ItemError>> + '_ {
        (0..self.len()).map(|i| self.get(i))
    }
}

impl std::fmt::Debug for Dataset {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Dataset({}, {} images)", self.path.display(), self.len())
    }
}

struct OneImage(PathBuf);

impl Source for OneImage {
    fn len(&self) -> usize {
        1
    }

    fn name(&self, _: usize) -> String {
        file_name(&self.0)
    }

    fn read(&self, _: usize) -> Result<(Image, Option<usize>), ImageError> {
        Ok((Image::open(&self.0)?, None))
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

fn starts_with(path: &Path, magic: &[u8]) -> std::io::Result<bool> {
    let mut start = Vec::new();
    foldnet_archive::open_file(path)?.take(magic.len() as u64).read_to_end(&mut start)?;
    Ok(start == magic)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn picture(value: u8) -> Vec<u8> {
        let mut bytes = std::io::Cursor::new(Vec::new());
        let image = image::RgbImage::from_pixel(2, 2, image::Rgb([value; 3]));
        image.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
        bytes.into_inner()
    }

    fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        root
    }

    fn summary(dataset: &Dataset) -> Vec<(String, Option<Option<usize>>)> {
        dataset
            .iter()
            .map(|item| match item {
                Ok(item) => (item.name, Some(item.label)),
                Err(error) => (error.name, None),
            })
            .collect()
    }

    #[test]
    fn a_flat_folder_is_sorted_and_unlabelled() {
        let root = folder(&[
            ("b.PNG", &picture(1)),
            ("a.png", &picture(2)),
            ("c.jpg", b"broken"),
            ("notes.txt", b"no image"),
            (".hidden.png", &picture(3)),
        ]);
        let dataset = Dataset::open(root.path()).unwrap();
        assert_eq!(
            summary(&dataset),
            [("a.png".into(), Some(None)), ("b.PNG".into(), Some(None)), ("c.jpg".into(), None)]
        );
        assert!(dataset.get(2).unwrap_err().to_string().starts_with("c.jpg: not an image"));
    }

    #[test]
    fn class_folders_are_labels() {
        let root = folder(&[
            ("dog/2.png", &picture(1)),
            ("cat/1.png", &picture(2)),
            ("cat/deeper/0.png", &picture(3)),
            ("ant/none.txt", b""),
            ("loose.png", &picture(4)),
        ]);
        let mut dataset = Dataset::open(root.path()).unwrap();
        assert_eq!(dataset.classes(), ["ant", "cat", "dog"]);
        let labels = |d: &Dataset| d.iter().map(|i| i.unwrap().label).collect::<Vec<_>>();
        assert_eq!(labels(&dataset), [Some(1), Some(1), Some(2), None]);
        let names = ["dog", "Cat", "bird", "ant"].map(String::from);
        assert_eq!(dataset.match_labels(&names, 4, Matching::ByName).unwrap(), LabelsBy::Name);
        assert_eq!(labels(&dataset), [Some(1), Some(1), Some(0), None]);
    }

    #[test]
    fn one_folder_among_images_is_no_class() {
        let root = folder(&[("more/1.png", &picture(1)), ("2.png", &picture(2))]);
        let dataset = Dataset::open(root.path()).unwrap();
        assert!(dataset.classes().is_empty() && !dataset.is_labelled());
        assert_eq!(summary(&dataset), [("more/1.png".into(), Some(None)), ("2.png".into(), Some(None))]);
    }

    #[test]
    fn what_systems_leave_behind_is_no_class_and_other_kinds_are_counted() {
        let root = folder(&[
            ("cat/1.jfif", &picture(1)),
            ("cat/2.HEIC", b"x"),
            ("dog/1.jpe", &picture(2)),
            ("dog/2.gif", b"x"),
            ("dog/3.gif", b"x"),
            ("dog/.DS_Store", b"x"),
            ("__MACOSX/cat/1.png", &picture(3)),
            (".git/1.png", &picture(3)),
        ]);
        let dataset = Dataset::open(root.path()).unwrap();
        assert_eq!(dataset.classes(), ["cat", "dog"]);
        assert_eq!(
            summary(&dataset),
            [("cat/1.jfif".into(), Some(Some(0))), ("dog/1.jpe".into(), Some(Some(1)))]
        );
        assert_eq!(dataset.left_out().kinds().collect::<Vec<_>>(), [("gif", 2), ("heic", 1)]);
        let notes = dataset.notes();
        assert!(notes.len() == 1 && notes[0].contains("3 images left out (2 .gif, 1 .heic)"), "{notes:?}");
        let only = folder(&[("a.heic", b"x")]);
        assert!(matches!(Dataset::open(only.path()), Err(DatasetError::OtherKinds { .. })));
    }

    #[test]
    fn classes_within_a_part_of_the_dataset_are_found() {
        let open = |files: &[(&str, &[u8])]| {
            let root = folder(files);
            Dataset::open(root.path()).map(|d| (d.classes().to_vec(), d.notes()))
        };
        let one = picture(1);
        for names in [["val/cat/1.png", "val/dog/1.png"], ["photos/cat/1.png", "photos/dog/1.png"]] {
            let (classes, notes) = open(&names.map(|name| (name, &one[..]))).unwrap();
            assert_eq!(classes, ["cat", "dog"]);
            assert!(notes.len() == 1 && notes[0].contains("the classes are the folders in"), "{notes:?}");
        }
        let error = open(&[("train/cat/1.png", &one), ("val/cat/1.png", &one)]).unwrap_err().to_string();
        assert!(error.contains("train") && error.contains("val") && error.contains("divided"), "{error}");
        // A class may have the name of a split, and a single class is allowed.
        assert_eq!(open(&[("test/1.png", &one), ("dev/1.png", &one)]).unwrap().0, ["dev", "test"]);
        assert_eq!(open(&[("cat/kitten/1.png", &one)]).unwrap().0, ["cat"]);
    }

    #[test]
    #[cfg(unix)]
    fn a_fifo_is_an_unreadable_image_and_no_wait() {
        let root = folder(&[("a.png", &picture(1))]);
        let made = std::process::Command::new("mkfifo").arg(root.path().join("b.png")).status();
        assert!(made.unwrap().success());
        let dataset = Dataset::open(root.path()).unwrap();
        assert_eq!(summary(&dataset), [("a.png".into(), Some(None)), ("b.png".into(), None)]);
        assert!(dataset.get(1).unwrap_err().to_string().contains("FIFO"));
        assert!(Dataset::open(&root.path().join("b.png")).is_err());
    }

    #[test]
    fn what_is_no_dataset() {
        let root = folder(&[("readme.txt", b"hello"), ("empty.bin", b""), ("one.png", &picture(9))]);
        let open = |name: &str| Dataset::open(&root.path().join(name));
        assert!(matches!(open("nothing"), Err(DatasetError::Io { .. })));
        assert!(matches!(open("empty.bin"), Err(DatasetError::Format { .. })));
        assert_eq!(open("one.png").unwrap().get(0).unwrap().picture.rgb()[0], 9);
        assert!(open("readme.txt").unwrap().get(0).is_err());
        fs::remove_file(root.path().join("one.png")).unwrap();
        assert!(matches!(Dataset::open(root.path()), Err(DatasetError::Empty(_))));
    }
}
