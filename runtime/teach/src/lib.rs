//! Teaches a network new classes from a few examples, and tells what is none of them.
//!
//! The numbers in front of a network's last layer, its *features*, describe an image. Images that show the same kind of
//! thing have features that point in about the same direction. So a new class needs no training: the mean direction of
//! its examples is its *prototype*, and an image belongs to the class with the nearest prototype. An image that is
//! farther from all prototypes than a threshold is *unknown*.
//!
//! ```
//! use foldnet_teach::{Example, FalseAlarms, Metric, Other, Recognizer, Teacher};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let network = foldnet_archive::testing::resnet8();
//! # let mut session = foldnet::Session::new(&network, foldnet_kernels::dispatch::best(), 1)?;
//! # let image = |class: usize, n: usize| -> Vec<u8> {
//! #     (0..3072).map(|i| ((i * (class * 7 + 3) + i / 96 * n) % 251) as u8).collect()
//! # };
//! # let archive = [0; 32];
//! let mut teacher = Teacher::new(archive, Metric::of(&network)?, Other::Unknown);
//! for (class, name) in ["mug", "cup"].into_iter().enumerate() {
//!     for n in 0..20 {
//!         let pixels = image(class, n);
//!         let (_, features) = session.run_with_features(&pixels).expect("it ends in a dense layer");
//!         teacher.add(name, Example::new(&pixels, features))?;
//!     }
//! }
//! let teaching = teacher.finish(FalseAlarms::percent(5.0).expect("a share"))?;
//! foldnet_teach::write("mug.teach".as_ref(), &teaching)?;
//! # std::fs::remove_file("mug.teach")?;
//!
//! let mut recognizer = Recognizer::new(&teaching);
//! let pixels = image(1, 3);
//! let (_, features) = session.run_with_features(&pixels).expect("it ends in a dense layer");
//! assert_eq!(recognizer.recognize(features).class, Some(1));
//! # Ok(())
//! # }
//! ```
//!
//! - [`Metric`] compares features as the network's last layer does, whatever the converter scaled.
//! - [`Teacher`] collects examples; [`Teaching`] is what it makes of them: prototypes and a threshold.
//! - [`Recognizer`] compares an image with the prototypes. It allocates nothing.
//! - [`Mixer`] decides between the taught classes and the network's own.
//! - [`Calibration`] sets the threshold for a rate of false alarms, and says how well so few examples can know it.
//! - [`Taught`] answers in place of a session: the taught classes and *unknown*.
//!
//! The arithmetic is that of integers, and for the metric that of f64 in the operations that IEEE 754 fixes: the same
//! examples give the same file, and the same image the same answer, on every processor.

mod calibrate;
mod cluster;
mod error;
mod file;
mod group;
mod identity;
mod metric;
mod mix;
mod own;
mod recognize;
mod taught;
mod teacher;
mod teaching;

pub use calibrate::{Calibration, FalseAlarms, Interval};
pub use cluster::Prototype;
pub use error::{FileError, TeachError};
pub use file::{VERSION, pack, read, unpack, write};
pub use group::group;
pub use identity::{hash_archive, hash_pixels};
pub use metric::{MAX_FEATURES, Metric};
pub use mix::Mixer;
pub use own::{MAX_OWN, Own, OwnExample};
pub use recognize::{Answer, Recognizer};
pub use taught::{OwnClasses, Taught, TaughtError};
pub use teacher::{Example, MAX_CLASSES, MAX_EXAMPLES, Teacher};
pub use teaching::{Class, Other, Teaching};
