//! Classifies images with the network of an archive.

use std::path::Path;
use std::sync::Arc;

use foldnet_archive::{ArchiveError, Input, Manifest, Network, Scores};
use foldnet_image::{ImageRef, fit_ref};
use foldnet_kernels::dispatch::{self, Unavailable};
use foldnet_kernels::{KernelSet, Shape};

use crate::pool::Threads;
use crate::proof::{self, VerifyError};
use crate::session::{Session, SessionError};

/// The reason why no classifier could be created.
#[derive(Debug, thiserror::Error)]
pub enum ClassifierError {
    /// The archive cannot be read.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The network cannot be run.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The requested kernel set is not available.
    #[error(transparent)]
    Kernels(#[from] Unavailable),
}

/// The number of pixels does not match the network's input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{got} bytes of pixels, but the network reads {shape}")]
pub struct WrongPixels {
    /// The network's input, one byte per value.
    pub shape: Shape,
    /// The number of bytes given.
    pub got: usize,
}

/// The reason why there are no features.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FeaturesError {
    /// The pixels do not fit the network.
    #[error(transparent)]
    Pixels(#[from] WrongPixels),
    /// The network does not end in a dense layer or convolution.
    #[error("the network has no features: it does not end in a dense layer or convolution")]
    None,
}

/// A class and its score.
#[derive(Clone, Debug, PartialEq)]
pub struct Label {
    /// The index of the class.
    pub index: usize,
    /// The name of the class, or `class` and its index if the archive has no names.
    pub name: Arc<str>,
    /// A probability, or a plain number if the network's output is one.
    pub score: f32,
}

/// A network that classifies images.
pub struct Classifier {
    session: Session,
    manifest: Manifest,
    reading: Scores,
    names: Vec<Arc<str>>,
    scores: Vec<f32>,
}

/// Builds a [`Classifier`].
#[derive(Clone, Default)]
pub struct Builder {
    threads: usize,
    kernels: Option<String>,
    pool: Option<Arc<Threads>>,
    #[cfg(feature = "cache")]
    cache: Option<std::path::PathBuf>,
}

impl Builder {
    /// Sets the number of threads; 0, the default, means one per core.
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads;
        self
    }

    /// Uses threads that other classifiers use, too; the classifiers take turns.
    pub fn pool(mut self, pool: Arc<Threads>) -> Self {
        self.pool = Some(pool);
        self
    }

    /// Uses the kernel set with this name instead of the fastest one; `runtime kernels` lists them.
    pub fn kernels(mut self, name: impl Into<String>) -> Self {
        self.kernels = Some(name.into());
        self
    }

    /// Caches compiled networks in this folder. Classifiers that share threads do not use the cache.
    #[cfg(feature = "cache")]
    pub fn cache(mut self, folder: impl Into<std::path::PathBuf>) -> Self {
        self.cache = Some(folder.into());
        self
    }

    /// Opens an archive.
    pub fn open(&self, archive: impl AsRef<Path>) -> Result<Classifier, ClassifierError> {
        let (archive, set) = (archive.as_ref(), self.set()?);
        #[cfg(feature = "cache")]
        if let (Some(folder), None) = (&self.cache, &self.pool) {
            use crate::cache::{Cache, LoadError};
            let loaded = Cache::at(folder).session(archive, set, self.threads);
            return match loaded {
                Ok((manifest, session)) => Ok(Classifier::new(session, manifest)),
                Err(LoadError::Archive(error)) => Err(error.into()),
                Err(LoadError::Session(error)) => Err(error.into()),
            };
        }
        let (network, manifest) = foldnet_archive::read(archive)?;
        self.build(&network, manifest, set)
    }

    /// Reads an archive from memory, for instance from `include_bytes!`.
    pub fn read(&self, archive: &[u8]) -> Result<Classifier, ClassifierError> {
        let (network, manifest) = foldnet_archive::unpack(archive, Path::new("archive in memory"))?;
        self.build(&network, manifest, self.set()?)
    }

    fn set(&self) -> Result<&'static dyn KernelSet, ClassifierError> {
        Ok(match &self.kernels {
            Some(name) => dispatch::by_name(name)?,
            None => dispatch::best(),
        })
    }

    fn build(
        &self,
        network: &Network,
        manifest: Manifest,
        set: &'static dyn KernelSet,
    ) -> Result<Classifier, ClassifierError> {
        let session = match &self.pool {
            Some(pool) => Session::with_pool(network, set, Arc::clone(pool))?,
            None => Session::new(network, set, self.threads)?,
        };
        Ok(Classifier::new(session, manifest))
    }
}

impl Classifier {
    /// Opens an archive and runs it on all cores with the fastest kernels.
    pub fn open(archive: impl AsRef<Path>) -> Result<Self, ClassifierError> {
        Builder::default().open(archive)
    }

    /// Returns a builder, which sets threads and kernels before the archive is opened.
    pub fn builder() -> Builder {
        Builder::default()
    }

    fn new(session: Session, manifest: Manifest) -> Self {
        let reading = Scores::new(&manifest, session.activation(), session.classes());
        let name = |i: usize| match manifest.labels.get(i) {
            Some(label) => Arc::from(label.as_str()),
            None => Arc::from(format!("class {i}")),
        };
        let names = (0..reading.len()).map(name).collect();
        Self { session, manifest, reading, names, scores: Vec::new() }
    }

    /// Resizes an image as the archive specifies and classifies it. Returns all classes, best first; classes with
    /// equal scores are in the order of their indices.
    pub fn classify<'a>(&mut self, image: impl Into<ImageRef<'a>>) -> Vec<Label> {
        let pixels = fit_ref(image.into(), &self.manifest.input);
        self.labelled(&pixels)
    }

    /// Classifies pixels in the network's own input format, see [`Classifier::input_shape`]: rows from top to
    /// bottom, the channels of each pixel side by side, RGB.
    pub fn classify_pixels(&mut self, pixels: &[u8]) -> Result<Vec<Label>, WrongPixels> {
        self.check(pixels)?;
        Ok(self.labelled(pixels))
    }

    /// Returns the score of each class for such pixels, in the order of the classes. Only the first call
    /// allocates.
    pub fn scores(&mut self, pixels: &[u8]) -> Result<&[f32], WrongPixels> {
        self.check(pixels)?;
        self.reading.fill(self.session.classify(pixels), &mut self.scores);
        Ok(&self.scores)
    }

    /// Returns the network's raw outputs for such pixels, before softmax or sigmoid. Allocates nothing.
    pub fn logits(&mut self, pixels: &[u8]) -> Result<&[f32], WrongPixels> {
        self.check(pixels)?;
        Ok(self.session.run(pixels))
    }

    /// Returns the values that the last layer reads, for such pixels: a description of the image by which images
    /// can be compared, see [`Session::features`]. Allocates nothing.
    pub fn features(&mut self, pixels: &[u8]) -> Result<&[f32], FeaturesError> {
        self.check(pixels)?;
        self.session.features(pixels).ok_or(FeaturesError::None)
    }

    /// Returns rows, columns and channels of [`Classifier::features`], or `None` if the network has no features.
    pub fn features_shape(&self) -> Option<Shape> {
        self.session.features_shape()
    }

    /// Checks that this processor computes the same bits as the machine that quantized the network; see
    /// [`proof`](crate::proof). Runs the network a few times.
    pub fn verify(&mut self) -> Result<(), VerifyError> {
        proof::verify(&mut self.session, self.manifest.proof.as_ref())
    }

    /// Returns the names of the classes.
    pub fn labels(&self) -> &[Arc<str>] {
        &self.names
    }

    /// Returns rows, columns and channels of the pixels that the network reads.
    pub fn input_shape(&self) -> Shape {
        self.session.input()
    }

    /// Returns how images are resized for the network.
    pub fn input(&self) -> &Input {
        &self.manifest.input
    }

    /// Returns the archive's description of its network.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Returns the session that runs the network.
    pub fn session(&mut self) -> &mut Session {
        &mut self.session
    }

    fn check(&self, pixels: &[u8]) -> Result<(), WrongPixels> {
        let shape = self.session.input();
        if pixels.len() == shape.len() { Ok(()) } else { Err(WrongPixels { shape, got: pixels.len() }) }
    }

    fn labelled(&mut self, pixels: &[u8]) -> Vec<Label> {
        self.reading.fill(self.session.classify(pixels), &mut self.scores);
        let label =
            |(index, &score): (usize, &f32)| Label { index, name: Arc::clone(&self.names[index]), score };
        let mut labels: Vec<Label> = self.scores.iter().enumerate().map(label).collect();
        labels.sort_by(|a, b| b.score.total_cmp(&a.score));
        labels
    }
}

#[cfg(test)]
mod tests {
    use foldnet_archive::testing::{every_step, every_step_without_a_dense_layer, manifest, manifest_of};
    use foldnet_archive::{Dequantize, Out, Step, Tensor};
    use foldnet_image::{Image, fit};

    use super::*;

    fn archive() -> Vec<u8> {
        foldnet_archive::pack(&every_step(), &manifest())
    }

    fn image() -> Image {
        Image::new(20, 30, (0..1800).map(|i| (i * 37) as u8).collect()).unwrap()
    }

    #[test]
    fn images_borrowed_pixels_and_fitted_pixels_get_the_same_labels() {
        let mut classifier = Classifier::builder().threads(1).read(&archive()).unwrap();
        let labels = classifier.classify(&image());
        assert_eq!(labels.len(), classifier.labels().len());
        assert!(labels.is_sorted_by(|a, b| a.score >= b.score));
        let rgb = image().into_rgb();
        let wide: Vec<u8> = rgb.chunks(60).flat_map(|row| row.iter().copied().chain([0; 9])).collect();
        assert_eq!(classifier.classify(ImageRef::new(20, 30, 69, &wide).unwrap()), labels);
        let pixels = fit(&image(), classifier.input());
        assert_eq!(classifier.classify_pixels(&pixels).unwrap(), labels);
        let scores = classifier.scores(&pixels).unwrap();
        assert!(labels.iter().all(|label| scores[label.index] == label.score));
        let logits = classifier.logits(&pixels).unwrap().to_vec();
        let best = (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b])).unwrap();
        assert_eq!(best, labels[0].index);
    }

    #[test]
    fn wrong_input_is_an_error() {
        let mut classifier = Classifier::builder().threads(1).read(&archive()).unwrap();
        let got = classifier.input_shape().len() - 1;
        let wrong = WrongPixels { shape: classifier.input_shape(), got };
        assert_eq!(classifier.logits(&vec![0; got]).map(|_| ()), Err(wrong));
        let open = |builder: Builder| builder.read(&archive()[..99]).map(|_| ());
        assert!(matches!(open(Builder::default()), Err(ClassifierError::Archive(_))));
        assert!(matches!(
            open(Builder::default().kernels("sparc")),
            Err(ClassifierError::Archive(_) | ClassifierError::Kernels(_))
        ));
        let kernels = Classifier::builder().kernels("sparc").read(&archive());
        assert!(matches!(kernels.map(|_| ()), Err(ClassifierError::Kernels(_))));
        assert!(matches!(Classifier::open("absent.nnef.tgz").map(|_| ()), Err(ClassifierError::Archive(_))));
    }

    #[test]
    fn features_are_those_in_front_of_the_dense_layer() {
        let mut classifier = Classifier::builder().threads(1).read(&archive()).unwrap();
        let pixels = fit(&image(), classifier.input());
        assert_eq!(classifier.features_shape(), Some(Shape::new(1, 1, 5)));
        assert_eq!(classifier.features(&pixels).map(<[f32]>::len), Ok(5));
        let wrong = WrongPixels { shape: classifier.input_shape(), got: 3 };
        assert_eq!(classifier.features(&pixels[..3]), Err(wrong.into()));

        let network = every_step_without_a_dense_layer();
        let archive = foldnet_archive::pack(&network, &manifest_of(&network));
        let mut classifier = Classifier::builder().threads(1).read(&archive).unwrap();
        assert_eq!(classifier.features_shape(), None);
        let pixels = vec![0; classifier.input_shape().len()];
        assert_eq!(classifier.features(&pixels), Err(FeaturesError::None));
    }

    #[test]
    fn features_are_the_same_where_the_scores_are_rounded() {
        let mut network = every_step();
        let (logits, rounded) = (network.logits, network.tensors.len());
        let shape = network.tensors[logits].shape;
        network.tensors.push(Tensor { name: "rounded".into(), shape, scale: 0.5, zero: 3 });
        for step in &mut network.steps {
            if let Step::Conv(conv) = step
                && conv.y.is_some_and(|y| y.tensor == logits)
            {
                conv.y = Some(Out { tensor: rounded, lo: i8::MIN, hi: i8::MAX });
                conv.multiplier.iter_mut().for_each(|m| *m /= 0.5);
            }
        }
        network.steps.push(Step::Dequantize(Dequantize { name: "scores".into(), x: rounded, y: logits }));
        let packed = foldnet_archive::pack(&network, &manifest_of(&network));
        let mut exact = Classifier::builder().threads(1).read(&archive()).unwrap();
        let mut rounding = Classifier::builder().threads(1).read(&packed).unwrap();
        let pixels = fit(&image(), exact.input());
        let features = exact.features(&pixels).unwrap().to_vec();
        assert_eq!(rounding.features_shape(), exact.features_shape());
        assert_eq!(rounding.features(&pixels).unwrap(), features);
    }

    #[test]
    fn classifiers_share_threads() {
        let pool = Arc::new(Threads::new(2).unwrap());
        let mut alone = Classifier::builder().threads(1).read(&archive()).unwrap();
        let expected = alone.classify(&image());
        let shared = Classifier::builder().pool(Arc::clone(&pool));
        std::thread::scope(|scope| {
            for _ in 0..2 {
                let mut classifier = shared.read(&archive()).unwrap();
                let expected = &expected;
                scope.spawn(move || {
                    for _ in 0..20 {
                        assert_eq!(&classifier.classify(&image()), expected);
                    }
                });
            }
        });
        drop(shared);
        assert_eq!(Arc::strong_count(&pool), 1);
    }
}
