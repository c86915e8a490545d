//! Moves an affine map from after a clip to before it, where a convolution may absorb it.
//!
//! ```text
//! g·clip(x, lo, hi) + o = clip(g·x + o, g·lo + o, g·hi + o)        for g > 0; bounds swapped for g < 0
//! ```
//! if the map is the same in all channels. A ReLU stays unchanged: an offset would remove its zero.

use super::{Readers, affine};
use crate::graph::{Graph, Op};

/// See the module; returns whether something changed.
pub fn run(graph: &mut Graph) -> bool {
    let mut changed = false;
    let readers = Readers::of(graph);
    for id in 1..graph.nodes.len() {
        let Some((gain, offset, from)) = affine(graph, id) else { continue };
        let Op::Clip { lo, hi } = graph.nodes[from].op else { continue };
        let same = |v: &[f32]| v.iter().all(|x| *x == v[0]);
        let (g, o) = (gain[0], offset[0]);
        let alone = readers.only(graph, from) == Some(id) && !graph.is_rounded(from);
        if !alone || !same(&gain) || !same(&offset) || g == 0.0 {
            continue;
        }
        let (a, b) = (lo * g + o, hi * g + o);
        graph.nodes[from].op = Op::Affine { gain, offset };
        graph.nodes[id].op = Op::Clip { lo: a.min(b), hi: a.max(b) };
        changed = true;
    }
    changed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pass::testing::{Build, check};

    #[test]
    fn bounds_are_moved_and_swapped() {
        for gain in [1.0 / 6.0, -0.5] {
            let graph = Build::new(4, 5, 3).conv(4, [3, 3], [1; 4]).clip(0.0, 2.0).scaled(gain, 0.25).done();
            check(&graph, run, &["input", "convolution", "affine map", "clip"]);
        }
    }

    #[test]
    fn a_relu_and_a_map_per_channel_stay() {
        let start = || Build::new(4, 5, 3).conv(4, [3, 3], [1; 4]);
        check(&start().relu().scaled(0.5, 0.5).done(), run, &["input", "convolution", "ReLU", "affine map"]);
        check(&start().clip(0.0, 1.0).affine().done(), run, &["input", "convolution", "clip", "affine map"]);
    }
}
