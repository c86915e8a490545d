//! The activation functions with ONNX names, and Softmax as the network's last function.

use foldnet_archive::Activation;

use super::super::Importer;
use super::super::constant::floats;
use super::super::node::{Node, Problem};
use super::super::value::Axis;
use super::function;
use crate::curve::Curve;
use crate::graph::Op;

/// `max(x, 0)`.
pub fn relu<'a>(importer: &mut Importer<'a>, node: Node<'a>) -> Result<(), Problem> {
    node.only(&[])?;
    clamp(importer, node, 0, (0.0, f32::INFINITY))
}

/// Clips the value at an input; clips of clips are joined.
fn clamp<'a>(
    importer: &mut Importer<'a>,
    node: Node<'a>,
    input: usize,
    (mut lo, mut hi): (f32, f32),
) -> Result<(), Problem> {
    let x = importer.value(node, input)?;
    if lo == f32::NEG_INFINITY && hi == f32::INFINITY {
        return importer.bind(node, x);
    }
    let mut from = x.node;
    let before = importer.nodes[from].op.clone();
    let unchanged = before == Op::Relu && hi == f32::INFINITY;
    // If the ranges do not overlap, nothing of the first remains.
    if let Some((least, most)) = before.bounds().filter(|b| !unchanged && lo <= b.1 && b.0 <= hi) {
        (lo, hi) = (lo.max(least), hi.min(most));
        from = importer.nodes[from].inputs[0];
    }
    let op = match (lo, hi) {
        (0.0, f32::INFINITY) => Op::Relu,
        _ => Op::Clip { lo, hi },
    };
    let shape = importer.shape(&x);
    importer.define(node, op, vec![from], shape, &x)
}

/// Imports Max and Min: they are clips if one input is a constant of one number.
pub fn extremum<'a>(importer: &mut Importer<'a>, node: Node<'a>) -> Result<(), Problem> {
    node.only(&[])?;
    let is_constant = |i: &usize| node.input(*i).is_some_and(|n| importer.constants.contains_key(n));
    let constants: Vec<usize> = (0..node.proto.input.len()).filter(is_constant).collect();
    let ([constant], 2) = (&constants[..], node.proto.input.len()) else {
        return function::plain(importer, node);
    };
    let values = floats(importer.constant(node, *constant)?);
    let Some(bound) = values.first().copied().filter(|b| values.iter().all(|v| v == b)) else {
        return function::plain(importer, node);
    };
    let bounds = match node.proto.op_type.as_str() {
        "Max" => (bound, f32::INFINITY),
        _ => (f32::NEG_INFINITY, bound),
    };
    clamp(importer, node, 1 - constant, bounds)
}

/// `min(max(x, lo), hi)`.
pub fn clip<'a>(importer: &mut Importer<'a>, node: Node<'a>) -> Result<(), Problem> {
    node.only(&["min", "max"])?;
    let bound = |input: usize, name: &str, none: f32| -> Result<f32, Problem> {
        let given = importer.optional_constant(node, input)?.map(floats);
        let attribute = node.float(name, none)?;
        let bound = given.and_then(|v| v.first().copied()).unwrap_or(attribute);
        // Exporters write "no bound" as the largest representable number.
        Ok(match bound {
            f32::MAX.. => f32::INFINITY,
            ..=f32::MIN => f32::NEG_INFINITY,
            _ => bound,
        })
    };
    let (lo, hi) = (bound(1, "min", f32::MIN)?, bound(2, "max", f32::MAX)?);
    if lo.is_nan() || hi.is_nan() || lo == f32::INFINITY || hi == f32::NEG_INFINITY {
        return Err(format!("clipping to {lo}…{hi}"));
    }
    // ONNX defines the result of crossed bounds as the upper one.
    clamp(importer, node, 0, (lo.min(hi), hi))
}

fn times(a: &Curve, b: &Curve) -> Curve {
    Curve::of("Mul", &[a, b])
}

fn plus(a: &Curve, b: &Curve) -> Curve {
    Curve::of("Add", &[a, b])
}

/// Returns `max(x, 0) + slope·min(x, 0)`.
fn with_slope(x: &Curve, slope: &Curve) -> Curve {
    plus(&x.clip(0.0, f32::INFINITY), &times(slope, &x.clip(f32::NEG_INFINITY, 0.0)))
}

/// Returns `eˣ − 1` where `x` is negative, otherwise 0.
fn bent(x: &Curve) -> Curve {
    let exponential = Curve::of("Exp", &[&x.clip(f32::NEG_INFINITY, 0.0)]);
    plus(&exponential, &Curve::number(-1.0))
}

/// A fixed slope below zero.
pub fn leaky_relu<'a>(importer: &mut Importer<'a>, node: Node<'a>) -> Result<(), Problem> {
    node.only(&["alpha"])?;
    let slope = Curve::number(node.float("alpha", 0.01)?);
    function::define(importer, node, |x| with_slope(&x[0], &slope))
}

/// A learned slope below zero, shared by all channels or per channel.
pub fn prelu<'a>(importer: &mut Importer<'a>, node: Node<'a>) -> Result<(), Problem> {
    node.only(&[])?;
    importer.constant(node, 1)?;
    function::define(importer, node, |x| with_slope(&x[0], &x[1]))
}

/// `x` above a threshold, otherwise 0.
pub fn thresholded_relu<'a>(importer: &mut Importer<'a>, node: Node<'a>) -> Result<(), Problem> {
    node.only(&["alpha"])?;
    let threshold = Curve::number(node.float("alpha", 1.0)?);
    function::define(importer, node, |x| {
        Curve::of("Where", &[&Curve::of("Greater", &[&x[0], &threshold]), &x[0], &Curve::number(0.0)])
    })
}

/// `max(x, 0) + α·(e^min(x, 0) − 1)`.
pub fn elu<'a>(importer: &mut Importer<'a>, node: Node<'a>) -> Result<(), Problem> {
    node.only(&["alpha"])?;
    let alpha = Curve::number(node.float("alpha", 1.0)?);
    function::define(importer, node, |x| plus(&x[0].clip(0.0, f32::INFINITY), &times(&alpha, &bent(&x[0]))))
}

/// ELU times γ.
pub fn selu<'a>(importer: &mut Importer<'a>, node: Node<'a>) -> Result<(), Problem> {
    node.only(&["alpha", "gamma"])?;
    let alpha = Curve::number(node.float("alpha", 1.673_263_2)?);
    let gamma = Curve::number(node.float("gamma", 1.050_701)?);
    function::define(importer, node, |x| {
        times(&gamma, &plus(&x[0].clip(0.0, f32::INFINITY), &times(&alpha, &bent(&x[0]))))
    })
}

/// `max(x, 0) + α·(e^(min(x, 0)/α) − 1)`.
pub fn celu<'a>(importer: &mut Importer<'a>, node: Node<'a>) -> Result<(), Problem> {
    node.only(&["alpha"])?;
    let alpha = node.float("alpha", 1.0)?;
    if alpha == 0.0 {
        return Err("alpha is 0".into());
    }
    let alpha = Curve::number(alpha);
    function::define(importer, node, |x| {
        let scaled = Curve::of("Div", &[&x[0], &alpha]);
        plus(&x[0].clip(0.0, f32::INFINITY), &times(&alpha, &bent(&scaled)))
    })
}

/// `clip(α·x + β, 0, 1)`: an affine map, which earlier layers absorb, and a clip.
pub fn hard_sigmoid<'a>(importer: &mut Importer<'a>, node: Node<'a>) -> Result<(), Problem> {
    node.only(&["alpha", "beta"])?;
    let x = importer.value(node, 0)?;
    let shape = importer.shape(&x);
    let (alpha, beta) = (node.float("alpha", 0.2)?, node.float("beta", 0.5)?);
    let affine = Op::Affine { gain: vec![alpha; shape.c], offset: vec![beta; shape.c] };
    let from = importer.push(&format!("{}/line", node.name()), affine, vec![x.node], shape);
    importer.define(node, Op::Clip { lo: 0.0, hi: 1.0 }, vec![from], shape, &x)
}

/// `x·clip(x/6 + ½, 0, 1)`.
pub fn hard_swish<'a>(importer: &mut Importer<'a>, node: Node<'a>) -> Result<(), Problem> {
    node.only(&[])?;
    function::define(importer, node, |x| {
        let line = plus(&times(&x[0], &Curve::number(1.0 / 6.0)), &Curve::number(0.5));
        times(&x[0], &line.clip(0.0, 1.0))
    })
}

/// `x·sigmoid(α·x)`.
pub fn swish<'a>(importer: &mut Importer<'a>, node: Node<'a>) -> Result<(), Problem> {
    node.only(&["alpha"])?;
    let alpha = Curve::number(node.float("alpha", 1.0)?);
    function::define(importer, node, |x| times(&x[0], &Curve::of("Sigmoid", &[&times(&alpha, &x[0])])))
}

/// `x·tanh(softplus(x))`.
pub fn mish<'a>(importer: &mut Importer<'a>, node: Node<'a>) -> Result<(), Problem> {
    node.only(&[])?;
    function::define(importer, node, |x| {
        times(&x[0], &Curve::of("Tanh", &[&Curve::of("Softplus", &[&x[0]])]))
    })
}

/// `x·Φ(x)`, with the error function or its approximation by tanh.
pub fn gelu<'a>(importer: &mut Importer<'a>, node: Node<'a>) -> Result<(), Problem> {
    node.only(&["approximate"])?;
    let half = Curve::number(0.5);
    let one = Curve::number(1.0);
    match node.word("approximate", "none")?.as_str() {
        "none" => function::define(importer, node, |x| {
            let erf = Curve::of("Erf", &[&times(&x[0], &Curve::number(std::f32::consts::FRAC_1_SQRT_2))]);
            times(&times(&half, &x[0]), &plus(&one, &erf))
        }),
        "tanh" => function::define(importer, node, |x| {
            let cube = times(&x[0], &times(&x[0], &x[0]));
            let inner = plus(&x[0], &times(&Curve::number(0.044_715), &cube));
            // √(2/π)
            let tanh = Curve::of("Tanh", &[&times(&Curve::number(0.797_884_6), &inner)]);
            times(&times(&half, &x[0]), &plus(&one, &tanh))
        }),
        other => Err(format!("approximate {other} is not known")),
    }
}

/// `x` moved towards zero by a bias, and 0 within a threshold.
pub fn shrink<'a>(importer: &mut Importer<'a>, node: Node<'a>) -> Result<(), Problem> {
    node.only(&["bias", "lambd"])?;
    let (bias, lambda) = (node.float("bias", 0.0)?, node.float("lambd", 0.5)?);
    function::define(importer, node, |x| {
        let above = Curve::of("Greater", &[&x[0], &Curve::number(lambda)]);
        let below = Curve::of("Less", &[&x[0], &Curve::number(-lambda)]);
        let moved = |by| plus(&x[0], &Curve::number(by));
        let low = Curve::of("Where", &[&below, &moved(bias), &Curve::number(0.0)]);
        Curve::of("Where", &[&above, &moved(-bias), &low])
    })
}

/// Exponentials, normalized over the classes.
pub fn softmax<'a>(importer: &mut Importer<'a>, node: Node<'a>) -> Result<(), Problem> {
    node.only(&["axis"])?;
    let x = importer.value(node, 0)?;
    let shape = importer.shape(&x);
    let rank = x.dims.len() as i64;
    let axis = node.int("axis", if node.opset < 13 { 1 } else { -1 })?;
    let axis = if axis < 0 { axis + rank } else { axis };
    // Before opset 13, everything from the axis on is one row.
    let over_classes = match x.dim_of(Axis::C) {
        Some(dim) if node.opset < 13 => axis <= dim as i64,
        Some(dim) => axis == dim as i64,
        None => shape.c == 1,
    };
    if shape.pixels() != 1 || !over_classes {
        return Err(format!(
            "over axis {axis} of {:?}; it is supported over the classes, as the network's last function",
            x.sizes(shape)
        ));
    }
    finish(importer, node, Activation::Softmax)
}

/// The logarithm of [`softmax`]. It shifts all logits of an image by one number, so they are compared and
/// converted to scores like those of Softmax.
pub fn log_softmax<'a>(importer: &mut Importer<'a>, node: Node<'a>) -> Result<(), Problem> {
    softmax(importer, node)
}

fn finish<'a>(importer: &mut Importer<'a>, node: Node<'a>, activation: Activation) -> Result<(), Problem> {
    let mut x = importer.value(node, 0)?;
    x.finished = true;
    importer.activation = activation;
    importer.bind(node, x)
}
