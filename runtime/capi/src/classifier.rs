//! Opening, describing and closing.

use std::ffi::{CStr, CString, c_char};
use std::ptr;
use std::sync::{Mutex, MutexGuard, TryLockError};

use engine::Builder;
use foldnet_archive::Scores;
use foldnet_image::frame::{Fitter, View};

use super::status::{Failure, Status, c_string, guard};

/// A network that classifies images.
pub struct Classifier {
    about: Description,
    /// What `about.kernels` points to.
    _kernels: CString,
    labels: Vec<CString>,
    state: Mutex<State>,
}

/// What a call changes.
pub struct State {
    /// The network.
    pub classifier: engine::Classifier,
    /// From frames to `pixels`.
    pub fitter: Fitter,
    /// What the network reads.
    pub pixels: Vec<u8>,
    /// The classes, to be sorted.
    pub order: Vec<usize>,
}

const _: () = {
    const fn shared_by_threads<T: Send + Sync>() {}
    shared_by_threads::<Classifier>();
};

/// How a classifier runs. All zero, as `{0}` makes it, is the default.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Threads; 0 means one per core.
    pub threads: u32,
    /// Name of a kernel set, as `runtime kernels` lists them; NULL means the fastest one.
    pub kernels: *const c_char,
}

/// What a classifier reads and returns.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Description {
    /// Rows of the pixels that the network reads. Images of other sizes are resized as the archive describes.
    pub height: usize,
    /// Columns of the pixels that the network reads.
    pub width: usize,
    /// Channels of the pixels that the network reads: 3 for RGB, 1 for grey.
    pub channels: usize,
    /// Length of the result of foldnet_scores(), and the number of labels.
    pub scores: usize,
    /// Length of the result of foldnet_logits().
    pub logits: usize,
    /// Length of the result of foldnet_features(); 0 if the network has none.
    pub features: usize,
    /// Threads in use.
    pub threads: usize,
    /// The kernel set in use. Valid until the classifier is closed.
    pub kernels: *const c_char,
    /// Whether scores are shares of 1. Otherwise they are plain numbers, as in regression.
    pub shares: bool,
}

// SAFETY: `kernels` points to a string that lives as long as the classifier and never changes.
unsafe impl Send for Description {}
// SAFETY: as above.
unsafe impl Sync for Description {}

impl Classifier {
    fn new(mut classifier: engine::Classifier) -> Self {
        let session = classifier.session();
        let (logits, activation) = (session.classes(), session.activation());
        let (threads, kernels) = (session.threads(), c_string(session.set().name()));
        let shape = classifier.input_shape();
        let labels: Vec<CString> = classifier.labels().iter().map(|label| c_string(label)).collect();
        let about = Description {
            height: shape.h,
            width: shape.w,
            channels: shape.c,
            scores: labels.len(),
            logits,
            features: classifier.features_shape().map_or(0, |shape| shape.len()),
            threads,
            kernels: kernels.as_ptr(),
            shares: Scores::new(classifier.manifest(), activation, logits).are_shares(),
        };
        let fitter = Fitter::new(classifier.input().clone(), View::default());
        let pixels = vec![0; shape.len()];
        let state = Mutex::new(State { classifier, fitter, pixels, order: Vec::with_capacity(labels.len()) });
        Self { about, _kernels: kernels, labels, state }
    }

    /// What the classifier reads and returns.
    pub fn about(&self) -> &Description {
        &self.about
    }

    /// The label of a class.
    pub fn label(&self, index: usize) -> *const c_char {
        self.labels.get(index).map_or(ptr::null(), |label| label.as_ptr())
    }

    /// What a call changes, for this call alone.
    pub fn lock(&self) -> Result<MutexGuard<'_, State>, Failure> {
        self.state.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => Failure::new(Status::Busy, "another thread is using the classifier"),
            TryLockError::Poisoned(_) => {
                Failure::new(Status::Internal, "a fault in an earlier call has left the classifier unusable")
            }
        })
    }
}

/// The text behind a pointer.
///
/// # Safety
/// `text` is NULL or ends with a NUL within memory that can be read for as long as `'a` lasts.
unsafe fn text<'a>(text: *const c_char) -> Option<&'a CStr> {
    // SAFETY: the caller promised so.
    (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) })
}

/// The builder that options describe.
///
/// # Safety
/// `options` is NULL, or it and its strings can be read.
unsafe fn builder(options: *const Options) -> Result<Builder, Failure> {
    // SAFETY: the caller promised so.
    let Some(options) = (unsafe { options.as_ref() }) else { return Ok(Builder::default()) };
    let builder = Builder::default().threads(options.threads as usize);
    // SAFETY: likewise.
    let Some(kernels) = (unsafe { text(options.kernels) }) else { return Ok(builder) };
    let kernels =
        kernels.to_str().map_err(|_| Failure::new(Status::Kernels, "the kernel set is not UTF-8"))?;
    Ok(builder.kernels(kernels))
}

/// Hands a new classifier to the caller.
///
/// # Safety
/// `out` is NULL, or a pointer can be written there.
unsafe fn hand_out(
    out: *mut *mut Classifier,
    make: impl FnOnce() -> Result<engine::Classifier, Failure>,
) -> Result<(), Failure> {
    if out.is_null() {
        return Err(Failure::null("out"));
    }
    // SAFETY: the caller promised so.
    unsafe { out.write(ptr::null_mut()) };
    let classifier = Box::new(Classifier::new(make()?));
    // SAFETY: likewise.
    unsafe { out.write(Box::into_raw(classifier)) };
    Ok(())
}

/// Opens an archive that `converter quantize` has written. `path` is in the file system's encoding (UTF-8 on Windows).
/// `options` may be NULL. `*out` becomes NULL if this fails, and is to be closed with foldnet_close() otherwise.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn foldnet_open(
    path: *const c_char,
    options: *const Options,
    out: *mut *mut Classifier,
) -> Status {
    guard(|| {
        let make = || {
            // SAFETY: the caller promised so.
            let (path, builder) = unsafe { (text(path), builder(options)?) };
            let path = path.ok_or_else(|| Failure::null("path"))?;
            Ok(builder.open(native(path)?)?)
        };
        // SAFETY: likewise.
        unsafe { hand_out(out, make) }
    })
}

#[cfg(unix)]
fn native(path: &CStr) -> Result<&std::path::Path, Failure> {
    use std::os::unix::ffi::OsStrExt;
    Ok(std::ffi::OsStr::from_bytes(path.to_bytes()).as_ref())
}

#[cfg(not(unix))]
fn native(path: &CStr) -> Result<&std::path::Path, Failure> {
    let path = path.to_str().map_err(|_| Failure::new(Status::Argument, "the path is not UTF-8"))?;
    Ok(path.as_ref())
}

/// The same of an archive in memory, `size` bytes from `archive` on. They are not needed any more afterwards.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn foldnet_read(
    archive: *const u8,
    size: usize,
    options: *const Options,
    out: *mut *mut Classifier,
) -> Status {
    guard(|| {
        let make = || {
            // SAFETY: the caller promised so.
            let builder = unsafe { builder(options)? };
            if archive.is_null() {
                return Err(Failure::null("archive"));
            }
            if isize::try_from(size).is_err() {
                return Err(Failure::new(Status::Size, format!("no archive has {size} bytes")));
            }
            // SAFETY: the caller promised so many bytes.
            Ok(builder.read(unsafe { std::slice::from_raw_parts(archive, size) })?)
        };
        // SAFETY: likewise.
        unsafe { hand_out(out, make) }
    })
}

/// Closes a classifier and makes the pointer to it NULL, so that a later use of it is an error. NULL, or a pointer to
/// NULL, is allowed and does nothing. No other call may be using the classifier.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn foldnet_close(classifier: *mut *mut Classifier) {
    guard(|| {
        // SAFETY: the caller promised so.
        let Some(slot) = (unsafe { classifier.as_mut() }) else { return Ok(()) };
        let open = std::mem::replace(slot, ptr::null_mut());
        if !open.is_null() {
            // SAFETY: `hand_out` has made it, and nobody has closed it, for the pointer would be NULL.
            drop(unsafe { Box::from_raw(open) });
        }
        Ok(())
    });
}

/// What a classifier reads and returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn foldnet_describe(classifier: *const Classifier, out: *mut Description) -> Status {
    guard(|| {
        // SAFETY: the caller promised so.
        let classifier = unsafe { classifier.as_ref() }.ok_or_else(|| Failure::null("classifier"))?;
        if out.is_null() {
            return Err(Failure::null("out"));
        }
        // SAFETY: likewise.
        unsafe { out.write(classifier.about) };
        Ok(())
    })
}

/// The name of a class in UTF-8, or NULL if there is no such class. Valid until the classifier is closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn foldnet_label(classifier: *const Classifier, index: usize) -> *const c_char {
    // SAFETY: the caller promised so.
    unsafe { classifier.as_ref() }.map_or(ptr::null(), |classifier| classifier.label(index))
}
