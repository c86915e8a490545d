//! A network's steps, as far as their time depends on them.

use foldnet_kernels::network::Network;
use foldnet_kernels::op::Step as NetworkStep;
use foldnet_kernels::{PoolDesc, ShapeError};

use super::Step;

/// The steps of a network; each of its tensors exists.
pub fn steps(network: &Network) -> Result<Vec<Step>, ShapeError> {
    network.steps.iter().map(|step| one(network, step)).collect()
}

fn one(network: &Network, step: &NetworkStep) -> Result<Step, ShapeError> {
    Ok(match step {
        NetworkStep::Conv(conv) => Step::Conv(network.conv_desc(conv)?),
        NetworkStep::MaxPool(pool) => Step::MaxPool(PoolDesc {
            x: network.shape(pool.x),
            y: network.shape(pool.y),
            kernel: pool.kernel,
            stride: pool.stride,
            pad: [pool.pad[0], pool.pad[1]],
            pad_value: 0,
        }),
        NetworkStep::AvgPool(pool) => Step::AvgPool(network.shape(pool.x)),
        NetworkStep::Affine(affine) => Step::Affine(network.shape(affine.x)),
        NetworkStep::Add(add) => Step::Add(network.shape(add.a.0)),
        other => Step::Other(other.operator().word()),
    })
}

#[cfg(test)]
mod tests {
    use foldnet_kernels::network::testing::{every_step_with_a_sum, resnet8};

    use super::*;

    #[test]
    fn steps_are_those_of_the_network() {
        let network = resnet8();
        let steps = steps(&network).unwrap();
        assert_eq!(steps.len(), network.steps.len());
        let macs = |step: &Step| match step {
            Step::Conv(desc) => desc.macs(),
            _ => 0,
        };
        assert_eq!(steps.iter().map(macs).sum::<u64>(), network.macs());
        assert!(super::steps(&every_step_with_a_sum()).unwrap().contains(&Step::Other("sum")));
    }
}
