//! `converter export`: an archive for other engines and for microcontrollers.

use std::path::{Path, PathBuf};

use clap::Args;
use foldnet::compile::compile_small;
use foldnet_catalogue::{Board, Needs, Part, Used};
use foldnet_kernels::dispatch;
use serde::Serialize;

use super::files::LabelsFile;
use super::model::{Around, InputFlags, Int8Model, Model};
use super::talk::bytes;
use super::{Failure, Talk, export_ethos_u, export_rknn, export_tflite, files, npu};
use crate::emit::qdq;

/// Write an archive for other engines, microcontrollers or NPUs
#[derive(Args)]
#[command(after_help = "Examples:\n  converter export --board rp2350-pico2 model.nnef.tgz -o model.plan\n  \
                        converter export --plan cortex-m4 --flash 1024 --ram 256 model.nnef.tgz -o model.plan\n  \
                        converter export --qdq model.nnef.tgz -o model.qdq.onnx\n  \
                        converter export --tflite model.nnef.tgz --images photos/ -o model.tflite\n  \
                        converter export --rknn rk3588 model.nnef.tgz --images photos/\n  \
                        converter export --ethos-u ethos-u55-128 model.nnef.tgz --images photos/ -o model.tflite")]
#[command(group(clap::ArgGroup::new("format").required(true)))]
#[command(group(clap::ArgGroup::new("npu").args(["rknn", "ethos_u"])))]
#[command(group(clap::ArgGroup::new("pictures").args(["rknn", "ethos_u", "tflite"])))]
pub struct Cmd {
    /// Write ONNX with QuantizeLinear and DequantizeLinear nodes (opset 13)
    #[arg(long, group = "format")]
    qdq: bool,
    /// Write an int8 TFLite file, for LiteRT and TensorFlow Lite Micro
    ///
    /// Input and output are int8; the input is the pixels minus 128. The export is first compared with the archive, in
    /// TFLite's arithmetic.
    #[arg(long, group = "format")]
    tflite: bool,
    /// Build a model for a Rockchip NPU: rk3562, rk3566, rk3568, rk3576 or rk3588
    ///
    /// The vendor's toolkit builds the model and checks it in its simulator. The model is added to the archive.
    #[arg(long, group = "format", value_name = "CHIP", value_parser = export_rknn::chip)]
    rknn: Option<String>,
    /// Write an int8 TFLite file for an Arm Ethos-U NPU, for example ethos-u55-128
    ///
    /// LiteRT also runs the file. Beside it, writes the file compiled by Arm's Vela and prints Vela's estimate of its
    /// speed.
    #[arg(long, group = "format", value_name = "NPU", value_parser = export_ethos_u::accelerators())]
    ethos_u: Option<String>,
    /// Write a plan for a processor, to be linked into firmware
    #[arg(long, group = "format", value_name = "CPU", value_parser = processors())]
    plan: Option<String>,
    /// Write a plan for a board of `boards list`; exit with code 3 if it does not fit
    #[arg(long, group = "format", value_name = "NAME", value_parser = microcontroller)]
    board: Option<Box<Board>>,
    /// Size of the flash in kB; exit with code 3 if plan and program do not fit
    #[arg(long, requires = "plan", value_name = "KB")]
    flash: Option<usize>,
    /// Size of the RAM in kB; exit with code 3 if arena and stack do not fit
    #[arg(long, requires = "plan", value_name = "KB")]
    ram: Option<usize>,
    /// Archive from `converter quantize`
    archive: PathBuf,
    /// File to write [default: beside the archive; with --rknn, the archive itself]
    #[arg(long, short)]
    output: Option<PathBuf>,
    #[command(flatten)]
    npu_flags: npu::Flags,
}

/// A microcontroller's board.
fn microcontroller(name: &str) -> Result<Box<Board>, String> {
    let board = foldnet_catalogue::find(name).map_err(|e| e.to_string())?;
    if board.mcu.is_none() {
        return Err(format!("{} runs Linux: it takes the archive itself", board.name));
    }
    Ok(Box::new(board))
}

fn processors() -> clap::builder::PossibleValuesParser {
    foldnet_catalogue::microcontrollers().collect::<Vec<_>>().into()
}

#[derive(Serialize)]
struct Outcome {
    output: PathBuf,
    bytes: u64,
    #[serde(flatten)]
    plan: Option<PlanOutcome>,
}

/// What a plan adds to the outcome; sizes in bytes.
#[derive(Serialize)]
struct PlanOutcome {
    /// The classes' names, one a line, for the firmware and for `boards classify`.
    labels: Option<PathBuf>,
    kernels: String,
    arena_bytes: usize,
    flash_needed: usize,
    ram_needed: usize,
}

impl Cmd {
    /// See the module.
    pub fn run(self, talk: &Talk) -> Result<(), Failure> {
        let model = Model::load(&self.archive, &InputFlags::default(), Around::nothing(talk))?;
        let Model::Int8(model) = model else {
            return Err(Failure::Input(anyhow::anyhow!(
                "{} is a float model; `converter quantize` makes the archive that can be exported",
                self.archive.display()
            )));
        };
        if let Some(chip) = &self.rknn {
            // The archive itself may be replaced: by one that also has the chip's model.
            let output = self.output.unwrap_or(self.archive);
            files::check(&self.npu_flags.inputs(), &[("-o", &output)])?;
            return export_rknn::run(chip, &self.npu_flags, &model, output, talk);
        }
        let ending = if self.ethos_u.is_some() || self.tflite {
            "tflite"
        } else if self.qdq {
            "qdq.onnx"
        } else {
            "plan"
        };
        let output = self.output(ending);
        let compiled = self.ethos_u.as_deref().map(|npu| export_ethos_u::compiled(&output, npu));
        self.check(&output, compiled.as_deref())?;
        let labels = match (&compiled, self.qdq) {
            (None, false) => LabelsFile::beside(&output, &model.manifest.labels)?,
            _ => None,
        };
        if let (Some(accelerator), Some(compiled)) = (&self.ethos_u, compiled) {
            return export_ethos_u::run(accelerator, &self.npu_flags, &model, output, compiled, talk);
        }
        if self.tflite {
            return export_tflite::run(&self.npu_flags, &model, output, labels, talk);
        }
        let (file, mut plan) = if self.qdq {
            (qdq::model(&model.network, &model.manifest.labels), None)
        } else {
            let (bytes, outcome) = self.for_a_microcontroller(&model, talk)?;
            (bytes, Some(outcome))
        };
        foldnet_archive::write_file(&output, &file)
            .map_err(|e| anyhow::anyhow!("{}: {e}", output.display()))?;
        if let (Some(labels), Some(plan)) = (labels, &mut plan) {
            labels.write()?;
            talk.human(labels.path.display().to_string());
            plan.labels = Some(labels.path);
        }
        let outcome = Outcome { bytes: file.len() as u64, output, plan };
        talk.human(format!("{} ({})", outcome.output.display(), bytes(outcome.bytes)));
        talk.result(&outcome);
        Ok(())
    }

    /// What was asked for, or the archive's name with another ending.
    fn output(&self, ending: &str) -> PathBuf {
        self.output.clone().unwrap_or_else(|| {
            let name = self.archive.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let stem = name.strip_suffix(".nnef.tgz").unwrap_or(&name);
            self.archive.with_file_name(format!("{stem}.{ending}"))
        })
    }

    /// Whether the output, and what is compiled beside it, can be written without losing anything.
    fn check(&self, output: &Path, compiled: Option<&Path>) -> anyhow::Result<()> {
        let mut inputs = self.npu_flags.inputs();
        inputs.push(&self.archive);
        let mut outputs = vec![("-o", output)];
        outputs.extend(compiled.map(|path| ("the compiled file", path)));
        files::check(&inputs, &outputs)?;
        if compiled.is_some() && files::is_device(output) {
            anyhow::bail!(
                "-o {}: the compiled file is written beside it; give the name of a file",
                output.display()
            );
        }
        if self.output.is_none() {
            // Other programs write files of these kinds, too: nobody knows whose it is.
            outputs.iter().try_for_each(|(_, path)| files::check_default(path, |_| false))?;
        }
        Ok(())
    }

    /// The plan, after it was held against the part.
    fn for_a_microcontroller(
        &self,
        model: &Int8Model,
        talk: &Talk,
    ) -> Result<(Vec<u8>, PlanOutcome), Failure> {
        let kb = |n: usize| n.saturating_mul(1024);
        let (processor, part) = match (&self.board, &self.plan) {
            (Some(board), _) => (board.core(), Part::of(board)),
            (None, Some(processor)) => {
                let (flash, ram) = (self.flash.map(kb), self.ram.map(kb));
                let firmware = Used::LEAST;
                (processor.as_str(), Some(Part { name: "the part", flash, ram, firmware }))
            }
            (None, None) => (Default::default(), None),
        };
        let Some(part) = part else {
            return Err(Failure::Fault(anyhow::anyhow!("neither a microcontroller nor a processor")));
        };
        let set = dispatch::by_name(foldnet_catalogue::kernels(processor))?;
        let plan = compile_small(&model.network, set)?.to_vec();
        let needs = Needs::of_plan(&plan).map_err(|e| Failure::Fault(e.into()))?;
        let memories = part.holds(&needs);
        let lacking: Vec<&str> =
            memories.iter().filter(|(holds, _)| !holds).map(|(_, t)| t.as_str()).collect();
        if !lacking.is_empty() {
            return Err(Failure::Limit(lacking.join("; ")));
        }
        for (_, words) in &memories {
            talk.human(format!("{processor}: {words}"));
        }
        let outcome = PlanOutcome {
            labels: None,
            kernels: needs.kernels.unwrap_or_default(),
            arena_bytes: needs.ram,
            flash_needed: plan.len() + part.firmware.flash,
            ram_needed: needs.ram + part.firmware.ram,
        };
        Ok((plan, outcome))
    }
}
