//! `converter export --rknn`: the same network for a Rockchip NPU, checked in the vendor's simulator, into
//! the archive.

use std::path::PathBuf;

use anyhow::anyhow;
use clap::Args;
use foldnet_archive::{Activation, MAX_BATCH, Network, NpuModel};
use foldnet_runtime::backend::auto::cache;
use foldnet_runtime::dataset::Dataset;
use serde::Serialize;

use super::model::{Int8Model, Model, Runner};
use super::pictures::{Reader, spread};
use super::talk::{bytes, percent};
use super::{Failure, Talk};
use crate::emit::rknn::toolkit::{Built, CHIPS, Job, Toolkit, ToolkitError, VERSION};
use crate::emit::rknn::{self, weights_kept};
use crate::quantize::apart::{Ranges, apart, is_apart};
use crate::quantize::recipe::Progress;
use crate::quantize::score::Distance;

/// What `--rknn` and `--ethos-u` need.
#[derive(Args)]
#[command(next_help_heading = "With --rknn and --ethos-u")]
pub struct Flags {
    /// Pictures to check with: folder, CIFAR .bin, or .npy
    #[arg(long, requires = "npu")]
    pub images: Option<PathBuf>,
    /// Pictures to measure ranges on; by default some of --images
    #[arg(long, requires = "npu", value_name = "IMAGES")]
    pub calibrate: Option<PathBuf>,
    /// Check on at most this many of them
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..), requires = "npu")]
    pub check_images: u32,
    /// Least share of them on which simulator and archive have the same top-1
    #[arg(long, default_value_t = 0.99, requires = "npu")]
    pub min_agreement: f64,
    /// Build a second model that takes so many pictures at once, for `runtime bench`; a camera goes on with
    /// the first
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_BATCH)), requires = "rknn")]
    batch: u32,
    /// Python to make the environment of the maker's tools with: 3.8 to 3.12 for --rknn, 3.11 to 3.13 for
    /// --ethos-u
    #[arg(long, default_value = "python3", requires = "npu")]
    pub python: String,
    /// Folder of that environment; by default in the user's cache
    #[arg(long, requires = "npu")]
    pub toolkit: Option<PathBuf>,
}

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
    sqnr: f64,
    correct: Option<usize>,
    correct_cpu: Option<usize>,
    /// Share of the weights that stand in the model for the board unchanged, as far as they can be found.
    weights_kept: Option<f64>,
    layers: Vec<Layer>,
}

/// How the simulator differs from us in one tensor.
#[derive(Serialize)]
struct Layer {
    name: String,
    /// Share of values that are the same int8.
    equal: f64,
    /// Largest difference, in int8 steps.
    largest: u32,
}

/// Pictures that layers are compared on.
const LAYER_IMAGES: usize = 32;
/// Pictures that ranges are measured on.
const RANGE_IMAGES: usize = 64;

/// Builds, checks, and writes the archive with the result in it.
pub fn run(
    chip: &str,
    flags: &Flags,
    model: &Int8Model,
    output: PathBuf,
    talk: &Talk,
) -> Result<(), Failure> {
    let Some(images) = &flags.images else {
        return Err(Failure::Input(anyhow!("--rknn needs --images: pictures to check the result with")));
    };
    if !(0.0..=1.0).contains(&flags.min_agreement) {
        return Err(Failure::Input(anyhow!("--min-agreement {} is no share of 1", flags.min_agreement)));
    }
    let folder = match &flags.toolkit {
        Some(folder) => folder.clone(),
        None => cache()
            .ok_or_else(|| anyhow!("neither HOME nor XDG_CACHE_HOME is set; give --toolkit"))?
            .join(format!("rknn-toolkit2-{VERSION}")),
    };
    let dataset = Dataset::open(images)?;
    let mut reader = Reader::new(&dataset, &model.manifest.input, talk);
    let samples = reader.read(spread(dataset.len(), flags.check_images as usize));
    reader.check(samples.len(), false)?;
    let labels: Option<Vec<usize>> = samples.iter().map(|s| s.label).collect();
    let pictures: Vec<Vec<u8>> = samples.into_iter().map(|s| s.pixels).collect();

    let network = &model.network;
    let probed = pictures.len().min(LAYER_IMAGES);
    let parts = if is_apart(network) {
        network.clone()
    } else {
        talk.say(
            "the NPU rounds a sum of a convolution and a residual twice, this archive once: its answers will \
             differ a little (`converter quantize --for-npu` makes one that has the NPU's roundings)",
        );
        talk.stage("measuring ranges", 1);
        let some = match &flags.calibrate {
            // Spread over all, since they may come sorted by class.
            None => spread(pictures.len(), RANGE_IMAGES).map(|i| pictures[i].clone()).collect(),
            Some(path) => {
                let dataset = Dataset::open(path)?;
                let mut reader = Reader::new(&dataset, &model.manifest.input, talk);
                let samples = reader.read(spread(dataset.len(), RANGE_IMAGES));
                reader.check(samples.len(), false)?;
                samples.into_iter().map(|s| s.pixels).collect::<Vec<_>>()
            }
        };
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
        pictures: &pictures,
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
    let ours = runner.logits(&pictures)?;
    let theirs: Vec<Vec<f32>> = built.logits.chunks(network.classes()).map(<[f32]>::to_vec).collect();
    if theirs.iter().map(Vec::len).ne(ours.iter().map(Vec::len)) {
        let message = format!("{} logits for {} pictures", built.logits.len(), pictures.len());
        return Err(ToolkitError::Results(message).into());
    }
    let layers = layers(&parts, &probe, &built, &mut runner, &pictures[..probed])?;
    for layer in &layers {
        talk.say(format!(
            "{:>7} equal, largest difference {:>3}  {}",
            percent(layer.equal),
            layer.largest,
            layer.name
        ));
    }
    if let Some((_, logits)) = &built.batched {
        check_batch(&theirs, logits, flags.batch as usize, network.classes())?;
    }
    let weights_kept = weights_kept(network, &built.model);
    if let Some(share) = weights_kept {
        talk.say(format!("{} of the weights stand in the model for {chip} unchanged", percent(share)));
    }
    let distance = Distance::between(&ours, &theirs, Activation::Softmax);
    talk.say(format!(
        "{chip}, simulator against archive on {} pictures: same top-1 on {}; logits {:.2} dB",
        distance.images,
        percent(distance.agreement),
        distance.sqnr
    ));
    if distance.agreement < flags.min_agreement {
        return Err(Failure::Limit(format!(
            "the simulator agrees on {}, less than {}; nothing was written",
            percent(distance.agreement),
            percent(flags.min_agreement)
        )));
    }
    let mut manifest = model.manifest.clone();
    manifest.npu.retain(|n| n.target != chip);
    let batched = built.batched.map(|(model, _)| (flags.batch, model));
    for (batch, model) in std::iter::once((1, built.model)).chain(batched) {
        manifest.npu.push(NpuModel {
            target: chip.into(),
            batch,
            toolkit: VERSION.into(),
            sha256: NpuModel::digest(&model),
            agreement: distance.agreement,
            images: distance.images,
            model,
        });
    }
    manifest.npu.sort_by(|a, b| (&a.target, a.batch).cmp(&(&b.target, b.batch)));
    let size = foldnet_archive::write(&output, network, &manifest)?;
    talk.say(format!("{} ({})", output.display(), bytes(size)));
    let correct = |logits: &[Vec<f32>]| {
        labels.as_ref().map(|l| logits.iter().zip(l).filter(|(x, l)| top(x) == **l).count())
    };
    talk.result(&Outcome {
        output,
        bytes: size,
        target: chip.into(),
        batch: flags.batch,
        toolkit: VERSION,
        images: distance.images,
        agreement: distance.agreement,
        sqnr: distance.sqnr,
        correct: correct(&theirs),
        correct_cpu: correct(&ours),
        weights_kept,
        layers,
    });
    Ok(())
}

/// The simulator must answer each picture of a batch as it answers it alone.
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
            return Err(ToolkitError::Results(format!(
                "picture {i} of a batch gets other logits than alone"
            )));
        }
    }
    Ok(())
}

/// The first of the highest.
fn top(logits: &[f32]) -> usize {
    (0..logits.len()).rev().max_by(|&a, &b| logits[a].total_cmp(&logits[b])).unwrap_or(0)
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
    pictures: &[Vec<u8>],
) -> Result<Vec<Layer>, Failure> {
    let total: usize = probe.tensors.iter().map(|&t| network.tensors[t].shape.len()).sum();
    if built.tensors.len() != total * pictures.len() {
        let message = format!("{} values of tensors for {} pictures", built.tensors.len(), pictures.len());
        return Err(ToolkitError::Results(message).into());
    }
    let mut counts = vec![(false, 0_usize, 0_u32); probe.tensors.len()];
    for (pixels, theirs) in pictures.iter().zip(built.tensors.chunks_exact(total)) {
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
            equal: equal as f64 / (network.tensors[id].shape.len() * pictures.len()) as f64,
            largest,
        })
    };
    Ok(probe.tensors.iter().zip(&counts).filter_map(layer).collect())
}
