//! Folds zero padding into the convolution or max pooling after it.
//!
//! ```text
//! Conv(Pad(x)) = Conv with more padding       where the convolution's own padding is zeros
//! MaxPool(Pad(x)) = MaxPool, padding is zero  where the pooling has none of its own
//! ```
//! Keras writes its stems in this form. The kernel must be larger than the padding, because no output may read
//! padding alone.

use super::Readers;
use crate::graph::{Graph, Op};

/// See the module; returns whether something changed.
pub fn run(graph: &mut Graph) -> bool {
    let mut changed = false;
    let mut readers = Readers::of(graph);
    for id in 1..graph.nodes.len() {
        let Op::Pad(around) = graph.nodes[id].op else { continue };
        let (Some(reader), Some(&from)) = (readers.only(graph, id), graph.nodes[id].inputs.first()) else {
            continue;
        };
        let taken = match &mut graph.nodes[reader].op {
            Op::Conv(conv) => {
                let reach = |a: usize| (conv.window.kernel[a] - 1) * conv.dilation[a];
                let total: [usize; 4] = std::array::from_fn(|i| conv.window.pad[i] + around[i]);
                let own = conv.window.pad != [0; 4];
                let fits = (0..4).all(|i| total[i] <= reach(i % 2));
                let zeros = !own || conv.pad_value.iter().all(|&v| v == 0.0);
                if fits && zeros {
                    conv.window.pad = total;
                    conv.pad_value.fill(0.0);
                }
                fits && zeros
            }
            Op::MaxPool { window, floor_at_zero } => {
                let fits = window.pad == [0; 4] && (0..4).all(|i| around[i] < window.kernel[i % 2]);
                if fits {
                    window.pad = around;
                    *floor_at_zero = true;
                }
                fits
            }
            _ => false,
        };
        if taken {
            readers.bypass(graph, id, from);
            changed = true;
        }
    }
    changed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pass::testing::{Build, check};

    #[test]
    fn into_a_convolution_that_pads_zeros() {
        let graph = Build::new(6, 7, 3).pad([1, 2, 0, 1]).conv(4, [3, 3], [0; 4]).done();
        check(&graph, run, &["input", "convolution"]);
        let graph = Build::new(6, 7, 3).pad([1, 0, 1, 0]).conv(4, [5, 3], [1, 1, 0, 0]).done();
        check(&graph, run, &["input", "convolution"]);
    }

    #[test]
    fn into_a_pooling_as_zeros() {
        let graph =
            Build::new(6, 7, 3).conv(4, [1, 1], [0; 4]).pad([1, 1, 1, 1]).max_pool([3, 3], [0; 4]).done();
        check(&graph, run, &["input", "convolution", "max pooling"]);
    }

    #[test]
    fn not_where_the_kernel_is_smaller() {
        let graph = Build::new(6, 7, 3).pad([3, 0, 0, 0]).conv(4, [3, 3], [0; 4]).done();
        check(&graph, run, &["input", "padding", "convolution"]);
    }
}
