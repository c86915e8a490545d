//! Forms in which exporters and people write the same things: each is answered as ONNX Runtime does, or refused by
//! name. `siblings/generate.py` writes the models and the answers.

#![allow(clippy::disallowed_methods, reason = "these results are compared with a tolerance")]
#![allow(missing_docs)]

mod stories;

use std::path::Path;

use foldnet_converter::float::FloatNet;
use foldnet_converter::import::{Options, Size, read_with};
use foldnet_converter::pass::fold;
use foldnet_converter::quantize::fuse::{fuse, with_dense_end};
use foldnet_kernels::Shape;
use serde::Deserialize;
use stories::stories;

/// How a model is run and what it answers.
#[derive(Deserialize)]
struct Story {
    /// For three images; none where it cannot be known.
    answers: Option<Vec<Vec<f32>>>,
    /// What a refusal must mention, if one is as good as the answer.
    refuse: Option<String>,
    /// The model takes bytes rather than numbers from 0 to 1.
    #[serde(default)]
    u8: bool,
    /// The function that the model applies last and the graph does not.
    last: Option<String>,
    /// The least signal-to-noise ratio in dB.
    #[serde(default = "forty")]
    floor: f64,
    /// As on the command line.
    #[serde(default)]
    flags: Vec<String>,
}

fn forty() -> f64 {
    40.0
}

/// The image that the generator makes, HWC.
fn image(shape: Shape, number: usize, bytes: bool) -> Vec<f32> {
    let pixel = |i: usize| ((i * 7919 * (number + 1)) % 255) as f32;
    (0..shape.len()).map(|i| if bytes { pixel(i) } else { pixel(i) / 255.0 }).collect()
}

fn last(function: Option<&str>, mut row: Vec<f32>) -> Vec<f32> {
    let most = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f32 = row.iter().map(|v| (v - most).exp()).sum();
    let length = row.iter().map(|v| v * v).sum::<f32>().sqrt();
    for v in &mut row {
        *v = match function {
            None => *v,
            Some("softmax") => (*v - most).exp() / sum,
            Some("logsoftmax") => *v - most - sum.ln(),
            Some("length") => *v / length,
            Some(other) => panic!("{other} is not known"),
        };
    }
    row
}

/// Signal-to-noise ratio in dB.
fn ratio(expected: &[f32], got: &[f32]) -> f64 {
    let n = expected.len() as f64;
    let mean = expected.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
    let signal: f64 = expected.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum();
    let noise: f64 = expected.iter().zip(got).map(|(e, g)| (f64::from(*e) - f64::from(*g)).powi(2)).sum();
    10.0 * (signal / noise.max(1e-30)).log10()
}

/// What is wrong with a case, if anything.
fn problem(model: &[u8], story: &Story) -> Option<String> {
    let value =
        |flag: &str| story.flags.iter().position(|f| f == flag).and_then(|i| story.flags.get(i + 1)).cloned();
    let size = value("--input-size").map(|text| {
        let (width, height) = text.split_once('x').unwrap();
        Size { width: width.parse().unwrap(), height: height.parse().unwrap() }
    });
    let options = Options { input_size: size, output: value("--output-name") };
    let mut graph = match read_with(model, Path::new(""), &options) {
        Ok(imported) => imported.graph,
        Err(error) => {
            let said = error.to_string();
            return match &story.refuse {
                Some(word) if said.contains(word) => None,
                Some(word) => Some(format!("refused without naming {word}: {said}")),
                None => Some(format!("refused: {said}")),
            };
        }
    };
    fold(&mut graph);
    let Some(answers) = &story.answers else { return Some("answered, which cannot be right".into()) };
    let net = FloatNet::new(&graph);
    let mut got = Vec::new();
    for number in 0..answers.len() {
        let row = net.run_floats(&image(graph.input(), number, story.u8)).unwrap()[graph.output].clone();
        got.extend(last(story.last.as_deref(), row));
    }
    let expected = answers.concat();
    if expected.len() != got.len() {
        return Some(format!("{} numbers instead of {}", got.len(), expected.len()));
    }
    let ratio = ratio(&expected, &got);
    if ratio < story.floor {
        return Some(format!("{ratio:.1} dB"));
    }
    fuse(&with_dense_end(&graph)).err().map(|e| format!("no int8 steps: {e}"))
}

#[test]
fn all_are_answered_as_onnx_runtime_does_or_refused_by_name() {
    let stories = stories::<Story>("siblings/siblings.tar.gz", ".onnx");
    assert!(stories.len() > 200, "{} cases", stories.len());
    let problems: Vec<String> = stories
        .iter()
        .filter_map(|(name, (model, story))| Some(format!("{name}: {}", problem(model, story)?)))
        .collect();
    assert!(problems.is_empty(), "{} of {}:\n{}", problems.len(), stories.len(), problems.join("\n"));
}
