//! `converter export`: an archive for other engines.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::model::{InputFlags, Model};
use super::talk::bytes;
use super::{Failure, Talk};
use crate::emit::qdq;

/// Write an archive as QDQ ONNX for other engines
#[derive(Args)]
#[command(group(clap::ArgGroup::new("format").required(true)))]
pub struct Cmd {
    /// ONNX with QuantizeLinear/DequantizeLinear pairs, opset 13; input f32 NCHW, RGB, 0…255
    #[arg(long, group = "format")]
    qdq: bool,
    /// The archive, as `converter quantize` writes it
    archive: PathBuf,
    /// Where to write; beside the archive if not given
    #[arg(long, short)]
    output: Option<PathBuf>,
}

#[derive(Serialize)]
struct Outcome {
    output: PathBuf,
    bytes: u64,
}

impl Cmd {
    /// See the module.
    pub fn run(self, talk: &Talk) -> Result<(), Failure> {
        let model = Model::load(&self.archive, &InputFlags::default())?;
        let Model::Int8(model) = model else {
            return Err(Failure::Input(anyhow::anyhow!(
                "{} is a float model; `converter quantize` makes the archive that can be exported",
                self.archive.display()
            )));
        };
        let output = self.output.unwrap_or_else(|| {
            let name = self.archive.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let stem = name.strip_suffix(".nnef.tgz").unwrap_or(&name);
            self.archive.with_file_name(format!("{stem}.qdq.onnx"))
        });
        let file = qdq::model(&model.network, &model.manifest.labels);
        foldnet_archive::write_file(&output, &file)
            .map_err(|e| anyhow::anyhow!("{}: {e}", output.display()))?;
        let outcome = Outcome { bytes: file.len() as u64, output };
        talk.say(format!("{} ({})", outcome.output.display(), bytes(outcome.bytes)));
        talk.result(&outcome);
        Ok(())
    }
}
