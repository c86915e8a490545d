//! The float network between import and quantization.
//!
//! It is a list of nodes in execution order, each with one output, NHWC, batch 1. Import writes it close to the
//! source model (batch normalizations as [`Op::Affine`], activations as separate nodes). The passes in
//! [`crate::pass`] fold it into the form that [`crate::quantize`] converts to int8 steps.

use std::collections::HashMap;

use foldnet_kernels::Shape;

use crate::curve::Curve;

/// An index into [`Graph::nodes`].
pub type NodeId = usize;

/// A float network. Node 0 is [`Op::Input`].
#[derive(Clone, Debug, PartialEq)]
pub struct Graph {
    /// The nodes in execution order: a node's inputs have smaller numbers.
    pub nodes: Vec<Node>,
    /// The node whose value is the network's output before [`Graph::activation`].
    pub output: NodeId,
    /// The last function of the source model, which is removed so that logits can be compared.
    pub activation: foldnet_archive::Activation,
    /// The scales and zero points in the source model, by the name of the node whose value they quantize. If there
    /// are any, nothing is calibrated or corrected: they are used unchanged.
    pub given: HashMap<String, Given>,
}

/// The source model's quantization of a value: `(q − zero)·scale`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Given {
    /// The scale; positive.
    pub scale: f32,
    /// The zero point as for int8; that of uint8 minus 128.
    pub zero: i8,
    /// Whether a node in the source model reads the value before rounding.
    pub read_exactly: bool,
}

impl Given {
    /// Returns whether both round in the same way.
    pub fn rounds_as(&self, other: &Self) -> bool {
        (self.scale, self.zero) == (other.scale, other.zero)
    }
}

/// One operator and its output.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// The node's name in the source model; unique.
    pub name: String,
    /// The operator.
    pub op: Op,
    /// The inputs, as many as the operator takes.
    pub inputs: Vec<NodeId>,
    /// The output shape.
    pub shape: Shape,
}

/// The operators. Vectors "per channel" have one value per output channel unless stated otherwise.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// The image. Before the preprocessing is folded in, it has the source model's own units and channel order;
    /// afterwards, it is pixels 0…255, RGB.
    Input,
    /// `y = Σ x·w + b`; padding has the value `pad_value` per input channel.
    Conv(Conv),
    /// `y = x·gain + offset` per channel.
    Affine {
        /// The gain per channel.
        gain: Vec<f32>,
        /// The offset per channel.
        offset: Vec<f32>,
    },
    /// `max(x, 0)`.
    Relu,
    /// `min(max(x, lo), hi)`; a bound may be infinite.
    Clip {
        /// The smallest value.
        lo: f32,
        /// The largest value.
        hi: f32,
    },
    /// Sum of two inputs of one shape.
    Add,
    /// Maximum over a window.
    MaxPool {
        /// Kernel, stride, padding.
        window: Window,
        /// Whether padding counts as zeros (a folded zero padding); otherwise it never wins.
        floor_at_zero: bool,
    },
    /// Mean over all pixels, output 1×1.
    GlobalAvgPool,
    /// Zero padding (top, left, bottom, right), which the passes eliminate.
    Pad([usize; 4]),
    /// A function of each single value that no other operator here describes.
    Curve(Curve),
    /// The first input, each channel times the second, which is `1×1×c`.
    Scale,
}

impl Op {
    /// Describes the operator in words.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Conv(_) => "convolution",
            Self::Affine { .. } => "affine map",
            Self::Relu => "ReLU",
            Self::Clip { .. } => "clip",
            Self::Add => "addition",
            Self::MaxPool { .. } => "max pooling",
            Self::GlobalAvgPool => "global average pooling",
            Self::Pad(_) => "padding",
            Self::Curve(curve) => match curve.single() {
                Some("Sigmoid") => "sigmoid",
                Some("Tanh") => "tanh",
                _ => "function of one value",
            },
            Self::Scale => "product per channel",
        }
    }

    /// Returns whether this is exactly the sigmoid.
    pub fn is_sigmoid(&self) -> bool {
        matches!(self, Self::Curve(curve) if curve.single() == Some("Sigmoid"))
    }

    /// Returns the bounds of a ReLU or clip.
    pub fn bounds(&self) -> Option<(f32, f32)> {
        match *self {
            Self::Relu => Some((0.0, f32::INFINITY)),
            Self::Clip { lo, hi } => Some((lo, hi)),
            _ => None,
        }
    }

    /// Returns the operator as a function, if it depends only on one input's value at the same place.
    pub fn curve(&self) -> Option<Curve> {
        match self {
            Self::Affine { gain, offset } => {
                let product = Curve::of("Mul", &[&Curve::x(), &Curve::per_channel(gain)]);
                Some(Curve::of("Add", &[&product, &Curve::per_channel(offset)]))
            }
            Self::Relu | Self::Clip { .. } => self.bounds().map(|(lo, hi)| Curve::x().clip(lo, hi)),
            Self::Curve(curve) => Some(curve.clone()),
            _ => None,
        }
    }
}

/// A convolution; a dense layer is one whose kernel covers its whole input.
#[derive(Clone, Debug, PartialEq)]
pub struct Conv {
    /// OHWI: output channel, kernel row, kernel column, input channel of the group.
    pub weights: Vec<f32>,
    /// The bias per channel.
    pub bias: Vec<f32>,
    /// Kernel, stride, padding.
    pub window: Window,
    /// The vertical and the horizontal dilation.
    pub dilation: [usize; 2],
    /// Channel groups.
    pub groups: usize,
    /// The value of the padding per *input* channel: zeros, until the preprocessing is folded in, and then the
    /// preimage of zero.
    pub pad_value: Vec<f32>,
}

/// A sliding window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Height and width.
    pub kernel: [usize; 2],
    /// Vertical, horizontal.
    pub stride: [usize; 2],
    /// Top, left, bottom, right.
    pub pad: [usize; 4],
}

impl Window {
    /// Returns the output's height and width for an input of this size, with taps `dilation` apart. Returns `None`
    /// if the kernel is larger than the padded input.
    pub fn output(&self, input: [usize; 2], dilation: [usize; 2]) -> Option<[usize; 2]> {
        let side = |a: usize| {
            let reach = (self.kernel[a].checked_sub(1)?) * dilation[a] + 1;
            let room = (input[a] + self.pad[a] + self.pad[a + 2]).checked_sub(reach)?;
            Some(room / self.stride[a] + 1)
        };
        Some([side(0)?, side(1)?])
    }

    /// Returns the row (axis 0) or column (axis 1) of an input of `side` that a tap reads for an output there, with
    /// taps `dilation` apart; `None` in the padding.
    pub fn place(
        &self,
        axis: usize,
        output: usize,
        tap: usize,
        dilation: usize,
        side: usize,
    ) -> Option<usize> {
        let padded = output * self.stride[axis] + tap * dilation;
        padded.checked_sub(self.pad[axis]).filter(|&at| at < side)
    }
}

impl Graph {
    /// Returns the input's shape.
    pub fn input(&self) -> Shape {
        self.nodes[0].shape
    }

    /// Returns whether the source model rounds a node's value before anything reads it. If so, its readers cannot
    /// be fused with it. (The image's bytes, and anything computed from them alone, are exact.)
    pub fn is_rounded(&self, node: NodeId) -> bool {
        let of = &self.nodes[node];
        let rounded = self.given.get(&of.name).is_some_and(|given| !given.read_exactly);
        rounded && !(matches!(of.op, Op::Affine { .. }) && of.inputs == [0])
    }

    /// Returns, for every node, the nodes that read it. The output does not count as a reader.
    pub fn readers(&self) -> Vec<Vec<NodeId>> {
        let mut readers = vec![Vec::new(); self.nodes.len()];
        for (id, node) in self.nodes.iter().enumerate() {
            for &input in &node.inputs {
                readers[input].push(id);
            }
        }
        readers
    }
}
