//! A convolution's step in a network.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use alloc::{format, vec};

use super::{ConvRecord, Stripes};
#[cfg(any(test, feature = "testing"))]
use super::{ConvResult, conv};
use crate::network::{
    Compiler, GraphError, GraphReader, GraphWriter, Network, Out, PIXELS, Statement, StepError, TensorId,
    Values, finite, pads, range, same_shape,
};
use crate::op::{Logits, Operator, Step};
use crate::quant::Requant;
use crate::record::NOWHERE;
use crate::set::{ConvScalars, ConvWeights};
use crate::shape::{ConvDesc, ConvOutput, Shape, ShapeError, Source};

/// Steps below this many multiply-accumulates run on one thread: a fork and join costs more.
const PARALLEL_MACS: u64 = 400_000;

/// A convolution in a network, with its fused epilogue.
#[derive(Clone, Debug, PartialEq)]
pub struct Conv {
    /// The layer's name in the source model.
    pub name: String,
    /// The input: [`PIXELS`] or an int8 tensor.
    pub x: TensorId,
    /// The int8 weights, OHWI.
    pub weights: Vec<i8>,
    /// The int32 biases, at scale `s_x·s_w[c]`.
    pub bias: Vec<i32>,
    /// The scale of the weights per output channel, for reports and for the float version of the network.
    pub weight_scale: Vec<f32>,
    /// `m[c]`, as the kernels use it.
    pub multiplier: Vec<f32>,
    /// Height and width.
    pub kernel: [usize; 2],
    /// Vertical, horizontal.
    pub stride: [usize; 2],
    /// The vertical and the horizontal dilation.
    pub dilation: [usize; 2],
    /// Top, left, bottom, right.
    pub pad: [usize; 4],
    /// Channel groups.
    pub groups: usize,
    /// The residual and its multiplier `s_skip/s_y`.
    pub skip: Option<(TensorId, f32)>,
    /// The int8 output, or for the last layer the f32 logits (`lo`, `hi` unused).
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
    /// The output that is written.
    pub out: Out,
}

/// Reorders weights from OHWI, which networks use, to OIHW, which NNEF and ONNX use. `per_group` is the number of
/// input channels that an output channel reads.
pub fn oihw<T: Copy>(ohwi: &[T], kernel: [usize; 2], per_group: usize) -> Vec<T> {
    let taps = kernel[0] * kernel[1];
    let filters = ohwi.chunks_exact(taps * per_group);
    let planes = filters.flat_map(|f| (0..per_group).map(move |i| f[i..].iter().step_by(per_group)));
    planes.flatten().copied().collect()
}

/// Reorders weights from OIHW to OHWI, the reverse of [`oihw`].
pub fn ohwi<T: Copy>(oihw: &[T], kernel: [usize; 2], per_group: usize) -> Vec<T> {
    let taps = kernel[0] * kernel[1];
    let filters = oihw.chunks_exact(taps * per_group);
    let pixels = filters.flat_map(|f| (0..taps).map(move |tap| f[tap..].iter().step_by(taps)));
    pixels.flatten().copied().collect()
}

impl Network {
    /// Returns a convolution's description for the kernels, validated. All tensor ids must be in range.
    pub fn conv_desc(&self, c: &Conv) -> Result<ConvDesc, ShapeError> {
        let x = self.shape(c.x);
        let out = c.y.or(c.affine.as_ref().map(|a| a.out)).ok_or(ShapeError::Combination)?;
        let y = self.shape(out.tensor);
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
}

/// The parts of a convolution that packing and the definition need.
struct Parts<'a> {
    desc: ConvDesc,
    x_zero: Vec<i8>,
    gain: &'a [f32],
    offset: &'a [f32],
    scalars: ConvScalars,
}

impl Conv {
    fn parts(&self, network: &Network) -> Parts<'_> {
        let x_zero =
            if self.x == PIXELS { network.pixel_zero.clone() } else { vec![network.zero(self.x)] };
        let mut zeros = [network.zero(self.x); 4];
        if self.x == PIXELS {
            zeros[..x_zero.len()].copy_from_slice(&x_zero);
        }
        let logits = self.y.is_some_and(|y| y.tensor == network.logits);
        let requant = |out: Option<Out>| match out {
            Some(out) if !logits => network.requant(out),
            _ => Requant::full(0),
        };
        let (gain, offset) =
            self.affine.as_ref().map_or((&[][..], &[][..]), |a| (a.gain.as_slice(), a.offset.as_slice()));
        let scalars = ConvScalars {
            x_zero: zeros,
            skip_zero: self.skip.map_or(0, |(s, _)| network.zero(s)),
            skip_multiplier: self.skip.map_or(0.0, |(_, m)| m),
            y: requant(self.y),
            y2: requant(self.affine.as_ref().map(|a| a.out)),
        };
        let desc = network.conv_desc(self).expect("validated");
        Parts { desc, x_zero, gain, offset, scalars }
    }

    fn weights<'a>(&'a self, parts: &'a Parts<'_>) -> ConvWeights<'a> {
        ConvWeights {
            weights: &self.weights,
            bias: &self.bias,
            multiplier: &self.multiplier,
            gain: parts.gain,
            offset: parts.offset,
            x_zero: &parts.x_zero,
        }
    }
}

impl Operator for Conv {
    type Record = ConvRecord;
    const WORD: &'static str = "conv";
    const READS_PIXELS: bool = true;
    const LOGITS: Logits = Logits::Maybe;

    fn name(&self) -> &str {
        &self.name
    }
    fn inputs(&self) -> Vec<TensorId> {
        core::iter::once(self.x).chain(self.skip.map(|s| s.0)).collect()
    }
    fn outputs(&self) -> Vec<TensorId> {
        let outs = self.y.iter().chain(self.affine.iter().map(|a| &a.out));
        outs.map(|o| o.tensor).collect()
    }
    fn tensors(&mut self) -> Vec<&mut TensorId> {
        let skip = self.skip.iter_mut().map(|s| &mut s.0);
        let outs = self.y.iter_mut().chain(self.affine.iter_mut().map(|a| &mut a.out));
        core::iter::once(&mut self.x).chain(skip).chain(outs.map(|o| &mut o.tensor)).collect()
    }
    fn replaceable(&self) -> Vec<TensorId> {
        // A second output cannot replace the residual, since it has a buffer of its own.
        self.skip.filter(|_| self.y.is_some()).map(|s| s.0).into_iter().collect()
    }
    fn macs(&self, network: &Network) -> u64 {
        network.conv_desc(self).map_or(0, |d| d.macs())
    }
    fn parameters(&self) -> usize {
        self.weights.len() + self.bias.len() + self.affine.as_ref().map_or(0, |a| 2 * a.gain.len())
    }

    fn check(&self, network: &Network) -> Result<(), StepError> {
        let desc = network.conv_desc(self)?;
        let n = desc.y.c;
        let length = |what, found: usize, expected| {
            if found == expected { Ok(()) } else { Err(StepError::Length { what, found, expected }) }
        };
        length("weights", self.weights.len(), n * desc.depth())?;
        if self.weights.contains(&i8::MIN) {
            return Err(StepError::Operator("a weight of −128 (weights are −127…127)"));
        }
        length("bias", self.bias.len(), n)?;
        finite("multiplier", &self.multiplier, n)?;
        finite("weight scale", &self.weight_scale, n)?;
        if let Some((id, m)) = self.skip {
            finite("residual multiplier", &[m], 1)?;
            if id == PIXELS {
                return Err(StepError::Operator("the residual is the pixels"));
            }
            same_shape("the residual", network.shape(id), desc.y)?;
        }
        self.y.map_or(Ok(()), range)?;
        if let Some(a) = &self.affine {
            finite("gain", &a.gain, n)?;
            finite("offset", &a.offset, n)?;
            range(a.out)?;
            same_shape("the second output", network.shape(a.out.tensor), desc.y)?;
            if a.out.tensor == network.logits || self.y.is_some_and(|y| y.tensor == network.logits) {
                return Err(StepError::Operator("a second output beside the logits"));
            }
        }
        Ok(())
    }

    fn compile(&self, to: &mut Compiler<'_>) -> ConvRecord {
        let parts = self.parts(to.network);
        let desc = parts.desc;
        let blob = to.set.pack_conv(&desc, &self.weights(&parts));
        let stripes = to.stripes.unwrap_or_else(|| Stripes::none(&desc));
        if stripes.scratch == NOWHERE {
            to.need_scratch(to.set.conv_scratch_bytes(&desc));
        }
        ConvRecord {
            desc,
            scalars: parts.scalars,
            x: if self.x == PIXELS { 0 } else { to.at(self.x) },
            skip: self.skip.map_or(0, |(s, _)| to.at(s)),
            y: self.y.map_or(0, |o| to.at(o.tensor)),
            y2: self.affine.as_ref().map_or(0, |a| to.at(a.out.tensor)),
            blob: to.blob(&blob),
            parallel: desc.macs() >= PARALLEL_MACS,
            stripes,
        }
    }

    /// The convolution that reads the pixels is written with explicit padding and with its zero points in the
    /// bias. The reason is that tract's convolution has one zero point, not one per channel. Reading reverses
    /// both.
    fn write(&self, i: usize, to: &mut GraphWriter<'_>) {
        let channels = self.bias.len();
        let per_group = to.network.shape(self.x).c / self.groups;
        let [kh, kw] = self.kernel;
        let weights = oihw(&self.weights, self.kernel, per_group);
        to.variable(&format!("weights_{i}"), &[channels, per_group, kh, kw], Values::I8(weights));
        let mut bias = self.bias.clone();
        let (x, x_zero, padding) = if self.x == PIXELS {
            let sums = pixel_zero_sums(&self.weights, &to.network.pixel_zero, channels);
            bias.iter_mut().zip(sums).for_each(|(b, sum)| *b = b.wrapping_sub(sum));
            to.line(&format!(
                "x_{i} = foldnet_pixels(pixels, pixel_zero, padding = [(0,0), (0,0), {}])",
                pads(self.pad)
            ));
            (format!("x_{i}"), 0, pads([0; 4]))
        } else {
            (to.tensor(self.x), to.network.zero(self.x), pads(self.pad))
        };
        to.variable(&format!("bias_{i}"), &[channels], Values::I32(bias));
        to.per_channel(&format!("multiplier_{i}"), &self.multiplier);
        to.per_channel(&format!("weight_scale_{i}"), &self.weight_scale);
        let mut v = format!("v_{i}");
        to.line(&format!(
            "{v} = foldnet_conv({x}, weights_{i}, bias_{i}, multiplier_{i}, weight_scale_{i}, name = {}, \
             x_zero = {x_zero}, stride = {:?}, dilation = {:?}, padding = [{padding}], groups = {})",
            to.quoted(&self.name),
            self.stride,
            self.dilation,
            self.groups
        ));
        if let Some((skip, multiplier)) = self.skip {
            let zero = f32::from(to.network.zero(skip));
            to.residual(&format!("sum_{i}"), &v, skip, zero, multiplier);
            v = format!("sum_{i}");
        }
        if let Some(out) = self.y {
            if out.tensor == to.network.logits {
                to.line(&format!("logits = squeeze({v}, axes = [2, 3])"));
                return;
            }
            to.round(&v, out);
        }
        if let Some(second) = &self.affine {
            to.per_channel(&format!("gain_{i}"), &second.gain);
            to.per_channel(&format!("offset_{i}"), &second.offset);
            to.line(&format!("affine_{i} = foldnet_affine({v}, gain_{i}, offset_{i})"));
            to.round(&format!("affine_{i}"), second.out);
        }
    }

    fn read(chain: &[&Statement<'_>], from: &mut GraphReader<'_>) -> Result<Option<Self>, GraphError> {
        let (pixels, chain) = match chain {
            [pixels, rest @ ..] if pixels.operator == "foldnet_pixels" => (Some(*pixels), rest),
            _ => (None, chain),
        };
        let Some((s, mut rest)) = chain.split_first() else { return Ok(None) };
        if s.operator != "foldnet_conv" {
            return Ok(None);
        }
        let mut conv = Self::read_sum(pixels, s, from)?;
        let (input, channels) = (from.tensors[conv.x].shape, conv.bias.len());
        let shape = window_shape(input, channels, conv.kernel, conv.stride, conv.dilation, conv.pad);
        if let [residual, more @ ..] = rest
            && residual.operator == "foldnet_residual"
        {
            let [_, x] = residual.names()?;
            let x = from.tensor(residual, x)?;
            from.same_zero(residual, x, "zero")?;
            conv.skip = Some((x, residual.number("multiplier")?));
            rest = more;
        }
        if let [round, more @ ..] = rest
            && round.operator == "foldnet_round"
        {
            conv.y = Some(from.round(round, shape)?);
            rest = more;
        }
        match rest {
            [] => Ok(Some(conv)),
            [squeeze] if squeeze.operator == "squeeze" && conv.y.is_none() => {
                let tensor = from.write_logits(shape);
                conv.y = Some(Out { tensor, lo: i8::MIN, hi: i8::MAX });
                Ok(Some(conv))
            }
            [affine, round] if affine.operator == "foldnet_affine" && round.operator == "foldnet_round" => {
                let [_, gain, offset] = affine.names()?;
                let (gain, offset) = (from.floats(affine, gain)?, from.floats(affine, offset)?);
                conv.affine = Some(SecondOutput { gain, offset, out: from.round(round, shape)? });
                Ok(Some(conv))
            }
            [other, ..] => other.fail("a convolution cannot continue with this"),
        }
    }

    #[cfg(any(test, feature = "testing"))]
    fn interpret(&self, network: &Network, values: &mut crate::network::testing::Values) {
        let parts = self.parts(network);
        let (desc, n) = (parts.desc, parts.desc.y.len());
        let (mut y, mut y2) = (vec![0; n], vec![0; n]);
        let float = desc.output == ConvOutput::Float32;
        conv(
            &desc,
            &self.weights(&parts),
            &parts.scalars,
            &values.tensors[self.x],
            self.skip.map_or(&[], |s| &values.tensors[s.0]),
            ConvResult {
                y: if desc.output.has_int8() { &mut y } else { &mut [] },
                y2: if desc.output.has_affine() { &mut y2 } else { &mut [] },
                logits: if float { &mut values.logits } else { &mut [] },
            },
        );
        if let Some(out) = self.y.filter(|_| !float) {
            values.tensors[out.tensor] = y;
        }
        if let Some(second) = &self.affine {
            values.tensors[second.out.tensor] = y2;
        }
    }
}

impl Conv {
    /// Reads the sum of products and its multiplier: `foldnet_conv`, after `foldnet_pixels` if it reads the
    /// pixels.
    fn read_sum(
        pixels: Option<&Statement<'_>>,
        s: &Statement<'_>,
        from: &mut GraphReader<'_>,
    ) -> Result<Self, GraphError> {
        let [x, w, b, m, ws] = s.names()?;
        let &[channels, per_group, kh, kw] = from.variable(s, w)?.as_slice() else {
            return s.fail("weights must be OIHW");
        };
        let oihw = from.int8s(s, w, &[channels, per_group, kh, kw])?;
        if oihw.is_empty() {
            return s.fail("no weights");
        }
        let weights = ohwi(&oihw, [kh, kw], per_group);
        let mut bias = from.files.int32s(b, &[channels])?;
        let [top, bottom, left, right] = s.sizes("padding")?;
        let (x, pad) = if let Some(pixels) = pixels {
            if pixels.names()? != ["pixels", "pixel_zero"] {
                return pixels.fail("expected the pixels and their zero points");
            }
            if (top, bottom, left, right) != (0, 0, 0, 0) || s.int8("x_zero")? != 0 {
                return s.fail("pixels are padded before");
            }
            if from.pixel_zero.is_empty() {
                return s.fail("the pixels have no zero points");
            }
            let sums = pixel_zero_sums(&weights, &from.pixel_zero, channels);
            bias.iter_mut().zip(sums).for_each(|(b, sum)| *b = b.wrapping_add(sum));
            let [.., top, bottom, left, right] = pixels.sizes::<8>("padding")?;
            (PIXELS, [top, left, bottom, right])
        } else {
            let x = from.tensor(s, x)?;
            from.same_zero(s, x, "x_zero")?;
            (x, [top, left, bottom, right])
        };
        Ok(Self {
            name: s.text("name")?.into(),
            x,
            weights,
            bias,
            weight_scale: from.floats(s, ws)?,
            multiplier: from.floats(s, m)?,
            kernel: [kh, kw],
            stride: s.sizes("stride")?,
            dilation: s.sizes("dilation")?,
            pad,
            groups: s.number("groups")?,
            skip: None,
            y: None,
            affine: None,
        })
    }
}

impl From<Conv> for Step {
    fn from(conv: Conv) -> Self {
        Self::Conv(Box::new(conv))
    }
}

/// Computes Σ zero[i]·w over each filter (OHWI): the share of the pixels' zero points in the sum when padding is
/// explicit.
fn pixel_zero_sums(weights: &[i8], zero: &[i8], channels: usize) -> Vec<i32> {
    weights
        .chunks_exact(weights.len() / channels.max(1))
        .map(|filter| {
            filter.iter().enumerate().map(|(k, &w)| i32::from(w) * i32::from(zero[k % zero.len()])).sum()
        })
        .collect()
}

/// Checks `y = ⌊(x + pads − reach) / stride⌋ + 1` on both axes, and that no padding exceeds the kernel's reach.
pub(crate) fn check_output_size(
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

/// Returns the output shape of a window over `from`; zero-sized if nothing fits, which validation then refuses.
pub(crate) fn window_shape(
    from: Shape,
    c: usize,
    kernel: [usize; 2],
    stride: [usize; 2],
    dilation: [usize; 2],
    pad: [usize; 4],
) -> Shape {
    let out = |n: usize, a: usize| {
        let reach = kernel[a].saturating_sub(1).saturating_mul(dilation[a]).saturating_add(1);
        let padded = n.saturating_add(pad[a]).saturating_add(pad[a + 2]);
        match (padded.checked_sub(reach), stride[a]) {
            (Some(room), 1..) => room / stride[a] + 1,
            _ => 0,
        }
    };
    Shape::new(out(from.h, 0), out(from.w, 1), c)
}
