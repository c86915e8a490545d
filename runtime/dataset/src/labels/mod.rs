//! Class names: read from files, built in, and matched with class folders.

mod forms;
pub mod known;
mod matching;
mod read;

pub(crate) use matching::match_labels;
pub use matching::{LabelsBy, Matching};
pub use read::{LabelFile, check_count, parse_labels, read_labels};

use unicode_normalization::UnicodeNormalization;

/// Removes differences between spellings: case, spaces, `-` and `_`, composed characters.
fn plain(name: &str) -> String {
    name.nfc()
        .filter(|c| !c.is_whitespace() && !matches!(c, '-' | '_'))
        .flat_map(char::to_lowercase)
        .collect()
}

/// Returns the names in a label that lists several, such as ImageNet's `tench, Tinca tinca`.
fn synonyms(name: &str) -> impl Iterator<Item = &str> {
    name.split(',').map(str::trim).filter(|synonym| !synonym.is_empty())
}
