//! Runs a [`Graph`] in f32 and keeps every node's value.
//!
//! Ranges are measured and the int8 network is judged with it. Its results have the same bits on every processor:
//! every sum has a fixed order and a multiplication is never contracted with an addition. So the converter writes
//! the same archive everywhere. Values are NHWC, as in the graph.

mod conv;
mod tile;
mod value;

use crate::calibrate::in_lanes;
use crate::graph::{Graph, NodeId, Op};
use crate::image::Pixels;

use conv::Convolution;

/// The reason why a float network does not run.
#[derive(Debug, thiserror::Error)]
pub enum FloatError {
    /// The number of values does not match the input.
    #[error("{got} numbers for an input of {expected}")]
    Input {
        /// The number of values given.
        got: usize,
        /// The number of values in the graph's input.
        expected: usize,
    },
}

/// The effect of rounding a value to int8 and back: `s·(clamp(rne(v/s) + z, lo, hi) − z)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Grid {
    /// `s`.
    pub scale: f32,
    /// `z`.
    pub zero: i8,
    /// The lowest level.
    pub lo: i8,
    /// The highest level.
    pub hi: i8,
}

impl Grid {
    fn round(&self, values: &mut [f32]) {
        let zero = f32::from(self.zero);
        let (inverse, lo, hi) = (1.0 / self.scale, f32::from(self.lo) - zero, f32::from(self.hi) - zero);
        values.iter_mut().for_each(|v| *v = (*v * inverse).round_ties_even().max(lo).min(hi) * self.scale);
    }
}

/// The values of a graph that are rounded, and the nodes that read them unrounded.
#[derive(Clone, Debug, Default)]
pub struct Grids {
    /// The rounded nodes, each with its grid.
    pub rounded: Vec<(NodeId, Grid)>,
    /// The nodes that read their input before rounding.
    pub unrounded: Vec<NodeId>,
}

/// A runnable graph; it runs on the caller's thread, and several threads may run it at once.
pub struct FloatNet {
    graph: Graph,
    /// The convolutions in the layout of the loops, by node.
    convolutions: Vec<Option<Convolution>>,
    grids: Grids,
    /// The last node that reads each node; `None` if its value is a result.
    last_reader: Vec<Option<NodeId>>,
    results: Vec<NodeId>,
}

impl FloatNet {
    /// Prepares a graph; [`FloatNet::run`] returns every node's value.
    pub fn new(graph: &Graph) -> Self {
        Self::prepare(graph, Grids::default(), (0..graph.nodes.len()).collect())
    }

    /// Returns the network with some values rounded like int8; [`FloatNet::run`] then returns only the logits.
    pub fn rounded(graph: &Graph, grids: &Grids) -> Self {
        Self::prepare(graph, grids.clone(), vec![graph.output])
    }

    fn prepare(graph: &Graph, grids: Grids, results: Vec<NodeId>) -> Self {
        let mut last_reader: Vec<Option<NodeId>> = (0..graph.nodes.len()).map(Some).collect();
        for (id, node) in graph.nodes.iter().enumerate() {
            node.inputs.iter().for_each(|&input| last_reader[input] = Some(id));
        }
        results.iter().for_each(|&result| last_reader[result] = None);
        let mut graph = graph.clone();
        let convolutions = graph.nodes.iter_mut().map(|node| match &mut node.op {
            Op::Conv(conv) => {
                let prepared = Convolution::new(conv, node.shape);
                // The prepared form has them; a second copy would be most of the memory.
                conv.weights = Vec::new();
                Some(prepared)
            }
            _ => None,
        });
        let convolutions = convolutions.collect();
        Self { graph, convolutions, grids, last_reader, results }
    }

    /// Returns the logits of each image, computed on all cores, of a network from [`FloatNet::rounded`].
    pub fn logits(&self, images: &[Pixels]) -> Result<Vec<Vec<f32>>, FloatError> {
        let answers = in_lanes(images.len(), |i| Ok(self.run(&images[i])?.swap_remove(0)));
        answers.into_iter().collect()
    }

    /// Returns every node's value for one image, HWC.
    pub fn run(&self, pixels: &Pixels) -> Result<Vec<Vec<f32>>, FloatError> {
        self.run_floats(&pixels.values().iter().map(|&p| f32::from(p)).collect::<Vec<_>>())
    }

    /// Returns every node's value for one input of arbitrary numbers, HWC.
    pub fn run_floats(&self, input: &[f32]) -> Result<Vec<Vec<f32>>, FloatError> {
        let expected = self.graph.input().len();
        if input.len() != expected {
            return Err(FloatError::Input { got: input.len(), expected });
        }
        let mut values: Vec<Computed> = Vec::with_capacity(self.graph.nodes.len());
        for id in 0..self.graph.nodes.len() {
            let exact = self.compute(id, input, &values);
            values.push(self.grids.value(id, exact));
            let read = self.graph.nodes[id].inputs.iter().chain([&id]);
            for &done in read.filter(|&&node| self.last_reader[node] == Some(id)) {
                values[done] = Computed::default();
            }
        }
        Ok(self.results.iter().map(|&node| std::mem::take(&mut values[node].rounded)).collect())
    }

    /// Computes a node's value before rounding.
    fn compute(&self, id: NodeId, input: &[f32], values: &[Computed]) -> Vec<f32> {
        let node = &self.graph.nodes[id];
        let unrounded = self.grids.unrounded.contains(&id);
        let read = |i: usize| values[node.inputs[i]].read(unrounded);
        let from = || self.graph.nodes[node.inputs[0]].shape;
        match &node.op {
            Op::Input => input.to_vec(),
            Op::Conv(_) => {
                let convolution = self.convolutions[id].as_ref().expect("prepared for every convolution");
                convolution.run(read(0), from())
            }
            Op::Affine { gain, offset } => value::affine(read(0), gain, offset),
            Op::Relu => value::clip(read(0), 0.0, f32::INFINITY),
            Op::Clip { lo, hi } => value::clip(read(0), *lo, *hi),
            Op::Add => value::add(read(0), read(1)),
            Op::MaxPool { window, floor_at_zero } => {
                value::max_pool(read(0), from(), window, node.shape, *floor_at_zero)
            }
            Op::GlobalAvgPool => value::mean(read(0), from()),
            Op::Pad(around) => value::pad(read(0), from(), *around, node.shape),
            Op::Curve(curve) => curve.map(read(0), node.shape.c),
            Op::Scale => value::scale(read(0), read(1)),
        }
    }
}

impl Grids {
    fn value(&self, node: NodeId, exact: Vec<f32>) -> Computed {
        match self.rounded.iter().find(|(n, _)| *n == node) {
            Some((_, grid)) => {
                let kept = (!self.unrounded.is_empty()).then(|| exact.clone());
                let mut rounded = exact;
                grid.round(&mut rounded);
                Computed { rounded, exact: kept }
            }
            None => Computed { rounded: exact, exact: None },
        }
    }
}

/// A node's value.
#[derive(Default)]
struct Computed {
    rounded: Vec<f32>,
    /// The value before rounding, if it is rounded and any node reads values before rounding.
    exact: Option<Vec<f32>>,
}

impl Computed {
    fn read(&self, unrounded: bool) -> &[f32] {
        self.exact.as_ref().filter(|_| unrounded).unwrap_or(&self.rounded)
    }
}
