//! Computes the report's tables: the changes, the sources of noise, and every tensor.

use std::collections::BTreeMap;

use foldnet::Session;
use foldnet_archive::{Network, Step, Tensor};

use super::ConvertError;
use super::check::Check;
use crate::image::Pixels;
use crate::model::FloatModel;
use crate::quantize::fuse::{Layer, SlotId};
use crate::quantize::recipe::{Outcome, Progress};
use crate::quantize::sensitivity::Share;
use crate::quantize::{equalize, sensitivity};
use crate::report::layers::{Noise, NoiseMap};
use crate::report::{Changed, SensitivityReport, TensorReport, png};
use crate::run::Runner;

/// The number of check images on which layers are compared.
const LAYER_IMAGES: usize = 16;
/// The largest number of float multiply-accumulates for sensitivities.
const SENSITIVITY_MACS: u64 = 1_000_000_000_000;
/// The largest number of changed images in the report.
const CHANGED: usize = 60;
/// The number of first layers, which read the images' own values.
const FIRST: usize = 3;

/// The number of steps that compute in int8, and of those that do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layers {
    /// The steps with int8 inputs, int8 multiplications or int8 outputs.
    pub int8: usize,
    /// The steps that only convert int8 values to the f32 result.
    pub float: usize,
}

impl Layers {
    /// Counts a network's steps.
    pub fn of(network: &Network) -> Self {
        let in_float =
            |step: &&Step| !matches!(step, Step::Conv(_)) && step.outputs().contains(&network.logits);
        let float = network.steps.iter().filter(in_float).count();
        Self { int8: network.steps.len() - float, float }
    }
}

/// Returns the first images whose answer changed.
pub fn changed(model: &FloatModel, check: &Check<'_>, answers: &[Vec<f32>]) -> Vec<Changed> {
    let named = |class: usize| model.labels.get(class).cloned().unwrap_or_else(|| format!("class {class}"));
    let measure = check.measure();
    let all = check.samples().iter().zip(check.truth().iter().zip(answers));
    let answer = |of: &[f32]| measure.class(of).map_or_else(String::new, named);
    all.filter(|(_, (a, b))| measure.same(a, b) == Some(false))
        .take(CHANGED)
        .map(|(sample, (a, b))| Changed {
            name: sample.name.clone(),
            label: sample.label.map(named),
            float: answer(a),
            int8: answer(b),
            thumbnail: png::thumbnail(&sample.pixels),
        })
        .collect()
}

/// Rounds every tensor and layer alone, on as many images as the float budget allows.
pub fn sensitivity(
    outcome: &Outcome,
    images: &[Pixels],
    progress: &dyn Progress,
) -> Result<Vec<Share>, ConvertError> {
    let parts = sensitivity::parts(&outcome.draft);
    let per_image = outcome.network.macs().max(1).saturating_mul(parts as u64);
    let n = ((SENSITIVITY_MACS / per_image) as usize).clamp(2, LAYER_IMAGES).min(images.len());
    progress.stage("sensitivity", parts);
    let exact = equalize::apply(&outcome.graph, &outcome.factors);
    let tick = || progress.tick();
    Ok(sensitivity::shares(&exact, &outcome.draft, &images[..n], outcome.measure, &tick)?)
}

/// Converts one share for the report.
pub fn share(outcome: &Outcome, share: &Share) -> SensitivityReport {
    SensitivityReport {
        name: outcome.graph.nodes[share.node].name.clone(),
        what: if share.weights { "weights" } else { "values" },
        sqnr: share.sqnr,
    }
}

/// Returns the elementwise steps that could not be fused into a convolution.
pub fn not_folded(outcome: &Outcome) -> Vec<String> {
    let alone = |layer: &Layer| match layer {
        Layer::Affine { node, .. } | Layer::Add { node, .. } => {
            let node = &outcome.graph.nodes[*node];
            Some(format!("{} ({})", node.name, node.op.kind()))
        }
        _ => None,
    };
    outcome.draft.fusion.layers.iter().filter_map(alone).collect()
}

/// Returns the largest share of values that any of the first layers clips at the upper end of its range.
pub fn saturation<'a>(session: &mut Session, images: impl Iterator<Item = &'a Pixels>) -> f64 {
    let mut counts = [(0u64, 0u64); FIRST];
    for pixels in images.take(LAYER_IMAGES) {
        session.run_traced(pixels.values(), |step, outputs| {
            let (Some((cut, all)), Some(values)) = (counts.get_mut(step), outputs.first()) else { return };
            // Only the upper end counts: after a ReLU, zero may well be frequent.
            *cut += values.iter().filter(|&&v| v == i8::MAX).count() as u64;
            *all += values.len() as u64;
        });
    }
    let share = |&(cut, all): &(u64, u64)| cut as f64 / all.max(1) as f64;
    counts.iter().map(share).fold(0.0, f64::max)
}

/// Describes every int8 tensor: its scale, its noise, and its statistics.
pub fn tensors(
    outcome: &Outcome,
    model: &FloatModel,
    network: &Network,
    check: &Check<'_>,
    progress: &dyn Progress,
) -> Result<Vec<TensorReport>, ConvertError> {
    let (mut float, mut int8) = (Runner::float(model)?, Runner::int8(network)?);
    let mut noise: NoiseMap = BTreeMap::new();
    progress.stage("comparing layers", LAYER_IMAGES.min(check.samples().len()));
    for sample in check.samples().iter().take(LAYER_IMAGES) {
        let truth = float.tensors(&sample.pixels)?;
        for theirs in int8.tensors(&sample.pixels)? {
            if let Some(ours) = truth.iter().find(|v| v.name == theirs.name) {
                noise
                    .entry(theirs.name.clone())
                    .or_insert_with(|| Noise::new(theirs.channels))
                    .add(&ours.values, &theirs.values);
            }
        }
        progress.tick();
    }
    // The statistics belong to the tensors of int8 alone, which calibration has seen.
    let slots = &outcome.draft.fusion.slots;
    let own = |(id, tensor): (SlotId, &Tensor)| {
        let (lo, hi, histogram) = outcome.observation.histogram(slots[id].node, 0).plot(64);
        let kept = !network.tensors.iter().any(|t| t.name == tensor.name);
        TensorReport {
            name: tensor.name.clone(),
            shape: [tensor.shape.h, tensor.shape.w, tensor.shape.c],
            scale: tensor.scale,
            zero: tensor.zero,
            method: if kept {
                "16 bits".into()
            } else {
                outcome.methods[outcome.draft.fusion.root(id)].name().into()
            },
            sqnr: noise.get(&tensor.name).map(Noise::sqnr),
            seen: (lo, hi),
            histogram,
        }
    };
    let all = outcome.network.tensors.iter().enumerate().skip(1);
    Ok(all.filter(|(id, _)| *id != outcome.network.logits).map(own).collect())
}

#[cfg(test)]
mod tests {
    use foldnet_archive::testing::every_step;

    use super::*;

    #[test]
    fn layers_are_counted_by_what_they_compute_in() {
        let mut network = every_step();
        let all = Layers::of(&network);
        assert_eq!(all.int8 + all.float, network.steps.len());
        // A network that ends in its last convolution has no step in f32.
        network.steps.retain(|s| matches!(s, Step::Conv(_)));
        assert_eq!(Layers::of(&network).float, 0);
    }
}
