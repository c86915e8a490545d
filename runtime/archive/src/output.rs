//! The meaning of a network's output, which decides how it is compared and shown.

use serde::{Deserialize, Serialize};

use crate::Activation;
use crate::manifest::Manifest;

/// The meaning of the numbers that a network returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OutputKind {
    /// One class out of several: the scores are a softmax of the logits.
    Softmax,
    /// Independent labels, each with a probability of its own.
    Sigmoid,
    /// One number whose sign decides between two classes: the log-odds.
    Logit,
    /// Plain numbers, as in regression.
    Numbers,
    /// A vector that is compared by its direction.
    Embedding,
}

impl OutputKind {
    /// All kinds.
    pub const ALL: [Self; 5] = [Self::Softmax, Self::Sigmoid, Self::Logit, Self::Numbers, Self::Embedding];

    /// Returns the meaning that follows from the network alone. Several outputs without a final function are taken
    /// for logits. A single output without one is a plain number, since nothing indicates more.
    pub fn of(activation: Activation, outputs: usize) -> Self {
        match (activation, outputs) {
            (Activation::Sigmoid, _) => Self::Sigmoid,
            // A softmax over one class is always 1: only its input carries information.
            (_, 0 | 1) => Self::Numbers,
            (Activation::Softmax | Activation::None, _) => Self::Softmax,
        }
    }

    /// Returns the name used on the command line and in the manifest.
    pub fn name(self) -> &'static str {
        match self {
            Self::Softmax => "softmax",
            Self::Sigmoid => "sigmoid",
            Self::Logit => "logit",
            Self::Numbers => "numbers",
            Self::Embedding => "embedding",
        }
    }

    /// Returns the number of classes that this many outputs distinguish, or 0 if the output names no class.
    pub fn classes(self, outputs: usize) -> usize {
        match (self, outputs) {
            (Self::Numbers | Self::Embedding, _) => 0,
            (Self::Sigmoid | Self::Logit, 1) => 2,
            _ => outputs,
        }
    }

    /// Checks that a network with this many outputs can have this meaning; the error is the reason.
    pub fn check(self, outputs: usize) -> Result<(), &'static str> {
        match (self, outputs) {
            (Self::Softmax, 0 | 1) => {
                Err("softmax needs at least two outputs; `logit` or `numbers` fits one")
            }
            (Self::Logit, n) if n != 1 => {
                Err("logit needs exactly one output; `sigmoid` fits several independent labels")
            }
            (Self::Embedding, 0 | 1) => Err("embedding needs at least two outputs"),
            _ => Ok(()),
        }
    }
}

impl std::fmt::Display for OutputKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

impl std::str::FromStr for OutputKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.name() == text)
            .ok_or_else(|| format!("{text:?}: expected softmax, sigmoid, logit, numbers or embedding"))
    }
}

/// Computes scores that can be shown from a network's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scores {
    kind: OutputKind,
    activation: Activation,
    outputs: usize,
    /// Whether both classes of a single output have a name.
    pair: bool,
}

impl Scores {
    /// Prepares the scores for a network with this final function and number of outputs.
    pub fn new(manifest: &Manifest, activation: Activation, outputs: usize) -> Self {
        let kind = manifest.output_kind(activation, outputs);
        let pair = outputs == 1 && kind.classes(1) == 2 && manifest.labels.len() == 2;
        Self { kind, activation, outputs, pair }
    }

    /// Returns the output's meaning.
    pub fn kind(&self) -> OutputKind {
        self.kind
    }

    /// Returns the number of scores.
    pub fn len(&self) -> usize {
        if self.pair { 2 } else { self.outputs }
    }

    /// Returns whether there are no scores, which is never the case for a valid network.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns whether scores are probabilities rather than plain numbers.
    pub fn are_shares(&self) -> bool {
        !matches!(self.kind, OutputKind::Numbers | OutputKind::Embedding)
    }

    /// Returns the name of a score: the label or, without one, a generic name with its number.
    pub fn name(&self, manifest: &Manifest, index: usize) -> String {
        let own = manifest.labels.get(index).filter(|_| manifest.labels.len() == self.len());
        match (own, self.are_shares(), self.len()) {
            (Some(label), ..) => label.clone(),
            // The score belongs to the second of two classes; the first gets the rest.
            (None, true, 1) => "class 1".into(),
            (None, true, _) => format!("class {index}"),
            (None, false, 1) => "output".into(),
            (None, false, _) => format!("output {index}"),
        }
    }

    /// Formats a score for people: a probability in percent, a plain number as it is.
    pub fn show(&self, score: f32) -> String {
        if self.are_shares() { format!("{:5.1} %", 100.0 * score) } else { format!("{score:8.4}") }
    }

    /// Fills `scores` from the network's answer, to which its final function has been applied. If the output's
    /// meaning requires a function that the network lacks, it is added. A single output with two labels becomes
    /// two scores, the first class's and the second's.
    pub fn fill(&self, answer: &[f32], scores: &mut Vec<f32>) {
        scores.clear();
        scores.extend_from_slice(answer);
        if self.activation == Activation::None {
            match self.kind {
                OutputKind::Softmax => Activation::Softmax.apply(scores),
                OutputKind::Sigmoid | OutputKind::Logit => Activation::Sigmoid.apply(scores),
                OutputKind::Numbers | OutputKind::Embedding => {}
            }
        }
        if self.pair {
            scores.insert(0, 1.0 - scores[0]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::manifest;

    #[test]
    fn the_meaning_follows_from_the_network_unless_the_manifest_tells_it() {
        use Activation as A;
        assert_eq!(OutputKind::of(A::None, 10), OutputKind::Softmax);
        assert_eq!(OutputKind::of(A::None, 1), OutputKind::Numbers);
        assert_eq!(OutputKind::of(A::Sigmoid, 1), OutputKind::Sigmoid);
        assert_eq!(OutputKind::of(A::Softmax, 1), OutputKind::Numbers);
        let told = Manifest { output: Some(OutputKind::Logit), ..manifest() };
        assert_eq!(told.output_kind(A::None, 1), OutputKind::Logit);
    }

    #[test]
    fn scores_follow_one_logit_and_name_both_classes() {
        let labels = vec!["cat".into(), "dog".into()];
        let told = Manifest { output: Some(OutputKind::Logit), labels, ..manifest() };
        let scores = Scores::new(&told, Activation::None, 1);
        let mut shown = Vec::new();
        scores.fill(&[3f32.ln()], &mut shown);
        assert!((shown[0] - 0.25).abs() < 1e-6 && (shown[1] - 0.75).abs() < 1e-6, "{shown:?}");
        assert_eq!((scores.len(), scores.are_shares()), (2, true));
        assert_eq!((scores.name(&told, 0), scores.show(0.25)), ("cat".into(), " 25.0 %".into()));
        let unnamed = Manifest { labels: Vec::new(), ..told };
        let scores = Scores::new(&unnamed, Activation::None, 1);
        scores.fill(&[0.0], &mut shown);
        assert_eq!((&shown[..], scores.name(&unnamed, 0)), (&[0.5][..], "class 1".into()));
    }

    #[test]
    fn numbers_stay_numbers_and_a_missing_softmax_is_added() {
        let plain = Manifest { labels: Vec::new(), ..manifest() };
        let mut shown = Vec::new();
        let numbers = Scores::new(&plain, Activation::None, 1);
        numbers.fill(&[-41.5], &mut shown);
        assert!(shown == [-41.5] && !numbers.are_shares());
        assert_eq!((numbers.name(&plain, 0), numbers.show(-41.5)), ("output".into(), "-41.5000".into()));
        Scores::new(&plain, Activation::None, 2).fill(&[1.0, 1.0], &mut shown);
        assert_eq!(shown, [0.5, 0.5]);
        Scores::new(&plain, Activation::Softmax, 2).fill(&[0.25, 0.75], &mut shown);
        assert_eq!(shown, [0.25, 0.75], "applied already");
    }

    #[test]
    fn names_are_read_back_and_counts_are_checked() {
        for kind in OutputKind::ALL {
            assert_eq!(kind.name().parse(), Ok(kind));
        }
        assert!("probit".parse::<OutputKind>().is_err());
        assert!(OutputKind::Softmax.check(1).is_err() && OutputKind::Logit.check(2).is_err());
        assert!(OutputKind::Numbers.check(1).is_ok() && OutputKind::Logit.check(1).is_ok());
    }
}
