//! Plans for microcontrollers: one thread, and one arena that is as small as possible.
//!
//! Three techniques lower the peak beyond the ordinary layout. The image is in the arena, where activations
//! overwrite it. Each step's scratch is in the arena, too, and lives only during the step. The two convolutions of
//! a residual block run in turns, so that only a few rows of the tensor between them are stored.

use foldnet_archive::{Network, Step};
use foldnet_kernels::KernelSet;
use foldnet_plan::stripes::ring;

use super::memory::{Pair, place_small};
use super::{CompileError, lay_out};
use crate::aligned::Aligned;

/// Compiles a network for a microcontroller's kernel set, to be run by [`foldnet_plan::Plan::run_in_place`]. The
/// same input gives the same bytes.
pub fn compile_small(network: &Network, set: &dyn KernelSet) -> Result<Aligned, CompileError> {
    network.validate()?;
    let network = neighbours(network);
    let mut pairs = pairs(&network, set);
    // Each turn copies the window's rows again, so steps run in turns only where the arena needs it.
    for i in (0..pairs.len()).rev() {
        let without: Vec<Pair> = pairs[..i].iter().chain(&pairs[i + 1..]).copied().collect();
        if place_small(&network, set, &without).arena <= place_small(&network, set, &pairs).arena {
            pairs = without;
        }
    }
    lay_out(&network, set, &place_small(&network, set, &pairs))
}

/// Moves each convolution whose output only one later convolution reads directly in front of its reader.
fn neighbours(network: &Network) -> Network {
    let mut network = network.clone();
    let mut i = 0;
    while i < network.steps.len() {
        if let Step::Conv(reader) = &network.steps[i]
            && let Some(writer) = network.steps[..i].iter().position(|s| s.outputs() == [reader.x])
            && matches!(network.steps[writer], Step::Conv(_))
            && network.steps.iter().filter(|s| s.inputs().contains(&reader.x)).count() == 1
            && writer + 1 < i
            && reader.skip.is_some()
        {
            let step = network.steps.remove(writer);
            network.steps.insert(i - 1, step);
        }
        i += 1;
    }
    network
}

/// Returns all neighbours that can run in turns. No step is in two pairs.
fn pairs(network: &Network, set: &dyn KernelSet) -> Vec<Pair> {
    let mut pairs: Vec<Pair> = Vec::new();
    for (i, two) in network.steps.windows(2).enumerate() {
        let [Step::Conv(a), Step::Conv(b)] = two else { continue };
        let between = match (a.y, &a.affine) {
            (Some(y), None) if y.tensor == b.x && y.tensor != network.logits => y.tensor,
            _ => continue,
        };
        let once = network.steps.iter().filter(|s| s.inputs().contains(&between)).count() == 1;
        let taken = pairs.last().is_some_and(|p| p.first + 1 == i);
        let reads_it_twice = b.skip.is_some_and(|s| s.0 == between);
        if !once || taken || reads_it_twice || b.y.is_none_or(|y| y.tensor == network.logits) {
            continue;
        }
        let (Ok(first), Ok(second)) = (network.conv_desc(a), network.conv_desc(b)) else { continue };
        if let Some((rows, replace)) = ring(&first, &second, set)
            && rows < first.y.h
        {
            pairs.push(Pair { first: i, rows, replace });
        }
    }
    pairs
}
