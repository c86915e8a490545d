//! Activations in blocks of eight channels: `[c / 8][h · w][8]`.
//!
//! One 16-byte load is two neighbouring pixels of eight channels. Pixels continue across the ends of rows, so that
//! a 1×1 convolution reads one long row and has one tail. A block's plane has an even number of pixels, and the
//! last block all eight channels. The values in the added places are undefined: kernels multiply such channels by
//! zero and write such pixels only into such places.

use alloc::vec;
use alloc::vec::Vec;

use crate::shape::Shape;

/// Channels per block, and bytes per pixel of a block.
pub(crate) const BLOCK: usize = 8;
/// The bytes after the last plane, so that a vector load may start at any pixel.
pub(crate) const SLACK: usize = 64;

/// Returns the number of channel blocks.
pub(crate) const fn blocks(channels: usize) -> usize {
    channels.div_ceil(BLOCK)
}

/// Returns the distance in bytes from one block's plane to the next.
pub(crate) const fn pitch(shape: Shape) -> usize {
    shape.pixels().next_multiple_of(2) * BLOCK
}

/// Returns the size in bytes of an activation.
pub(crate) const fn tensor_bytes(shape: Shape) -> usize {
    blocks(shape.c) * pitch(shape) + SLACK
}

/// See [`crate::KernelSet::locate`].
pub(crate) const fn locate(shape: Shape, pixel: usize, channel: usize) -> usize {
    channel / BLOCK * pitch(shape) + pixel * BLOCK + channel % BLOCK
}

/// See [`crate::KernelSet::read_tensor`].
pub(crate) fn read_tensor(shape: Shape, buffer: &[u8]) -> Vec<i8> {
    let mut values = vec![0; shape.len()];
    for (p, pixel) in values.chunks_exact_mut(shape.c).enumerate() {
        for (c, v) in pixel.iter_mut().enumerate() {
            *v = buffer[locate(shape, p, c)] as i8;
        }
    }
    values
}

/// See [`crate::KernelSet::write_tensor`].
pub(crate) fn write_tensor(shape: Shape, values: &[i8], buffer: &mut [u8]) {
    buffer[..tensor_bytes(shape)].fill(0);
    for (p, pixel) in values.chunks_exact(shape.c).enumerate() {
        for (c, &v) in pixel.iter().enumerate() {
            buffer[locate(shape, p, c)] = v as u8;
        }
    }
}
