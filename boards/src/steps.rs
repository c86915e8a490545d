//! A network's steps, as far as their time depends on them.

use std::path::Path;

use foldnet_archive::{Network, Step};
use foldnet_catalogue::times;
use foldnet_kernels::{PoolDesc, ShapeError};

use crate::fit::{FitError, is_plan};

/// What a file says about the steps of its network.
pub enum Steps {
    /// An archive's.
    Network(Vec<times::Step>),
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

/// The steps of a network in the catalogue's words.
pub fn steps(network: &Network) -> Result<Vec<times::Step>, ShapeError> {
    network.steps.iter().map(|step| times_step(network, step)).collect()
}

fn times_step(network: &Network, step: &Step) -> Result<times::Step, ShapeError> {
    Ok(match step {
        Step::Conv(conv) => times::Step::Conv(network.conv_desc(conv)?),
        Step::MaxPool(pool) => times::Step::MaxPool(PoolDesc {
            x: network.shape(pool.x),
            y: network.shape(pool.y),
            kernel: pool.kernel,
            stride: pool.stride,
            pad: [pool.pad[0], pool.pad[1]],
            pad_value: 0,
        }),
        Step::AvgPool(pool) => times::Step::AvgPool(network.shape(pool.x)),
        Step::Affine(affine) => times::Step::Affine(network.shape(affine.x)),
        Step::Add(add) => times::Step::Add(network.shape(add.a.0)),
        other => times::Step::Other(other.operator().word()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_those_of_the_network() {
        let network = foldnet_archive::testing::resnet8();
        let steps = steps(&network).unwrap();
        assert_eq!(steps.len(), network.steps.len());
        let macs = |step: &times::Step| match step {
            times::Step::Conv(desc) => desc.macs(),
            _ => 0,
        };
        assert_eq!(steps.iter().map(macs).sum::<u64>(), network.macs());
        let others = foldnet_archive::testing::every_step_with_a_sum();
        assert!(super::steps(&others).unwrap().contains(&times::Step::Other("sum")));
    }

    #[test]
    fn a_missing_file_is_named() {
        let said = steps_of(Path::new("absent.nnef.tgz")).err().unwrap().to_string();
        assert!(said.contains("absent.nnef.tgz"), "{said}");
    }
}
