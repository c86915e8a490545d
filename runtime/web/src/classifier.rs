//! The classifier of one instance, its input and its results.

use foldnet::{Classifier, ClassifierError, ImageRef};
use foldnet_archive::Scores;
use foldnet_image::fit_ref;

use crate::memory;

/// The longest side of an image, and the most pixels: those of the programs.
const MAX_SIDE: usize = 1 << 15;
const MAX_PIXELS: usize = 1 << 27;

/// Why a call has no result.
#[derive(Debug)]
pub enum Failure {
    /// The archive cannot be read, or its network not be run.
    Archive(ClassifierError),
    /// The pixels are no image of that size.
    Image(String),
    /// There is not as much memory.
    Memory(usize),
    /// No archive has been opened.
    Closed,
}

impl Failure {
    /// Why there is no classifier. A reader that gets no memory calls its file damaged.
    fn of(error: ClassifierError) -> Self {
        match memory::refused() {
            0 => Self::Archive(error),
            bytes => Self::Memory(bytes),
        }
    }

    /// Its number: the place of its name in `KINDS` of `foldnet.js`.
    pub fn number(&self) -> u32 {
        match self {
            Self::Archive(_) => 1,
            Self::Image(_) => 2,
            Self::Memory(_) => 3,
            Self::Closed => 4,
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            // JavaScript knows which archive it was.
            Self::Archive(error) => f.write_str(error.to_string().trim_start_matches("archive in memory: ")),
            Self::Image(what) => f.write_str(what),
            Self::Memory(bytes) => write!(f, "WebAssembly has no {bytes} bytes of memory left"),
            Self::Closed => f.write_str("no archive is open"),
        }
    }
}

/// Everything that an instance holds.
#[derive(Default)]
pub struct State {
    input: Vec<u8>,
    rgb: Vec<u8>,
    classifier: Option<Classifier>,
    shares: bool,
    /// The last message or name.
    pub text: String,
    /// Scores or logits.
    pub numbers: Vec<f32>,
    /// The classes of the scores.
    pub indices: Vec<u32>,
}

impl State {
    /// Room for so many bytes of input, or `None`.
    pub fn room(&mut self, len: usize) -> Option<&mut [u8]> {
        memory::forget();
        resize(&mut self.input, len).ok()?;
        Some(&mut self.input)
    }

    /// Opens the archive that is the input.
    pub fn open(&mut self) -> Result<(), Failure> {
        let archive = std::mem::take(&mut self.input);
        self.classifier = None;
        let mut classifier = Classifier::builder().threads(1).read(&archive).map_err(Failure::of)?;
        let activation = classifier.session().activation();
        let outputs = classifier.session().classes();
        self.shares = Scores::new(classifier.manifest(), activation, outputs).are_shares();
        self.classifier = Some(classifier);
        Ok(())
    }

    /// Scores of the RGBA image that is the input, the best first.
    pub fn classify(&mut self, width: usize, height: usize) -> Result<(), Failure> {
        self.drop_alpha(width, height)?;
        let classifier = self.classifier.as_mut().ok_or(Failure::Closed)?;
        let labels = classifier.classify(image(&self.rgb, width, height)?);
        self.numbers.clear();
        self.numbers.extend(labels.iter().map(|label| label.score));
        self.indices.clear();
        self.indices.extend(labels.iter().map(|label| label.index as u32));
        Ok(())
    }

    /// Logits of the RGBA image that is the input.
    pub fn logits(&mut self, width: usize, height: usize) -> Result<(), Failure> {
        self.drop_alpha(width, height)?;
        let classifier = self.classifier.as_mut().ok_or(Failure::Closed)?;
        let pixels = fit_ref(image(&self.rgb, width, height)?, classifier.input());
        let logits = classifier.logits(&pixels).map_err(|wrong| Failure::Image(wrong.to_string()))?;
        self.numbers.clear();
        self.numbers.extend_from_slice(logits);
        Ok(())
    }

    /// Makes RGB of the input: alpha is dropped, not composited, as when the programs read a file.
    fn drop_alpha(&mut self, width: usize, height: usize) -> Result<(), Failure> {
        let inside = (1..=MAX_SIDE).contains(&width) && (1..=MAX_SIDE).contains(&height);
        if !inside || width * height > MAX_PIXELS || self.input.len() != 4 * width * height {
            let got = self.input.len();
            return Err(Failure::Image(format!("{got} bytes are no RGBA image of {width}×{height} pixels")));
        }
        resize(&mut self.rgb, 3 * width * height)?;
        for (rgb, rgba) in self.rgb.chunks_exact_mut(3).zip(self.input.chunks_exact(4)) {
            rgb.copy_from_slice(&rgba[..3]);
        }
        Ok(())
    }

    /// Makes the text the name of a class, if there is one.
    pub fn label(&mut self, index: usize) -> bool {
        let name = self.classifier.as_ref().and_then(|classifier| classifier.labels().get(index));
        if let Some(name) = name {
            self.text.clear();
            self.text.push_str(name);
        }
        name.is_some()
    }

    /// Makes the text the name of the kernel set.
    pub fn kernels(&mut self) {
        self.text = self.classifier.as_mut().map_or("", |c| c.session().set().name()).to_owned();
    }

    /// Rows, columns or channels of what the network reads.
    pub fn side(&self, axis: usize) -> usize {
        let shape = self.classifier.as_ref().map(Classifier::input_shape).unwrap_or_default();
        [shape.h, shape.w, shape.c].get(axis).copied().unwrap_or(0)
    }

    /// Whether scores are shares of 1.
    pub fn shares(&self) -> bool {
        self.shares
    }

    /// MACs of one inference.
    pub fn macs(&mut self) -> f64 {
        self.classifier.as_mut().map_or(0.0, |classifier| classifier.session().macs() as f64)
    }
}

fn image(rgb: &[u8], width: usize, height: usize) -> Result<ImageRef<'_>, Failure> {
    ImageRef::new(width, height, 3 * width, rgb).map_err(|error| Failure::Image(error.to_string()))
}

/// Gives a buffer this length, if there is as much memory.
fn resize(buffer: &mut Vec<u8>, len: usize) -> Result<(), Failure> {
    if len > buffer.len() {
        buffer.try_reserve_exact(len - buffer.len()).map_err(|_| Failure::Memory(len))?;
    }
    buffer.resize(len, 0);
    Ok(())
}
