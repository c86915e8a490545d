//! Activations: NHWC int8, each pixel's channels rounded up to whole vectors of 16.
//!
//! The depth of a dot product is therefore contiguous in memory, as `smull` and `sadalp` require. The values in
//! the channels that rounding up adds are undefined; weights there are zero.

use alloc::vec;
use alloc::vec::Vec;

use crate::shape::Shape;

pub use crate::neon_tiling::VECTOR;

/// Returns the distance in bytes from one pixel to the next.
pub const fn channel_stride(channels: usize) -> usize {
    channels.next_multiple_of(VECTOR)
}

/// Returns the size in bytes of an activation.
pub const fn tensor_bytes(shape: Shape) -> usize {
    shape.pixels() * channel_stride(shape.c)
}

/// See [`crate::KernelSet::read_tensor`].
pub fn read_tensor(shape: Shape, buffer: &[u8]) -> Vec<i8> {
    let mut values = vec![0; shape.len()];
    for (pixel, bytes) in values.chunks_exact_mut(shape.c).zip(buffer.chunks_exact(channel_stride(shape.c))) {
        for (v, &b) in pixel.iter_mut().zip(bytes) {
            *v = b as i8;
        }
    }
    values
}

/// See [`crate::KernelSet::write_tensor`].
pub fn write_tensor(shape: Shape, values: &[i8], buffer: &mut [u8]) {
    buffer[..tensor_bytes(shape)].fill(0);
    for (pixel, bytes) in values.chunks_exact(shape.c).zip(buffer.chunks_exact_mut(channel_stride(shape.c))) {
        for (&v, b) in pixel.iter().zip(bytes) {
            *b = v as u8;
        }
    }
}
