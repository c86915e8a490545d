//! `converter export --ethos-u`: the same network as a TFLite file, checked in LiteRT, compiled by Arm's Vela.

use std::path::{Path, PathBuf};

use anyhow::anyhow;
use foldnet::Session;
use foldnet_archive::{Network, PIXELS, TensorId};
use foldnet_kernels::dispatch;
use serde::Serialize;

use super::export_tflite::Int8File;
use super::model::Int8Model;
use super::npu::{Flags, Layer, same_shape, tell};
use super::talk::{bytes, percent};
use super::{Failure, Talk};
use crate::emit::tflite;
use crate::emit::tool::ToolError;
use crate::emit::vela::{self, ACCELERATORS, Compiled, Estimate, Job, VELA, VERSION};
use crate::image::Pixels;
use crate::quantize::recipe::Progress;
use crate::quantize::score;

/// The result for scripts.
#[derive(Serialize)]
struct Outcome {
    /// What LiteRT runs.
    output: PathBuf,
    bytes: u64,
    /// What the NPU's driver runs.
    compiled: PathBuf,
    compiled_bytes: u64,
    target: String,
    vela: &'static str,
    estimate: Estimate,
    /// Share of the operators that the NPU does.
    on_npu: f64,
    images: usize,
    agreement: f64,
    /// Where they disagree, the archive's top-1 was ahead by at most this share of the probability.
    lost_lead: Option<f64>,
    sqnr: f64,
    correct: Option<usize>,
    correct_cpu: Option<usize>,
    layers: Vec<Layer>,
}

/// Images that layers are compared on.
const LAYER_IMAGES: usize = 8;

/// The NPUs that there are, for the command line.
pub fn accelerators() -> clap::builder::PossibleValuesParser {
    ACCELERATORS.to_vec().into()
}

/// The compiled file, beside the other.
pub fn compiled(output: &Path, accelerator: &str) -> PathBuf {
    let stem = output.file_stem().unwrap_or_default().to_string_lossy();
    output.with_file_name(format!("{stem}.{accelerator}.tflite"))
}

/// Writes the file and its compiled form, after LiteRT and Vela have seen it.
pub fn run(
    accelerator: &str,
    flags: &Flags,
    model: &Int8Model,
    output: PathBuf,
    beside: PathBuf,
    talk: &Talk,
) -> Result<(), Failure> {
    let check = flags.check("--ethos-u", model, talk)?;
    let folder = flags.folder(format!("ethos-u-vela-{VERSION}"))?;
    let images = &check.images;
    talk.stage("measuring ranges", 1);
    let some = flags.for_ranges(&check, model, talk)?;
    let network = &model.network;
    let Int8File { parts, logits, file } = Int8File::of(network, &some, model.measure())?;
    let compared: Vec<TensorId> = (0..parts.tensors.len())
        .filter(|&t| t != PIXELS && t != parts.logits)
        .filter(|&t| parts.steps.iter().any(|s| s.outputs().contains(&t)))
        .collect();
    let names: Vec<&str> = compared.iter().map(|&t| &parts.tensors[t].name[..]).collect();

    let vela = VELA.open(&folder, &flags.python, |words| talk.say(words))?;
    talk.stage("running LiteRT and Vela", 1);
    let shape = network.input();
    let probed = images.len().min(LAYER_IMAGES);
    let job = Job {
        target: accelerator,
        model: &file,
        shape: [shape.h, shape.w, shape.c],
        images,
        names: &names,
        probed,
    };
    let compiled = vela::run(&vela, &job)?;
    talk.clear();

    let outputs: Vec<Vec<f32>> = compiled
        .outputs
        .chunks(network.classes())
        .map(|image| image.iter().map(|&q| tflite::output(&parts, logits).real(q)).collect())
        .collect();
    let ours = score::logits(network, images)?;
    same_shape(&ours, &outputs)?;
    let layers = layers(&parts, &compared, &compiled, &images[..probed])?;
    tell(&layers, talk);
    let distance = flags.judge("LiteRT", "LiteRT", model, &ours, &outputs, talk)?;
    for line in words(accelerator, &compiled.estimate) {
        talk.human(line);
    }
    for (path, content) in [(&output, &file), (&beside, &compiled.model)] {
        foldnet_archive::write_file(path, content).map_err(|e| anyhow!("{}: {e}", path.display()))?;
        talk.human(format!("{} ({})", path.display(), bytes(content.len() as u64)));
    }
    talk.result(&Outcome {
        bytes: file.len() as u64,
        output,
        compiled: beside,
        compiled_bytes: compiled.model.len() as u64,
        target: accelerator.into(),
        vela: VERSION,
        on_npu: compiled.estimate.on_npu(),
        images: distance.images,
        agreement: distance.likeness(),
        lost_lead: distance.lost_lead,
        sqnr: distance.sqnr,
        correct: check.correct(&outputs),
        correct_cpu: check.correct(&ours),
        layers,
        estimate: compiled.estimate,
    });
    Ok(())
}

/// The estimate in words.
fn words(accelerator: &str, e: &Estimate) -> Vec<String> {
    let mut lines = vec![
        format!(
            "{accelerator}, Vela's estimate: {:.0} cycles, {:.1} inferences a second at {:.0} MHz ({}, {})",
            e.cycles,
            e.inferences_per_second,
            e.clock_hz / 1e6,
            e.system_config,
            e.memory_mode
        ),
        format!(
            "memory: SRAM {}, flash {}, DRAM {}",
            bytes(e.sram_bytes as u64),
            bytes(e.flash_bytes as u64),
            bytes(e.dram_bytes as u64)
        ),
        format!("on the NPU: {} of {} operators", percent(e.on_npu()), e.operators),
    ];
    if !e.on_cpu.is_empty() {
        lines.push(format!("left to the CPU: {}", e.on_cpu.join(", ")));
    }
    lines
}

/// Compares every tensor of the network that LiteRT has with our kernels'.
fn layers(
    network: &Network,
    compared: &[TensorId],
    compiled: &Compiled,
    images: &[Pixels],
) -> Result<Vec<Layer>, Failure> {
    let total: usize = compared.iter().map(|&t| network.tensors[t].shape.len()).sum();
    if compiled.tensors.len() != total * images.len() {
        let problem = format!("{} values of tensors for {} images", compiled.tensors.len(), images.len());
        return Err(ToolError::Results(problem).into());
    }
    let mut session = Session::new(network, dispatch::best(), 1).map_err(|e| Failure::Fault(e.into()))?;
    let mut counts = vec![(0_usize, 0_u32); compared.len()];
    for (pixels, theirs) in images.iter().zip(compiled.tensors.chunks_exact(total)) {
        let mut ours: Vec<Vec<i8>> = vec![Vec::new(); network.tensors.len()];
        session.run_traced(pixels.values(), |step, outputs| {
            for (id, values) in network.steps[step].outputs().into_iter().zip(outputs) {
                ours[id] = values;
            }
        });
        let mut theirs = theirs;
        for (&id, (equal, largest)) in compared.iter().zip(&mut counts) {
            let (mine, rest) = theirs.split_at(network.tensors[id].shape.len());
            theirs = rest;
            for (&a, &b) in ours[id].iter().zip(mine) {
                *equal += usize::from(a == b);
                *largest = u32::from(a.abs_diff(b)).max(*largest);
            }
        }
    }
    let layer = |(&id, &(equal, largest)): (&usize, &(usize, u32))| Layer {
        name: network.tensors[id].name.clone(),
        equal: equal as f64 / (network.tensors[id].shape.len() * images.len()) as f64,
        largest,
    };
    Ok(compared.iter().zip(&counts).map(layer).collect())
}
