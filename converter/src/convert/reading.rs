//! Decides the meaning of a network's output from the model and its data.

use foldnet_archive::{Activation, OutputKind};
use serde::Serialize;

use super::ConvertError;
use crate::model::FloatModel;

/// The evidence for a decision.
#[derive(Clone, Copy, Debug)]
pub struct Evidence {
    /// The network's final function.
    pub activation: Activation,
    /// The network's number of outputs.
    pub outputs: usize,
    /// The number of labels given.
    pub labels: usize,
    /// The number of class folders that contain the images.
    pub folders: usize,
    /// Whether the model normalizes its output to length 1.
    pub normalized: bool,
}

/// A decision on the output's meaning.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Reading {
    /// The meaning of the output.
    pub kind: OutputKind,
    /// The reason for it.
    pub reason: String,
    /// Whether the decision is not obvious, so that the reader should see it.
    #[serde(skip)]
    pub must_be_told: bool,
}

impl Evidence {
    /// Decides from a model and the class folders of the images.
    pub fn of(model: &FloatModel, folders: &[String]) -> Self {
        let graph = &model.graph;
        Self {
            activation: graph.activation,
            outputs: graph.nodes[graph.output].shape.len(),
            labels: model.labels.len(),
            folders: folders.len(),
            normalized: model.normalized,
        }
    }
}

/// Decides; `asked` is used if it fits.
pub fn decide(evidence: &Evidence, asked: Option<OutputKind>) -> Result<Reading, ConvertError> {
    let Evidence { activation, outputs, labels, folders, normalized } = *evidence;
    let reading = |kind, reason: &str, must_be_told| Reading { kind, reason: reason.into(), must_be_told };
    if let Some(kind) = asked {
        kind.check(outputs).map_err(|reason| ConvertError::Output {
            kind,
            reason: format!("{reason}; the network has {outputs}"),
        })?;
        return Ok(reading(kind, "as --output says", true));
    }
    if normalized {
        return Ok(reading(OutputKind::Embedding, "the model normalizes its output to length 1", true));
    }
    Ok(match (activation, outputs) {
        (Activation::Sigmoid, 1) => {
            reading(OutputKind::Sigmoid, "the network ends in one sigmoid: two classes", true)
        }
        (Activation::Sigmoid, _) => {
            reading(OutputKind::Sigmoid, "the network ends in a sigmoid: independent labels", true)
        }
        (Activation::Softmax, 1) => reading(
            OutputKind::Numbers,
            "a softmax over one output is always 1; the number before it is measured",
            true,
        ),
        (Activation::None, 1) if labels == 2 => {
            reading(OutputKind::Logit, "one output and two labels: its sign decides", true)
        }
        (Activation::None, 1) if folders == 2 => {
            reading(OutputKind::Logit, "one output and two class folders: its sign decides", true)
        }
        (Activation::None, 1) => reading(
            OutputKind::Numbers,
            "one output without a final function; --output logit if its sign decides between two classes",
            true,
        ),
        (Activation::Softmax, _) => reading(OutputKind::Softmax, "the network ends in a softmax", false),
        (Activation::None, _) if labels == outputs => {
            reading(OutputKind::Softmax, "one label for each output", false)
        }
        (Activation::None, _) => reading(
            OutputKind::Softmax,
            "several outputs without a final function are taken for the logits of classes; --output changes that",
            false,
        ),
    })
}

impl Reading {
    /// Returns the meaning that the manifest must contain, if it does not follow from the network.
    pub fn to_store(&self, evidence: &Evidence) -> Option<OutputKind> {
        let derived = OutputKind::of(evidence.activation, evidence.outputs);
        (self.kind != derived).then_some(self.kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evidence(activation: Activation, outputs: usize, labels: usize, folders: usize) -> Evidence {
        Evidence { activation, outputs, labels, folders, normalized: false }
    }

    #[test]
    fn one_output_is_a_class_only_where_something_tells_so() {
        let kind = |labels, folders| {
            let evidence = evidence(Activation::None, 1, labels, folders);
            let reading = decide(&evidence, None).unwrap();
            (reading.kind, reading.to_store(&evidence))
        };
        assert_eq!(kind(0, 0), (OutputKind::Numbers, None));
        assert_eq!(kind(1, 3), (OutputKind::Numbers, None));
        assert_eq!(kind(2, 0), (OutputKind::Logit, Some(OutputKind::Logit)));
        assert_eq!(kind(0, 2), (OutputKind::Logit, Some(OutputKind::Logit)));
    }

    #[test]
    fn ordinary_classifiers_store_nothing() {
        for (activation, labels) in [(Activation::Softmax, 0), (Activation::None, 10), (Activation::None, 0)]
        {
            let evidence = evidence(activation, 10, labels, 3);
            let reading = decide(&evidence, None).unwrap();
            assert_eq!((reading.kind, reading.to_store(&evidence)), (OutputKind::Softmax, None));
            assert!(!reading.must_be_told);
        }
        let sigmoid = evidence(Activation::Sigmoid, 4, 0, 0);
        assert_eq!(decide(&sigmoid, None).unwrap().to_store(&sigmoid), None);
    }

    #[test]
    fn what_is_asked_for_is_taken_if_it_fits() {
        let ten = evidence(Activation::None, 10, 0, 0);
        let numbers = decide(&ten, Some(OutputKind::Numbers)).unwrap();
        assert_eq!(numbers.to_store(&ten), Some(OutputKind::Numbers));
        let error = decide(&ten, Some(OutputKind::Logit)).unwrap_err().to_string();
        assert!(error.contains("--output logit") && error.contains("10"), "{error}");
        let vector = Evidence { normalized: true, ..ten };
        assert_eq!(decide(&vector, None).unwrap().kind, OutputKind::Embedding);
    }
}
