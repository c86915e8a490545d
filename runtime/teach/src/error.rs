//! What can go wrong.

use std::path::PathBuf;

use crate::file::VERSION;
use crate::metric::MAX_FEATURES;
use crate::teacher::{MAX_CLASSES, MAX_EXAMPLES, MAX_NAME};

/// Why something cannot be taught.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TeachError {
    /// The network has no features to compare.
    #[error(
        "the network cannot be taught: it does not end in a dense layer, whose inputs are what images are compared by"
    )]
    NoFeatures,
    /// The network has too many features.
    #[error(
        "the network cannot be taught: it has {0} features in front of its last layer, more than {MAX_FEATURES}"
    )]
    TooManyFeatures(usize),
    /// An example has features of another network.
    #[error("an example has {got} features, the network {want}")]
    WrongFeatures {
        /// Those of the example.
        got: usize,
        /// Those of the network.
        want: usize,
    },
    /// A class cannot have this name.
    #[error("{name:?} cannot be the name of a class: {reason}")]
    Name {
        /// The name.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Two classes would have one name.
    #[error("there already is a class {0:?}")]
    NameTaken(String),
    /// There is no such class.
    #[error("there is no class {0:?}")]
    NoSuchClass(String),
    /// One image is an example of two classes.
    #[error("one image is an example of both {first:?} and {second:?}")]
    Contradiction {
        /// The class that has it.
        first: String,
        /// The class that it was to be added to.
        second: String,
    },
    /// A class has one example only, from which no threshold follows.
    #[error(
        "class {0:?} has one example only, which does not tell how much its images differ: give at least 2, better 5 to 20, or teach with a false-alarm rate of 0, without unknown"
    )]
    OneExample(String),
    /// There are no classes.
    #[error("there are no classes: nothing is taught")]
    NoClasses,
    /// The network's own classes cannot be mixed in without images of them.
    #[error(
        "to mix in the network's own classes, images of them are needed: they show how sure the network is of what it knows"
    )]
    NoOwnExamples,
    /// The network's own classes have no shares.
    #[error("the network's own classes cannot be mixed in: its scores are not the shares of a softmax")]
    NoShares,
    /// There are too many classes.
    #[error("more than {MAX_CLASSES} classes")]
    TooManyClasses,
    /// A class has too many examples.
    #[error("class {0:?} has more than {MAX_EXAMPLES} examples: 20 to 100 that differ serve as well")]
    TooManyExamples(String),
}

impl TeachError {
    /// Why a name cannot be one of a class.
    pub(crate) fn name(name: &str) -> Result<(), Self> {
        let reserved = ["unknown", "anomaly"];
        let reason = if name.trim().is_empty() {
            "it is empty"
        } else if name.trim() != name {
            "it begins or ends with a space"
        } else if name.len() > MAX_NAME {
            "it is too long"
        } else if name.chars().any(char::is_control) {
            "it has a control character"
        } else if reserved.iter().any(|word| word.eq_ignore_ascii_case(name)) {
            "it is what an image of no class is called"
        } else {
            return Ok(());
        };
        Err(Self::Name { name: name.into(), reason })
    }
}

/// Why a teaching file cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The operating system said no.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: std::io::Error,
    },
    /// Something else.
    #[error("{path}: not a teaching file. `runtime teach` makes one", path = .0.display())]
    NotATeaching(PathBuf),
    /// Written by another version.
    #[error("{path}: teaching format {found}; this build reads formats 1 to {VERSION}. Teach again with this build's `runtime`", path = path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// What the file says.
        found: u32,
    },
    /// Cut, or changed.
    #[error("{path}: the teaching file is damaged: {what}. Copy it again, or teach again", path = path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: &'static str,
    },
}
