//! Which activation stands where in the arena.
//!
//! An output takes over its residual's buffer when nobody reads the residual afterwards: the kernels
//! read each value before they write its place. All other buffers are apart while both are alive.

use foldnet_archive::{Network, PIXELS, Step};
use foldnet_kernels::KernelSet;
use foldnet_plan::{Lifetime, assign_offsets};

/// Offsets of all tensors.
pub(super) struct Placement {
    offsets: Vec<u32>,
    /// Bytes of the whole arena.
    pub(super) arena: usize,
}

impl Placement {
    pub(super) fn offset(&self, tensor: usize) -> u32 {
        self.offsets[tensor]
    }
}

pub(super) fn place(network: &Network, set: &dyn KernelSet) -> Placement {
    let n = network.tensors.len();
    let (mut first, mut last) = (vec![0; n], vec![0; n]);
    for (i, step) in network.steps.iter().enumerate() {
        for t in step.outputs() {
            (first[t], last[t]) = (i, i);
        }
        for t in step.inputs() {
            last[t] = i;
        }
    }
    last[network.logits] = network.steps.len();

    // `buffer[t]` is the tensor whose place `t` uses: its own, or that of the residual it overwrites.
    let mut buffer: Vec<usize> = (0..n).collect();
    for (i, step) in network.steps.iter().enumerate() {
        let (residuals, y) = match step {
            Step::Conv(c) => (c.skip.map(|s| s.0).into_iter().collect(), c.y.map(|o| o.tensor)),
            Step::Add(a) => (vec![a.a.0, a.b.0], Some(a.y.tensor)),
            _ => continue,
        };
        let Some(y) = y else { continue };
        let reads = step.inputs();
        let free = |t: &usize| last[*t] == i && reads.iter().filter(|r| *r == t).count() == 1;
        if let Some(residual) = residuals.into_iter().find(free) {
            buffer[y] = buffer[residual];
        }
    }

    let bytes = |t: usize| {
        if t == network.logits { 4 * network.classes() } else { set.tensor_bytes(network.tensors[t].shape) }
    };
    let mut owners: Vec<usize> = (0..n).filter(|&t| t != PIXELS && buffer[t] == t).collect();
    owners.sort_unstable();
    let lifetimes: Vec<Lifetime> = owners
        .iter()
        .map(|&owner| {
            let users = || (0..n).filter(|&t| buffer[t] == owner);
            Lifetime {
                bytes: users().map(bytes).max().unwrap_or(0),
                first: users().map(|t| first[t]).min().unwrap_or(0),
                last: users().map(|t| last[t]).max().unwrap_or(0),
            }
        })
        .collect();
    let (places, arena) = assign_offsets(&lifetimes);
    let mut offsets = vec![0; n];
    for t in (0..n).filter(|&t| t != PIXELS) {
        let index = owners.binary_search(&buffer[t]).expect("every buffer has an owner");
        offsets[t] = u32::try_from(places[index]).unwrap_or(u32::MAX);
    }
    Placement { offsets, arena }
}
