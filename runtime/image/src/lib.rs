//! Converts an image file or a camera's frame to a network's pixels: `Image::open`, then `fit`.
//!
//! ```text
//! bytes ── decode.rs ──▶ Image (RGB, u8) ── fit.rs ──▶ pixels (u8, HWC)
//!                                              └ resize.rs, as Pillow resizes
//! ```
//!
//! The feature `decode` reads JPEG, PNG, WebP and BMP files; `frame` reads the pixel formats of cameras. Without
//! features the crate contains only [`resample`], which needs neither the standard library nor an allocator.
#![cfg_attr(not(feature = "std"), no_std)]

#[cfg(all(feature = "std", target_arch = "x86_64"))]
mod avx2;
#[cfg(feature = "decode")]
mod decode;
#[cfg(feature = "std")]
mod fit;
#[cfg(feature = "frame")]
pub mod frame;
#[cfg(feature = "decode")]
mod jpeg_end;
#[cfg(feature = "std")]
mod planes;
pub mod resample;
#[cfg(feature = "std")]
pub(crate) mod resize;
#[cfg(feature = "std")]
mod rgb;

#[cfg(feature = "decode")]
pub use decode::{ImageError, MAX_FILE, MAX_PIXELS, MAX_SIDE};
#[cfg(feature = "frame")]
pub(crate) use fit::{channels, cropped_size, filter, window};
#[cfg(feature = "std")]
pub use fit::{fit, fit_ref};
#[cfg(feature = "std")]
pub(crate) use planes::Planes;
#[cfg(feature = "std")]
pub use rgb::{Image, ImageRef, SizeError};
