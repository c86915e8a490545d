//! The library's choices as values of flags.

use clap::ValueEnum;
use clap::builder::PossibleValue;
use foldnet_archive::OutputKind;

use crate::calibrate::Method;
use crate::quantize::recipe::Effort;

impl ValueEnum for Effort {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Low, Self::Normal, Self::High]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let help = match self {
            Self::Low => "One attempt, no search",
            Self::Normal => "Search: seconds for a small network, a minute for a large one",
            Self::High => "As normal, with a slower search for the rounding of each weight",
        };
        Some(PossibleValue::new(self.name()).help(help))
    }
}

impl ValueEnum for Method {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Auto, Self::Minmax, Self::Percentile, Self::Mse, Self::Entropy]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let help = match self {
            Self::Auto => "The best of the others, tensor by tensor",
            Self::Minmax => "All values seen; nothing is clipped",
            Self::Percentile => "All but the outermost 0.01 % of the values",
            Self::Mse => "The smallest mean square error of the tensor",
            Self::Entropy => "The range that keeps most of the distribution's information",
        };
        Some(PossibleValue::new(self.name()).help(help))
    }
}

/// An output's meaning as a flag's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutputValue(pub OutputKind);

impl ValueEnum for OutputValue {
    fn value_variants<'a>() -> &'a [Self] {
        const ALL: [OutputValue; 5] = [
            OutputValue(OutputKind::Softmax),
            OutputValue(OutputKind::Sigmoid),
            OutputValue(OutputKind::Logit),
            OutputValue(OutputKind::Numbers),
            OutputValue(OutputKind::Embedding),
        ];
        &ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let help = match self.0 {
            OutputKind::Softmax => "One class out of several",
            OutputKind::Sigmoid => "Independent labels, each with its probability",
            OutputKind::Logit => "One number whose sign decides between two classes",
            OutputKind::Numbers => "Plain numbers, as in regression",
            OutputKind::Embedding => "A vector that is compared by its direction",
        };
        Some(PossibleValue::new(self.0.name()).help(help))
    }
}

/// A number that is neither infinite nor none.
pub fn finite(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|v: &f64| v.is_finite()).ok_or_else(|| "not a finite number".into())
}
