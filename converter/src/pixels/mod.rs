//! Determines from evidence how the pixels were preprocessed in training.
//!
//! A model file usually does not state it, and a wrong guess goes unnoticed: int8 agrees with an f32 network that
//! is itself wrong. So every reading has a reason that is printed, and if several are possible, none is chosen.
//!
//! | evidence | file | example |
//! |---|---|---|
//! | how the file quantizes its input | `input_grid.rs` | scale 1/255 and zero point −128 are for pixels 0…1 |
//! | a normalization inside the network | `inside.rs` | means of 0.485 are for pixels 0…1, of 123.7 for 0…255 |
//! | the layers' names | `names.rs` | Keras Applications, torchvision and timm train in one way each |
//! | what the first layer's statistics say of its input | `statistics.rs` | outputs of mean 115·Σw are of pixels 0…255 |
//! | labelled images | `trial.rs` | the reading that is right most often |

mod input_grid;
mod inside;
mod names;
mod statistics;
pub mod trial;

pub use input_grid::reading as of_input_grid;

use foldnet_archive::Resize;
use foldnet_kernels::Shape;

use crate::graph::Graph;
use crate::import::Imported;

/// One reading of the model, and the reason for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The value for `--preprocess`.
    pub preprocess: String,
    /// The reason, for people.
    pub reason: String,
}

/// The conclusion from the evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// One reading fits.
    One(Reading),
    /// Several readings fit, as values for `--preprocess`, the likeliest first.
    Several {
        /// The values for `--preprocess`.
        candidates: Vec<String>,
        /// The reason why it cannot be determined, for people.
        why: String,
    },
}

impl Evidence {
    fn one(preprocess: &str, reason: impl Into<String>) -> Self {
        Self::One(Reading { preprocess: preprocess.into(), reason: reason.into() })
    }

    /// Returns the readings to try.
    pub fn candidates(&self, shape: Shape) -> Vec<String> {
        let mut all = match self {
            Self::One(reading) => vec![reading.preprocess.clone()],
            Self::Several { candidates, .. } => candidates.clone(),
        };
        for more in every_candidate(shape) {
            if !all.contains(&more) {
                all.push(more);
            }
        }
        all
    }
}

/// Returns whether the network came from Keras Applications, torchvision or timm, according to its layers' names.
pub fn is_published(imported: &Imported) -> bool {
    names::family(&imported.graph, &imported.tensors).is_some()
}

/// Weighs the evidence of an imported model.
pub fn weigh(imported: &Imported) -> Evidence {
    let graph = &imported.graph;
    let shape = graph.input();
    let several = |candidates: &[&str], why: String| Evidence::Several {
        candidates: candidates.iter().map(|&c| c.to_owned()).collect(),
        why,
    };
    if let Some(reading) = imported.input_grid.and_then(|grid| input_grid::reading(grid, shape)) {
        return Evidence::One(reading);
    }
    let chain = inside::Chain::of(graph, &imported.norms);
    let family = names::family(graph, &imported.tensors);
    match chain.reading() {
        inside::Inside::One(preprocess, reason) => return Evidence::one(preprocess, reason),
        inside::Inside::Several(candidates, why) => return several(&candidates, why),
        inside::Inside::Unclear(why) if family.is_none() => {
            return Evidence::Several { candidates: every_candidate(shape), why };
        }
        inside::Inside::Unclear(_) | inside::Inside::Nothing => {}
    }
    let numbers = statistics::measure(graph, &chain, &imported.norms);
    let fits = numbers.as_ref().map(|n| n.fitting(shape.c)).unwrap_or_default();
    match (family, numbers) {
        (Some(family), Some(numbers)) if !fits.is_empty() && !fits.contains(&family.preprocess) => {
            let mut candidates = vec![family.preprocess];
            candidates.extend(&fits);
            several(&candidates, format!("{}, but {numbers}", family.reason))
        }
        (Some(family), Some(numbers)) if fits.contains(&family.preprocess) => {
            Evidence::one(family.preprocess, format!("{}, and {numbers}", family.reason))
        }
        (Some(family), _) => Evidence::one(family.preprocess, family.reason),
        (None, Some(numbers)) => match fits[..] {
            [one] => Evidence::one(one, numbers.to_string()),
            [] => Evidence::Several { candidates: every_candidate(shape), why: numbers.to_string() },
            _ => several(&fits, numbers.to_string()),
        },
        (None, None) => Evidence::Several {
            candidates: every_candidate(shape),
            why: "neither its layers' names nor its numbers tell".into(),
        },
    }
}

/// Returns all usual preprocessings of a network with this input.
fn every_candidate(shape: Shape) -> Vec<String> {
    let mut all: Vec<&str> =
        if shape.c == 3 { vec!["0-1", "torch", "tf", "none", "caffe"] } else { vec!["0-1", "tf", "none"] };
    match (shape.h, shape.w, shape.c) {
        // The mean and deviation of CIFAR-10, and those of MNIST.
        (32, 32, 3) => all.push("125.3,123,113.9/63,62.1,66.7"),
        (28, 28, 1) => all.push("33.3/78.6"),
        _ => {}
    }
    all.into_iter().map(str::to_owned).collect()
}

/// Describes a preprocessing in words.
pub fn in_words(preprocess: &str) -> &'static str {
    match preprocess {
        "none" => "pixels 0…255 as they are, or rescaled by the network itself",
        "0-1" => "x / 255: ToTensor, Rescaling(1/255)",
        "tf" => "x / 127.5 − 1: −1…1",
        "torch" => "ImageNet's mean and deviation: torchvision, timm",
        "caffe" => "BGR less ImageNet's mean: Keras' ResNet50, ResNet101, ResNet152",
        _ => "mean and deviation in pixel units",
    }
}

/// Returns the rule by which images of another size are fitted, unless the caller or the model specifies it. The
/// rule is the same for every spelling of a preprocessing: torchvision's includes its crop, 256 for 224; all
/// others stretch. Networks for small images use the whole image.
pub fn resize(preprocess: &str, shape: Shape) -> Resize {
    const CROPPED_FROM: usize = 64;
    let side = shape.h.min(shape.w);
    match preprocess {
        "torch" if side >= CROPPED_FROM => Resize::Crop { short_side: side * 256 / 224 },
        _ => Resize::Stretch,
    }
}

/// Describes a resize rule in words.
pub fn resize_in_words(resize: Resize) -> String {
    match resize {
        Resize::Stretch => "images are stretched".into(),
        Resize::Bilinear => "images are stretched without antialiasing".into(),
        Resize::Crop { short_side } => format!("images are cropped from a short side of {short_side}"),
    }
}

/// Explains why no preprocessing was chosen, and what to do.
pub fn undecided(candidates: &[String], why: &str, images: &str) -> String {
    let width = candidates.iter().map(|c| c.chars().count()).max().unwrap_or(0);
    let list: Vec<String> =
        candidates.iter().map(|c| format!("    --preprocess {c:width$}  {}", in_words(c))).collect();
    format!(
        "what training did to the pixels is not clear: {why}. State it; these fit:\n{}\n{images}",
        list.join("\n")
    )
}

/// Returns the nodes that read a node: used by `inside` and `statistics`.
fn readers_of(graph: &Graph, node: usize) -> Vec<usize> {
    let reads = |id: &usize| graph.nodes[*id].inputs.contains(&node);
    (node + 1..graph.nodes.len()).filter(reads).collect()
}

#[cfg(test)]
mod tests;
