//! Why something is not taught, in the words that the page shows.

use foldnet_image::ImageError;
use foldnet_teach::{FileError, TaughtError, TeachError};

/// See the module. Whatever it is, the file and the running network are as they were.
#[derive(Debug, thiserror::Error)]
pub enum DeskError {
    /// The archive cannot be read, or not be taught.
    #[error("{0}")]
    Network(String),
    /// What was asked for cannot be.
    #[error(transparent)]
    Teach(#[from] TeachError),
    /// The teaching file on disk, or one that was uploaded, cannot be read.
    #[error(transparent)]
    Read(FileError),
    /// The teaching file cannot be written.
    #[error("nothing is changed, because the file cannot be saved: {0}")]
    Write(FileError),
    /// A teaching of another archive.
    #[error("{file}: {error}")]
    Foreign {
        /// The file.
        file: String,
        /// What is wrong with it.
        error: TaughtError,
    },
    /// No frame to learn from.
    #[error("no frame came from the camera, so there is nothing to learn from")]
    NoFrames,
    /// Frames or images that are all the same.
    #[error(
        "{count} images with the same content are one example, and a class needs at least 2: move the object, or the camera, while the button is held"
    )]
    Still {
        /// How many.
        count: usize,
    },
    /// No images came.
    #[error("there is no image to learn from")]
    NoImages,
    /// An image that was uploaded cannot be read.
    #[error("{name}: {error}")]
    Image {
        /// Its name.
        name: String,
        /// What is wrong with it.
        error: ImageError,
    },
    /// An image that was uploaded cannot be an example.
    #[error("{name}: {error}")]
    Example {
        /// Its name.
        name: String,
        /// Why not.
        error: TeachError,
    },
    /// A kept frame that is not there any more.
    #[error("one of these frames is no longer kept: load the page again")]
    Gone,
    /// There is nothing to undo.
    #[error("there is no change to undo")]
    NothingToUndo,
    /// There is nothing to export.
    #[error("nothing is taught yet")]
    NothingTaught,
}
