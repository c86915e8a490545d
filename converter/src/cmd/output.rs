//! What the output of a network means, as flags.

use clap::Args;
use foldnet_archive::OutputKind;

use super::model::Model;
use super::values::OutputValue;
use crate::convert::reading::{Evidence, Reading, decide};

/// What answers mean.
#[derive(Args, Clone, Debug)]
pub struct OutputFlags {
    /// What the network's output means [default: decided from the model and its labels]
    #[arg(id = "output_kind", long = "output", value_enum, value_name = "KIND")]
    output: Option<OutputValue>,
}

/// When a label applies.
#[derive(Args, Clone, Copy, Debug)]
pub struct ThresholdFlag {
    /// Probability from which a label applies, for outputs that end in a sigmoid or are one logit
    #[arg(long, default_value_t = 0.5, value_name = "P", value_parser = probability)]
    pub threshold: f64,
}

fn probability(text: &str) -> Result<f64, String> {
    let inside = |p: &f64| *p > 0.0 && *p < 1.0;
    text.parse().ok().filter(inside).ok_or_else(|| "expected a number between 0 and 1".into())
}

impl OutputFlags {
    /// What was asked for.
    pub fn kind(&self) -> Option<OutputKind> {
        self.output.map(|value| value.0)
    }

    /// Decides for a model and the class folders of its images. An archive tells its own.
    pub fn reading(&self, model: &Model, folders: &[String]) -> anyhow::Result<Reading> {
        let evidence = match model {
            Model::Float(m) => Evidence::of(m, folders),
            Model::Int8(m) => Evidence {
                activation: m.network.activation,
                outputs: model.classes(),
                labels: m.manifest.labels.len(),
                folders: folders.len(),
                normalized: false,
            },
        };
        let told = match model {
            Model::Int8(m) => m.manifest.output,
            Model::Float(_) => None,
        };
        let mut reading = decide(&evidence, self.kind().or(told))?;
        if self.kind().is_none() && told.is_some() {
            reading.reason = "as the archive says".into();
        }
        Ok(reading)
    }
}
