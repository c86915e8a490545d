//! Kernel sets for Cortex-M: [`Dsp`] (Armv7E-M: M4, M7, M33) and [`Helium`] (Armv8.1-M: M55, M85).
//!
//! Activations are plain NHWC int8. A convolution computes its output a few rows at a time ([`common::driver`]).
//! It copies the input rows under them, with their padding, into a window in scratch. Then, for each panel of
//! output channels, it sums over the window for a whole row of pixels ([`common::tile`], the hot loop) and
//! finishes the sums ([`common::epilogue`]). Since the window is a copy, row `r` of the input is dead as soon as a
//! window contains it; plans that run in stripes rely on that.
//!
//! A plan is packed on a host and run from flash. These sets therefore exist in every build, and only the bodies
//! that need the instructions are assembly. Each is in a file beside its *model*, the same function in plain Rust,
//! which replaces it everywhere else. So layout, packing, driver and arithmetic are tested on the host, and the
//! assembly with the same tests in an emulator.
//!
//! Nothing here can panic: firmware is linked without any panic path.

mod common;
mod dsp;
mod helium;

pub use dsp::Dsp;
pub use helium::Helium;
