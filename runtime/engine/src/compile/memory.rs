//! Places activations in the arena.
//!
//! An output reuses its residual's buffer if no later step reads the residual: the kernels read each value before
//! they overwrite it. Other buffers do not overlap while both are alive.

use foldnet_archive::{Network, PIXELS, Step};
use foldnet_kernels::{KernelSet, Shape};
use foldnet_plan::format::{NOWHERE, Stripes};
use foldnet_plan::{Lifetime, assign_offsets};

/// The offsets of all tensors.
pub(super) struct Placement {
    offsets: Vec<u32>,
    stripes: Vec<Option<Stripes>>,
    /// The size of the whole arena in bytes.
    pub(super) arena: usize,
}

impl Placement {
    pub(super) fn offset(&self, tensor: usize) -> u32 {
        self.offsets[tensor]
    }

    /// Returns the image's offset in the arena.
    pub(super) fn pixels(&self) -> u32 {
        self.offsets[PIXELS]
    }

    /// How step `i`, a convolution, shares memory, if its layout is not the ordinary one.
    pub(super) fn stripes(&self, i: usize) -> Option<Stripes> {
        self.stripes[i]
    }
}

/// Two neighbouring steps that run in turns.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pair {
    /// The number of the first of the two.
    pub(super) first: usize,
    /// The number of rows kept of the tensor between them.
    pub(super) rows: usize,
    /// Whether the second's output may overwrite the first's input.
    pub(super) replace: bool,
}

/// Places the tensors in the ordinary way: whole tensors, with image and scratch outside the arena.
pub(super) fn place(network: &Network, set: &dyn KernelSet) -> Placement {
    Buffers::new(network, set, &[], false).place()
}

/// Places the image and each step's scratch in the arena as well, and runs `pairs` in turns.
pub(super) fn place_small(network: &Network, set: &dyn KernelSet, pairs: &[Pair]) -> Placement {
    Buffers::new(network, set, pairs, true).place()
}

struct Buffers<'a> {
    network: &'a Network,
    set: &'a dyn KernelSet,
    pairs: &'a [Pair],
    small: bool,
    /// The first and the last step during which each tensor is alive.
    first: Vec<usize>,
    last: Vec<usize>,
    /// `buffer[t]` is the tensor whose buffer `t` uses: its own, or that of the residual it overwrites.
    buffer: Vec<usize>,
}

impl<'a> Buffers<'a> {
    fn new(network: &'a Network, set: &'a dyn KernelSet, pairs: &'a [Pair], small: bool) -> Self {
        let n = network.tensors.len();
        let mut layout = Self {
            network,
            set,
            pairs,
            small,
            first: vec![0; n],
            last: vec![0; n],
            buffer: (0..n).collect(),
        };
        layout.lifetimes();
        layout.take_over();
        layout
    }

    /// Returns the pair that contains step `i`.
    fn pair(&self, i: usize) -> Option<Pair> {
        self.pairs.iter().copied().find(|p| p.first == i || p.first + 1 == i)
    }

    fn lifetimes(&mut self) {
        for (i, step) in self.network.steps.iter().enumerate() {
            // Two steps in turns count as one step that lasts from the first to the second.
            let (from, until) = self.pair(i).map_or((i, i), |p| (p.first, p.first + 1));
            for t in step.outputs() {
                (self.first[t], self.last[t]) = (from, until);
            }
            for t in step.inputs() {
                self.last[t] = self.last[t].max(until);
            }
        }
        self.last[self.network.logits] = self.network.steps.len();
    }

    fn take_over(&mut self) {
        for (i, step) in self.network.steps.iter().enumerate() {
            let residuals = step.replaceable();
            let Some(&y) = step.outputs().first() else { continue };
            let reads = step.inputs();
            let free = |t: &usize| {
                let once = self.last[*t] == i && reads.iter().filter(|r| *r == t).count() == 1;
                match self.pair(i) {
                    // The second of a pair may overwrite what the first reads only row by row, after the first has
                    // read it.
                    Some(p) if self.network.steps[p.first].inputs().contains(t) => {
                        once && p.replace && p.first + 1 == i
                    }
                    Some(p) => once && p.first + 1 == i,
                    None => once,
                }
            };
            if let Some(residual) = residuals.into_iter().find(free) {
                self.buffer[y] = self.buffer[residual];
            }
        }
    }

    /// Returns the size in bytes of a tensor's own buffer.
    fn bytes(&self, t: usize) -> usize {
        let shape = self.network.tensors[t].shape;
        if t == PIXELS {
            return if self.small { shape.len() } else { 0 };
        }
        if t == self.network.logits {
            return 4 * self.network.classes();
        }
        let between = self.pairs.iter().find(|p| self.network.steps[p.first].outputs().contains(&t));
        self.set.tensor_bytes(between.map_or(shape, |p| Shape { h: p.rows, ..shape }))
    }

    fn place(&self) -> Placement {
        let n = self.network.tensors.len();
        let owners: Vec<usize> = (0..n).filter(|&t| self.buffer[t] == t && self.bytes(t) > 0).collect();
        let mut lifetimes: Vec<Lifetime> = owners
            .iter()
            .map(|&owner| {
                let users = || (0..n).filter(|&t| self.buffer[t] == owner);
                Lifetime {
                    bytes: users().map(|t| self.bytes(t)).max().unwrap_or(0),
                    first: users().map(|t| self.first[t]).min().unwrap_or(0),
                    last: users().map(|t| self.last[t]).max().unwrap_or(0),
                }
            })
            .collect();
        let scratch = self.scratch();
        lifetimes.extend(scratch.iter().map(|s| s.1));
        let (places, arena) = assign_offsets(&lifetimes);
        let offset = |place: usize| u32::try_from(places[place]).unwrap_or(NOWHERE);
        let offsets = (0..n).map(|t| owners.binary_search(&self.buffer[t]).map_or(NOWHERE, offset)).collect();
        let mut stripes = vec![None; self.network.steps.len()];
        for (k, (i, _)) in scratch.iter().enumerate() {
            stripes[*i] = self.stripes(*i, offset(owners.len() + k));
        }
        Placement { offsets, stripes, arena }
    }

    /// Returns the scratch of every convolution as a buffer that lives only during its step.
    fn scratch(&self) -> Vec<(usize, Lifetime)> {
        let bytes = |i: usize| match &self.network.steps[i] {
            Step::Conv(c) => {
                let desc = self.network.conv_desc(c).expect("validated");
                Some(self.set.conv_scratch_bytes(&desc))
            }
            _ => None,
        };
        let steps = if self.small { 0..self.network.steps.len() } else { 0..0 };
        steps.filter_map(|i| Some((i, Lifetime { bytes: bytes(i)?, first: i, last: i }))).collect()
    }

    fn stripes(&self, i: usize, scratch: u32) -> Option<Stripes> {
        let Step::Conv(c) = &self.network.steps[i] else { return None };
        let mut stripes = Stripes::none(&self.network.conv_desc(c).expect("validated"));
        stripes.scratch = scratch;
        if let Some(pair) = self.pair(i) {
            let rows = u32::try_from(pair.rows).unwrap_or(u32::MAX);
            if pair.first == i {
                (stripes.y_rows, stripes.with_next) = (rows, true);
            } else {
                stripes.x_rows = rows;
            }
        }
        Some(stripes)
    }
}
