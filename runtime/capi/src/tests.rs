//! What callers in C may do, right and wrong. `tests/` has the same in C.

use std::ffi::{CStr, CString};
use std::ptr;

use engine::{Builder, Image as Whole, ImageRef};
use foldnet_archive::testing::{every_step, every_step_without_a_dense_layer, manifest, manifest_of};
use proptest::prelude::*;

use super::classifier::*;
use super::image::*;
use super::run::*;
use super::status::*;

/// A classifier that is closed at its end.
struct Open(*mut Classifier);

impl Drop for Open {
    fn drop(&mut self) {
        // SAFETY: made by `foldnet_read`, closed here alone.
        unsafe { foldnet_close(&mut self.0) };
        assert!(self.0.is_null());
    }
}

fn archive() -> Vec<u8> {
    foldnet_archive::pack(&every_step(), &manifest())
}

fn read(archive: &[u8], options: Option<&Options>) -> (Status, Open) {
    let mut out = ptr::dangling_mut();
    let options = options.map_or(ptr::null(), ptr::from_ref);
    // SAFETY: a slice, options and a place for a pointer.
    let status = unsafe { foldnet_read(archive.as_ptr(), archive.len(), options, &mut out) };
    (status, Open(out))
}

fn open() -> Open {
    let (status, open) = read(&archive(), Some(&Options { threads: 1, kernels: ptr::null() }));
    assert_eq!(status, Status::Ok, "{}", last_error());
    open
}

fn last_error() -> String {
    // SAFETY: a string of the library's.
    unsafe { CStr::from_ptr(foldnet_last_error()) }.to_str().unwrap().to_owned()
}

fn describe(open: &Open) -> Description {
    let mut about = std::mem::MaybeUninit::uninit();
    // SAFETY: a classifier, and a place for a description, which is filled.
    unsafe {
        assert_eq!(foldnet_describe(open.0, about.as_mut_ptr()), Status::Ok);
        about.assume_init()
    }
}

fn rgb(width: usize, height: usize, bytes: &[u8]) -> Image {
    let none = Plane { data: ptr::null(), size: 0, stride: 0 };
    let plane = Plane { data: bytes.as_ptr(), size: bytes.len(), stride: 0 };
    let (width, height) = (width as u32, height as u32);
    Image { format: Format::Rgb as u32, width, height, matrix: 0, range: 0, planes: [plane, none, none] }
}

type Run = unsafe extern "C" fn(*mut Classifier, *const Image, *mut f32, usize) -> Status;

fn numbers(run: Run, open: &Open, image: &Image, length: usize) -> Vec<f32> {
    let mut out = vec![f32::NAN; length];
    // SAFETY: a classifier, an image of a slice, and an array.
    let status = unsafe { run(open.0, image, out.as_mut_ptr(), length) };
    assert_eq!(status, Status::Ok, "{}", last_error());
    out
}

fn noise(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|i| (i * 37 + i / 7) as u8).collect()
}

#[test]
fn answers_are_the_engines_to_the_bit() {
    let (open, mut engine) = (open(), Builder::default().threads(1).read(&archive()).unwrap());
    let about = describe(&open);
    // Of the network's own size, where no pixel is copied, and of another.
    for (width, height) in [(about.width, about.height), (20, 30)] {
        let pixels = noise(3 * width * height);
        let whole = Whole::new(width, height, pixels.clone()).unwrap();
        let fitted = foldnet_image::fit(&whole, engine.input());
        let image = rgb(width, height, &pixels);
        assert_eq!(numbers(foldnet_logits, &open, &image, about.logits), engine.logits(&fitted).unwrap());
        assert_eq!(numbers(foldnet_scores, &open, &image, about.scores), engine.scores(&fitted).unwrap());
        assert_eq!(
            numbers(foldnet_features, &open, &image, about.features),
            engine.features(&fitted).unwrap()
        );
        let labels = engine.classify(ImageRef::from(&whole));
        let mut results = [Result { label: ptr::null(), index: 0, score: 0.0 }; 9];
        for size in [1, 3, results.len()] {
            let mut count = 0;
            // SAFETY: as the types promise.
            let status = unsafe { foldnet_classify(open.0, &image, results.as_mut_ptr(), size, &mut count) };
            assert_eq!((status, count), (Status::Ok, size.min(labels.len())));
            for (ours, label) in results[..count].iter().zip(&labels) {
                // SAFETY: a label of the classifier's.
                let name = unsafe { CStr::from_ptr(ours.label) };
                assert_eq!((ours.index, ours.score), (label.index, label.score));
                assert_eq!(name.to_str(), Ok(&*label.name));
            }
        }
    }
}

#[test]
fn a_classifier_is_described() {
    let open = open();
    let about = describe(&open);
    let engine = Builder::default().threads(1).read(&archive()).unwrap();
    let shape = engine.input_shape();
    assert_eq!((about.height, about.width, about.channels), (shape.h, shape.w, shape.c));
    assert_eq!((about.threads, about.scores, about.shares), (1, engine.labels().len(), true));
    assert_eq!(Some(about.features), engine.features_shape().map(|shape| shape.len()));
    // SAFETY: strings and a classifier of the library's.
    unsafe {
        let named = Options { threads: 2, kernels: about.kernels };
        let (status, again) = read(&archive(), Some(&named));
        let other = describe(&again);
        assert_eq!((status, other.threads), (Status::Ok, 2));
        assert_eq!(CStr::from_ptr(other.kernels), CStr::from_ptr(about.kernels));
        for (index, label) in engine.labels().iter().enumerate() {
            assert_eq!(CStr::from_ptr(foldnet_label(open.0, index)).to_str(), Ok(&**label));
        }
        assert!(foldnet_label(open.0, about.scores).is_null() && foldnet_label(ptr::null(), 0).is_null());
        let version = CStr::from_ptr(foldnet_version());
        assert_eq!(version.to_str(), Ok(env!("CARGO_PKG_VERSION")));
    }
}

#[test]
fn a_network_without_features_is_told_apart() {
    let network = every_step_without_a_dense_layer();
    let (status, open) = read(&foldnet_archive::pack(&network, &manifest_of(&network)), None);
    assert_eq!((status, describe(&open).features), (Status::Ok, 0));
    let (pixels, mut out) = (noise(192), [0.0]);
    // SAFETY: as the types promise.
    let status = unsafe { foldnet_features(open.0, &rgb(8, 8, &pixels), out.as_mut_ptr(), 1) };
    assert_eq!(status, Status::NoFeatures);
}

#[test]
fn archives_that_cannot_be_opened_have_their_code() {
    let open = |path: &str| {
        let (path, mut out) = (CString::new(path).unwrap(), ptr::dangling_mut());
        // SAFETY: a string and a place for a pointer.
        let status = unsafe { foldnet_open(path.as_ptr(), ptr::null(), &mut out) };
        (status, Open(out))
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("model ü.nnef.tgz");
    let (status, none) = open(file.to_str().unwrap());
    assert_eq!((status, none.0.is_null()), (Status::File, true));
    assert!(last_error().contains("model ü.nnef.tgz"), "{}", last_error());
    std::fs::write(&file, archive()).unwrap();
    assert_eq!(open(file.to_str().unwrap()).0, Status::Ok);
    assert_eq!(read(&archive()[..99], None).0, Status::Archive);
    assert_eq!(read(&[], None).0, Status::Archive);
    let sparc = CString::new("sparc").unwrap();
    let options = Options { threads: 1, kernels: sparc.as_ptr() };
    assert_eq!(read(&archive(), Some(&options)).0, Status::Kernels);
    let options = Options { threads: u32::MAX, kernels: ptr::null() };
    assert_eq!(read(&archive(), Some(&options)).0, Status::Resources);
}

#[test]
fn every_null_is_an_error() {
    let open = open();
    let about = describe(&open);
    let pixels = noise(192);
    let image = rgb(8, 8, &pixels);
    let (mut out, mut count) = (vec![0.0; about.scores], 7);
    let mut result = Result { label: ptr::null(), index: 0, score: 0.0 };
    let none = ptr::null_mut();
    // SAFETY: NULL is what this is about; the rest is as the types promise.
    unsafe {
        let null = |status: Status| assert_eq!(status, Status::Null);
        for run in [foldnet_logits as Run, foldnet_scores, foldnet_features] {
            null(run(none, &image, out.as_mut_ptr(), out.len()));
            null(run(open.0, ptr::null(), out.as_mut_ptr(), out.len()));
        }
        null(foldnet_logits(open.0, &image, ptr::null_mut(), about.logits));
        null(foldnet_classify(none, &image, &mut result, 1, &mut count));
        null(foldnet_classify(open.0, ptr::null(), &mut result, 1, &mut count));
        null(foldnet_classify(open.0, &image, ptr::null_mut(), 1, &mut count));
        null(foldnet_classify(open.0, &image, &mut result, 1, ptr::null_mut()));
        null(foldnet_describe(open.0, ptr::null_mut()));
        null(foldnet_describe(none, &mut { about }));
        null(foldnet_open(ptr::null(), ptr::null(), &mut ptr::dangling_mut()));
        null(foldnet_open(c"x".as_ptr(), ptr::null(), ptr::null_mut()));
        null(foldnet_read(ptr::null(), 0, ptr::null(), &mut ptr::dangling_mut()));
        foldnet_close(ptr::null_mut());
        foldnet_close(&mut { none });
    }
    assert_eq!(count, 7, "nothing is written by a call that fails");
}

#[test]
fn calls_at_the_same_time_are_refused_and_a_fault_ends_the_classifier() {
    let open = open();
    let about = describe(&open);
    let pixels = noise(192);
    let logits = |out: &mut [f32]| {
        // SAFETY: as the types promise.
        unsafe { foldnet_logits(open.0, &rgb(8, 8, &pixels), out.as_mut_ptr(), out.len()) }
    };
    let mut out = vec![0.0; about.logits];
    // SAFETY: open until the end of this test.
    let classifier = unsafe { &*open.0 };
    let held = classifier.lock();
    assert_eq!(logits(&mut out), Status::Busy);
    drop(held);
    assert_eq!(logits(&mut out), Status::Ok);
    let fault = guard(|| {
        let _held = classifier.lock();
        panic!("on purpose")
    });
    assert_eq!((fault, logits(&mut out)), (Status::Internal, Status::Internal));
    assert!(last_error().contains("unusable"));
}

#[test]
fn messages_belong_to_threads_and_end_at_a_nul() {
    guard(|| Err(Failure::new(Status::Argument, "one\0two")));
    assert_eq!(last_error(), "one");
    let other: String = std::thread::spawn(last_error).join().unwrap();
    assert_eq!((other.as_str(), last_error().as_str()), ("", "one"));
}

proptest! {
    /// Whatever the numbers are, planes that hold as many bytes as they claim are read within their bounds, and a call
    /// ends with a code. A plane's bytes end where its memory ends, so that a sanitizer sees each step beyond.
    #[test]
    fn random_arguments_end_with_a_code(
        format in prop_oneof![9 => 0..10_u32, 1 => any::<u32>()],
        (width, height) in prop_oneof![8 => (0..40_u32, 0..40_u32), 1 => any::<(u32, u32)>()],
        (matrix, range) in prop_oneof![8 => (0..2_u32, 0..2_u32), 1 => any::<(u32, u32)>()],
        strides in prop::array::uniform3(prop_oneof![5 => Just(0_usize), 5 => 0..160_usize, 1 => any::<usize>()]),
        sizes in prop::array::uniform3(prop_oneof![1 => 0..2000_usize, 3 => Just(6400)]),
        nulls in prop::array::uniform3(prop::bool::weighted(0.05)),
        (room, correct) in (0..12_usize, any::<bool>()),
    ) {
        thread_local! {
            static OPEN: Open = open();
        }
        let bytes = sizes.map(noise);
        let plane = |i: usize| Plane {
            data: if nulls[i] { ptr::null() } else { bytes[i].as_ptr() },
            size: sizes[i],
            stride: strides[i],
        };
        let image = Image { format, width, height, matrix, range, planes: [plane(0), plane(1), plane(2)] };
        OPEN.with(|open| {
            let about = describe(open);
            let length = if correct { about.logits } else { room };
            let mut out = vec![f32::NAN; length];
            // SAFETY: arrays of the lengths that are passed.
            let status = unsafe { foldnet_logits(open.0, &image, out.as_mut_ptr(), length) };
            prop_assert!(status == Status::Ok || !last_error().is_empty());
            prop_assert_ne!(status, Status::Internal);
            prop_assert_ne!(status, Status::Busy);
            prop_assert_eq!(status == Status::Ok, out.iter().all(|x| x.is_finite()) && length > 0);
            let mut results = vec![Result { label: ptr::null(), index: usize::MAX, score: 0.0 }; room];
            let mut count = usize::MAX;
            // SAFETY: as above.
            let classified =
                unsafe { foldnet_classify(open.0, &image, results.as_mut_ptr(), room, &mut count) };
            if classified == Status::Ok {
                prop_assert_eq!(count, room.min(about.scores));
                prop_assert!(results[..count].iter().all(|r| r.index < about.scores && !r.label.is_null()));
            } else {
                prop_assert_eq!(count, usize::MAX);
            }
            if status != Status::Size {
                prop_assert_eq!(classified, status);
            }
            Ok(())
        })?;
    }

    #[test]
    fn damaged_archives_end_with_a_code(at in any::<prop::sample::Index>(), bit in 0..8_u32, cut in any::<prop::sample::Index>()) {
        let mut archive = archive();
        let at = at.index(archive.len());
        archive[at] ^= 1 << bit;
        let (status, open) = read(&archive, None);
        prop_assert_ne!(status, Status::Internal);
        prop_assert_eq!(status == Status::Ok, !open.0.is_null());
        let cut = cut.index(archive.len());
        prop_assert_eq!(read(&archive[..cut], None).0, Status::Archive);
    }
}
