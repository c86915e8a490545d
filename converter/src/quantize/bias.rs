//! Bias correction: restores the mean of every channel to that of the float network.
//!
//! Rounding and clipping shift a layer's output by an amount that does not average out over pixels. On the
//! calibration images, with the quantized network's own inputs, each channel's mean is compared with the float
//! network's, and the difference is added to the int32 bias:
//!
//! ```text
//! b[c] += (E[y_float] − E[y_int8]) / P(y_int8 strictly inside its range)
//! ```
//! The divisor is the share of a bias that passes the ReLU. All layers are corrected together, and the step is
//! repeated, since a correction changes the inputs of later layers. Nagel et al., 2019, section 4.2.

use foldnet::Session;
use foldnet_archive::{Network, Out, Step};

use super::QuantizeError;
use super::build::Draft;
use super::fuse::Layer;
use crate::calibrate::in_lanes;
use crate::graph::{NodeId, Op};
use crate::image::Pixels;

/// The required statistics of an output's values.
#[derive(Clone, Default)]
struct Seen {
    sum: Vec<i64>,
    inside: Vec<u64>,
    count: u64,
}

/// Runs one step of the correction, which puts new biases into the draft. `means` returns the float mean per
/// channel of a node, in the units of the draft's graph; `strength` is the share of the difference that is
/// corrected.
pub fn correct(
    draft: &mut Draft,
    network: &Network,
    images: &[Pixels],
    strength: f64,
    means: &dyn Fn(NodeId) -> Option<Vec<f64>>,
) -> Result<(), QuantizeError> {
    const LANES: usize = 2;
    let lanes = in_lanes(LANES, |lane| -> Result<Vec<Seen>, QuantizeError> {
        let mut seen = vec![Seen::default(); network.steps.len()];
        let mut session = Session::new(network, foldnet_kernels::dispatch::best(), 1)?;
        for pixels in images.iter().skip(lane).step_by(LANES) {
            session.run_traced(pixels.values(), |step, outputs| {
                if let (Step::Conv(conv), Some(values)) = (&network.steps[step], outputs.first())
                    && let Some(out) = conv.y.or(conv.affine.as_ref().map(|a| a.out))
                {
                    seen[step].add(network, out, values);
                }
            });
        }
        Ok(seen)
    });
    let lanes = lanes.into_iter().collect::<Result<Vec<_>, _>>()?;
    for (i, layer) in draft.fusion.layers.clone().into_iter().enumerate() {
        let Layer::Conv { conv, y, second, .. } = layer else { continue };
        // The logits are not traced and need no correction: their inputs were corrected.
        let Some(slot) = y.or(second.map(|s| s.slot)).filter(|&s| s != draft.fusion.logits) else { continue };
        let Some(target) = means(draft.fusion.slots[slot].node) else { continue };
        let (scale, zero) = draft.quantization(slot);
        let gain = match (y, second.and_then(|s| s.affine)) {
            (None, Some(affine)) => match &draft.graph.nodes[affine].op {
                Op::Affine { gain, .. } => gain.clone(),
                _ => continue,
            },
            _ => vec![1.0; target.len()],
        };
        let Op::Conv(c) = &mut draft.graph.nodes[conv].op else { continue };
        for (channel, bias) in c.bias.iter_mut().enumerate() {
            let sum: i64 = lanes.iter().map(|l| l[i].sum.get(channel).copied().unwrap_or(0)).sum();
            let inside: u64 = lanes.iter().map(|l| l[i].inside.get(channel).copied().unwrap_or(0)).sum();
            let count: u64 = lanes.iter().map(|l| l[i].count).sum();
            let open = inside as f64 / count.max(1) as f64 * f64::from(gain[channel]);
            // A channel that is nearly always at its limit gives no information about its bias.
            if open.abs() < 0.02 {
                continue;
            }
            let mean = (sum as f64 / count as f64 - f64::from(zero)) * f64::from(scale);
            *bias += (strength * (target[channel] - mean) / open) as f32;
        }
    }
    Ok(())
}

impl Seen {
    fn add(&mut self, network: &Network, out: Out, values: &[i8]) {
        let c = network.tensors[out.tensor].shape.c;
        self.sum.resize(c, 0);
        self.inside.resize(c, 0);
        for pixel in values.chunks_exact(c) {
            for (i, &v) in pixel.iter().enumerate() {
                self.sum[i] += i64::from(v);
                self.inside[i] += u64::from(v > out.lo && v < out.hi);
            }
        }
        self.count += (values.len() / c) as u64;
    }
}
