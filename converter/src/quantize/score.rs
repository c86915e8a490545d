//! Measures the distance between a quantized network's answers and the float network's.
//!
//! The measure depends on the meaning of the output. `a` is the true answer, `b` the other; sums run over outputs
//! and images:
//!
//! ```text
//! softmax     signal Σ (a − mean a)²    noise Σ ((a − mean a) − (b − mean b))²    mean: over one image's classes
//! sigmoid     signal Σ (a − ā)²         noise Σ (a − b)²                          ā: over the images, per output
//! logit       as sigmoid
//! numbers     1                         mean over outputs of Σ (a − b)² / Σ (a − ā)²      = 1 − R²
//! embedding   n                         Σ |a/|a| − b/|b||²
//! ```
//! A softmax ignores a shift that all logits share, so that shift is not noise; all other meanings are affected by
//! it.

use foldnet::Session;
use foldnet_archive::{Activation, Network, OutputKind};

use super::QuantizeError;
use crate::calibrate::in_lanes;
use crate::graph::Graph;
use crate::image::Pixels;

/// Returns the logits of every image, computed on all cores; they are the same on every machine, since the kernels
/// are exact.
pub fn logits(network: &Network, images: &[Pixels]) -> Result<Vec<Vec<f32>>, QuantizeError> {
    let lanes = std::thread::available_parallelism().map_or(1, usize::from).min(images.len().max(1));
    let results = in_lanes(lanes, |lane| {
        let mut session = Session::new(network, foldnet_kernels::dispatch::best(), 1)?;
        Ok(images.iter().skip(lane).step_by(lanes).map(|p| session.run(p.values()).to_vec()).collect())
    });
    let results = results.into_iter().collect::<Result<Vec<Vec<Vec<f32>>>, QuantizeError>>()?;
    Ok((0..images.len()).map(|i| results[i % lanes][i / lanes].clone()).collect())
}

/// How two answers are compared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measure {
    /// The meaning of the output.
    pub kind: OutputKind,
    /// The logit from which a label applies.
    pub threshold: f32,
}

impl Measure {
    /// Returns the measure of an output with this meaning; a label applies from a probability of one half.
    pub fn new(kind: OutputKind) -> Self {
        Self { kind, threshold: 0.0 }
    }

    /// Returns the measure that follows from a network alone.
    pub fn of(activation: Activation, outputs: usize) -> Self {
        Self::new(OutputKind::of(activation, outputs))
    }

    /// Returns the measure that follows from a graph alone.
    pub fn of_graph(graph: &Graph) -> Self {
        Self::of(graph.activation, graph.nodes[graph.output].shape.len())
    }

    /// Sets the probability, 0…1, from which a label applies.
    #[must_use]
    pub fn with_threshold(self, probability: f64) -> Self {
        let odds = probability.clamp(1e-12, 1.0 - 1e-12);
        Self { threshold: libm::log(odds / (1.0 - odds)) as f32, ..self }
    }

    /// Returns whether the two answers name the same class or the same labels, or `None` if they name none.
    pub fn same(&self, a: &[f32], b: &[f32]) -> Option<bool> {
        match self.kind {
            OutputKind::Softmax => Some(top(a) == top(b)),
            OutputKind::Sigmoid | OutputKind::Logit => {
                let applies = |v: f32| v > self.threshold;
                Some(a.iter().zip(b).all(|(&a, &b)| applies(a) == applies(b)))
            }
            OutputKind::Numbers | OutputKind::Embedding => None,
        }
    }

    /// Returns the class that an answer names: the likeliest one; for a single output, 1 from the threshold on,
    /// otherwise 0.
    pub fn class(&self, answer: &[f32]) -> Option<usize> {
        match (self.kind, answer) {
            (OutputKind::Numbers | OutputKind::Embedding, _) => None,
            (OutputKind::Sigmoid | OutputKind::Logit, &[one]) => Some(usize::from(one > self.threshold)),
            _ => Some(top(answer)),
        }
    }
}

/// The distance between two networks' answers to the same images.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Distance {
    /// The meaning of the output.
    pub output: OutputKind,
    /// The number of images compared.
    pub images: usize,
    /// The number of images with the same answer: the same top-1 class, or the same labels above the threshold.
    /// `None` for outputs that name no class.
    pub same: Option<usize>,
    /// The share of images with the same answer.
    pub agreement: Option<f64>,
    /// The mean over images of `Σ p·ln(p/q)`, with p and q the softmax of the logits (for independent labels, the
    /// sum of the binary divergences). `None` for outputs that are not probabilities.
    pub kl: Option<f64>,
    /// The signal-to-noise ratio of the answers in dB; see the module for its definition.
    pub sqnr: f64,
    /// The largest lead of the true top-1 class over the other one, among images with another top-1 class: the
    /// difference of their softmax. `None` if there is no such image.
    pub lost_lead: Option<f64>,
    /// For numbers: the share of the variance that is reproduced, averaged over outputs.
    pub r2: Option<f64>,
    /// For numbers: the root of the mean square error, relative to the root of the mean square value.
    pub relative_error: Option<f64>,
    /// For numbers: 95 % of all errors are at most this large.
    pub error_95: Option<f64>,
    /// For embeddings: the mean cosine.
    pub cosine: Option<f64>,
    /// For embeddings: 95 % of the images have at least this cosine.
    pub cosine_5: Option<f64>,
}

impl Distance {
    /// Compares the true answers with the others, both before the network's final function.
    pub fn between(truth: &[Vec<f32>], other: &[Vec<f32>], measure: Measure) -> Self {
        let n = truth.len();
        let share = |v: f64| if n == 0 { 0.0 } else { v / n as f64 };
        let pairs = || truth.iter().zip(other).map(|(a, b)| (a.as_slice(), b.as_slice()));
        let same = pairs().map(|(a, b)| measure.same(a, b).map(usize::from)).sum::<Option<usize>>();
        let mut distance = Self {
            output: measure.kind,
            images: n,
            same: same.filter(|_| measure.kind.classes(2) > 0),
            agreement: None,
            kl: None,
            sqnr: 0.0,
            lost_lead: None,
            r2: None,
            relative_error: None,
            error_95: None,
            cosine: None,
            cosine_5: None,
        };
        distance.agreement = distance.same.map(|same| share(same as f64));
        match measure.kind {
            OutputKind::Softmax => {
                let (mut kl, mut signal, mut noise) = (0.0, 0.0, 0.0);
                for (a, b) in pairs() {
                    kl += divergence(a, b);
                    let (ma, mb) = (mean(a), mean(b));
                    for (&a, &b) in a.iter().zip(b) {
                        let (a, b) = (f64::from(a) - ma, f64::from(b) - mb);
                        signal += a * a;
                        noise += (a - b) * (a - b);
                    }
                }
                distance.kl = Some(share(kl));
                distance.sqnr = sqnr(signal, noise);
                distance.lost_lead = lost_lead(pairs());
            }
            OutputKind::Sigmoid | OutputKind::Logit => {
                let binary =
                    |(a, b): (&[f32], &[f32])| a.iter().zip(b).map(|(&a, &b)| binary_kl(a, b)).sum::<f64>();
                distance.kl = Some(share(pairs().map(binary).sum::<f64>()));
                let columns = Column::all(truth, other);
                let total = |part: fn(&Column) -> f64| columns.iter().map(part).sum::<f64>();
                let signal = match total(|c| c.variation) {
                    // Answers that never vary have no signal except their own size.
                    0.0 => total(|c| c.square),
                    signal => signal,
                };
                distance.sqnr = sqnr(signal, total(|c| c.noise));
            }
            OutputKind::Numbers => numbers(&mut distance, truth, other),
            OutputKind::Embedding => embedding(&mut distance, truth, other),
        }
        distance
    }

    /// Returns how similar the answers are, 0…1: the share with the same answer, or if the output names no class,
    /// a substitute (R², the mean cosine).
    pub fn likeness(&self) -> f64 {
        self.agreement.or(self.r2).or(self.cosine).unwrap_or(0.0).clamp(0.0, 1.0)
    }

    /// Describes how similar the answers are and how much noise they contain.
    pub fn words(&self) -> String {
        self.words_within("")
    }

    /// Like [`Distance::words`], with the interval of the share of equal answers behind it.
    pub fn words_within(&self, interval: &str) -> String {
        let percent = |share: Option<f64>| format!("{:.2} %", 100.0 * share.unwrap_or(0.0));
        let alike = match self.output {
            OutputKind::Softmax => format!("same top-1 on {}", percent(self.agreement)),
            OutputKind::Sigmoid => format!("same labels on {}", percent(self.agreement)),
            OutputKind::Logit => format!("same side of the threshold on {}", percent(self.agreement)),
            OutputKind::Numbers => format!(
                "R² {:.5}, 95 % of the errors at most {:.4}, relative error {}",
                self.r2.unwrap_or(0.0),
                self.error_95.unwrap_or(0.0),
                percent(self.relative_error)
            ),
            OutputKind::Embedding => format!(
                "mean cosine {:.5}, at least {:.5} on 95 %",
                self.cosine.unwrap_or(0.0),
                self.cosine_5.unwrap_or(0.0)
            ),
        };
        let kl = self.kl.map_or(String::new(), |kl| format!("; KL divergence {kl:.6}"));
        format!("{alike}{interval}{kl}; signal to noise {:.2} dB", self.sqnr)
    }
}

/// The sums of one output over all images.
#[derive(Clone, Copy, Default)]
struct Column {
    /// `Σ (a − ā)²`
    variation: f64,
    /// `Σ a²`
    square: f64,
    /// `Σ (a − b)²`
    noise: f64,
}

impl Column {
    fn all(truth: &[Vec<f32>], other: &[Vec<f32>]) -> Vec<Self> {
        let outputs = truth.first().map_or(0, Vec::len);
        let column = |k: usize| {
            let value = |row: &Vec<f32>| f64::from(row[k]);
            let mean = truth.iter().map(value).sum::<f64>() / truth.len() as f64;
            let mut column = Self::default();
            for (a, b) in truth.iter().map(value).zip(other.iter().map(value)) {
                column.variation += (a - mean) * (a - mean);
                column.square += a * a;
                column.noise += (a - b) * (a - b);
            }
            column
        };
        (0..outputs).map(column).collect()
    }

    /// Returns `1 − R²`. An output that never varies is compared with its own size.
    fn unexplained(&self) -> f64 {
        let signal = if self.variation > 0.0 { self.variation } else { self.square };
        match (self.noise > 0.0, signal > 0.0) {
            (false, _) => 0.0,
            (true, true) => self.noise / signal,
            (true, false) => self.noise,
        }
    }
}

/// Compares numbers; every output has the same weight, whatever its unit.
fn numbers(distance: &mut Distance, truth: &[Vec<f32>], other: &[Vec<f32>]) {
    let columns = Column::all(truth, other);
    let n = columns.len().max(1) as f64;
    let unexplained = columns.iter().map(Column::unexplained).sum::<f64>() / n;
    distance.sqnr = sqnr(1.0, unexplained);
    distance.r2 = Some(1.0 - unexplained);
    let total = |part: fn(&Column) -> f64| columns.iter().map(part).sum::<f64>();
    let (noise, square) = (total(|c| c.noise), total(|c| c.square));
    distance.relative_error = (square > 0.0).then(|| (noise / square).sqrt());
    let pairs = truth.iter().flatten().zip(other.iter().flatten());
    distance.error_95 = quantile(pairs.map(|(a, b)| (f64::from(*a) - f64::from(*b)).abs()).collect(), 0.95);
}

/// Compares embeddings; only the direction counts.
fn embedding(distance: &mut Distance, truth: &[Vec<f32>], other: &[Vec<f32>]) {
    let unit = |v: &[f32]| {
        let length = v.iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>().sqrt();
        v.iter().map(|&v| f64::from(v) / length.max(1e-30)).collect::<Vec<f64>>()
    };
    let (mut noise, mut cosines) = (0.0, Vec::with_capacity(truth.len()));
    for (a, b) in truth.iter().zip(other) {
        let (a, b) = (unit(a), unit(b));
        noise += a.iter().zip(&b).map(|(a, b)| (a - b) * (a - b)).sum::<f64>();
        cosines.push(a.iter().zip(&b).map(|(a, b)| a * b).sum::<f64>());
    }
    distance.sqnr = sqnr(truth.len() as f64, noise);
    distance.cosine = (!cosines.is_empty()).then(|| cosines.iter().sum::<f64>() / cosines.len() as f64);
    distance.cosine_5 = quantile(cosines, 0.05);
}

/// Returns the value that this share of all values does not exceed.
fn quantile(mut values: Vec<f64>, share: f64) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let last = values.len().checked_sub(1)?;
    Some(values[(share * last as f64).round() as usize])
}

fn lost_lead<'a>(pairs: impl Iterator<Item = (&'a [f32], &'a [f32])>) -> Option<f64> {
    let lead = |(a, b): (&[f32], &[f32])| {
        let (first, others) = (top(a), top(b));
        let p = log_softmax(a);
        (first != others).then(|| libm::exp(p[first]) - libm::exp(p[others]))
    };
    pairs.filter_map(lead).reduce(f64::max).map(|lead| lead.max(0.0))
}

/// Returns `10·log10(signal / noise)`, bounded if one of them is zero.
pub fn sqnr(signal: f64, noise: f64) -> f64 {
    if noise <= 0.0 { 200.0 } else { (10.0 * libm::log10(signal / noise)).clamp(-200.0, 200.0) }
}

/// Returns the index of the largest value, the first of equals.
pub fn top(values: &[f32]) -> usize {
    let mut best = 0;
    for (i, v) in values.iter().enumerate() {
        if *v > values[best] {
            best = i;
        }
    }
    best
}

fn mean(v: &[f32]) -> f64 {
    v.iter().map(|&v| f64::from(v)).sum::<f64>() / v.len().max(1) as f64
}

fn log_softmax(v: &[f32]) -> Vec<f64> {
    let max = v.iter().fold(f64::NEG_INFINITY, |m, &v| m.max(f64::from(v)));
    let sum: f64 = v.iter().map(|&v| libm::exp(f64::from(v) - max)).sum();
    v.iter().map(|&v| f64::from(v) - max - libm::log(sum)).collect()
}

fn divergence(a: &[f32], b: &[f32]) -> f64 {
    log_softmax(a).iter().zip(log_softmax(b)).map(|(a, b)| libm::exp(*a) * (a - b)).sum::<f64>().max(0.0)
}

fn binary_kl(a: f32, b: f32) -> f64 {
    divergence(&[a, 0.0], &[b, 0.0])
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOFTMAX: Measure = Measure { kind: OutputKind::Softmax, threshold: 0.0 };

    fn column(values: &[f32]) -> Vec<Vec<f32>> {
        values.iter().map(|&v| vec![v]).collect()
    }

    #[test]
    fn one_number_has_a_true_error() {
        let (truth, other) = (column(&[-1.0, 1.0, -3.0, 3.0]), column(&[-1.1, 1.1, -2.9, 2.9]));
        // Variation 20, noise 0.04: 27 dB.
        for kind in [OutputKind::Logit, OutputKind::Sigmoid, OutputKind::Numbers] {
            let d = Distance::between(&truth, &other, Measure::new(kind));
            assert!((d.sqnr - 26.9897).abs() < 1e-3, "{d:?}");
        }
        let d = Distance::between(&truth, &other, Measure::new(OutputKind::Numbers));
        assert!((d.r2.unwrap() - 0.998).abs() < 1e-6 && (d.error_95.unwrap() - 0.1).abs() < 1e-6, "{d:?}");
        assert_eq!((d.agreement, d.same, d.kl), (None, None, None));
    }

    #[test]
    fn a_large_mean_is_no_signal_and_units_do_not_weigh() {
        let (truth, other) = (column(&[100.0, 101.0]), column(&[100.5, 100.5]));
        let d = Distance::between(&truth, &other, Measure::new(OutputKind::Numbers));
        assert!(d.sqnr.abs() < 1e-6 && d.r2.unwrap().abs() < 1e-6, "{d:?}");
        let wide = |rows: &[[f32; 2]]| rows.iter().map(|r| r.to_vec()).collect::<Vec<_>>();
        // The second output is wrong throughout; the first one's larger unit does not hide it.
        let (truth, other) = (wide(&[[1e6, 1.0], [-1e6, -1.0]]), wide(&[[1e6, -1.0], [-1e6, 1.0]]));
        assert!(Distance::between(&truth, &other, Measure::new(OutputKind::Numbers)).r2.unwrap() < 0.0);
    }

    #[test]
    fn thresholds_decide_which_labels_agree() {
        let (truth, other) = (column(&[-0.5, 0.5, 2.0, 3.0]), column(&[0.5, 0.4, 1.0, 4.0]));
        let logit = Measure::new(OutputKind::Logit);
        assert_eq!(Distance::between(&truth, &other, logit).agreement, Some(0.75));
        // 0.9 is a logit of 2.197: only the last is above it, in both.
        assert_eq!(Distance::between(&truth, &other, logit.with_threshold(0.9)).agreement, Some(1.0));
        assert_eq!((logit.class(&[0.1]), logit.with_threshold(0.9).class(&[0.1])), (Some(1), Some(0)));
        let sigmoid = Measure::new(OutputKind::Sigmoid);
        let labels = |b: &[f32]| Distance::between(&[vec![1.0, -1.0]], &[b.to_vec()], sigmoid).agreement;
        assert_eq!((labels(&[0.2, -3.0]), labels(&[5.0, 4.0])), (Some(1.0), Some(0.0)));
    }

    #[test]
    fn embeddings_are_compared_by_direction() {
        let d = Distance::between(&[vec![3.0, 4.0]], &[vec![6.0, 8.0]], Measure::new(OutputKind::Embedding));
        assert!((d.cosine.unwrap() - 1.0).abs() < 1e-12 && d.sqnr > 100.0, "{d:?}");
        let d = Distance::between(&[vec![1.0, 0.0]], &[vec![0.0, 1.0]], Measure::new(OutputKind::Embedding));
        assert!(d.cosine.unwrap().abs() < 1e-12 && d.sqnr < 0.0, "{d:?}");
    }

    #[test]
    fn constant_answers_still_have_an_error() {
        let d =
            Distance::between(&column(&[2.0, 2.0]), &column(&[2.1, 1.9]), Measure::new(OutputKind::Logit));
        assert!((20.0..40.0).contains(&d.sqnr), "{d:?}");
    }

    #[test]
    fn equal_answers_are_at_no_distance() {
        let a = vec![vec![1.0, 2.0, -3.0], vec![0.0, 0.5, 9.0]];
        let d = Distance::between(&a, &a, SOFTMAX);
        assert_eq!((d.agreement, d.kl, d.sqnr, d.lost_lead), (Some(1.0), Some(0.0), 200.0, None));
        for kind in OutputKind::ALL {
            assert_eq!(Distance::between(&a, &a, Measure::new(kind)).sqnr, 200.0, "{kind}");
        }
    }

    #[test]
    fn a_common_shift_is_no_error() {
        let (a, b) = (vec![vec![1.0, 2.0]], vec![vec![2.0, 3.0]]);
        let d = Distance::between(&a, &b, SOFTMAX);
        assert!(d.kl.unwrap() < 1e-12 && d.sqnr > 100.0);
        // All other meanings are affected.
        for kind in [OutputKind::Sigmoid, OutputKind::Numbers, OutputKind::Embedding] {
            assert!(Distance::between(&a, &b, Measure::new(kind)).sqnr < 20.0, "{kind}");
        }
    }

    #[test]
    fn a_flip_is_seen() {
        let (a, b) = (vec![vec![1.0, 2.0]], vec![vec![2.0, 1.0]]);
        let d = Distance::between(&a, &b, SOFTMAX);
        assert!(d.agreement == Some(0.0) && d.kl.unwrap() > 0.4 && d.sqnr < 0.0, "{d:?}");
    }

    #[test]
    fn a_lost_lead_is_the_greatest_and_counts_flips_alone() {
        // Leads of 3/5 − 1/5, 1/2 − 1/4 (to the class that wins instead, not to the second), and one that stays.
        let truth =
            [[3.0_f32, 1.0, 1.0], [1.0, 4.0, 3.0], [9.0, 1.0, 1.0]].map(|v| v.map(libm::logf).to_vec());
        let other =
            [[1.0_f32, 3.0, 1.0], [5.0, 4.0, 3.0], [8.0, 1.0, 1.0]].map(|v| v.map(libm::logf).to_vec());
        let lead = |n: usize| Distance::between(&truth[n..], &other[n..], SOFTMAX).lost_lead;
        assert!((lead(0).unwrap() - 0.4).abs() < 1e-6 && (lead(1).unwrap() - 0.375).abs() < 1e-6);
        assert_eq!(lead(2), None);
    }
}
