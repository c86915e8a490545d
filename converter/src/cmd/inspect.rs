//! `converter inspect`: what a model or an archive contains.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::model::{Around, InputFlags, Model};
use super::talk::bytes;
use super::{Failure, Talk};
use crate::graph::{Graph, Op};
use foldnet_archive::{Network, Step};

/// Show the layers of a model or archive
///
/// Prints shapes, parameters, multiply-accumulates and, where there are any, scales.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  converter inspect model.onnx\n  converter inspect model.tflite\n  converter inspect model.nnef.tgz --json"
)]
pub struct Cmd {
    /// ONNX or TFLite model, or archive
    file: PathBuf,
    #[command(flatten)]
    input: InputFlags,
}

#[derive(Serialize)]
struct Row {
    name: String,
    kind: String,
    output: [usize; 3],
    parameters: usize,
    macs: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    scale: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    zero: Option<i8>,
}

#[derive(Serialize)]
struct Outcome {
    kind: &'static str,
    file_bytes: u64,
    input: [usize; 3],
    classes: usize,
    labels: usize,
    parameters: usize,
    macs: u64,
    preprocess: String,
    layers: Vec<Row>,
}

impl Cmd {
    /// See the module.
    pub fn run(self, talk: &Talk) -> Result<(), Failure> {
        let model =
            Model::load(&self.file, &self.input, Around { may_stay_open: true, ..Around::nothing(talk) })?;
        let layers = match &model {
            Model::Float(m) => float_rows(&m.graph),
            Model::Int8(m) => int8_rows(&m.network),
        };
        let input = model.input();
        let outcome = Outcome {
            kind: match &model {
                // Its author's scales are kept.
                Model::Float(m) if !m.graph.given.is_empty() => "quantized",
                _ => model.kind(),
            },
            file_bytes: model.bytes(),
            input: [input.height, input.width, input.channels],
            classes: model.classes(),
            labels: model.labels().len(),
            parameters: layers.iter().map(|l| l.parameters).sum(),
            macs: layers.iter().map(|l| l.macs).sum(),
            preprocess: input.preprocess.clone(),
            layers,
        };
        self.print(&model, &outcome, talk);
        talk.result(&outcome);
        Ok(())
    }

    fn print(&self, model: &Model, o: &Outcome, talk: &Talk) {
        let [h, w, c] = o.input;
        talk.human(format!(
            "{}: {}, {}; input {h}×{w}×{c} ({}), {} classes; {} parameters, {:.1} million MACs",
            self.file.display(),
            o.kind,
            bytes(o.file_bytes),
            o.preprocess,
            o.classes,
            o.parameters,
            o.macs as f64 / 1e6
        ));
        if let Model::Int8(m) = model {
            let cal = &m.manifest.calibration;
            let agreement = cal.agreement.map_or(String::new(), |a| format!(", agreement {a:.4}"));
            talk.human(format!(
                "made from {} (sha256 {}…), {} calibration images, {}{agreement}",
                m.manifest.source.file,
                m.manifest.source.sha256.get(..12).unwrap_or_default(),
                cal.images,
                cal.method
            ));
        }
        let width = o.layers.iter().map(|l| l.name.chars().count()).max().unwrap_or(0).min(60);
        talk.human(format!(
            "{:width$}  {:<22} {:>14} {:>10} {:>12}  scale (zero)",
            "layer", "kind", "output", "params", "MACs"
        ));
        for l in &o.layers {
            let [h, w, c] = l.output;
            let scale = match (l.scale, l.zero) {
                (Some(s), Some(z)) => format!("{s:.6} ({z})"),
                _ => String::new(),
            };
            talk.human(format!(
                "{:width$}  {:<22} {:>14} {:>10} {:>12}  {scale}",
                l.name,
                l.kind,
                format!("{h}×{w}×{c}"),
                l.parameters,
                l.macs
            ));
        }
    }
}

fn float_rows(graph: &Graph) -> Vec<Row> {
    let row = |node: &crate::graph::Node| {
        let s = node.shape;
        let (kind, parameters, macs) = match &node.op {
            Op::Input => ("input", 0, 0),
            Op::Conv(c) => {
                let per_output = c.weights.len() / c.bias.len().max(1);
                let macs = (s.len() * per_output) as u64;
                (if s.pixels() == 1 { "dense" } else { "conv" }, c.weights.len() + c.bias.len(), macs)
            }
            Op::Affine { gain, .. } => ("affine", 2 * gain.len(), 0),
            Op::Relu => ("relu", 0, 0),
            Op::Add => ("add", 0, 0),
            Op::MaxPool { .. } => ("max pool", 0, 0),
            Op::GlobalAvgPool => ("global average pool", 0, 0),
            Op::Pad(_) => ("pad", 0, 0),
            Op::Clip { .. } => ("clip", 0, 0),
            Op::Curve(_) => (node.op.kind(), 0, 0),
            Op::Scale => ("scale", 0, 0),
        };
        let output = [s.h, s.w, s.c];
        let given = graph.given.get(&node.name);
        let (scale, zero) = (given.map(|g| g.scale), given.map(|g| g.zero));
        Row { name: node.name.clone(), kind: kind.into(), output, parameters, macs, scale, zero }
    };
    graph.nodes.iter().map(row).collect()
}

fn int8_rows(network: &Network) -> Vec<Row> {
    let row = |step: &Step| {
        let out = &network.tensors[step.outputs()[0]];
        let mut kind = step.kind().to_owned();
        if let Step::Conv(c) = step {
            kind = format!("conv {}×{}", c.kernel[0], c.kernel[1]);
            if c.stride != [1, 1] {
                kind += &format!("/{}", c.stride[0]);
            }
            if c.skip.is_some() {
                kind += " + add";
            }
            if c.affine.is_some() {
                kind += " + affine";
            }
            if c.y.or(c.affine.as_ref().map(|a| a.out)).is_some_and(|o| o.lo > i8::MIN || relu(network, o)) {
                kind += " + relu";
            }
        }
        let s = out.shape;
        let logits = step.outputs()[0] == network.logits;
        Row {
            name: step.name().into(),
            kind,
            output: [s.h, s.w, s.c],
            parameters: step.parameters(),
            macs: step.macs(network),
            scale: (!logits).then_some(out.scale),
            zero: (!logits).then_some(out.zero),
        }
    };
    network.steps.iter().map(row).collect()
}

/// With zero point −128 nothing negative can be represented: a ReLU.
fn relu(network: &Network, out: foldnet_archive::Out) -> bool {
    out.tensor != network.logits && network.tensors[out.tensor].zero == i8::MIN
}
