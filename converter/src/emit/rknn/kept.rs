//! Checks whether the toolkit kept our weights.
//!
//! Its simulator runs the graph that it was given, so it does not show the content of the file for the board. The
//! NPU reads weights in blocks of 16 input channels of one filter and tap, at multiples of 16 bytes. This module
//! searches for such blocks.

use std::collections::HashSet;

use foldnet_archive::{Network, Step};

use super::is_logits;

const PIECE: usize = 16;

/// Returns the share of our blocks that the model contains unchanged, or `None` if the network has none. Layers
/// whose channels do not fill blocks are left out, and so is the last one, which is f16.
pub fn weights_kept(network: &Network, model: &[u8]) -> Option<f64> {
    let there: HashSet<&[u8; PIECE]> = model.as_chunks().0.iter().collect();
    let (mut all, mut kept) = (0_u64, 0_u64);
    for step in &network.steps {
        let Step::Conv(c) = step else { continue };
        if c.groups != 1 || !network.tensors[c.x].shape.c.is_multiple_of(PIECE) || is_logits(network, c) {
            continue;
        }
        // OHWI: inputs are adjacent.
        for block in c.weights.as_chunks::<PIECE>().0 {
            all += 1;
            kept += u64::from(there.contains(&block.map(|w| w as u8)));
        }
    }
    (all > 0).then(|| kept as f64 / all as f64)
}

#[cfg(test)]
mod tests {
    use foldnet_archive::testing::every_step;
    use foldnet_kernels::Shape;

    use super::*;

    #[test]
    fn blocks_are_found_wherever_they_stand_and_missed_when_changed() {
        let mut network = every_step();
        assert_eq!(weights_kept(&network, &[]), None, "no layer of that network fills a block");
        let layer =
            network.steps.iter().position(|s| matches!(s, Step::Conv(c) if c.groups == 1 && c.x != 0));
        let Step::Conv(c) = &mut network.steps[layer.unwrap()] else { unreachable!() };
        network.tensors[c.x].shape = Shape::new(1, 1, 32);
        c.weights = (0..8 * 32).map(|i| (i % 251) as i8).collect();
        let mut model: Vec<u8> = c.weights.iter().map(|&w| w as u8).collect();
        model[..].rotate_left(48);
        model.splice(0..0, [0; 64]);
        assert_eq!(weights_kept(&network, &model), Some(1.0));
        model[70] ^= 1;
        assert_eq!(weights_kept(&network, &model), Some(15.0 / 16.0));
    }
}
