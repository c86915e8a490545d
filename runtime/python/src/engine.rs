//! A network, to be run from any thread.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use foldnet::streams::Streams;
use foldnet::{Classifier, FeaturesError, Image, ImageRef, Session};
use foldnet_kernels::dispatch::REGISTRY;
use pyo3::prelude::*;

use crate::array::Array;
use crate::error;

/// The kernel sets that this processor runs, the fastest first.
#[pyfunction]
pub fn kernels() -> Vec<&'static str> {
    REGISTRY.iter().filter(|entry| (entry.get)().is_some()).map(|entry| entry.name).collect()
}

/// A network with its memory and threads. Calls from several threads take turns, and the interpreter runs others
/// meanwhile.
#[pyclass(frozen, module = "foldnet._foldnet")]
pub struct Engine {
    network: Mutex<Network>,
    /// Values of one image.
    input: usize,
    /// Values of one answer.
    classes: usize,
    /// Values of one image's features, 0 without.
    features: usize,
}

struct Network {
    classifier: Classifier,
    /// For batches; created when the first one comes.
    streams: Option<Streams>,
}

/// Images per thread from which a batch is divided by images and not each image by threads.
const IMAGES_PER_STREAM: usize = 2;

#[pymethods]
impl Engine {
    #[new]
    fn new(py: Python<'_>, path: PathBuf, threads: usize, kernels: Option<String>) -> PyResult<Self> {
        let mut builder = Classifier::builder().threads(threads);
        if let Some(name) = kernels {
            builder = builder.kernels(name);
        }
        let mut classifier = py.detach(|| builder.open(path)).map_err(error::open)?;
        Ok(Self {
            input: classifier.input_shape().len(),
            classes: classifier.session().classes(),
            features: classifier.features_shape().map_or(0, |shape| shape.len()),
            network: Mutex::new(Network { classifier, streams: None }),
        })
    }

    /// Names of the answers.
    fn labels(&self) -> Vec<String> {
        self.lock().classifier.labels().iter().map(|name| name.to_string()).collect()
    }

    /// Rows, columns, channels.
    fn input_shape(&self) -> (usize, usize, usize) {
        let shape = self.lock().classifier.input_shape();
        (shape.h, shape.w, shape.c)
    }

    /// Number of logits.
    fn classes(&self) -> usize {
        self.classes
    }

    /// Number of features, 0 without.
    fn feature_count(&self) -> usize {
        self.features
    }

    /// Threads in use.
    fn threads(&self) -> usize {
        self.lock().classifier.session().threads()
    }

    /// Name of the kernel set in use.
    fn kernels(&self) -> &'static str {
        self.lock().classifier.session().set().name()
    }

    /// Writes the logits of each image of `pixels` to `out`.
    fn logits(&self, py: Python<'_>, pixels: &Bound<'_, PyAny>, out: &Bound<'_, PyAny>) -> PyResult<()> {
        self.fill(py, pixels, out, self.classes, |session, image| session.run(image))
    }

    /// Writes the features of each image of `pixels` to `out`.
    fn features(&self, py: Python<'_>, pixels: &Bound<'_, PyAny>, out: &Bound<'_, PyAny>) -> PyResult<()> {
        if self.features == 0 {
            return Err(error::features(FeaturesError::None));
        }
        self.fill(py, pixels, out, self.features, |session, image| {
            session.features(image).expect("there are some, or their number would be 0")
        })
    }

    /// Index and score of the best answers for each image of `pixels`.
    fn classify(
        &self,
        py: Python<'_>,
        pixels: &Bound<'_, PyAny>,
        top: usize,
    ) -> PyResult<Vec<Vec<(usize, f32)>>> {
        let pixels = Array::<u8>::of(pixels)?;
        // SAFETY: the documentation asks callers not to write to an image while it is classified.
        let pixels = unsafe { pixels.as_slice() };
        py.detach(|| {
            let classifier = &mut self.lock().classifier;
            let answers = pixels.chunks(self.input).map(|image| {
                let labels = classifier.classify_pixels(image).map_err(error::wrong_pixels)?;
                Ok::<_, PyErr>(labels.iter().take(top).map(|label| (label.index, label.score)).collect())
            });
            answers.collect()
        })
    }

    /// Brings an RGB image (rows, columns, 3) to the network's size, in `out`.
    fn fit(&self, py: Python<'_>, image: &Bound<'_, PyAny>, out: &Bound<'_, PyAny>) -> PyResult<()> {
        let (image, mut out) = (Array::<u8>::of(image)?, Array::<u8>::of(out)?);
        let &[height, width, 3] = image.shape() else {
            return Err(error::value("not rows, columns and 3 channels"));
        };
        // SAFETY: as for `classify`, and `out` is a new array that only the caller in `python/foldnet` has.
        let (image, out) = unsafe { (image.as_slice(), out.as_mut_slice()?) };
        let image = ImageRef::new(width, height, 3 * width, image).map_err(error::value)?;
        py.detach(|| self.fit_to(image, out))
    }

    /// As `fit`, of an image file.
    fn fit_file(&self, py: Python<'_>, path: PathBuf, out: &Bound<'_, PyAny>) -> PyResult<()> {
        let mut out = Array::<u8>::of(out)?;
        // SAFETY: `out` is a new array that only the caller in `python/foldnet` has.
        let out = unsafe { out.as_mut_slice()? };
        py.detach(|| {
            let image = Image::open(&path).map_err(|error| error::image(error, &path))?;
            self.fit_to(image.as_ref(), out)
        })
    }
}

impl Engine {
    fn lock(&self) -> MutexGuard<'_, Network> {
        // A call that panicked left nothing half done: each begins anew.
        self.network.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fit_to(&self, image: ImageRef<'_>, out: &mut [u8]) -> PyResult<()> {
        // Not under the lock, so that another image can be classified meanwhile.
        let input = self.lock().classifier.input().clone();
        let pixels = foldnet_image::fit_ref(image, &input);
        if pixels.len() != out.len() {
            return Err(error::value("the result does not fit the array"));
        }
        out.copy_from_slice(&pixels);
        Ok(())
    }

    /// Runs the network on each image and writes its numbers, `count` for each. A large batch is divided among streams
    /// of one thread each, which together are faster than one session of several threads. The bits are the same.
    fn fill(
        &self,
        py: Python<'_>,
        pixels: &Bound<'_, PyAny>,
        out: &Bound<'_, PyAny>,
        count: usize,
        run: impl for<'s> Fn(&'s mut Session, &[u8]) -> &'s [f32] + Sync,
    ) -> PyResult<()> {
        let (pixels, mut out) = (Array::<u8>::of(pixels)?, Array::<f32>::of(out)?);
        // SAFETY: as for `classify` and `fit`.
        let (pixels, out) = unsafe { (pixels.as_slice(), out.as_mut_slice()?) };
        let (images, rest) = (pixels.len() / self.input, pixels.len() % self.input);
        if rest != 0 || out.len() != images * count {
            return Err(error::value("the result does not fit the array"));
        }
        py.detach(|| {
            let Network { classifier, streams } = &mut *self.lock();
            let session = classifier.session();
            let threads = session.threads();
            if threads == 1 || images < IMAGES_PER_STREAM * threads {
                for (image, out) in pixels.chunks_exact(self.input).zip(out.chunks_exact_mut(count)) {
                    out.copy_from_slice(run(session, image));
                }
                return Ok(());
            }
            let streams = match streams {
                Some(streams) => streams,
                None => streams.insert(Streams::new(session, threads).map_err(error::value)?),
            };
            // Each place is taken once; the locks tell that to the compiler.
            let places: Vec<Mutex<&mut [f32]>> = out.chunks_exact_mut(count).map(Mutex::new).collect();
            streams.map(images, |session, number| {
                let mut place = places[number].lock().unwrap_or_else(PoisonError::into_inner);
                place.copy_from_slice(run(session, &pixels[number * self.input..][..self.input]));
            });
            Ok(())
        })
    }
}
