//! The interface with which an operator compiles its step.

use super::{Network, TensorId};
use crate::op::conv::Stripes;
use crate::record::Blob;
use crate::set::KernelSet;

/// A plan under construction, as one step sees it.
pub struct Compiler<'a> {
    /// The valid network.
    pub network: &'a Network,
    /// The kernel set of the plan.
    pub set: &'a dyn KernelSet,
    /// How this step shares memory with its neighbours; `None` for the ordinary layout.
    pub stripes: Option<Stripes>,
    /// Returns a tensor's offset in the arena.
    pub offset: &'a dyn Fn(TensorId) -> u32,
    /// Adds constants to the plan.
    pub constants: &'a mut dyn FnMut(&[u8]) -> Blob,
    /// The scratch bytes that each thread has, for all steps so far.
    pub scratch: &'a mut usize,
}

impl Compiler<'_> {
    /// Returns a tensor's offset in the arena.
    pub fn at(&self, tensor: TensorId) -> u32 {
        (self.offset)(tensor)
    }

    /// Adds constants to the plan.
    pub fn blob(&mut self, bytes: &[u8]) -> Blob {
        (self.constants)(bytes)
    }

    /// Adds f32 constants to the plan.
    pub fn floats<'v>(&mut self, values: impl IntoIterator<Item = &'v f32>) -> Blob {
        let bytes: alloc::vec::Vec<u8> = values.into_iter().flat_map(|v| v.to_le_bytes()).collect();
        self.blob(&bytes)
    }

    /// Ensures that each thread has at least this much scratch.
    pub fn need_scratch(&mut self, bytes: usize) {
        *self.scratch = (*self.scratch).max(bytes);
    }
}
