//! Uses one zero point for the pixels of all channels.
//!
//! A preprocessing with a mean per channel pads with that mean, channel by channel: our pixels have a zero point
//! each. An NPU's input has one scale and one zero point. A scale that covers them all would round every pixel
//! again. Instead, the padding gets one value, and pixels stay unchanged.

use crate::graph::{Graph, Op};

/// Sets the padding of pixels to the mean of its channels' values. Inner pixels stay unchanged; returns `true` if
/// the border does not.
pub fn one_zero(graph: &mut Graph) -> bool {
    let mut changed = false;
    for node in &mut graph.nodes {
        let Op::Conv(conv) = &mut node.op else { continue };
        if node.inputs[0] != 0 || conv.window.pad == [0; 4] {
            continue;
        }
        let mean = conv.pad_value.iter().sum::<f32>() / conv.pad_value.len() as f32;
        changed |= conv.pad_value.iter().any(|&v| v != mean);
        conv.pad_value.fill(mean);
    }
    changed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pass::testing::Build;
    use crate::quantize::build::pixel_zero;

    #[test]
    fn channels_get_their_mean_and_nothing_else_changes() {
        let mut graph = Build::new(6, 7, 3).conv(4, [3, 3], [1; 4]).conv(2, [3, 3], [1; 4]).done();
        let at = |graph: &mut Graph, n: usize, pad: [f32; 3]| {
            let convs = graph
                .nodes
                .iter_mut()
                .filter_map(|n| if let Op::Conv(c) = &mut n.op { Some(c) } else { None });
            convs.skip(n).take(1).for_each(|c| c.pad_value[..3].copy_from_slice(&pad));
        };
        at(&mut graph, 0, [124.0, 117.0, 104.0]);
        at(&mut graph, 1, [1.0, 2.0, 3.0]);
        assert_eq!(pixel_zero(&graph), [-4, -11, -24]);
        let other = graph.nodes[2].clone();
        assert!(one_zero(&mut graph) && !one_zero(&mut graph));
        assert_eq!(pixel_zero(&graph), [-13; 3]);
        assert_eq!(format!("{:?}", graph.nodes[2].op), format!("{:?}", other.op));
    }
}
