//! Activations: NHWC with the sign bit flipped, followed by [`SLACK`] readable bytes.

use alloc::vec::Vec;

use super::geometry::SLACK;
use crate::shape::Shape;

/// See [`crate::KernelSet::flipped`].
pub(crate) const FLIPPED: u8 = 0x80;

/// See [`crate::KernelSet::tensor_bytes`].
pub(crate) fn bytes(shape: Shape) -> usize {
    shape.len() + SLACK
}

/// See [`crate::KernelSet::read_tensor`].
pub(crate) fn read(shape: Shape, buffer: &[u8]) -> Vec<i8> {
    buffer[..shape.len()].iter().map(|&b| (b ^ FLIPPED) as i8).collect()
}

/// See [`crate::KernelSet::write_tensor`].
pub(crate) fn write(shape: Shape, values: &[i8], buffer: &mut [u8]) {
    let (body, slack) = buffer[..bytes(shape)].split_at_mut(shape.len());
    for (b, &v) in body.iter_mut().zip(values) {
        *b = v as u8 ^ FLIPPED;
    }
    slack.fill(0);
}
