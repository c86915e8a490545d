//! Ranges of the values that the NPU rounds and our network does not.

use foldnet_archive::{Conv, Network, PIXELS, Step};
use foldnet_kernels::reference::{ConvResult, conv};
use foldnet_kernels::{ConvDesc, ConvOutput, ConvScalars, ConvWeights, Requant};
use foldnet_runtime::{Session, SessionError};

/// Scale and zero point for values that have none in the network, by what they are on pictures.
pub struct Ranges(pub(super) Vec<Range>);

/// Of one step.
#[derive(Clone, Default)]
pub(super) struct Range {
    /// A convolution before its residual, and the logits.
    pub bare: Option<(f32, i8)>,
    /// The sum, where only its affine map is in the network.
    pub sum: Option<(f32, i8)>,
}

impl Ranges {
    /// From what the values are on pictures (u8, HWC).
    pub fn measure(network: &Network, pictures: &[Vec<u8>]) -> Result<Self, SessionError> {
        let mut session = Session::new(network, foldnet_kernels::dispatch::best(), 0)?;
        let mut bounds = vec![[Bounds::default(); 2]; network.steps.len()];
        for pixels in pictures {
            let mut tensors: Vec<Vec<i8>> = vec![Vec::new(); network.tensors.len()];
            tensors[PIXELS] = pixels.iter().map(|&p| (i16::from(p) - 128) as i8).collect();
            session.run_traced(pixels, |step, outputs| {
                for (id, values) in network.steps[step].outputs().into_iter().zip(outputs) {
                    tensors[id] = values;
                }
            });
            for (step, [bare, sum]) in network.steps.iter().zip(&mut bounds) {
                let Step::Conv(c) = step else { continue };
                if !lacks_bare(network, c) && c.y.is_some() {
                    continue;
                }
                let unit = unit(network, c);
                let values = without_skip(network, c, &tensors[c.x]);
                values.iter().for_each(|v| bare.add(v * unit));
                match c.skip {
                    Some((id, m)) => {
                        let zero = f32::from(network.tensors[id].zero);
                        let skip = tensors[id].iter().map(|&q| (f32::from(q) - zero) * m);
                        values.iter().zip(skip).for_each(|(v, s)| sum.add((v + s) * unit));
                    }
                    None => values.iter().for_each(|v| sum.add(v * unit)),
                }
            }
        }
        let range = |(step, [bare, sum]): (&Step, &[Bounds; 2])| match step {
            Step::Conv(c) => Range {
                bare: lacks_bare(network, c).then(|| bare.int8()),
                sum: c.y.is_none().then(|| sum.int8()),
            },
            _ => Range::default(),
        };
        Ok(Self(network.steps.iter().zip(&bounds).map(range).collect()))
    }
}

/// Lowest and highest value; both 0 at first, which a quantized range must contain.
#[derive(Clone, Copy, Default)]
struct Bounds {
    lo: f32,
    hi: f32,
}

impl Bounds {
    fn add(&mut self, value: f32) {
        self.lo = self.lo.min(value);
        self.hi = self.hi.max(value);
    }

    /// Scale and zero point with which −128…127 covers them.
    fn int8(self) -> (f32, i8) {
        let scale = ((self.hi - self.lo) / 255.0).max(f32::MIN_POSITIVE);
        let zero = (-128.0 - self.lo / scale).round_ties_even().clamp(-128.0, 127.0);
        (scale, zero as i8)
    }
}

/// Whether the result of the convolution alone needs a pair that the network does not have.
fn lacks_bare(network: &Network, c: &Conv) -> bool {
    c.skip.is_some() || is_logits(network, c)
}

pub(super) fn is_logits(network: &Network, c: &Conv) -> bool {
    c.y.is_some_and(|y| y.tensor == network.logits)
}

/// The real value of `v = 1`.
pub(super) fn unit(network: &Network, c: &Conv) -> f32 {
    match (c.y, &c.affine) {
        (Some(y), _) => network.tensors[y.tensor].scale,
        (None, Some(a)) => network.tensors[a.out.tensor].scale,
        (None, None) => 1.0,
    }
}

/// `v` of a convolution without its residual.
fn without_skip(network: &Network, c: &Conv, x: &[i8]) -> Vec<f32> {
    let described = network.conv_desc(c).expect("a network that has been compiled");
    let desc = ConvDesc { skip: false, output: ConvOutput::Float32, ..described };
    let x_zero: Vec<i8> =
        if c.x == PIXELS { network.pixel_zero.clone() } else { vec![network.tensors[c.x].zero] };
    let weights = ConvWeights {
        weights: &c.weights,
        bias: &c.bias,
        multiplier: &c.multiplier,
        x_zero: &x_zero,
        gain: &[],
        offset: &[],
    };
    let none = Requant::full(0);
    let scalars =
        ConvScalars { x_zero: [x_zero[0]; 4], skip_zero: 0, skip_multiplier: 0.0, y: none, y2: none };
    let mut logits = vec![0.0; desc.y.len()];
    conv(&desc, &weights, &scalars, x, &[], ConvResult { y: &mut [], y2: &mut [], logits: &mut logits });
    logits
}
