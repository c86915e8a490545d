//! Finds the preprocessing with the most correct answers on labelled images.

use foldnet_archive::{Input, Resize};
use foldnet_dataset::Dataset;

use crate::float::{FloatNet, Grids};
use crate::graph::{Graph, Op};
use crate::image::Pixels;
use crate::interval::wilson;
use crate::pass::{Preprocess, fold, prepend};
use crate::quantize::QuantizeError;
use crate::quantize::score::top;

/// The largest number of f32 multiply-accumulates in all trials together.
const MACS: u64 = 600_000_000_000;
const FEWEST: usize = 32;
const MOST: usize = 200;

/// The correct answers with each preprocessing.
#[derive(Clone, Debug)]
pub struct Trial {
    /// The value for `--preprocess`, and whether each image's answer was correct.
    tries: Vec<(String, Vec<bool>)>,
    /// The share of the most frequent class.
    commonest: f64,
}

/// The preprocessing with the most correct answers, and its margin.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    /// The value for `--preprocess`.
    pub preprocess: String,
    /// The reason, for people.
    pub reason: String,
    /// Whether the next one is too close to be sure.
    pub close: bool,
}

/// Tries preprocessings on the labelled images of a dataset whose labels are the network's classes.
pub fn run(
    graph: &Graph,
    candidates: &[String],
    resize: Option<Resize>,
    dataset: &Dataset,
) -> Result<Trial, QuantizeError> {
    let macs: u64 = graph.nodes.iter().map(macs).sum::<u64>().max(1);
    let most =
        (MACS / macs.saturating_mul(candidates.len() as u64)).clamp(FEWEST as u64, MOST as u64) as usize;
    let shape = graph.input();
    let rule = |name: &str| resize.unwrap_or_else(|| super::resize(name, shape));
    let mut rules: Vec<Resize> = Vec::new();
    for candidate in candidates {
        if !rules.contains(&rule(candidate)) {
            rules.push(rule(candidate));
        }
    }
    let input = |resize| Input {
        height: shape.h,
        width: shape.w,
        channels: shape.c,
        resize,
        preprocess: String::new(),
        mean: Vec::new(),
        std: Vec::new(),
    };
    // Each image is decoded once, and fitted once per rule.
    let mut labels = Vec::new();
    let mut pixels: Vec<Vec<Pixels>> = vec![Vec::new(); rules.len()];
    let total = dataset.len();
    for number in (0..total.min(most)).map(|i| i * total / total.min(most)) {
        let Ok(item) = dataset.get(number) else { continue };
        let Some(label) = item.label else { continue };
        labels.push(label);
        for (rule, fitted) in rules.iter().zip(&mut pixels) {
            fitted.push(Pixels::fit(&item.picture, &input(*rule)));
        }
    }
    let mut tries = Vec::new();
    for candidate in candidates {
        let Ok(preprocess) = Preprocess::parse(candidate, shape.c) else { continue };
        let mut graph = graph.clone();
        // BGR is no candidate if it cannot be folded into the weights.
        if prepend(&mut graph, &preprocess).is_err() {
            continue;
        }
        fold(&mut graph);
        let fitted = rules.iter().position(|r| *r == rule(candidate)).map_or(&[][..], |i| &pixels[i]);
        let logits = FloatNet::rounded(&graph, &Grids::default()).logits(fitted)?;
        let right = logits.iter().zip(&labels).map(|(logits, &label)| class(logits) == label).collect();
        tries.push((candidate.clone(), right));
    }
    Ok(Trial { tries, commonest: commonest(&labels) })
}

impl Trial {
    /// Returns the best, unless it is no better than always naming the most frequent class.
    pub fn best(&self) -> Result<Choice, String> {
        let right = |tried: &[bool]| tried.iter().filter(|&&r| r).count();
        let mut order: Vec<&(String, Vec<bool>)> = self.tries.iter().collect();
        // The sort is stable: of equals, the likelier stays first.
        order.sort_by_key(|(_, tried)| std::cmp::Reverse(right(tried)));
        let images = order.first().map_or(0, |(_, tried)| tried.len());
        if images == 0 {
            return Err("no image has a label".into());
        }
        let list: Vec<String> =
            order.iter().map(|(name, tried)| format!("{name} {}", right(tried))).collect();
        let best = order[0];
        if wilson(right(&best.1), images).0 <= self.commonest {
            return Err(format!(
                "none is right more often than chance on {images} labelled images ({}): are the labels in the \
                 network's order?",
                list.join(", ")
            ));
        }
        let close = order.get(1).is_some_and(|next| !differs(&best.1, &next.1));
        Ok(Choice {
            preprocess: best.0.clone(),
            reason: format!("right most often on {images} labelled images: {}", list.join(", ")),
            close,
        })
    }
}

/// Returns whether two preprocessings differ in their correct answers by more than chance: Q. McNemar,
/// *Psychometrika*, 1947, at 95 %.
fn differs(a: &[bool], b: &[bool]) -> bool {
    let only = |a: &[bool], b: &[bool]| a.iter().zip(b).filter(|(a, b)| **a && !**b).count() as f64;
    let (more, fewer) = (only(a, b), only(b, a));
    (more - fewer).powi(2) > 3.84 * (more + fewer)
}

/// Returns the predicted class; one output decides between two classes.
fn class(logits: &[f32]) -> usize {
    match logits {
        [one] => usize::from(*one > 0.0),
        _ => top(logits),
    }
}

fn commonest(labels: &[usize]) -> f64 {
    let mut counts = std::collections::HashMap::new();
    labels.iter().for_each(|label| *counts.entry(label).or_insert(0usize) += 1);
    counts.values().copied().max().unwrap_or(0) as f64 / labels.len().max(1) as f64
}

fn macs(node: &crate::graph::Node) -> u64 {
    match &node.op {
        Op::Conv(conv) => (conv.weights.len() * node.shape.pixels()) as u64,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trial(tries: &[(&str, usize)], images: usize) -> Result<Choice, String> {
        let tried = |n: usize| (0..images).map(|i| i < n).collect();
        let tries = tries.iter().map(|&(name, n)| (name.to_owned(), tried(n))).collect();
        Trial { tries, commonest: 0.1 }.best()
    }

    #[test]
    fn the_one_right_most_often_is_taken_and_the_distance_is_told() {
        let choice = trial(&[("none", 11), ("torch", 61), ("tf", 48)], 100).unwrap();
        assert_eq!((choice.preprocess.as_str(), choice.close), ("torch", false));
        assert!(choice.reason.contains("torch 61, tf 48, none 11"), "{}", choice.reason);
        assert!(trial(&[("torch", 61), ("tf", 60)], 100).unwrap().close);
        assert_eq!(trial(&[("0-1", 50), ("tf", 50)], 100).unwrap().preprocess, "0-1");
    }

    #[test]
    fn chance_decides_nothing() {
        assert!(trial(&[("none", 11), ("torch", 14)], 100).unwrap_err().contains("chance"));
        assert!(trial(&[("none", 0)], 0).unwrap_err().contains("no image has a label"));
    }
}
