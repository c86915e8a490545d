//! Errors as Python's exceptions: what the operating system refuses is an `OSError`, a wrong argument a `ValueError`,
//! all else a `foldnet.Error`.

use std::fmt::Display;
use std::io;
use std::path::Path;

use foldnet::pool::PoolError;
use foldnet::{ClassifierError, FeaturesError, SessionError, WrongPixels};
use foldnet_kernels::dispatch::Unavailable;
use pyo3::create_exception;
use pyo3::exceptions::{PyException, PyOSError, PyValueError};
use pyo3::prelude::*;

create_exception!(foldnet, Error, PyException, "What Foldnet cannot do. The base of its other exceptions.");
create_exception!(
    foldnet,
    ArchiveError,
    Error,
    "A file is no archive, or is damaged, or of another version."
);
create_exception!(foldnet, ImageError, Error, "A file is no image, or is damaged.");
create_exception!(foldnet, QuantizeError, Error, "A model cannot be quantized.");

/// An `OSError` of the subclass that the number asks for, `FileNotFoundError` for instance.
pub fn os(error: &io::Error, path: &Path) -> PyErr {
    match error.raw_os_error() {
        Some(number) => {
            let words = error.to_string();
            let words = words.split(" (os error").next().unwrap_or_default().to_owned();
            PyOSError::new_err((number, words, path.as_os_str().to_owned()))
        }
        None => PyOSError::new_err(format!("{}: {error}", path.display())),
    }
}

/// Why an archive was not opened.
pub fn open(error: ClassifierError) -> PyErr {
    use foldnet_archive::ArchiveError as Archive;
    match error {
        ClassifierError::Archive(Archive::Io { path, source }) => os(&source, &path),
        ClassifierError::Archive(error) => ArchiveError::new_err(error.to_string()),
        ClassifierError::Kernels(Unavailable::Unknown)
        | ClassifierError::Session(SessionError::Pool(PoolError::TooMany(_))) => value(error),
        error => Error::new_err(error.to_string()),
    }
}

/// Why an image file was not read.
pub fn image(error: foldnet_image::ImageError, path: &Path) -> PyErr {
    match error {
        foldnet_image::ImageError::Io(error) => os(&error, path),
        error => ImageError::new_err(format!("{}: {error}", path.display())),
    }
}

/// Why there are no features.
pub fn features(error: FeaturesError) -> PyErr {
    match error {
        FeaturesError::Pixels(error) => wrong_pixels(error),
        FeaturesError::None => Error::new_err(error.to_string()),
    }
}

/// The pixels do not fit.
pub fn wrong_pixels(error: WrongPixels) -> PyErr {
    value(error)
}

/// An argument is wrong.
pub fn value(error: impl Display) -> PyErr {
    PyValueError::new_err(error.to_string())
}
