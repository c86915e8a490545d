//! Replaces zero padding that no convolution or pooling absorbed by a convolution that picks every pixel and pads.

use foldnet_kernels::{MAX_KERNEL, Shape};

use crate::graph::{Conv, Graph, Op, Window};

/// See the module; returns whether something changed.
pub fn run(graph: &mut Graph) -> bool {
    let mut changed = false;
    for id in 1..graph.nodes.len() {
        let Op::Pad(around) = graph.nodes[id].op else { continue };
        let Some(&from) = graph.nodes[id].inputs.first() else { continue };
        if let Some(conv) = padding(graph.nodes[from].shape, around) {
            graph.nodes[id].op = Op::Conv(conv);
            changed = true;
        }
    }
    changed
}

/// Returns the shortest kernel side with this much padding: its length, its dilation, and the position of the tap
/// that is one.
fn side(before: usize, after: usize) -> Option<(usize, usize, usize)> {
    (1..=MAX_KERNEL).find_map(|kernel| {
        (1..=MAX_KERNEL).find_map(|dilation| {
            let one = after.div_ceil(dilation);
            let fits = one < kernel && before <= (kernel - 1 - one) * dilation;
            fits.then_some((kernel, dilation, one))
        })
    })
}

fn padding(input: Shape, [top, left, bottom, right]: [usize; 4]) -> Option<Conv> {
    let rows = side(top, bottom)?;
    let columns = side(left, right)?;
    let groups = input.c;
    let mut weights = vec![0.0; input.c * rows.0 * columns.0];
    for c in 0..input.c {
        weights[(c * rows.0 + rows.2) * columns.0 + columns.2] = 1.0;
    }
    let around = |(kernel, dilation, one): (usize, usize, usize), before: usize, after: usize| {
        [before + one * dilation, after + (kernel - 1 - one) * dilation]
    };
    let ([top, bottom], [left, right]) = (around(rows, top, bottom), around(columns, left, right));
    let window = Window { kernel: [rows.0, columns.0], stride: [1, 1], pad: [top, left, bottom, right] };
    let (bias, pad_value) = (vec![0.0; input.c], vec![0.0; input.c]);
    Some(Conv { weights, bias, window, dilation: [rows.1, columns.1], groups, pad_value })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pass::testing::{Build, check};

    #[test]
    fn becomes_a_convolution() {
        for around in [[1; 4], [3, 0, 0, 2], [0, 5, 1, 0], [0, 0, 40, 0]] {
            let graph = Build::new(5, 6, 3).conv(3, [1, 1], [0; 4]).pad(around).done();
            check(&graph, run, &["input", "convolution", "convolution"]);
        }
    }
}
