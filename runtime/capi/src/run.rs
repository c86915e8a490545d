//! Classifying.

use std::ffi::c_char;

use engine::Classifier as Engine;
use foldnet_image::frame::{Format, FrameRef};

use super::classifier::{Classifier, State};
use super::image::Image;
use super::status::{Failure, Status, guard};

/// A class, and how much speaks for it.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Result {
    /// Its name, see foldnet_label().
    pub label: *const c_char,
    /// Index of the class.
    pub index: usize,
    /// A share of 1, or a plain number if the output is one; see `foldnet_description`.
    pub score: f32,
}

type Done<T = ()> = std::result::Result<T, Failure>;

impl State {
    /// Has the engine run on a frame. Pixels that already are what the network reads are read where they lie.
    fn with_pixels<T>(&mut self, frame: &FrameRef<'_>, run: impl FnOnce(&mut Engine, &[u8]) -> T) -> T {
        let shape = self.classifier.input_shape();
        let own = match shape.c {
            3 => Format::Rgb,
            _ => Format::Grey,
        };
        let fits = frame.size() == (shape.w, shape.h) && frame.format() == own && matches!(shape.c, 1 | 3);
        if let Some(pixels) = frame.contiguous().filter(|_| fits) {
            return run(&mut self.classifier, pixels);
        }
        self.fitter.fit_ref(frame, &mut self.pixels);
        run(&mut self.classifier, &self.pixels)
    }
}

/// What every call on an image begins with.
///
/// # Safety
/// Pointers that are not NULL point to what the types promise.
unsafe fn arguments<'a>(
    classifier: *const Classifier,
    image: *const Image,
) -> Done<(&'a Classifier, FrameRef<'a>)> {
    // SAFETY: the caller promised so.
    let classifier = unsafe { classifier.as_ref() }.ok_or_else(|| Failure::null("classifier"))?;
    // SAFETY: likewise.
    let image = unsafe { image.as_ref() }.ok_or_else(|| Failure::null("image"))?;
    // SAFETY: likewise.
    Ok((classifier, unsafe { image.frame()? }))
}

/// The caller's array for a result of `length` numbers.
///
/// # Safety
/// `out` is NULL, or `size` numbers can be written there, and nothing else refers to them.
unsafe fn array<'a>(out: *mut f32, size: usize, length: usize) -> Done<&'a mut [f32]> {
    if out.is_null() {
        return Err(Failure::null("out"));
    }
    if size != length {
        return Err(Failure::new(Status::Size, format!("room for {size} numbers, but there are {length}")));
    }
    // SAFETY: the caller promised so many.
    Ok(unsafe { std::slice::from_raw_parts_mut(out, size) })
}

/// Classifies an image. Writes the best `size` classes to `results`, or all if there are fewer, the best first, and their
/// number to `*count`. Equal scores stand in the order of their indices.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn foldnet_classify(
    classifier: *mut Classifier,
    image: *const Image,
    results: *mut Result,
    size: usize,
    count: *mut usize,
) -> Status {
    guard(|| {
        // SAFETY: the caller promised so.
        let (classifier, frame) = unsafe { arguments(classifier, image)? };
        if count.is_null() {
            return Err(Failure::null("count"));
        }
        if results.is_null() {
            return Err(Failure::null("results"));
        }
        let found = size.min(classifier.about().scores);
        // SAFETY: likewise, and no more than `size`.
        let results = unsafe { std::slice::from_raw_parts_mut(results, found) };
        let mut state = classifier.lock()?;
        let mut order = std::mem::take(&mut state.order);
        state.with_pixels(&frame, |engine, pixels| -> Done {
            let scores = engine.scores(pixels)?;
            order.clear();
            order.extend(0..scores.len());
            order.sort_unstable_by(|&a, &b| scores[b].total_cmp(&scores[a]).then(a.cmp(&b)));
            for (result, &index) in results.iter_mut().zip(&order) {
                *result = Result { label: classifier.label(index), index, score: scores[index] };
            }
            Ok(())
        })?;
        state.order = order;
        // SAFETY: likewise.
        unsafe { count.write(found) };
        Ok(())
    })
}

/// Writes the score of each class to `scores`, in the order of the classes. `size` is `foldnet_description.scores`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn foldnet_scores(
    classifier: *mut Classifier,
    image: *const Image,
    scores: *mut f32,
    size: usize,
) -> Status {
    guard(|| {
        // SAFETY: the caller promised so.
        let (classifier, frame) = unsafe { arguments(classifier, image)? };
        // SAFETY: likewise.
        let out = unsafe { array(scores, size, classifier.about().scores)? };
        classifier.lock()?.with_pixels(&frame, |engine, pixels| -> Done {
            out.copy_from_slice(engine.scores(pixels)?);
            Ok(())
        })
    })
}

/// Writes the network's own numbers to `logits`, before softmax or sigmoid. `size` is `foldnet_description.logits`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn foldnet_logits(
    classifier: *mut Classifier,
    image: *const Image,
    logits: *mut f32,
    size: usize,
) -> Status {
    guard(|| {
        // SAFETY: the caller promised so.
        let (classifier, frame) = unsafe { arguments(classifier, image)? };
        // SAFETY: likewise.
        let out = unsafe { array(logits, size, classifier.about().logits)? };
        classifier.lock()?.with_pixels(&frame, |engine, pixels| -> Done {
            out.copy_from_slice(engine.logits(pixels)?);
            Ok(())
        })
    })
}

/// Writes the numbers in front of the network's last layer to `features`, by which images can be compared. `size` is
/// `foldnet_description.features`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn foldnet_features(
    classifier: *mut Classifier,
    image: *const Image,
    features: *mut f32,
    size: usize,
) -> Status {
    guard(|| {
        // SAFETY: the caller promised so.
        let (classifier, frame) = unsafe { arguments(classifier, image)? };
        if classifier.about().features == 0 {
            return Err(engine::FeaturesError::None.into());
        }
        // SAFETY: likewise.
        let out = unsafe { array(features, size, classifier.about().features)? };
        classifier.lock()?.with_pixels(&frame, |engine, pixels| -> Done {
            out.copy_from_slice(engine.features(pixels)?);
            Ok(())
        })
    })
}
