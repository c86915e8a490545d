//! Folds a batch normalization into the convolution before it.
//!
//! ```text
//! gain·(Σ x·w + b) + offset = Σ x·(gain·w) + (gain·b + offset)
//! ```
//! per output channel, if nothing else reads the convolution. Jacob et al., *Quantization and training of neural
//! networks for efficient integer-arithmetic-only inference*, 2018, section 3.2.

use super::{Readers, affine};
use crate::graph::{Graph, Op};

/// See the module; returns whether something changed.
pub fn run(graph: &mut Graph) -> bool {
    let mut changed = false;
    let mut readers = Readers::of(graph);
    for id in 1..graph.nodes.len() {
        let Some((gain, offset, from)) = affine(graph, id) else { continue };
        if readers.only(graph, from) != Some(id) || graph.is_rounded(from) {
            continue;
        }
        let Op::Conv(conv) = &mut graph.nodes[from].op else { continue };
        let filter = conv.weights.len() / gain.len();
        for (weights, g) in conv.weights.chunks_exact_mut(filter).zip(&gain) {
            weights.iter_mut().for_each(|w| *w *= g);
        }
        for (b, (g, o)) in conv.bias.iter_mut().zip(gain.iter().zip(&offset)) {
            *b = *b * g + o;
        }
        readers.bypass(graph, id, from);
        changed = true;
    }
    changed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pass::testing::{Build, check};

    #[test]
    fn into_the_convolution() {
        let graph = Build::new(5, 5, 3).conv(4, [3, 3], [1; 4]).affine().relu().done();
        check(&graph, run, &["input", "convolution", "ReLU"]);
    }

    #[test]
    fn not_where_the_sum_is_read_twice() {
        let graph = Build::new(5, 5, 3).conv(4, [3, 3], [1; 4]).affine().add(1).done();
        check(&graph, run, &["input", "convolution", "affine map", "addition"]);
    }
}
