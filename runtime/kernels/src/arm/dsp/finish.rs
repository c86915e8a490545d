//! The epilogue.

use crate::arm::Epilogue;

/// Finishes a row of pixels of two channels.
///
/// # Safety
/// See [`Epilogue::finish`].
pub(super) unsafe fn finish(epilogue: &Epilogue<'_>, channels: usize, pixels: usize) {
    // SAFETY: the caller's contract.
    unsafe { epilogue.finish(2, channels, pixels) }
}
