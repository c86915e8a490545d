//! Small graphs, and a check that a pass preserves their function.

use std::collections::HashMap;

use foldnet_archive::Activation;
use foldnet_kernels::Shape;

use super::sweep;
use crate::curve::Curve;
use crate::float::FloatNet;
use crate::graph::{Conv, Graph, Node, NodeId, Op, Window};
use crate::image::Pixels;

/// Builds a chain in which each node reads the one before.
pub struct Build {
    graph: Graph,
    state: u32,
}

impl Build {
    pub fn new(h: usize, w: usize, c: usize) -> Self {
        let input = Node { name: "0".into(), op: Op::Input, inputs: vec![], shape: Shape::new(h, w, c) };
        Self {
            graph: Graph {
                nodes: vec![input],
                output: 0,
                activation: Activation::None,
                given: HashMap::new(),
            },
            state: 1,
        }
    }

    /// Returns numbers between −1 and 1.
    fn numbers(&mut self, n: usize) -> Vec<f32> {
        let mut next = || {
            self.state = self.state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (self.state >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        (0..n).map(|_| next()).collect()
    }

    fn shape(&self) -> Shape {
        self.graph.nodes[self.graph.output].shape
    }

    fn push(mut self, op: Op, also: &[NodeId], shape: Shape) -> Self {
        let inputs = std::iter::once(self.graph.output).chain(also.iter().copied()).collect();
        self.graph.output = self.graph.nodes.len();
        self.graph.nodes.push(Node { name: self.graph.output.to_string(), op, inputs, shape });
        self
    }

    pub fn conv(self, outputs: usize, kernel: [usize; 2], pad: [usize; 4]) -> Self {
        self.grouped(outputs, kernel, pad, 1)
    }

    pub fn grouped(mut self, outputs: usize, kernel: [usize; 2], pad: [usize; 4], groups: usize) -> Self {
        let Shape { h, w, c } = self.shape();
        let window = Window { kernel, stride: [1, 1], pad };
        let weights = self.numbers(outputs * kernel[0] * kernel[1] * c / groups);
        let bias = self.numbers(outputs);
        let [h, w] = window.output([h, w], [1, 1]).unwrap();
        let op = Op::Conv(Conv { weights, bias, window, dilation: [1, 1], groups, pad_value: vec![0.0; c] });
        self.push(op, &[], Shape::new(h, w, outputs))
    }

    /// Adds a convolution of stride 1, padded to keep its size, that reads an earlier node.
    pub fn beside(mut self, from: NodeId, outputs: usize, kernel: [usize; 2]) -> Self {
        self.graph.output = from;
        let around = [kernel[0] / 2, kernel[1] / 2, kernel[0] / 2, kernel[1] / 2];
        self.conv(outputs, kernel, around)
    }

    /// Adds a convolution that picks channels, on every `stride`-th pixel.
    pub fn pick(self, from: &[Option<usize>], stride: usize) -> Self {
        let Shape { h, w, c } = self.shape();
        let mut weights = vec![0.0; from.len() * c];
        from.iter().enumerate().for_each(|(o, c_in)| {
            if let Some(i) = c_in {
                weights[o * c + i] = 1.0;
            }
        });
        let window = Window { kernel: [1, 1], stride: [stride; 2], pad: [0; 4] };
        let [h, w] = window.output([h, w], [1, 1]).unwrap();
        let (bias, pad_value) = (vec![0.0; from.len()], vec![0.0; c]);
        let op = Op::Conv(Conv { weights, bias, window, dilation: [1, 1], groups: 1, pad_value });
        self.push(op, &[], Shape::new(h, w, from.len()))
    }

    pub fn affine(mut self) -> Self {
        let shape = self.shape();
        let (gain, offset) = (self.numbers(shape.c), self.numbers(shape.c));
        self.push(Op::Affine { gain, offset }, &[], shape)
    }

    /// Adds the same affine map for all channels.
    pub fn scaled(self, gain: f32, offset: f32) -> Self {
        let shape = self.shape();
        self.push(Op::Affine { gain: vec![gain; shape.c], offset: vec![offset; shape.c] }, &[], shape)
    }

    pub fn curve(self, curve: Curve) -> Self {
        let shape = self.shape();
        self.push(Op::Curve(curve), &[], shape)
    }

    pub fn clip(self, lo: f32, hi: f32) -> Self {
        let shape = self.shape();
        self.push(Op::Clip { lo, hi }, &[], shape)
    }

    /// Returns the node added last.
    pub fn last(&mut self) -> &mut Node {
        &mut self.graph.nodes[self.graph.output]
    }

    pub fn relu(self) -> Self {
        let shape = self.shape();
        self.push(Op::Relu, &[], shape)
    }

    pub fn add(self, other: NodeId) -> Self {
        let shape = self.shape();
        self.push(Op::Add, &[other], shape)
    }

    pub fn pad(self, around: [usize; 4]) -> Self {
        let Shape { h, w, c } = self.shape();
        let shape = Shape::new(h + around[0] + around[2], w + around[1] + around[3], c);
        self.push(Op::Pad(around), &[], shape)
    }

    pub fn max_pool(self, kernel: [usize; 2], pad: [usize; 4]) -> Self {
        let Shape { h, w, c } = self.shape();
        let window = Window { kernel, stride: [1, 1], pad };
        let [h, w] = window.output([h, w], [1, 1]).unwrap();
        self.push(Op::MaxPool { window, floor_at_zero: false }, &[], Shape::new(h, w, c))
    }

    pub fn done(self) -> Graph {
        self.graph
    }
}

/// Runs a pass until it is done; checks that nodes of these kinds remain and compute the same.
pub fn check(before: &Graph, pass: fn(&mut Graph) -> bool, kinds: &[&str]) {
    let mut after = before.clone();
    while pass(&mut after) {}
    sweep::run(&mut after);
    let left: Vec<&str> = after.nodes.iter().map(|n| n.op.kind()).collect();
    assert_eq!(left, kinds);
    let values: Vec<u8> = (0..before.input().len()).map(|i| (i * 89 % 256) as u8).collect();
    let pixels = Pixels::new(before.input(), values).unwrap();
    let run = |graph: &Graph| FloatNet::new(graph).run(&pixels).unwrap()[graph.output].clone();
    let (expected, got) = (run(before), run(&after));
    let range = expected.iter().fold(0.0f32, |m, v| m.max(v.abs()));
    assert_eq!(expected.len(), got.len());
    for (e, g) in expected.iter().zip(&got) {
        assert!((e - g).abs() <= 1e-5 * range, "{e} became {g}");
    }
}
