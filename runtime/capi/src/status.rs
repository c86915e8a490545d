//! Errors and panics as codes and messages.

use std::cell::RefCell;
use std::ffi::{CString, c_char};
use std::panic::{AssertUnwindSafe, catch_unwind};

use engine::{ClassifierError, FeaturesError, SessionError, WrongPixels};
use foldnet_archive::ArchiveError;
use foldnet_image::frame::FrameError;

/// How a call ended. Further codes may be added.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// As it should.
    Ok = 0,
    /// A pointer is NULL that must not be. A classifier that was closed is NULL, too.
    Null = 1,
    /// An argument has no meaning: an unknown format, a name that is not UTF-8.
    Argument = 2,
    /// An array of the caller has another length than the result.
    Size = 3,
    /// The image's planes do not hold an image of its size and format.
    Image = 4,
    /// The archive cannot be read.
    File = 5,
    /// What was read is not an archive of this version.
    Archive = 6,
    /// The kernel set does not exist or does not run on this processor.
    Kernels = 7,
    /// The network needs more memory or threads than there are.
    Resources = 8,
    /// The network does not end in a layer that has features in front of it.
    NoFeatures = 9,
    /// Another thread is using the classifier.
    Busy = 10,
    /// A fault of this library. The classifier answers nothing else from now on; close it.
    Internal = 11,
}

/// An error on its way to the caller.
#[derive(Debug)]
pub struct Failure {
    status: Status,
    message: String,
}

impl Failure {
    /// With a message for people.
    pub fn new(status: Status, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    /// Of a pointer that must not be NULL.
    pub fn null(what: &str) -> Self {
        Self::new(Status::Null, format!("`{what}` is NULL"))
    }
}

impl From<ClassifierError> for Failure {
    fn from(error: ClassifierError) -> Self {
        let status = match &error {
            ClassifierError::Archive(ArchiveError::Io { .. }) => Status::File,
            ClassifierError::Archive(_) => Status::Archive,
            ClassifierError::Session(SessionError::Plan(_)) => Status::Internal,
            ClassifierError::Session(_) => Status::Resources,
            ClassifierError::Kernels(_) => Status::Kernels,
        };
        Self::new(status, error.to_string())
    }
}

impl From<FrameError> for Failure {
    fn from(error: FrameError) -> Self {
        Self::new(Status::Image, error.to_string())
    }
}

impl From<WrongPixels> for Failure {
    fn from(error: WrongPixels) -> Self {
        Self::new(Status::Image, error.to_string())
    }
}

impl From<FeaturesError> for Failure {
    fn from(error: FeaturesError) -> Self {
        let status = match error {
            FeaturesError::Pixels(_) => Status::Image,
            FeaturesError::None => Status::NoFeatures,
        };
        Self::new(status, error.to_string())
    }
}

thread_local! {
    static LAST: RefCell<CString> = RefCell::default();
}

/// Runs what a caller asked for. Nothing unwinds into the caller.
pub fn guard(call: impl FnOnce() -> Result<(), Failure>) -> Status {
    let failure = match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(())) => return Status::Ok,
        Ok(Err(failure)) => failure,
        Err(_) => Failure::new(Status::Internal, "a fault in Foldnet; please report it"),
    };
    // A thread that is ending has no place for a message any more.
    let _ = LAST.try_with(|last| last.replace(c_string(&failure.message)));
    failure.status
}

/// The text up to its first NUL, which C would not read beyond.
pub fn c_string(text: &str) -> CString {
    CString::new(text.split('\0').next().unwrap_or_default()).unwrap_or_default()
}

/// What went wrong in the last call of this thread that failed, in UTF-8; an empty string if none did. Valid until the
/// next call of this thread that fails.
#[unsafe(no_mangle)]
pub extern "C" fn foldnet_last_error() -> *const c_char {
    LAST.try_with(|last| last.borrow().as_ptr()).unwrap_or(c"".as_ptr())
}

/// The version of the library, such as "0.1.0".
#[unsafe(no_mangle)]
pub extern "C" fn foldnet_version() -> *const c_char {
    const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "\0");
    VERSION.as_ptr().cast()
}
