//! Classifies images with int8 residual networks.
//!
//! `converter quantize` turns a trained network into an archive, `model.nnef.tgz`. A [`Classifier`] runs it:
//!
//! ```
//! use foldnet::{Classifier, Image, ImageRef};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # use foldnet_archive::testing::{every_step, manifest};
//! # let folder = tempfile::tempdir()?;
//! # std::env::set_current_dir(&folder)?;
//! # foldnet_archive::write("model.nnef.tgz".as_ref(), &every_step(), &manifest())?;
//! let mut classifier = Classifier::open("model.nnef.tgz")?;
//! let image = Image::new(2, 2, vec![128; 12]).expect("2 · 2 pixels of 3 bytes");
//! for label in classifier.classify(&image).iter().take(3) {
//!     println!("{:5.1} %  {}", 100.0 * label.score, label.name);
//! }
//! // A camera's buffer, whose rows have a margin, without a copy of it.
//! let buffer = vec![128; 480 * 2048];
//! let best = classifier.classify(ImageRef::new(640, 480, 2048, &buffer)?)[0].index;
//! # assert_eq!(best, classifier.classify(&image)[0].index);
//! # Ok(())
//! # }
//! ```
//!
//! With the feature `decode`, `Image::open("cat.jpg")` reads JPEG, PNG, WebP and BMP files; `examples/classify.rs`
//! is a complete program. With the feature `cache`, compiled networks are kept on disk.
//!
//! - [`Classifier`] resizes images to the network's size and names classes. [`Builder`] sets threads and kernels.
//! - [`Session`] runs a network on pixels that already have its size; [`compile`](mod@compile) makes its plan.
//! - [`Streams`](streams::Streams) classify several images at once.
//! - [`backend`] is the interface of NPUs and other engines that replace a session.
//! - [`explain`] shows which parts of an image speak for a class.
//!
//! The same archive gives the same bits on every processor and with every number of threads.

pub mod aligned;
pub mod backend;
#[cfg(feature = "cache")]
pub mod cache;
mod classifier;
pub mod compile;
pub mod cores;
pub mod explain;
mod features;
pub mod pool;
pub mod proof;
pub mod session;
pub mod streams;

pub use classifier::{Builder, Classifier, ClassifierError, FeaturesError, Label, WrongPixels};
pub use compile::compile;
pub use features::Quantized;
pub use foldnet_image::{Image, ImageRef, SizeError};
pub use foldnet_kernels::Shape;
pub use session::{NetworkInfo, Session, SessionError, StepInfo, activate};
