//! tract, as the check of our archives and as the float baseline.
//!
//! [`Stock`] is the archive as stock tract loads it, without any extension of ours. [`Float`] is the same network
//! with dequantized weights, in f32. With `q` an int8 value, and `s` and `z` its tensor's scale and zero point,
//! `x = s·(q − z)`:
//!
//! ```text
//! convolution  W = w·m[c]·s_y/s_x,  B = b·m[c]·s_y      y = W∗x + B (+ residual·m_skip·s_y/s_skip)
//! affine       y = x·gain·s_y/s_x + offset·s_y
//! addition     y = a·m_a·s_y/s_a + b·m_b·s_y/s_b
//! mean         y = Σ x · m·s_y/s_x
//! gating       y = x·gate·m·s_y/(s_x·s_gate)
//! clamping     to s_y·(lo − z) if lo > −128, to s_y·(hi − z) if hi < 127: ReLU is the first
//! ```
//! Pixels enter as `p − 128 − pixel_zero[c]`, `s_x = 1`. Both run on one thread.

use std::path::Path;
use std::sync::Arc;

use foldnet_archive::{
    Affine, AvgPool, Conv, MaxPool, Network, Out, PIXELS, Scale, Step, Sum, TensorId, oihw,
};
use foldnet_kernels::Shape;
use tract_core::internal::*;
use tract_core::ops::array::{Gather, Pad, PadMode};
use tract_core::ops::cast::cast;
use tract_core::ops::cnn::{Conv as TractConv, KernelFormat, MaxPool as TractMaxPool, PaddingSpec, PoolSpec};
use tract_core::ops::math;
use tract_core::ops::nn::{DataFormat, Reduce, Reducer};

use foldnet::activate;
use foldnet::backend::{Backend, BackendError};

type Runnable = Arc<TypedRunnableModel>;

fn fault(error: TractError) -> BackendError {
    BackendError::new("tract", format!("{error:#}"))
}

/// An archive in stock tract.
pub struct Stock {
    model: Runnable,
    shape: Shape,
    logits: Vec<f32>,
    scores: Vec<f32>,
}

impl Stock {
    /// Loads an archive that takes pixels of this shape, using only tract's own registries.
    pub fn load(archive: &Path, shape: Shape) -> Result<Self, BackendError> {
        let load = || {
            let mut model = tract_nnef::nnef().model_for_path(archive)?;
            let output = model.output_outlets()?[0];
            let logits = model.node_by_name("logits")?.id;
            model.select_output_outlets(&[OutletId::new(logits, 0), output])?;
            model.into_optimized()?.into_runnable()
        };
        Ok(Self { model: load().map_err(fault)?, shape, logits: Vec::new(), scores: Vec::new() })
    }

    /// Like [`Backend::classify`], but returns the values before the last function.
    pub fn logits(&mut self, pixels: &[u8]) -> Result<&[f32], BackendError> {
        self.run(pixels).map_err(fault)?;
        Ok(&self.logits)
    }

    fn run(&mut self, pixels: &[u8]) -> TractResult<()> {
        let planes = planes(pixels, self.shape.c, |p, _| p);
        let input = Tensor::from_shape(&[1, self.shape.c, self.shape.h, self.shape.w], &planes)?;
        let outputs = self.model.run(tvec!(input.into_tvalue()))?;
        self.logits = values(&outputs[0])?;
        self.scores = values(&outputs[1])?;
        Ok(())
    }
}

impl Backend for Stock {
    fn about(&self) -> String {
        "tract, int8".into()
    }

    fn classify(&mut self, pixels: &[u8]) -> Result<&[f32], BackendError> {
        self.run(pixels).map_err(fault)?;
        Ok(&self.scores)
    }
}

/// A network in f32.
pub struct Float {
    model: Runnable,
    shape: Shape,
    pixel_zero: Vec<f32>,
    activation: foldnet_archive::Activation,
    scores: Vec<f32>,
}

impl Float {
    /// Builds and optimizes the float version of a valid network.
    pub fn new(network: &Network) -> Result<Self, BackendError> {
        let model = Twin::build(network).and_then(|m| m.into_optimized()?.into_runnable());
        Ok(Self {
            model: model.map_err(fault)?,
            shape: network.input(),
            pixel_zero: network.pixel_zero.iter().map(|&z| f32::from(z) + 128.0).collect(),
            activation: network.activation,
            scores: Vec::new(),
        })
    }

    /// Like [`Backend::classify`], but returns the values before the last function.
    pub fn logits(&mut self, pixels: &[u8]) -> Result<&[f32], BackendError> {
        self.run(pixels).map_err(fault)?;
        Ok(&self.scores)
    }

    fn run(&mut self, pixels: &[u8]) -> TractResult<()> {
        let planes = planes(pixels, self.shape.c, |p, c| f32::from(p) - self.pixel_zero[c]);
        let input = Tensor::from_shape(&[1, self.shape.c, self.shape.h, self.shape.w], &planes)?;
        let outputs = self.model.run(tvec!(input.into_tvalue()))?;
        self.scores = values(&outputs[0])?;
        Ok(())
    }
}

impl Backend for Float {
    fn about(&self) -> String {
        "tract, f32".into()
    }

    fn classify(&mut self, pixels: &[u8]) -> Result<&[f32], BackendError> {
        self.run(pixels).map_err(fault)?;
        activate(self.activation, &mut self.scores);
        Ok(&self.scores)
    }
}

/// Converts HWC to CHW.
fn planes<T>(pixels: &[u8], channels: usize, convert: impl Fn(u8, usize) -> T) -> Vec<T> {
    let convert = &convert;
    (0..channels).flat_map(|c| pixels.iter().skip(c).step_by(channels).map(move |&p| convert(p, c))).collect()
}

fn values(tensor: &Tensor) -> TractResult<Vec<f32>> {
    Ok(tensor.try_as_plain_ram()?.as_slice::<f32>()?.to_vec())
}

/// The float version of a network while it is built; `outlets` has one entry per tensor of the network.
struct Twin<'a> {
    network: &'a Network,
    model: TypedModel,
    outlets: Vec<Option<OutletId>>,
}

impl<'a> Twin<'a> {
    fn build(network: &'a Network) -> TractResult<TypedModel> {
        let mut twin =
            Twin { network, model: TypedModel::default(), outlets: vec![None; network.tensors.len()] };
        let Shape { h, w, c } = network.input();
        twin.outlets[PIXELS] = Some(twin.model.add_source("pixels", f32::fact([1, c, h, w]))?);
        for (i, step) in network.steps.iter().enumerate() {
            // The names of layers need not be unique, but those of nodes must be.
            let name = format!("{i}.{}", step.name());
            match step {
                Step::Conv(conv) => twin.conv(&name, conv)?,
                Step::MaxPool(pool) => twin.max_pool(&name, pool)?,
                Step::AvgPool(pool) => twin.avg_pool(&name, pool)?,
                Step::Affine(affine) => twin.affine(&name, affine)?,
                Step::Add(add) => {
                    let a = twin.scaled(&format!("{name}.a"), add.a, add.y.tensor)?;
                    let b = twin.scaled(&format!("{name}.b"), add.b, add.y.tensor)?;
                    let sum = twin.model.wire_node(&name, math::add(), &[a, b])?[0];
                    twin.write(&name, sum, add.y)?;
                }
                Step::Sum(sum) => twin.sum(&name, sum)?,
                Step::Table(t) => twin.table(&name, t.x, t.y, &t.table[..], &[0.0])?,
                Step::ChannelTable(t) => {
                    // Each channel's index counts from the start of its table.
                    let first: Vec<f32> = (0..t.tables.len()).map(|c| 256.0 * c as f32).collect();
                    twin.table(&name, t.x, t.y, t.tables.as_flattened(), &first)?;
                }
                Step::Scale(scale) => twin.gated(&name, scale)?,
                Step::Dequantize(d) => {
                    let x = twin.outlet(d.x)?;
                    twin.outlets[d.y] = Some(twin.model.wire_node(&name, AxisOp::Move(1, 3), &[x])?[0]);
                }
            }
        }
        let logits = twin.outlet(network.logits)?;
        twin.model.select_output_outlets(&[logits])?;
        Ok(twin.model)
    }

    /// Adds tensors that hold a value and its remainder: see [`foldnet_archive::Sum`].
    fn sum(&mut self, name: &str, sum: &Sum) -> TractResult<()> {
        let (y, mut constant, mut all) = (self.scale(sum.y.tensor), 0.0, None);
        for (k, term) in sum.terms.iter().enumerate() {
            let x = self.scaled(&format!("{name}.{k}"), (term.x, term.multiplier), sum.y.tensor)?;
            let zero = f32::from(self.network.tensors[term.x].zero);
            constant += (zero - term.zero) * term.multiplier * y;
            all = Some(match all {
                Some(before) => {
                    self.model.wire_node(format!("{name}.{k}.sum"), math::add(), &[before, x])?[0]
                }
                None => x,
            });
        }
        let constant = self.scalar(format!("{name}.constant"), constant)?;
        let all = all.context("a sum has terms")?;
        let all = self.model.wire_node(name, math::add(), &[all, constant])?[0];
        self.write(name, all, sum.y)
    }

    fn outlet(&self, tensor: TensorId) -> TractResult<OutletId> {
        self.outlets[tensor].context("a network reads only what was written")
    }

    fn scale(&self, tensor: TensorId) -> f32 {
        self.network.tensors[tensor].scale
    }

    /// Adds a constant with one value per channel.
    fn per_channel(&mut self, name: String, values: &[f32]) -> TractResult<OutletId> {
        self.model.add_const(name, Tensor::from_shape(&[1, values.len(), 1, 1], values)?)
    }

    /// Adds a constant with one value.
    fn scalar(&mut self, name: String, value: f32) -> TractResult<OutletId> {
        self.per_channel(name, &[value])
    }

    /// Converts a summand to the sum's scale; returns it unchanged if its factor is 1 except for rounding.
    fn scaled(&mut self, name: &str, (x, multiplier): (TensorId, f32), y: TensorId) -> TractResult<OutletId> {
        let factor = multiplier * self.scale(y) / self.scale(x);
        self.times(name, x, factor)
    }

    fn times(&mut self, name: &str, x: TensorId, factor: f32) -> TractResult<OutletId> {
        let x = self.outlet(x)?;
        if (factor - 1.0).abs() < 1e-5 {
            return Ok(x);
        }
        let factor = self.scalar(format!("{name}.factor"), factor)?;
        Ok(self.model.wire_node(name, math::mul(), &[x, factor])?[0])
    }

    /// Clamps where the int8 network clamps on purpose, and stores the value as a tensor.
    fn write(&mut self, name: &str, mut value: OutletId, out: Out) -> TractResult<()> {
        let tensor = &self.network.tensors[out.tensor];
        let real = |q: i8| tensor.scale * (f32::from(q) - f32::from(tensor.zero));
        if out.tensor != self.network.logits {
            if out.lo > i8::MIN || out.lo == tensor.zero {
                let lo = self.scalar(format!("{name}.{}.lo", tensor.name), real(out.lo))?;
                value =
                    self.model.wire_node(format!("{name}.{}.max", tensor.name), math::max(), &[value, lo])?
                        [0];
            }
            if out.hi < i8::MAX {
                let hi = self.scalar(format!("{name}.{}.hi", tensor.name), real(out.hi))?;
                value =
                    self.model.wire_node(format!("{name}.{}.min", tensor.name), math::min(), &[value, hi])?
                        [0];
            }
        }
        self.outlets[out.tensor] = Some(value);
        Ok(())
    }

    fn conv(&mut self, name: &str, c: &Conv) -> TractResult<()> {
        let input = self.network.tensors[c.x].shape;
        let (channels, per_group) = (c.bias.len(), input.c / c.groups);
        // The logits have no output scale: `v` is their value.
        let unit = c.y.map_or(1.0, |y| self.scale(y.tensor));
        let s_x = if c.x == PIXELS { 1.0 } else { self.scale(c.x) };
        let filters = c.weights.chunks_exact(c.weights.len() / channels).zip(&c.multiplier);
        let real = |(filter, m): (&[i8], &f32)| {
            filter.iter().map(|&w| f32::from(w) * m * unit / s_x).collect::<Vec<f32>>()
        };
        let weights: Vec<f32> = filters.flat_map(real).collect();
        let oihw = oihw(&weights, c.kernel, per_group);
        let bias: Vec<f32> = c.bias.iter().zip(&c.multiplier).map(|(&b, m)| b as f32 * m * unit).collect();
        let kernel = Tensor::from_shape(&[channels, per_group, c.kernel[0], c.kernel[1]], &oihw)?;
        let kernel = self.model.add_const(format!("{name}.weights"), kernel)?;
        let bias = self.model.add_const(format!("{name}.bias"), Tensor::from_shape(&[channels], &bias)?)?;
        let [top, left, bottom, right] = c.pad;
        let spec = PoolSpec::new(
            DataFormat::NCHW,
            tvec![c.kernel[0], c.kernel[1]],
            PaddingSpec::Explicit(tvec![top, left], tvec![bottom, right]),
            Some(tvec![c.dilation[0], c.dilation[1]]),
            Some(tvec![c.stride[0], c.stride[1]]),
            input.c,
            channels,
        );
        let op = TractConv::new(spec, KernelFormat::OIHW, c.groups, None);
        let x = self.outlet(c.x)?;
        let mut v = self.model.wire_node(name, op, &[x, kernel, bias])?[0];
        if let Some((skip, multiplier)) = c.skip {
            let factor = multiplier * unit / self.scale(skip);
            let skip = self.times(&format!("{name}.skip"), skip, factor)?;
            v = self.model.wire_node(format!("{name}.sum"), math::add(), &[v, skip])?[0];
        }
        if let Some(second) = &c.affine {
            let s = self.scale(second.out.tensor);
            let gain: Vec<f32> = second.gain.iter().map(|g| g * s / unit).collect();
            let offset: Vec<f32> = second.offset.iter().map(|o| o * s).collect();
            let second_v = self.gain_offset(&format!("{name}.second"), v, &gain, &offset)?;
            self.write(name, second_v, second.out)?;
        }
        c.y.map_or(Ok(()), |y| self.write(name, v, y))
    }

    fn gain_offset(
        &mut self,
        name: &str,
        x: OutletId,
        gain: &[f32],
        offset: &[f32],
    ) -> TractResult<OutletId> {
        let gain = self.per_channel(format!("{name}.gain"), gain)?;
        let offset = self.per_channel(format!("{name}.offset"), offset)?;
        let product = self.model.wire_node(format!("{name}.mul"), math::mul(), &[x, gain])?[0];
        Ok(self.model.wire_node(format!("{name}.add"), math::add(), &[product, offset])?[0])
    }

    fn affine(&mut self, name: &str, a: &Affine) -> TractResult<()> {
        let (s_x, s_y) = (self.scale(a.x), self.scale(a.y.tensor));
        let gain: Vec<f32> = a.gain.iter().map(|g| g * s_y / s_x).collect();
        let offset: Vec<f32> = a.offset.iter().map(|o| o * s_y).collect();
        let x = self.outlet(a.x)?;
        let y = self.gain_offset(name, x, &gain, &offset)?;
        self.write(name, y, a.y)
    }

    fn max_pool(&mut self, name: &str, p: &MaxPool) -> TractResult<()> {
        let mut x = self.outlet(p.x)?;
        let c = self.network.tensors[p.x].shape.c;
        let [top, left, bottom, right] = p.pad;
        let mut padding = PaddingSpec::Explicit(tvec![top, left], tvec![bottom, right]);
        if p.floor_at_zero {
            let zeros = Pad {
                pads: vec![(0, 0), (0, 0), (top, bottom), (left, right)],
                mode: PadMode::Constant(Arc::new(tensor0(0.0_f32))),
            };
            x = self.model.wire_node(format!("{name}.pad"), zeros, &[x])?[0];
            padding = PaddingSpec::Valid;
        }
        let spec = PoolSpec::new(
            DataFormat::NCHW,
            tvec![p.kernel[0], p.kernel[1]],
            padding,
            None,
            Some(tvec![p.stride[0], p.stride[1]]),
            c,
            c,
        );
        let op = TractMaxPool { pool_spec: spec, with_index_outputs: None };
        self.outlets[p.y] = Some(self.model.wire_node(name, op, &[x])?[0]);
        Ok(())
    }

    /// Applies a table, which knows its function at only 256 points: the input is rounded to the nearest of them.
    /// `first` is the start of each channel's table.
    fn table(
        &mut self,
        name: &str,
        from: TensorId,
        to: TensorId,
        table: &[i8],
        first: &[f32],
    ) -> TractResult<()> {
        let (x, y) = (&self.network.tensors[from], &self.network.tensors[to]);
        let outputs: Vec<f32> = table.iter().map(|&q| y.scale * (f32::from(q) - f32::from(y.zero))).collect();
        let (inverse, middle) = (1.0 / x.scale, f32::from(x.zero) + 128.0);
        let outputs = self.model.add_const(format!("{name}.table"), tensor1(&outputs))?;
        let mut index = self.outlet(from)?;
        for (step, op, value) in [
            ("unit", math::mul(), inverse),
            ("middle", math::add(), middle),
            ("max", math::max(), 0.0),
            ("min", math::min(), 255.0),
        ] {
            let value = self.scalar(format!("{name}.{step}.value"), value)?;
            index = self.model.wire_node(format!("{name}.{step}"), op, &[index, value])?[0];
        }
        index = self.model.wire_node(format!("{name}.round"), math::round_half_to_even(), &[index])?[0];
        let first = self.per_channel(format!("{name}.first.value"), first)?;
        index = self.model.wire_node(format!("{name}.first"), math::add(), &[index, first])?[0];
        index = self.model.wire_node(format!("{name}.index"), cast(i64::datum_type()), &[index])?[0];
        self.outlets[to] = Some(self.model.wire_node(name, Gather::new(0), &[outputs, index])?[0]);
        Ok(())
    }

    fn gated(&mut self, name: &str, s: &Scale) -> TractResult<()> {
        let factor = s.multiplier * self.scale(s.y.tensor) / (self.scale(s.x) * self.scale(s.gate));
        let gate = self.times(&format!("{name}.gate"), s.gate, factor)?;
        let x = self.outlet(s.x)?;
        let product = self.model.wire_node(name, math::mul(), &[x, gate])?[0];
        self.write(name, product, s.y)
    }

    fn avg_pool(&mut self, name: &str, p: &AvgPool) -> TractResult<()> {
        let x = self.outlet(p.x)?;
        let sum = Reduce { axes: tvec![2, 3], reducer: Reducer::Sum };
        let sum = self.model.wire_node(format!("{name}.sum"), sum, &[x])?[0];
        let factor = p.multiplier * self.scale(p.y.tensor) / self.scale(p.x);
        let factor = self.scalar(format!("{name}.factor"), factor)?;
        let mean = self.model.wire_node(name, math::mul(), &[sum, factor])?[0];
        self.write(name, mean, p.y)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use foldnet::Session;
    use foldnet_archive::testing::{manifest_of, networks};

    fn pixels(n: usize, seed: usize) -> Vec<u8> {
        (0..n).map(|i| ((i * 7919 + seed * 104_729) % 251) as u8).collect()
    }

    #[test]
    fn stock_tract_gives_our_bits() {
        for network in networks() {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("every_step.nnef.tgz");
            foldnet_archive::write(&path, &network, &manifest_of(&network)).unwrap();
            let mut stock = Stock::load(&path, network.input()).unwrap();
            let mut session = Session::new(&network, foldnet_kernels::dispatch::best(), 1).unwrap();
            for seed in 0..20 {
                let pixels = pixels(network.input().len(), seed);
                assert_eq!(stock.logits(&pixels).unwrap(), session.run(&pixels), "image {seed}");
            }
        }
    }

    #[test]
    fn the_float_twin_is_close() {
        // In tables with jumps, a rounding error can change anything.
        let smooth = |n: &Network| !n.steps.iter().any(|s| matches!(s, Step::Table(_)));
        for mut network in networks().into_iter().filter(smooth) {
            // The ranges are wide, so that nothing saturates that the float version does not clamp.
            widen(&mut network);
            let mut float = Float::new(&network).unwrap();
            let mut session = Session::new(&network, foldnet_kernels::dispatch::best(), 1).unwrap();
            for seed in 0..10 {
                let pixels = pixels(network.input().len(), seed);
                let ours = session.run(&pixels).to_vec();
                let range = ours.iter().fold(1e-3_f32, |m, v| m.max(v.abs()));
                for (a, b) in float.logits(&pixels).unwrap().iter().zip(&ours) {
                    assert!((a - b).abs() < 0.1 * range, "{a} is not {b} within a tenth of {range}");
                }
            }
        }
    }

    fn widen(network: &mut Network) {
        for step in &mut network.steps {
            if let Step::Conv(c) = step {
                c.multiplier.iter_mut().for_each(|m| *m *= 0.2);
            }
        }
    }
}
