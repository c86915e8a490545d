//! Convolutions that only pick numbers: every filter has one weight, a one.

use foldnet_kernels::{MAX_KERNEL, Shape};

use super::super::Importer;
use super::super::node::Problem;
use crate::graph::{Conv, NodeId, Op, Window};

/// Consecutive outputs that come from inputs at equal distances.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Run {
    /// The first output.
    pub at: usize,
    /// The number of outputs.
    pub count: usize,
    /// The first input.
    pub from: usize,
    /// The distance of the inputs.
    pub step: usize,
}

impl Run {
    /// Returns a run of all inputs, in order.
    pub fn whole(count: usize) -> Self {
        Self { at: 0, count, from: 0, step: 1 }
    }

    /// Returns the runs of a map from outputs to inputs.
    pub fn all(map: &[Option<usize>]) -> Vec<Self> {
        let mut runs: Vec<Self> = Vec::new();
        for (at, from) in map.iter().enumerate() {
            let Some(from) = *from else { continue };
            match runs.last_mut() {
                Some(run) if run.at + run.count == at && run.takes(from) => {
                    run.step = if run.count == 1 { from - run.from } else { run.step };
                    run.count += 1;
                }
                _ => runs.push(Self { at, count: 1, from, step: 1 }),
            }
        }
        runs
    }

    fn takes(&self, from: usize) -> bool {
        let last = self.from + (self.count - 1) * self.step;
        match self.count {
            1 => from > last && from - last <= MAX_KERNEL,
            _ => from == last + self.step,
        }
    }
}

/// A kernel side that picks inputs: its length, its dilation, and the position of the tap that is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tap {
    /// The length.
    pub kernel: usize,
    /// The distance of the taps.
    pub dilation: usize,
    /// The position of the one.
    pub one: usize,
}

impl Tap {
    /// Returns the shortest kernel side that picks exactly `run` out of `side` inputs.
    pub fn find(side: usize, run: Run) -> Option<Self> {
        let sides = 1..=MAX_KERNEL;
        sides.clone().flat_map(|kernel| sides.clone().map(move |dilation| (kernel, dilation))).find_map(
            |(kernel, dilation)| {
                let reach = (kernel - 1) * dilation;
                let exact = reach < side && (side - 1 - reach) / run.step + 1 == run.count;
                let there = run.from.is_multiple_of(dilation) && run.from / dilation < kernel;
                (exact && there).then_some(Self { kernel, dilation, one: run.from / dilation })
            },
        )
    }
}

impl Importer<'_> {
    /// Picks rows and columns of a node; adds no node if those are all of them.
    pub fn cropped(&mut self, name: &str, node: NodeId, runs: [Run; 2]) -> Result<NodeId, Problem> {
        let shape = self.nodes[node].shape;
        let sides = [shape.h, shape.w];
        let whole = |a: usize| runs[a] == Run { at: runs[a].at, count: sides[a], from: 0, step: 1 };
        if whole(0) && whole(1) {
            return Ok(node);
        }
        let taps = [Tap::find(sides[0], runs[0]), Tap::find(sides[1], runs[1])];
        if let [Some(rows), Some(columns)] = taps {
            return self.picking(name, node, [rows, columns], [runs[0].step, runs[1].step]);
        }
        // The distance is too large for one kernel, so a first one covers part of it.
        let a = usize::from(taps[0].is_some());
        let mut rest = runs;
        let last = runs[a].from + (runs[a].count - 1) * runs[a].step;
        let mut part = sides.map(Run::whole);
        if runs[a].from > 0 {
            part[a].from = runs[a].from.min(MAX_KERNEL - 1);
            part[a].count -= part[a].from;
            rest[a].from -= part[a].from;
        } else {
            let surplus = (sides[a] - 1 - last).min(MAX_KERNEL - 1);
            if surplus == 0 {
                return Err(format!("rows or columns {} apart cannot be picked", runs[a].step));
            }
            part[a].count -= surplus;
        }
        let partly = self.cropped(name, node, part)?;
        self.cropped(name, partly, rest)
    }

    /// Adds a depthwise convolution that picks one tap.
    fn picking(
        &mut self,
        name: &str,
        node: NodeId,
        [rows, columns]: [Tap; 2],
        stride: [usize; 2],
    ) -> Result<NodeId, Problem> {
        let channels = self.nodes[node].shape.c;
        // Only convolutions of one group read pixels.
        let groups = if node == 0 { 1 } else { channels };
        let per_group = channels / groups;
        let mut weights = vec![0.0; channels * rows.kernel * columns.kernel * per_group];
        for c in 0..channels {
            let tap = (c * rows.kernel + rows.one) * columns.kernel + columns.one;
            weights[tap * per_group + c % per_group] = 1.0;
        }
        let window = Window { kernel: [rows.kernel, columns.kernel], stride, pad: [0; 4] };
        let dilation = [rows.dilation, columns.dilation];
        self.convolved(name, node, weights, vec![0.0; channels], window, dilation, groups)
    }

    /// Reorders, repeats or drops channels, or makes them constant: output channel c is a copy of `from[c]`, to
    /// which `bias[c]` is added.
    pub(super) fn reordered(
        &mut self,
        name: &str,
        node: NodeId,
        from: &[Option<usize>],
        bias: Vec<f32>,
    ) -> Result<NodeId, Problem> {
        let channels = self.nodes[node].shape.c;
        let mut weights = vec![0.0; from.len() * channels];
        for (row, c) in weights.chunks_exact_mut(channels).zip(from) {
            if let Some(c) = *c {
                row[c] = 1.0;
            }
        }
        let window = Window { kernel: [1, 1], stride: [1, 1], pad: [0; 4] };
        self.convolved(name, node, weights, bias, window, [1, 1], 1)
    }

    #[allow(clippy::too_many_arguments)]
    /// Adds a convolution with these weights, OHWI.
    pub fn convolved(
        &mut self,
        name: &str,
        node: NodeId,
        weights: Vec<f32>,
        bias: Vec<f32>,
        window: Window,
        dilation: [usize; 2],
        groups: usize,
    ) -> Result<NodeId, Problem> {
        let input = self.nodes[node].shape;
        let [h, w] = window
            .output([input.h, input.w], dilation)
            .ok_or_else(|| format!("a kernel of {:?} is larger than {input}", window.kernel))?;
        let shape = Shape::new(h, w, bias.len());
        shape.validate().map_err(|e| format!("its output would be {shape}: {e}"))?;
        let pad_value = vec![0.0; input.c];
        let op = Op::Conv(Conv { weights, bias, window, dilation, groups, pad_value });
        Ok(self.push(name, op, vec![node], shape))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_as_long_as_they_can_be() {
        let runs = |map: &[i64]| {
            let map: Vec<Option<usize>> = map.iter().map(|&i| usize::try_from(i).ok()).collect();
            Run::all(&map).iter().map(|r| (r.at, r.count, r.from, r.step)).collect::<Vec<_>>()
        };
        assert_eq!(runs(&[-1, 0, 2, 4, -1]), [(1, 3, 0, 2)], "zeros around every second");
        assert_eq!(runs(&[1, 0, 1, 2, 1]), [(0, 1, 1, 1), (1, 3, 0, 1), (4, 1, 1, 1)], "mirrored borders");
        assert_eq!(runs(&[0, 0, 1, 1]), [(0, 1, 0, 1), (1, 2, 0, 1), (3, 1, 1, 1)], "repeated");
    }

    #[test]
    fn taps_pick_what_they_should() {
        let picked = |side: usize, run: Run| {
            let tap = Tap::find(side, run)?;
            let reach = (tap.kernel - 1) * tap.dilation;
            let count = (side - 1 - reach) / run.step + 1;
            Some((0..count).map(|i| i * run.step + tap.one * tap.dilation).collect::<Vec<_>>())
        };
        for side in 1..40 {
            for from in 0..side {
                for step in 1..4 {
                    for count in 1..=(side - 1 - from) / step + 1 {
                        if let Some(got) = picked(side, Run { at: 0, count, from, step }) {
                            assert!(got.into_iter().eq((0..count).map(|i| from + i * step)));
                        }
                    }
                }
            }
        }
        assert_eq!(picked(32, Run { at: 0, count: 16, from: 0, step: 2 }).unwrap().len(), 16);
        assert_eq!(picked(32, Run { at: 0, count: 28, from: 2, step: 1 }).unwrap()[0], 2);
    }
}
