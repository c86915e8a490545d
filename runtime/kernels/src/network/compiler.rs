//! What an operator compiles its step with.

use super::{Network, TensorId};
use crate::op::conv::Stripes;
use crate::record::Blob;
use crate::set::KernelSet;

/// A plan in the making, as one step sees it.
pub struct Compiler<'a> {
    /// The network, valid.
    pub network: &'a Network,
    /// The kernel set that the plan is for.
    pub set: &'a dyn KernelSet,
    /// How this step shares memory with its neighbours; `None` for the ordinary way.
    pub stripes: Option<Stripes>,
    /// Where a tensor is in the arena.
    pub offset: &'a dyn Fn(TensorId) -> u32,
    /// Adds constants to the plan.
    pub constants: &'a mut dyn FnMut(&[u8]) -> Blob,
    /// Bytes of scratch that each thread has, for all steps so far.
    pub scratch: &'a mut usize,
}

impl Compiler<'_> {
    /// Where a tensor is in the arena.
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

    /// Gives each thread at least this much scratch.
    pub fn need_scratch(&mut self, bytes: usize) {
        *self.scratch = (*self.scratch).max(bytes);
    }
}
