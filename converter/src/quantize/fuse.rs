//! Fuses the float graph into layers: determines the int8 tensors, and the step that writes each.
//!
//! ```text
//! Conv (+ Add) (+ Relu)                      one convolution step
//! Conv (+ Add) ─┬─ raw sum                   one convolution step with two outputs (ResNet V2)
//!               └─ Affine (+ Relu)
//! Affine (+ Relu), Add (+ Relu), Relu        elementwise steps, where no convolution can take them
//! Curve                                      a table of 256 entries
//! MaxPool, GlobalAvgPool                     as they are
//! ```
//!
//! A clip with other bounds is fused wherever a ReLU is, because a step bounds its output anyway.
//!
//! A layer takes the position of its sum in the graph, so every reader comes later.

use std::collections::HashMap;

use foldnet_kernels::Shape;

use super::QuantizeError;
use crate::curve::Curve;
use crate::graph::{Conv, Graph, Node, NodeId, Op, Window};

/// An index into [`Fusion::slots`].
pub type SlotId = usize;

/// An activation that will be int8 (or f32, for the last one).
#[derive(Clone, Debug, PartialEq)]
pub struct Slot {
    /// The node with its float value.
    pub node: NodeId,
    /// Its shape.
    pub shape: Shape,
    /// The bounds of the ReLU or clip that writes it.
    pub bounds: Option<(f32, f32)>,
    /// The slot whose scale it shares, which is the input of a max pooling.
    pub same_as: Option<SlotId>,
}

/// The second output of a convolution: an affine map of the unrounded sum, or the sum's ReLU or clip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Second {
    /// The [`Op::Affine`]; `None` for a bare ReLU or clip.
    pub affine: Option<NodeId>,
    /// The slot that is written.
    pub slot: SlotId,
}

/// A future step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// A convolution with its fused operators.
    Conv {
        /// The [`Op::Conv`].
        conv: NodeId,
        /// The node of the unrounded sum: the convolution or the addition.
        sum: NodeId,
        /// Input.
        x: SlotId,
        /// Residual.
        skip: Option<SlotId>,
        /// The rounded sum.
        y: Option<SlotId>,
        /// See [`Second`].
        second: Option<Second>,
    },
    /// An [`Op::MaxPool`].
    MaxPool {
        /// The node.
        node: NodeId,
        /// Input.
        x: SlotId,
        /// Output.
        y: SlotId,
    },
    /// An [`Op::GlobalAvgPool`].
    AvgPool {
        /// The node.
        node: NodeId,
        /// Input.
        x: SlotId,
        /// Output.
        y: SlotId,
    },
    /// An [`Op::Affine`], [`Op::Relu`] or [`Op::Clip`] that could not be fused into a convolution.
    Affine {
        /// The node.
        node: NodeId,
        /// Input.
        x: SlotId,
        /// Output.
        y: SlotId,
    },
    /// An [`Op::Add`] that could not be fused into a convolution.
    Add {
        /// The node.
        node: NodeId,
        /// First summand.
        a: SlotId,
        /// Second summand.
        b: SlotId,
        /// Output.
        y: SlotId,
    },
    /// An [`Op::Curve`].
    Curve {
        /// The node.
        node: NodeId,
        /// Input.
        x: SlotId,
        /// Output.
        y: SlotId,
    },
    /// An [`Op::Scale`].
    Scale {
        /// The node.
        node: NodeId,
        /// Input.
        x: SlotId,
        /// One value per channel.
        gate: SlotId,
        /// Output.
        y: SlotId,
    },
    /// The output of a network that ends in a feature map.
    Dequantize {
        /// The node with its value.
        node: NodeId,
        /// Input.
        x: SlotId,
        /// The logits.
        y: SlotId,
    },
}

impl Layer {
    /// Returns whether the layer reads a slot.
    pub fn reads(&self, slot: SlotId) -> bool {
        match *self {
            Self::Conv { x, skip, .. } => x == slot || skip == Some(slot),
            Self::Add { a, b, .. } => a == slot || b == slot,
            Self::Scale { x, gate, .. } => x == slot || gate == slot,
            Self::MaxPool { x, .. }
            | Self::AvgPool { x, .. }
            | Self::Affine { x, .. }
            | Self::Curve { x, .. }
            | Self::Dequantize { x, .. } => x == slot,
        }
    }

    /// Returns the node after which it is named.
    pub fn node(&self) -> NodeId {
        match *self {
            Self::Conv { conv, .. } => conv,
            Self::MaxPool { node, .. }
            | Self::AvgPool { node, .. }
            | Self::Affine { node, .. }
            | Self::Add { node, .. }
            | Self::Curve { node, .. }
            | Self::Scale { node, .. }
            | Self::Dequantize { node, .. } => node,
        }
    }
}

/// The fused network: its tensors and layers.
#[derive(Clone, Debug, PartialEq)]
pub struct Fusion {
    /// The tensors; number 0 is the pixels.
    pub slots: Vec<Slot>,
    /// The layers in execution order.
    pub layers: Vec<Layer>,
    /// The slot of the f32 logits.
    pub logits: SlotId,
}

impl Fusion {
    /// Returns the slot that determines this one's scale.
    pub fn root(&self, mut slot: SlotId) -> SlotId {
        while let Some(up) = self.slots[slot].same_as {
            slot = up;
        }
        slot
    }

    /// Returns the nodes whose values are tensors, ascending.
    pub fn nodes(&self) -> Vec<NodeId> {
        let mut nodes: Vec<NodeId> = self.slots.iter().map(|s| s.node).collect();
        nodes.sort_unstable();
        nodes.dedup();
        nodes
    }

    /// Returns the function through which a slot is read, if it is the only reader and the same in all channels.
    /// Sigmoid and tanh do not count, so that archives with such gates stay unchanged.
    pub fn only_curve<'g>(&self, graph: &'g Graph, slot: SlotId) -> Option<&'g Curve> {
        let mut readers = self.layers.iter().filter(|layer| layer.reads(slot));
        let (Some(Layer::Curve { node, .. }), None) = (readers.next(), readers.next()) else { return None };
        match &graph.nodes[*node].op {
            Op::Curve(curve) if curve.single().is_none() && curve.channels() == 1 => Some(curve),
            _ => None,
        }
    }

    /// Returns the slots with their own scale, except the pixels and the logits.
    pub fn scaled(&self) -> impl Iterator<Item = SlotId> + '_ {
        (1..self.slots.len()).filter(|&s| s != self.logits && self.slots[s].same_as.is_none())
    }
}

/// Adds a depthwise 1×1 convolution with weights 1 to a network whose output is not that of a dense layer
/// (features after pooling, a batch normalization or ReLU at the end), so that its last step is one. A network
/// that ends in a feature map stays unchanged.
pub fn with_dense_end(graph: &Graph) -> Graph {
    let out = &graph.nodes[graph.output];
    if out.shape.pixels() != 1 {
        return graph.clone();
    }
    let read = graph.nodes.iter().any(|n| n.inputs.contains(&graph.output));
    if matches!(out.op, Op::Conv(_)) && !read {
        return graph.clone();
    }
    let c = out.shape.c;
    let mut graph = graph.clone();
    let window = Window { kernel: [1, 1], stride: [1, 1], pad: [0; 4] };
    graph.nodes.push(Node {
        name: format!("{}/logits", graph.nodes[graph.output].name),
        op: Op::Conv(Conv {
            weights: vec![1.0; c],
            bias: vec![0.0; c],
            window,
            dilation: [1, 1],
            groups: c,
            pad_value: vec![0.0; c],
        }),
        inputs: vec![graph.output],
        shape: Shape::new(1, 1, c),
    });
    graph.output = graph.nodes.len() - 1;
    graph
}

/// Fuses a graph whose end is that of [`with_dense_end`].
pub fn fuse(graph: &Graph) -> Result<Fusion, QuantizeError> {
    Fuser::new(graph).run()
}

struct Fuser<'a> {
    graph: &'a Graph,
    readers: Vec<Vec<NodeId>>,
    /// The convolution into which each addition is fused.
    into: HashMap<NodeId, NodeId>,
    /// The nodes computed by a layer that was already emitted.
    taken: Vec<bool>,
    slot_of: HashMap<NodeId, SlotId>,
    fusion: Fusion,
}

impl<'a> Fuser<'a> {
    fn new(graph: &'a Graph) -> Self {
        let pixels = Slot { node: 0, shape: graph.input(), bounds: None, same_as: None };
        let mut fuser = Self {
            graph,
            readers: graph.readers(),
            into: HashMap::new(),
            taken: vec![false; graph.nodes.len()],
            slot_of: HashMap::from([(0, 0)]),
            fusion: Fusion { slots: vec![pixels], layers: Vec::new(), logits: 0 },
        };
        for (id, node) in graph.nodes.iter().enumerate() {
            if node.op == Op::Add {
                let conv = |n: &NodeId| matches!(graph.nodes[*n].op, Op::Conv(_));
                let candidates = node.inputs.iter().copied().filter(conv);
                let candidates = candidates.filter(|&n| fuser.only_reader(n) == Some(id));
                // A model that is already quantized defines what is rounded before the addition.
                if let Some(conv) = candidates.filter(|&n| !graph.is_rounded(n)).max() {
                    fuser.into.insert(id, conv);
                    fuser.taken[conv] = true;
                }
            }
        }
        fuser
    }

    fn only_reader(&self, node: NodeId) -> Option<NodeId> {
        match self.readers[node][..] {
            [reader] if node != self.graph.output => Some(reader),
            _ => None,
        }
    }

    /// Returns the ReLU or clip that follows this node, if it is the only reader.
    fn clip_behind(&self, node: NodeId) -> Option<NodeId> {
        let given = |n: NodeId| self.graph.given.get(&self.graph.nodes[n].name);
        // A value that is rounded in two ways is two values.
        let one = |r: NodeId| given(node).zip(given(r)).is_none_or(|(a, b)| a.rounds_as(b));
        self.only_reader(node).filter(|&r| self.bounds(r).is_some() && one(r))
    }

    fn bounds(&self, node: NodeId) -> Option<(f32, f32)> {
        self.graph.nodes[node].op.bounds()
    }

    fn slot(&mut self, node: NodeId, bounds: Option<(f32, f32)>, same_as: Option<SlotId>) -> SlotId {
        let id = self.fusion.slots.len();
        self.fusion.slots.push(Slot { node, shape: self.graph.nodes[node].shape, bounds, same_as });
        self.slot_of.insert(node, id);
        self.taken[node] = true;
        id
    }

    /// Returns the slot of a node or, if it is the only reader, of its ReLU or clip.
    fn slot_with_clip(&mut self, node: NodeId) -> SlotId {
        self.taken[node] = true;
        match self.clip_behind(node) {
            Some(clip) => self.slot(clip, self.bounds(clip), None),
            None => self.slot(node, None, None),
        }
    }

    /// Returns the slot that an elementwise or pooling node reads.
    fn read(&self, node: NodeId, input: usize) -> Result<SlotId, QuantizeError> {
        let from = self.graph.nodes[node].inputs[input];
        match self.slot_of.get(&from) {
            Some(&slot) if slot != 0 => Ok(slot),
            Some(_) => Err(QuantizeError::ReadsPixels { node: self.graph.nodes[node].name.clone() }),
            None => Err(QuantizeError::Order { node: self.graph.nodes[node].name.clone() }),
        }
    }

    fn run(mut self) -> Result<Fusion, QuantizeError> {
        for id in 1..self.graph.nodes.len() {
            if self.taken[id] {
                continue;
            }
            let layer = match &self.graph.nodes[id].op {
                Op::Input => {
                    return Err(QuantizeError::TwoInputs { node: self.graph.nodes[id].name.clone() });
                }
                Op::Pad(_) => return Err(QuantizeError::Pad { node: self.graph.nodes[id].name.clone() }),
                Op::Conv(_) => self.conv(id, id)?,
                Op::Add => match self.into.get(&id) {
                    Some(&conv) => self.conv(conv, id)?,
                    None => {
                        let (a, b) = (self.read(id, 0)?, self.read(id, 1)?);
                        Layer::Add { node: id, a, b, y: self.slot_with_clip(id) }
                    }
                },
                Op::Affine { .. } => {
                    Layer::Affine { node: id, x: self.read(id, 0)?, y: self.slot_with_clip(id) }
                }
                Op::Relu | Op::Clip { .. } => {
                    let x = self.read(id, 0)?;
                    Layer::Affine { node: id, x, y: self.slot(id, self.bounds(id), None) }
                }
                Op::Curve(_) => Layer::Curve { node: id, x: self.read(id, 0)?, y: self.slot(id, None, None) },
                Op::Scale => {
                    let (x, gate) = (self.read(id, 0)?, self.read(id, 1)?);
                    Layer::Scale { node: id, x, gate, y: self.slot_with_clip(id) }
                }
                Op::MaxPool { .. } => {
                    let x = self.read(id, 0)?;
                    Layer::MaxPool { node: id, x, y: self.slot(id, self.fusion.slots[x].bounds, Some(x)) }
                }
                Op::GlobalAvgPool => {
                    let x = self.read(id, 0)?;
                    // The mean of a ReLU's output is not negative either.
                    Layer::AvgPool { node: id, x, y: self.slot(id, self.fusion.slots[x].bounds, None) }
                }
            };
            self.fusion.layers.push(layer);
        }
        if self.fusion.logits == 0
            && let Some(&x) = self.slot_of.get(&self.graph.output)
        {
            let (node, y) = (self.graph.output, self.slot(self.graph.output, None, None));
            self.fusion.logits = y;
            self.fusion.layers.push(Layer::Dequantize { node, x, y });
        }
        match self.fusion.logits {
            0 => Err(QuantizeError::Order { node: self.graph.nodes[self.graph.output].name.clone() }),
            _ => Ok(self.fusion),
        }
    }

    fn conv(&mut self, conv: NodeId, sum: NodeId) -> Result<Layer, QuantizeError> {
        let graph = self.graph;
        let from = graph.nodes[conv].inputs[0];
        let unordered = || QuantizeError::Order { node: graph.nodes[conv].name.clone() };
        let x = *self.slot_of.get(&from).ok_or_else(unordered)?;
        let skip = if sum == conv {
            None
        } else {
            let input = graph.nodes[sum].inputs.iter().position(|&n| n != conv).ok_or_else(unordered)?;
            Some(self.read(sum, input)?)
        };
        self.taken[sum] = true;
        // If the source model rounds its output, so do we.
        let rounded = graph.is_rounded(sum);
        if sum == graph.output && graph.nodes[sum].shape.pixels() == 1 && !rounded {
            self.fusion.logits = self.slot(sum, None, None);
            let y = Some(self.fusion.logits);
            return Ok(Layer::Conv { conv, sum, x, skip, y, second: None });
        }
        if self.clip_behind(sum).is_some() {
            let y = Some(self.slot_with_clip(sum));
            return Ok(Layer::Conv { conv, sum, x, skip, y, second: None });
        }
        if rounded {
            let y = Some(self.slot(sum, None, None));
            return Ok(Layer::Conv { conv, sum, x, skip, y, second: None });
        }
        let readers = &self.readers[sum];
        let affine = readers.iter().copied().find(|&r| matches!(graph.nodes[r].op, Op::Affine { .. }));
        let clip = readers.iter().copied().find(|&r| graph.nodes[r].op.bounds().is_some());
        let alone = readers.len() == 1;
        let y = if affine.is_some() && alone { None } else { Some(self.slot(sum, None, None)) };
        let second = match (affine, clip) {
            (Some(affine), _) => Some(Second { affine: Some(affine), slot: self.slot_with_clip(affine) }),
            (None, Some(clip)) => {
                Some(Second { affine: None, slot: self.slot(clip, self.bounds(clip), None) })
            }
            (None, None) => None,
        };
        Ok(Layer::Conv { conv, sum, x, skip, y, second })
    }
}
