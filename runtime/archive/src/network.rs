//! The quantized network: what the converter makes and the runtime compiles.
//!
//! A list of fused int8 steps in execution order over named tensors, arithmetic exactly as in
//! [`foldnet_kernels::reference`]. Each tensor is written by one step, before it is read. Weights are
//! OHWI here; in the archive's files they are OIHW, as NNEF wants them.

use foldnet_kernels::{ConvDesc, ConvOutput, MAX_TERMS, PoolDesc, Requant, Shape, ShapeError, Source};

use crate::manifest::{FORMAT, OLDEST_FORMAT};

/// Index into [`Network::tensors`].
pub type TensorId = usize;

/// One activation.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// Unique; from the source model where it has one. Letters, digits and underscores.
    pub name: String,
    /// Shape, batch 1.
    pub shape: Shape,
    /// Real value = (q − zero) · scale. For the logits (f32) the scale is 1.
    pub scale: f32,
    /// Zero point; for the pixels see [`Network::pixel_zero`].
    pub zero: i8,
}

/// The tensor that holds the network's input.
pub const PIXELS: TensorId = 0;

/// A quantized network. [`Network::validate`] must pass before anything else is done with one that
/// comes from a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    /// Activations; number [`PIXELS`] is the input: u8 RGB (or grey) pixels, HWC, standing for
    /// `p − 128`.
    pub tensors: Vec<Tensor>,
    /// The int8 value per input channel that stands for zero: what padding looks like.
    pub pixel_zero: Vec<i8>,
    /// In execution order.
    pub steps: Vec<Step>,
    /// The f32 tensor that holds the result, `1×1×classes`.
    pub logits: TensorId,
    /// What is applied to the logits.
    pub activation: Activation,
}

/// The function behind the last layer, in f32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// Nothing: the network's output is the logits.
    None,
    /// exp(x) / Σ exp(x).
    Softmax,
    /// 1 / (1 + exp(−x)), each class by itself.
    Sigmoid,
}

impl Activation {
    /// Applies it in place.
    pub fn apply(self, values: &mut [f32]) {
        match self {
            Self::None => {}
            Self::Softmax => {
                let max = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                values.iter_mut().for_each(|v| *v = (*v - max).exp());
                let sum: f32 = values.iter().sum();
                values.iter_mut().for_each(|v| *v /= sum);
            }
            Self::Sigmoid => values.iter_mut().for_each(|v| *v = 1.0 / (1.0 + (-*v).exp())),
        }
    }
}

/// One fused step.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Convolution with everything behind it.
    Conv(Box<Conv>),
    /// Max pooling.
    MaxPool(MaxPool),
    /// Global average pooling.
    AvgPool(AvgPool),
    /// Per-channel affine map.
    Affine(Affine),
    /// Residual addition that no convolution could take.
    Add(Add),
    /// Sum of tensors that hold one value together.
    Sum(Sum),
    /// A function of one value.
    Table(Table),
    /// Each channel times its gate.
    Scale(Scale),
    /// The way out of a network that does not end in a convolution.
    Dequantize(Dequantize),
}

/// An int8 output of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Out {
    /// The tensor written.
    pub tensor: TensorId,
    /// Lowest value written: the zero point after a ReLU, else −128.
    pub lo: i8,
    /// Highest value written.
    pub hi: i8,
}

/// See [`foldnet_kernels::reference::conv`].
#[derive(Clone, Debug, PartialEq)]
pub struct Conv {
    /// The layer's name in the source model.
    pub name: String,
    /// Input; [`PIXELS`] or an int8 tensor.
    pub x: TensorId,
    /// int8, OHWI.
    pub weights: Vec<i8>,
    /// int32 at scale `s_x·s_w[c]`.
    pub bias: Vec<i32>,
    /// Scale of the weights per output channel, for reports and for a float twin of the network.
    pub weight_scale: Vec<f32>,
    /// `m[c]`, as used.
    pub multiplier: Vec<f32>,
    /// Height and width.
    pub kernel: [usize; 2],
    /// Vertical, horizontal.
    pub stride: [usize; 2],
    /// Vertical, horizontal.
    pub dilation: [usize; 2],
    /// Top, left, bottom, right.
    pub pad: [usize; 4],
    /// Channel groups.
    pub groups: usize,
    /// The residual and its multiplier `s_skip/s_y`.
    pub skip: Option<(TensorId, f32)>,
    /// The sum, int8, or for the last layer the f32 logits (`lo`, `hi` unused).
    pub y: Option<Out>,
    /// The second output: gain and offset per channel, then rounding.
    pub affine: Option<SecondOutput>,
}

/// The per-channel affine second output of a convolution.
#[derive(Clone, Debug, PartialEq)]
pub struct SecondOutput {
    /// `gain[c]`, on `v` in units of `y`'s scale.
    pub gain: Vec<f32>,
    /// `offset[c]`, in units of this output's scale.
    pub offset: Vec<f32>,
    /// What is written.
    pub out: Out,
}

/// See [`foldnet_kernels::reference::max_pool`]; input and output share scale and zero point.
#[derive(Clone, Debug, PartialEq)]
pub struct MaxPool {
    /// The layer's name in the source model.
    pub name: String,
    /// Input.
    pub x: TensorId,
    /// Output.
    pub y: TensorId,
    /// Height and width.
    pub kernel: [usize; 2],
    /// Vertical, horizontal.
    pub stride: [usize; 2],
    /// Top, left, bottom, right.
    pub pad: [usize; 4],
    /// Whether the padding counts as real zeros (a zero padding folded into the pooling) or never wins.
    pub floor_at_zero: bool,
}

/// See [`foldnet_kernels::reference::avg_pool`].
#[derive(Clone, Debug, PartialEq)]
pub struct AvgPool {
    /// The layer's name in the source model.
    pub name: String,
    /// Input.
    pub x: TensorId,
    /// Output, 1×1.
    pub y: Out,
    /// `s_x / (s_y·pixels)`.
    pub multiplier: f32,
}

/// See [`foldnet_kernels::reference::affine`].
#[derive(Clone, Debug, PartialEq)]
pub struct Affine {
    /// The layer's name in the source model.
    pub name: String,
    /// Input.
    pub x: TensorId,
    /// Output.
    pub y: Out,
    /// Per channel.
    pub gain: Vec<f32>,
    /// Per channel.
    pub offset: Vec<f32>,
}

/// See [`foldnet_kernels::reference::add`].
#[derive(Clone, Debug, PartialEq)]
pub struct Add {
    /// The layer's name in the source model.
    pub name: String,
    /// First summand and `s_a/s_y`.
    pub a: (TensorId, f32),
    /// Second summand and `s_b/s_y`.
    pub b: (TensorId, f32),
    /// Output.
    pub y: Out,
}

/// See [`foldnet_kernels::reference::sum`].
///
/// A value of 16 bits is two int8 tensors: its quotient and its remainder by 256. Convolutions take them one
/// after the other, and what they make is added up here.
#[derive(Clone, Debug, PartialEq)]
pub struct Sum {
    /// The layer's name in the source model.
    pub name: String,
    /// At most [`MAX_TERMS`].
    pub terms: Vec<Term>,
    /// Output.
    pub y: Out,
}

/// A tensor of a [`Sum`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Term {
    /// The tensor.
    pub x: TensorId,
    /// What is taken off its values: its zero point, where the sum has no constant.
    pub zero: f32,
    /// `s_x/s_y`.
    pub multiplier: f32,
}

/// See [`foldnet_kernels::reference::table`].
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// The layer's name in the source model.
    pub name: String,
    /// Input.
    pub x: TensorId,
    /// Output.
    pub y: TensorId,
    /// What each of −128…127 becomes.
    pub table: Box<[i8; 256]>,
}

/// See [`foldnet_kernels::reference::scale`].
#[derive(Clone, Debug, PartialEq)]
pub struct Scale {
    /// The layer's name in the source model.
    pub name: String,
    /// Input.
    pub x: TensorId,
    /// One value per channel, `1×1×c`.
    pub gate: TensorId,
    /// `s_x·s_gate/s_y`.
    pub multiplier: f32,
    /// Output.
    pub y: Out,
}

/// See [`foldnet_kernels::reference::dequantize`]; the scale is the input's.
#[derive(Clone, Debug, PartialEq)]
pub struct Dequantize {
    /// The layer's name in the source model.
    pub name: String,
    /// Input.
    pub x: TensorId,
    /// The logits, of the input's shape, f32, HWC.
    pub y: TensorId,
}

impl Step {
    /// The layer's name in the source model.
    pub fn name(&self) -> &str {
        match self {
            Self::Conv(s) => &s.name,
            Self::MaxPool(s) => &s.name,
            Self::AvgPool(s) => &s.name,
            Self::Affine(s) => &s.name,
            Self::Add(s) => &s.name,
            Self::Sum(s) => &s.name,
            Self::Table(s) => &s.name,
            Self::Scale(s) => &s.name,
            Self::Dequantize(s) => &s.name,
        }
    }

    /// The operator in one word.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Conv(_) => "conv",
            Self::MaxPool(_) => "max_pool",
            Self::AvgPool(_) => "avg_pool",
            Self::Affine(_) => "affine",
            Self::Add(_) => "add",
            Self::Sum(_) => "sum",
            Self::Table(_) => "table",
            Self::Scale(_) => "scale",
            Self::Dequantize(_) => "dequantize",
        }
    }

    /// Tensors read.
    pub fn inputs(&self) -> Vec<TensorId> {
        match self {
            Self::Conv(s) => std::iter::once(s.x).chain(s.skip.map(|s| s.0)).collect(),
            Self::MaxPool(s) => vec![s.x],
            Self::AvgPool(s) => vec![s.x],
            Self::Affine(s) => vec![s.x],
            Self::Add(s) => vec![s.a.0, s.b.0],
            Self::Sum(s) => s.terms.iter().map(|t| t.x).collect(),
            Self::Table(s) => vec![s.x],
            Self::Scale(s) => vec![s.x, s.gate],
            Self::Dequantize(s) => vec![s.x],
        }
    }

    /// Tensors written.
    pub fn outputs(&self) -> Vec<TensorId> {
        match self {
            Self::Conv(s) => s.y.iter().chain(s.affine.iter().map(|a| &a.out)).map(|o| o.tensor).collect(),
            Self::MaxPool(s) => vec![s.y],
            Self::AvgPool(s) => vec![s.y.tensor],
            Self::Affine(s) => vec![s.y.tensor],
            Self::Add(s) => vec![s.y.tensor],
            Self::Sum(s) => vec![s.y.tensor],
            Self::Table(s) => vec![s.y],
            Self::Scale(s) => vec![s.y.tensor],
            Self::Dequantize(s) => vec![s.y],
        }
    }
}

impl Step {
    /// Gives the tensors that the step reads and writes other numbers.
    pub fn renumber(&mut self, number: &dyn Fn(TensorId) -> TensorId) {
        let all: Vec<&mut TensorId> = match self {
            Self::Conv(s) => {
                let skip = s.skip.iter_mut().map(|s| &mut s.0);
                let outputs = s.y.iter_mut().chain(s.affine.iter_mut().map(|a| &mut a.out));
                std::iter::once(&mut s.x).chain(skip).chain(outputs.map(|o| &mut o.tensor)).collect()
            }
            Self::MaxPool(s) => vec![&mut s.x, &mut s.y],
            Self::AvgPool(s) => vec![&mut s.x, &mut s.y.tensor],
            Self::Affine(s) => vec![&mut s.x, &mut s.y.tensor],
            Self::Add(s) => vec![&mut s.a.0, &mut s.b.0, &mut s.y.tensor],
            Self::Sum(s) => s.terms.iter_mut().map(|t| &mut t.x).chain([&mut s.y.tensor]).collect(),
            Self::Table(s) => vec![&mut s.x, &mut s.y],
            Self::Scale(s) => vec![&mut s.x, &mut s.gate, &mut s.y.tensor],
            Self::Dequantize(s) => vec![&mut s.x, &mut s.y],
        };
        all.into_iter().for_each(|t| *t = number(*t));
    }
}

/// What is wrong with a network.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum NetworkError {
    /// A step's shapes don't fit together.
    #[error("step {step} ({name}): {problem}")]
    Step {
        /// Number of the step, from 0.
        step: usize,
        /// Its name.
        name: String,
        /// What is wrong.
        problem: String,
    },
    /// Something outside the steps.
    #[error("{0}")]
    Network(String),
}

impl Network {
    /// The oldest version of the archive format that has all of its steps.
    pub fn format(&self) -> u32 {
        let sums = self.steps.iter().any(|s| matches!(s, Step::Sum(_)));
        if sums { FORMAT } else { OLDEST_FORMAT }
    }

    /// The input's shape.
    pub fn input(&self) -> Shape {
        self.tensors[PIXELS].shape
    }

    /// Number of classes, or of values where the network ends in something else.
    pub fn classes(&self) -> usize {
        self.tensors[self.logits].shape.len()
    }

    /// Multiply-accumulates of all convolutions, padding included.
    pub fn macs(&self) -> u64 {
        self.steps
            .iter()
            .map(|s| match s {
                Step::Conv(c) => self.conv_desc(c).map_or(0, |d| d.macs()),
                _ => 0,
            })
            .sum()
    }

    /// Weight and bias values.
    pub fn parameters(&self) -> usize {
        self.steps
            .iter()
            .map(|s| match s {
                Step::Conv(c) => {
                    c.weights.len() + c.bias.len() + c.affine.as_ref().map_or(0, |a| 2 * a.gain.len())
                }
                Step::Affine(a) => 2 * a.gain.len(),
                _ => 0,
            })
            .sum()
    }

    /// Rounding and range for an output.
    pub fn requant(&self, out: Out) -> Requant {
        Requant { zero: self.tensors[out.tensor].zero, lo: out.lo, hi: out.hi }
    }

    /// A convolution as the kernels want it, validated. All tensor ids must be in range.
    pub fn conv_desc(&self, c: &Conv) -> Result<ConvDesc, ShapeError> {
        let x = self.tensors[c.x].shape;
        let out = c.y.or(c.affine.as_ref().map(|a| a.out)).ok_or(ShapeError::Combination)?;
        let y = self.tensors[out.tensor].shape;
        let desc = ConvDesc {
            x,
            y,
            kernel: c.kernel,
            stride: c.stride,
            dilation: c.dilation,
            pad: [c.pad[0], c.pad[1]],
            groups: c.groups,
            source: if c.x == PIXELS { Source::Pixels } else { Source::Tensor },
            skip: c.skip.is_some(),
            output: match (c.y, &c.affine) {
                (Some(o), None) if o.tensor == self.logits => ConvOutput::Float32,
                (Some(_), None) => ConvOutput::Int8,
                (Some(_), Some(_)) => ConvOutput::Int8AndAffine,
                (None, _) => ConvOutput::Affine,
            },
        };
        desc.validate()?;
        check_output_size(x, y, c.kernel, c.stride, c.dilation, c.pad)?;
        Ok(desc)
    }

    /// A pooling as the kernels want it, validated.
    pub fn pool_desc(&self, p: &MaxPool) -> Result<PoolDesc, ShapeError> {
        let (x, y) = (self.tensors[p.x].shape, self.tensors[p.y].shape);
        let desc = PoolDesc {
            x,
            y,
            kernel: p.kernel,
            stride: p.stride,
            pad: [p.pad[0], p.pad[1]],
            pad_value: if p.floor_at_zero { self.tensors[p.x].zero } else { i8::MIN },
        };
        desc.validate()?;
        check_output_size(x, y, p.kernel, p.stride, [1, 1], p.pad)?;
        Ok(desc)
    }

    /// Checks everything that compiling and running relies on: ids, order, shapes, lengths, ranges,
    /// and that every constant is finite.
    pub fn validate(&self) -> Result<(), NetworkError> {
        let bad = |m: String| Err(NetworkError::Network(m));
        if self.tensors.is_empty() || self.logits >= self.tensors.len() || self.logits == PIXELS {
            return bad("the network has no input or no output".into());
        }
        for t in &self.tensors {
            t.shape.validate().or_else(|e| bad(format!("tensor {} of {}: {e}", t.name, t.shape)))?;
            if !(t.scale.is_finite() && t.scale > 0.0) {
                return bad(format!("tensor {}: scale {} is not a positive number", t.name, t.scale));
            }
        }
        let input = self.input();
        if input.c > 4 || self.pixel_zero.len() != input.c {
            return bad(format!("an input of {input} with {} zero points", self.pixel_zero.len()));
        }
        let mut written = vec![false; self.tensors.len()];
        written[PIXELS] = true;
        for (number, step) in self.steps.iter().enumerate() {
            self.validate_step(step, &mut written).map_err(|problem| NetworkError::Step {
                step: number,
                name: step.name().into(),
                problem,
            })?;
        }
        if !written[self.logits] {
            return bad("no step writes the output".into());
        }
        Ok(())
    }

    fn validate_step(&self, step: &Step, written: &mut [bool]) -> Result<(), String> {
        for id in step.inputs() {
            if !written.get(id).copied().unwrap_or(false) {
                return Err(format!("reads tensor {id}, which nothing has written before"));
            }
            if id == self.logits || (id == PIXELS && !matches!(step, Step::Conv(c) if c.x == id)) {
                return Err("only convolutions read the pixels, and nothing reads the logits".into());
            }
        }
        for id in step.outputs() {
            match written.get_mut(id) {
                Some(w) if !*w => *w = true,
                Some(_) => return Err(format!("writes tensor {id} a second time")),
                None => return Err(format!("writes tensor {id}, which does not exist")),
            }
            if (id == self.logits) != matches!(step, Step::Dequantize(_)) && !matches!(step, Step::Conv(_)) {
                return Err(
                    "convolutions, dense layers and dequantizing write the logits, nothing else does; \
                            dequantizing writes nothing else"
                        .into(),
                );
            }
        }
        let shape = |id: TensorId| self.tensors[id].shape;
        let finite = |name: &str, v: &[f32], n: usize| {
            if v.len() != n {
                return Err(format!("{} values of {name} for {n} channels", v.len()));
            }
            match v.iter().position(|v| !v.is_finite()) {
                Some(c) => Err(format!("{name} of channel {c} is {}", v[c])),
                None => Ok(()),
            }
        };
        let range = |o: Out| {
            if o.lo > o.hi { Err(format!("an empty range {}…{}", o.lo, o.hi)) } else { Ok(()) }
        };
        match step {
            Step::Conv(c) => {
                let desc = self.conv_desc(c).map_err(|e| e.to_string())?;
                let n = desc.y.c;
                if c.weights.len() != n * desc.depth() {
                    return Err(format!("{} weights, expected {}", c.weights.len(), n * desc.depth()));
                }
                if c.weights.contains(&i8::MIN) {
                    return Err("a weight of −128 (weights are −127…127)".into());
                }
                if c.bias.len() != n {
                    return Err(format!("{} biases for {n} channels", c.bias.len()));
                }
                finite("multiplier", &c.multiplier, n)?;
                finite("weight scale", &c.weight_scale, n)?;
                if let Some((id, m)) = c.skip {
                    finite("residual multiplier", &[m], 1)?;
                    if shape(id) != desc.y || id == PIXELS {
                        return Err(format!("a residual of {} on an output of {}", shape(id), desc.y));
                    }
                }
                c.y.map_or(Ok(()), range)?;
                if let Some(a) = &c.affine {
                    finite("gain", &a.gain, n)?;
                    finite("offset", &a.offset, n)?;
                    range(a.out)?;
                    if shape(a.out.tensor) != desc.y {
                        return Err("two outputs of different shapes".into());
                    }
                    if a.out.tensor == self.logits || c.y.is_some_and(|y| y.tensor == self.logits) {
                        return Err("a second output beside the logits".into());
                    }
                }
            }
            Step::MaxPool(p) => {
                self.pool_desc(p).map_err(|e| e.to_string())?;
                let (x, y) = (&self.tensors[p.x], &self.tensors[p.y]);
                if (x.scale, x.zero) != (y.scale, y.zero) {
                    return Err("input and output of a max pooling differ in scale or zero point".into());
                }
            }
            Step::AvgPool(p) => {
                let (x, y) = (shape(p.x), shape(p.y.tensor));
                if y != Shape::new(1, 1, x.c) || x.pixels() > 65_536 {
                    return Err(format!("average pooling from {x} to {y}"));
                }
                finite("multiplier", &[p.multiplier], 1)?;
                range(p.y)?;
            }
            Step::Affine(a) => {
                if shape(a.x) != shape(a.y.tensor) {
                    return Err(format!("from {} to {}", shape(a.x), shape(a.y.tensor)));
                }
                finite("gain", &a.gain, shape(a.x).c)?;
                finite("offset", &a.offset, shape(a.x).c)?;
                range(a.y)?;
            }
            Step::Add(a) => {
                let y = shape(a.y.tensor);
                if shape(a.a.0) != y || shape(a.b.0) != y {
                    return Err(format!("{} + {} gives {y}", shape(a.a.0), shape(a.b.0)));
                }
                finite("multiplier", &[a.a.1, a.b.1], 2)?;
                range(a.y)?;
            }
            Step::Sum(s) => {
                if !(1..=MAX_TERMS).contains(&s.terms.len()) {
                    return Err(format!("a sum of {} tensors", s.terms.len()));
                }
                for term in &s.terms {
                    finite("zero and multiplier", &[term.zero, term.multiplier], 2)?;
                    if shape(term.x) != shape(s.y.tensor) {
                        return Err(format!("{} in a sum of {}", shape(term.x), shape(s.y.tensor)));
                    }
                }
                range(s.y)?;
            }
            Step::Table(t) => {
                if shape(t.x) != shape(t.y) {
                    return Err(format!("from {} to {}", shape(t.x), shape(t.y)));
                }
            }
            Step::Scale(s) => {
                let (x, gate, y) = (shape(s.x), shape(s.gate), shape(s.y.tensor));
                if x != y || gate != Shape::new(1, 1, x.c) {
                    return Err(format!("{x} times gates of {gate} gives {y}"));
                }
                finite("multiplier", &[s.multiplier], 1)?;
                range(s.y)?;
            }
            Step::Dequantize(d) => {
                if shape(d.x) != shape(d.y) {
                    return Err(format!("from {} to {}", shape(d.x), shape(d.y)));
                }
            }
        }
        Ok(())
    }
}

/// `y = ⌊(x + pads − reach) / stride⌋ + 1` on both axes, and no padding beyond the kernel's reach.
fn check_output_size(
    x: Shape,
    y: Shape,
    kernel: [usize; 2],
    stride: [usize; 2],
    dilation: [usize; 2],
    pad: [usize; 4],
) -> Result<(), ShapeError> {
    for (axis, (x, y)) in [(x.h, y.h), (x.w, y.w)].into_iter().enumerate() {
        let reach = (kernel[axis] - 1) * dilation[axis] + 1;
        if pad[axis] >= reach || pad[axis + 2] >= reach {
            return Err(ShapeError::Window);
        }
        let padded = x + pad[axis] + pad[axis + 2];
        if padded < reach || (padded - reach) / stride[axis] + 1 != y {
            return Err(ShapeError::Output);
        }
    }
    Ok(())
}
