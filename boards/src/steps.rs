//! The steps of an archive, as far as their time depends on them.

use std::path::Path;

use foldnet_catalogue::times::{Step, steps};

use crate::fit::{FitError, is_plan};

/// What a file says about the steps of its network.
pub enum Steps {
    /// An archive's.
    Network(Vec<Step>),
    /// A plan has no expected time.
    Plan,
}

/// Reads the steps of an archive.
pub fn steps_of(path: &Path) -> Result<Steps, FitError> {
    if is_plan(path)? {
        return Ok(Steps::Plan);
    }
    let (network, _) = foldnet_archive::read(path)?;
    let bad = |why| FitError::Shape(path.display().to_string(), why);
    Ok(Steps::Network(steps(&network).map_err(bad)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_file_is_named() {
        let said = steps_of(Path::new("absent.nnef.tgz")).err().unwrap().to_string();
        assert!(said.contains("absent.nnef.tgz"), "{said}");
    }
}
