//! Runs a [`Graph`] in f32 with tract and keeps every node's value.
//!
//! The int8 network is judged and ranges are measured with it, so being right is more important than being fast.
//! Values are NHWC, as in the graph. A convolution whose padding is not zero is run on `x − v` with zeros around
//! it and with `Σ v·w` added to the bias: exact up to f32 rounding.

mod elementwise;

use std::sync::Arc;

use foldnet_kernels::Shape;
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::array::{Pad, PadMode};
use tract_onnx::tract_core::ops::cnn::{
    Conv as TractConv, KernelFormat, MaxPool as TractMaxPool, PaddingSpec, PoolSpec,
};
use tract_onnx::tract_core::ops::math;
use tract_onnx::tract_core::ops::nn::{self, DataFormat, Reduce, Reducer};

use crate::calibrate::in_lanes;
use crate::graph::{Conv, Graph, Node, NodeId, Op, Window};
use crate::image::Pixels;

use elementwise::Elementwise;

/// The reason why a float network does not run.
#[derive(Debug, thiserror::Error)]
pub enum FloatError {
    /// A bug in Foldnet or in tract: the graph was checked before.
    #[error("the float network does not run in tract: {0}")]
    Tract(String),
    /// The number of values does not match the input.
    #[error("{got} numbers for an input of {expected}")]
    Input {
        /// The number of values given.
        got: usize,
        /// The number of values in the graph's input.
        expected: usize,
    },
}

impl From<TractError> for FloatError {
    fn from(error: TractError) -> Self {
        Self::Tract(format!("{error:#}"))
    }
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
    model: Arc<TypedRunnableModel>,
    input: Shape,
}

impl FloatNet {
    /// Builds and optimizes a graph.
    pub fn new(graph: &Graph) -> Result<Self, FloatError> {
        let mut model = TypedModel::default();
        let outlets = wire_all(&mut model, graph, &Grids::default())?;
        model.select_output_outlets(&outlets)?;
        Ok(Self { model: model.into_optimized()?.into_runnable()?, input: graph.input() })
    }

    /// Returns the network with some values rounded like int8; [`FloatNet::run`] then returns only the logits.
    pub fn rounded(graph: &Graph, grids: &Grids) -> Result<Self, FloatError> {
        let mut model = TypedModel::default();
        let outlets = wire_all(&mut model, graph, grids)?;
        model.select_output_outlets(&[outlets[graph.output]])?;
        Ok(Self { model: model.into_optimized()?.into_runnable()?, input: graph.input() })
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
        let Shape { h, w, c } = self.input;
        if input.len() != self.input.len() {
            return Err(FloatError::Input { got: input.len(), expected: self.input.len() });
        }
        let input = Tensor::from_shape(&[1, h, w, c], input)?;
        let outputs = self.model.run(tvec!(input.into_tvalue()))?;
        let values = |v: &TValue| Ok(v.try_as_plain_ram()?.as_slice::<f32>()?.to_vec());
        Ok(outputs.iter().map(values).collect::<TractResult<_>>()?)
    }
}

fn wire_all(model: &mut TypedModel, graph: &Graph, grids: &Grids) -> TractResult<Vec<OutletId>> {
    let mut raw: Vec<OutletId> = Vec::with_capacity(graph.nodes.len());
    let mut rounded = raw.clone();
    for (id, node) in graph.nodes.iter().enumerate() {
        let from = if grids.unrounded.contains(&id) { &raw } else { &rounded };
        let inputs: Vec<OutletId> = node.inputs.iter().map(|&i| from[i]).collect();
        let outlet = wire(model, id, node, &inputs)?;
        raw.push(outlet);
        rounded.push(match grids.rounded.iter().find(|(n, _)| *n == id) {
            Some((_, grid)) => wire_grid(model, format!("{id}.grid"), *grid, outlet)?,
            None => outlet,
        });
    }
    Ok(rounded)
}

fn wire_grid(model: &mut TypedModel, name: String, grid: Grid, x: OutletId) -> TractResult<OutletId> {
    let zero = f32::from(grid.zero);
    let mut constant = |part: &str, v: f32| per_channel(model, format!("{name}.{part}"), &[v]);
    let inverse = constant("inverse", 1.0 / grid.scale)?;
    let lo = constant("lo", f32::from(grid.lo) - zero)?;
    let hi = constant("hi", f32::from(grid.hi) - zero)?;
    let scale = constant("scale", grid.scale)?;
    let x = model.wire_node(format!("{name}.steps"), math::mul(), &[x, inverse])?[0];
    let x = model.wire_node(format!("{name}.round"), math::round_half_to_even(), &[x])?[0];
    let x = model.wire_node(format!("{name}.above"), math::max(), &[x, lo])?[0];
    let x = model.wire_node(format!("{name}.below"), math::min(), &[x, hi])?[0];
    Ok(model.wire_node(name, math::mul(), &[x, scale])?[0])
}

fn wire(model: &mut TypedModel, id: usize, node: &Node, inputs: &[OutletId]) -> TractResult<OutletId> {
    // Nodes' names are unique among themselves; the names that we add must be unique, too.
    let name = format!("{id}.{}", node.name);
    let Shape { h, w, c } = node.shape;
    Ok(match &node.op {
        Op::Input => model.add_source(name, f32::fact([1, h, w, c]))?,
        Op::Conv(conv) => wire_conv(model, &name, conv, c, inputs[0])?,
        Op::Affine { gain, offset } => {
            let gain = per_channel(model, format!("{name}.gain"), gain)?;
            let offset = per_channel(model, format!("{name}.offset"), offset)?;
            let product = model.wire_node(format!("{name}.product"), math::mul(), &[inputs[0], gain])?[0];
            model.wire_node(name, math::add(), &[product, offset])?[0]
        }
        Op::Relu => {
            let zero = per_channel(model, format!("{name}.zero"), &[0.0])?;
            model.wire_node(name, math::max(), &[inputs[0], zero])?[0]
        }
        Op::Add => model.wire_node(name, math::add(), inputs)?[0],
        Op::MaxPool { window, floor_at_zero } => {
            let mut x = inputs[0];
            let mut window = *window;
            if *floor_at_zero {
                x = wire_pad(model, format!("{name}.pad"), window.pad, x)?;
                window.pad = [0; 4];
            }
            let pool_spec = spec(&window, [1, 1], c, c);
            model.wire_node(name, TractMaxPool { pool_spec, with_index_outputs: None }, &[x])?[0]
        }
        Op::GlobalAvgPool => {
            let shape = model.outlet_fact(inputs[0])?.shape.as_concrete().context("shapes are known")?;
            let pixels = (shape[1] * shape[2]) as f32;
            let sum = Reduce { axes: tvec![1, 2], reducer: Reducer::Sum };
            let sum = model.wire_node(format!("{name}.sum"), sum, inputs)?[0];
            let factor = per_channel(model, format!("{name}.factor"), &[1.0 / pixels])?;
            model.wire_node(name, math::mul(), &[sum, factor])?[0]
        }
        Op::Pad(around) => wire_pad(model, name, *around, inputs[0])?,
        Op::Clip { lo, hi } => {
            let mut x = inputs[0];
            for (part, bound, op) in [("lo", *lo, math::max()), ("hi", *hi, math::min())] {
                if bound.is_finite() {
                    let bound = per_channel(model, format!("{name}.{part}"), &[bound])?;
                    x = model.wire_node(format!("{name}.{part}_bound"), op, &[x, bound])?[0];
                }
            }
            x
        }
        Op::Curve(curve) => match curve.single() {
            Some("Sigmoid") => model.wire_node(name, nn::sigmoid(), inputs)?[0],
            Some("Tanh") => model.wire_node(name, math::tanh(), inputs)?[0],
            _ => model.wire_node(name, Elementwise::new(curve.clone(), c), inputs)?[0],
        },
        Op::Scale => model.wire_node(name, math::mul(), inputs)?[0],
    })
}

fn per_channel(model: &mut TypedModel, name: String, values: &[f32]) -> TractResult<OutletId> {
    model.add_const(name, Tensor::from_shape(&[1, 1, 1, values.len()], values)?)
}

fn wire_pad(model: &mut TypedModel, name: String, around: [usize; 4], x: OutletId) -> TractResult<OutletId> {
    let [top, left, bottom, right] = around;
    let pad = Pad {
        pads: vec![(0, 0), (top, bottom), (left, right), (0, 0)],
        mode: PadMode::Constant(Arc::new(tensor0(0.0f32))),
    };
    Ok(model.wire_node(name, pad, &[x])?[0])
}

fn spec(window: &Window, dilation: [usize; 2], inputs: usize, outputs: usize) -> PoolSpec {
    let [top, left, bottom, right] = window.pad;
    PoolSpec::new(
        DataFormat::NHWC,
        window.kernel.as_slice().into(),
        PaddingSpec::Explicit(tvec![top, left], tvec![bottom, right]),
        Some(dilation.as_slice().into()),
        Some(window.stride.as_slice().into()),
        inputs,
        outputs,
    )
}

fn wire_conv(
    model: &mut TypedModel,
    name: &str,
    conv: &Conv,
    outputs: usize,
    mut x: OutletId,
) -> TractResult<OutletId> {
    let inputs = conv.pad_value.len();
    let [kh, kw] = conv.window.kernel;
    let per_group = inputs / conv.groups;
    let filter = kh * kw * per_group;
    let mut bias = conv.bias.clone();
    if conv.window.pad != [0; 4] && conv.pad_value.iter().any(|&v| v != 0.0) {
        let negated: Vec<f32> = conv.pad_value.iter().map(|v| -v).collect();
        let negated = per_channel(model, format!("{name}.pad_value"), &negated)?;
        x = model.wire_node(format!("{name}.centred"), math::add(), &[x, negated])?[0];
        for (o, (b, weights)) in bias.iter_mut().zip(conv.weights.chunks_exact(filter)).enumerate() {
            let first = o / (outputs / conv.groups) * per_group;
            let moved = weights
                .iter()
                .enumerate()
                .map(|(k, &w)| f64::from(conv.pad_value[first + k % per_group]) * f64::from(w));
            *b = (f64::from(*b) + moved.sum::<f64>()) as f32;
        }
    }
    // tract's fast paths require OIHW.
    let mut oihw = Vec::with_capacity(conv.weights.len());
    for weights in conv.weights.chunks_exact(filter) {
        for i in 0..per_group {
            oihw.extend((0..kh * kw).map(|tap| weights[tap * per_group + i]));
        }
    }
    let kernel = Tensor::from_shape(&[outputs, per_group, kh, kw], &oihw)?;
    let kernel = model.add_const(format!("{name}.weights"), kernel)?;
    let bias = model.add_const(format!("{name}.bias"), Tensor::from_shape(&[outputs], &bias)?)?;
    let op = TractConv::new(
        spec(&conv.window, conv.dilation, inputs, outputs),
        KernelFormat::OIHW,
        conv.groups,
        None,
    );
    Ok(model.wire_node(name, op, &[x, kernel, bias])?[0])
}
