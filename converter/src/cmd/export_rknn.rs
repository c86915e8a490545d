//! `converter export --rknn`: the same network for a Rockchip NPU, checked in the vendor's simulator, into
//! the archive.

use std::path::PathBuf;

use foldnet_archive::{Network, NpuModel};
use serde::Serialize;

use super::model::{Int8Model, Model, Runner};
use super::npu::{Flags, Layer, same_shape, tell};
use super::talk::{bytes, percent};
use super::{Failure, Talk};
use crate::emit::rknn::toolkit::{Built, CHIPS, Job, Toolkit, ToolkitError, VERSION};
use crate::emit::rknn::{self, weights_kept};
use crate::image::Pixels;
use crate::quantize::apart::{Ranges, apart, is_apart};
use crate::quantize::recipe::Progress;

/// The result for scripts.
#[derive(Serialize)]
struct Outcome {
    output: PathBuf,
    bytes: u64,
    target: String,
    batch: u32,
    toolkit: &'static str,
    images: usize,
    agreement: f64,
    /// Where they disagree, the archive's top-1 was ahead by at most this share of the probability.
    lost_lead: Option<f64>,
    sqnr: f64,
    correct: Option<usize>,
    correct_cpu: Option<usize>,
    /// Share of the weights that stand in the model for the board unchanged, as far as they can be found.
    weights_kept: Option<f64>,
    layers: Vec<Layer>,
}

/// Images that layers are compared on.
const LAYER_IMAGES: usize = 32;

/// Builds, checks, and writes the archive with the result in it.
pub fn run(
    chip: &str,
    flags: &Flags,
    model: &Int8Model,
    output: PathBuf,
    talk: &Talk,
) -> Result<(), Failure> {
    let check = flags.check("--rknn", model, talk)?;
    let folder = flags.folder(format!("rknn-toolkit2-{VERSION}"))?;
    let images = &check.images;

    let network = &model.network;
    let probed = images.len().min(LAYER_IMAGES);
    let parts = if is_apart(network) {
        network.clone()
    } else {
        talk.say(
            "the NPU rounds a sum of a convolution and a residual twice, this archive once: its answers will \
             differ a little (`converter quantize --for-npu` makes one that has the NPU's roundings)",
        );
        talk.stage("measuring ranges", 1);
        let some = flags.for_ranges(&check, model, talk)?;
        apart(network, &Ranges::measure(network, &some).map_err(|e| Failure::Fault(e.into()))?)
    };
    let (plain, probe) = (rknn::model(&parts, false)?, rknn::model(&parts, true)?);
    let toolkit = Toolkit::open(&folder, &flags.python, |words| talk.say(words))?;
    talk.stage("building, simulating", 1);
    let shape = network.input();
    let built = toolkit.run(&Job {
        target: chip,
        model: &plain.onnx,
        probe: &probe.onnx,
        mean: &plain.mean,
        shape: [shape.h, shape.w, shape.c],
        images,
        probed,
        batch: flags.batch,
    })?;
    talk.clear();

    let whole = Model::Int8(Box::new(Int8Model {
        network: network.clone(),
        manifest: model.manifest.clone(),
        bytes: model.bytes,
    }));
    let mut runner = Runner::new(&whole)?;
    let ours = runner.logits(images)?;
    let theirs: Vec<Vec<f32>> = built.logits.chunks(network.classes()).map(<[f32]>::to_vec).collect();
    same_shape(&ours, &theirs)?;
    let layers = layers(&parts, &probe, &built, &mut runner, &images[..probed])?;
    tell(&layers, talk);
    if let Some((_, logits)) = &built.batched {
        check_batch(&theirs, logits, flags.batch as usize, network.classes())?;
    }
    let weights_kept = weights_kept(network, &built.model);
    if let Some(share) = weights_kept {
        talk.human(format!("{} of the weights stand in the model for {chip} unchanged", percent(share)));
    }
    let distance =
        flags.judge(&format!("{chip}, simulator"), "the simulator", model, &ours, &theirs, talk)?;
    let mut manifest = model.manifest.clone();
    manifest.npu.retain(|n| n.target != chip);
    let batched = built.batched.map(|(model, _)| (flags.batch, model));
    for (batch, model) in std::iter::once((1, built.model)).chain(batched) {
        manifest.npu.push(NpuModel {
            target: chip.into(),
            batch,
            toolkit: VERSION.into(),
            sha256: foldnet_archive::digest(&model),
            agreement: distance.likeness(),
            images: distance.images,
            model,
        });
    }
    manifest.npu.sort_by(|a, b| (&a.target, a.batch).cmp(&(&b.target, b.batch)));
    let size = foldnet_archive::write(&output, network, &manifest)?;
    talk.human(format!("{} ({})", output.display(), bytes(size)));
    talk.result(&Outcome {
        output,
        bytes: size,
        target: chip.into(),
        batch: flags.batch,
        toolkit: VERSION,
        images: distance.images,
        agreement: distance.likeness(),
        lost_lead: distance.lost_lead,
        sqnr: distance.sqnr,
        correct: check.correct(&theirs),
        correct_cpu: check.correct(&ours),
        weights_kept,
        layers,
    });
    Ok(())
}

/// The simulator must answer each image of a batch as it answers it alone.
fn check_batch(
    alone: &[Vec<f32>],
    batched: &[f32],
    batch: usize,
    classes: usize,
) -> Result<(), ToolkitError> {
    if batched.len() != batch * classes {
        let message = format!("{} logits for a batch of {batch}", batched.len());
        return Err(ToolkitError::Results(message));
    }
    for (i, (logits, alone)) in batched.chunks_exact(classes).zip(alone.iter().cycle()).enumerate() {
        if logits != alone {
            return Err(ToolkitError::Results(format!("image {i} of a batch gets other logits than alone")));
        }
    }
    Ok(())
}

/// A chip's name as the toolkit has it.
pub fn chip(name: &str) -> Result<String, String> {
    let lower = name.to_ascii_lowercase();
    if CHIPS.contains(&lower.as_str()) { Ok(lower) } else { Err(format!("one of {}", CHIPS.join(", "))) }
}

/// Compares every tensor that both have, as int8; `network` is what the NPU was given.
fn layers(
    network: &Network,
    probe: &rknn::Model,
    built: &Built,
    runner: &mut Runner<'_>,
    images: &[Pixels],
) -> Result<Vec<Layer>, Failure> {
    let total: usize = probe.tensors.iter().map(|&t| network.tensors[t].shape.len()).sum();
    if built.tensors.len() != total * images.len() {
        let message = format!("{} values of tensors for {} images", built.tensors.len(), images.len());
        return Err(ToolkitError::Results(message).into());
    }
    let mut counts = vec![(false, 0_usize, 0_u32); probe.tensors.len()];
    for (pixels, theirs) in images.iter().zip(built.tensors.chunks_exact(total)) {
        let values = runner.tensors(pixels)?;
        let mut theirs = theirs;
        for (&id, (seen, equal, largest)) in probe.tensors.iter().zip(&mut counts) {
            let tensor = &network.tensors[id];
            let (shape, mine) = (tensor.shape, values.iter().find(|v| v.name == tensor.name));
            let (nchw, rest) = theirs.split_at(shape.len());
            theirs = rest;
            // The archive may have no such value: it rounds less often.
            let Some(mine) = mine else { continue };
            *seen = true;
            for (i, ours) in mine.values.iter().enumerate() {
                let (pixel, channel) = (i / shape.c, i % shape.c);
                let other = nchw[channel * shape.h * shape.w + pixel];
                let steps = ((other - ours) / tensor.scale).abs().round() as u32;
                *equal += usize::from(steps == 0);
                *largest = steps.max(*largest);
            }
        }
    }
    let layer = |(&id, &(seen, equal, largest)): (&usize, &(bool, usize, u32))| {
        seen.then(|| Layer {
            name: network.tensors[id].name.clone(),
            equal: equal as f64 / (network.tensors[id].shape.len() * images.len()) as f64,
            largest,
        })
    };
    Ok(probe.tensors.iter().zip(&counts).filter_map(layer).collect())
}
