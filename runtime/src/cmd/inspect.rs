//! `runtime inspect`: the plan that an archive becomes on this CPU.

use std::path::PathBuf;

use foldnet::Session;
use foldnet_archive::{Manifest, Network, Resize};
use foldnet_kernels::KernelSet;
use foldnet_kernels::dispatch::REGISTRY;
use foldnet_plan::format::Record;
use serde_json::json;

use super::{Engine, Failure, Output, bytes, fitted, printable, read};

/// Show the plan that an archive is compiled to
///
/// Prints each step with its shapes, memory and constants, and the kernel set in use.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  runtime inspect model.nnef.tgz")]
pub struct Cmd {
    /// Archive from `converter quantize`
    archive: PathBuf,
    #[command(flatten)]
    engine: Engine,
}

/// One step, as both outputs show it.
struct Row {
    kind: String,
    shapes: String,
    /// Arena offsets: what is read, what is written.
    reads: Vec<u32>,
    writes: Vec<u32>,
    constants: u32,
    tasks: usize,
}

impl Cmd {
    /// Runs the command.
    pub fn run(self, output: &Output) -> Result<(), Failure> {
        let (network, manifest) = read(&self.archive)?;
        let session = self.engine.session(&network, 1)?;
        let set = session.set();
        let rows: Vec<Row> = (0..session.steps().len()).map(|i| row(session.plan().record(i), set)).collect();
        if output.json() {
            return output.data(&self.json(&network, &manifest, &session, &rows));
        }
        self.head(output, &network, &manifest, &session)?;
        table(output, &session, &rows)
    }

    fn head(
        &self,
        output: &Output,
        network: &Network,
        manifest: &Manifest,
        session: &Session,
    ) -> Result<(), Failure> {
        let input = &manifest.input;
        let resize = match input.resize {
            Resize::Stretch => "stretched".into(),
            Resize::Bilinear => "stretched without antialiasing".into(),
            Resize::Crop { short_side } => format!("short side to {short_side}, centre cropped"),
        };
        let calibration = &manifest.calibration;
        let agreement = calibration
            .agreement
            .map_or(String::new(), |a| format!(", top-1 as in f32 on {:.1} %", 100.0 * a));
        output.line(format!("archive    {}", printable(&self.archive.to_string_lossy())))?;
        let (file, producer) = (printable(&manifest.source.file), printable(&manifest.source.producer));
        output.line(format!("source     {file} ({producer})"))?;
        output.line(format!(
            "input      {}, images are {resize}; preprocessing {} is folded in",
            network.input(),
            printable(&input.preprocess)
        ))?;
        output.line(format!(
            "network    {} steps, {} parameters, {:.1} MMAC, {} classes, {} with labels",
            network.steps.len(),
            network.parameters(),
            network.macs() as f64 / 1e6,
            network.classes(),
            manifest.labels.len()
        ))?;
        output.line(format!(
            "quantized  on {} images, ranges by {}{agreement}",
            calibration.images, calibration.method
        ))?;
        output.line(format!("kernels    {}: {}", session.set().name(), self.why(session.set())))?;
        output.line(format!(
            "memory     arena {}, scratch {} per thread, plan with constants {}",
            bytes(session.arena_bytes()),
            bytes(session.scratch_bytes()),
            bytes(session.weight_bytes())
        ))
    }

    fn why(&self, set: &dyn KernelSet) -> String {
        if self.engine.kernels.is_some() {
            return "asked for by --kernels".into();
        }
        let before: Vec<&str> =
            REGISTRY.iter().take_while(|e| e.name != set.name()).map(|e| e.name).collect();
        match before.as_slice() {
            [] => "the fastest of this build".into(),
            faster => format!("the fastest that this CPU runs (it lacks what {} need)", faster.join(", ")),
        }
    }

    fn json(
        &self,
        network: &Network,
        manifest: &Manifest,
        session: &Session,
        rows: &[Row],
    ) -> serde_json::Value {
        let steps: Vec<_> = session
            .steps()
            .iter()
            .zip(rows)
            .map(|(step, row)| {
                json!({
                    "name": step.name, "kind": row.kind, "shapes": row.shapes, "macs": step.macs,
                    "reads": row.reads, "writes": row.writes, "constant_bytes": row.constants,
                    "tasks": row.tasks,
                })
            })
            .collect();
        json!({
            "archive": self.archive, "source": manifest.source.file, "input": network.input().to_string(),
            "parameters": network.parameters(), "macs": network.macs(), "classes": network.classes(),
            "kernels": session.set().name(), "arena_bytes": session.arena_bytes(),
            "scratch_bytes": session.scratch_bytes(), "weight_bytes": session.weight_bytes(),
            "steps": steps,
        })
    }
}

fn table(output: &Output, session: &Session, rows: &[Row]) -> Result<(), Failure> {
    output.line("")?;
    output.line(format!(
        "{:>4} {:30} {:24} {:26} {:>18} {:>18} {:>10} {:>6}",
        "step", "name", "operator", "shapes", "reads at", "writes at", "constants", "tasks"
    ))?;
    let places = |p: &[u32]| {
        let words: Vec<String> = p.iter().map(u32::to_string).collect();
        if words.is_empty() { "pixels".into() } else { words.join(", ") }
    };
    for (i, (step, row)) in session.steps().iter().zip(rows).enumerate() {
        output.line(format!(
            "{i:>4} {} {:24} {:26} {:>18} {:>18} {:>10} {:>6}",
            fitted(&step.name, 30),
            row.kind,
            row.shapes,
            places(&row.reads),
            places(&row.writes),
            bytes(row.constants as usize),
            row.tasks
        ))?;
    }
    Ok(())
}

fn row(mut record: Record, set: &dyn KernelSet) -> Row {
    let outline = record.outline();
    Row {
        kind: outline.what,
        shapes: outline.shapes,
        reads: outline.reads,
        writes: outline.writes.iter().map(|w| w.at).collect(),
        constants: record.blob().map_or(0, |b| b.len),
        tasks: if record.alone() { 1 } else { record.tasks(set) },
    }
}
