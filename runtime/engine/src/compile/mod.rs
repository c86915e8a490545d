//! Compiles a network into a plan: places activations in the arena and packs constants for one kernel set.
//!
//! The network's steps are already fused (see [`foldnet_archive::Step`]), so compiling only decides the layout:
//! lifetimes, in-place residuals, blobs, records.

mod memory;
mod small;

use foldnet_archive::{Network, NetworkError};
use foldnet_kernels::KernelSet;
use foldnet_kernels::network::Compiler;
use foldnet_plan::Builder;
use foldnet_plan::format::Header;

use crate::aligned::Aligned;
use memory::{Placement, place};
pub use small::compile_small;

/// The reason why a network cannot be compiled.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// The network is not valid.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// Constants or activations exceed the size that a plan can address.
    #[error("the network is too large for a plan (4 GiB of constants, 1 GiB of activations)")]
    TooLarge,
}

/// Compiles a network for a kernel set. The same input gives the same bytes.
pub fn compile(network: &Network, set: &dyn KernelSet) -> Result<Aligned, CompileError> {
    network.validate()?;
    lay_out(network, set, &place(network, set))
}

/// Writes the plan for this placement. The network is valid.
fn lay_out(network: &Network, set: &dyn KernelSet, placement: &Placement) -> Result<Aligned, CompileError> {
    let (mut builder, mut scratch) = (Builder::new(), 0);
    for (i, step) in network.steps.iter().enumerate() {
        let record = step.compile(&mut Compiler {
            network,
            set,
            stripes: placement.stripes(i),
            offset: &|tensor| placement.offset(tensor),
            constants: &mut |bytes| builder.blob(bytes),
            scratch: &mut scratch,
        });
        builder.step(record);
    }
    let mut name = [0; 16];
    let bytes = set.name().as_bytes();
    name[..bytes.len()].copy_from_slice(bytes);
    let size = |n: usize| u32::try_from(n).map_err(|_| CompileError::TooLarge);
    let header = Header {
        crc: 0,
        len: 0,
        steps: 0,
        arena: size(placement.arena)?,
        scratch: size(scratch)?,
        input: network.input(),
        logits: placement.offset(network.logits),
        classes: size(network.classes())?,
        set: name,
        pixels: placement.pixels(),
    };
    let plan = builder.finish(header).ok_or(CompileError::TooLarge)?;
    Ok(Aligned::from_slice(&plan))
}

#[cfg(test)]
mod tests;
