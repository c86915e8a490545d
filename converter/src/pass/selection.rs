//! Folds convolutions that only pick channels and pixels into the convolutions before or after them.
//!
//! ```text
//! Conv(pick(x)):     weights move to the channels that were picked; stride and dilation multiply
//! pick(Conv(x)):     filters are picked; strides multiply
//! pick(ReLU(x)) = ReLU(pick(x)), likewise an affine map
//! ```
//! Import writes slices, shuffles and concatenations as such convolutions. A fold saves a step. It is done only if
//! it does not add many multiply-accumulates.

use foldnet_kernels::{MAX_KERNEL, Shape};

use super::Readers;
use crate::graph::{Conv, Graph, NodeId, Op, Window};

/// The selection of a convolution: the input channel of each output channel, and the stride of the pixels.
struct Selection {
    from: Vec<Option<usize>>,
    stride: [usize; 2],
}

/// Returns the selection of a 1×1 convolution without bias or padding whose filters have at most one weight, a
/// one.
fn selection(op: &Op) -> Option<Selection> {
    let Op::Conv(conv) = op else { return None };
    let plain = conv.window.kernel == [1, 1] && conv.window.pad == [0; 4];
    if !plain || conv.bias.iter().any(|b| *b != 0.0) {
        return None;
    }
    let outputs = conv.bias.len();
    let per_group = conv.weights.len() / outputs;
    let pick = |(o, filter): (usize, &[f32])| {
        let mut ones = filter.iter().enumerate().filter(|(_, w)| **w != 0.0);
        match (ones.next(), ones.next()) {
            (None, _) => Some(None),
            (Some((i, 1.0)), None) => Some(Some(o / (outputs / conv.groups) * per_group + i)),
            _ => None,
        }
    };
    let from = conv.weights.chunks_exact(per_group).enumerate().map(pick).collect::<Option<_>>()?;
    Some(Selection { from, stride: conv.window.stride })
}

fn macs(conv: &Conv, output: Shape) -> usize {
    output.pixels() * conv.weights.len()
}

/// Returns whether saving a step justifies the additional multiply-accumulates: up to half of the previous number.
fn pays(before: usize, after: usize) -> bool {
    after <= before + before / 2
}

/// Folds into the convolutions that read it; returns whether something changed.
pub fn forward(graph: &mut Graph) -> bool {
    let mut changed = false;
    let mut all = Readers::of(graph);
    for id in 1..graph.nodes.len() {
        let Some(picked) = selection(&graph.nodes[id].op) else { continue };
        let Some(&from) = graph.nodes[id].inputs.first() else { continue };
        let readers = all.all(id).to_vec();
        if id == graph.output || readers.is_empty() {
            continue;
        }
        let input = graph.nodes[from].shape;
        let folded: Option<Vec<Conv>> =
            readers.iter().map(|&r| reading_unpicked(graph, r, &picked, input)).collect();
        let Some(folded) = folded else { continue };
        let of = |id: NodeId| match &graph.nodes[id].op {
            Op::Conv(conv) => macs(conv, graph.nodes[id].shape),
            _ => 0,
        };
        let before: usize = of(id) + readers.iter().map(|&r| of(r)).sum::<usize>();
        let after: usize = readers.iter().zip(&folded).map(|(&r, c)| macs(c, graph.nodes[r].shape)).sum();
        if !pays(before, after) {
            continue;
        }
        for (&reader, conv) in readers.iter().zip(folded) {
            graph.nodes[reader].op = Op::Conv(conv);
        }
        all.bypass(graph, id, from);
        changed = true;
    }
    changed
}

/// Returns the convolution `reader`, applied to the numbers from which its input was picked.
fn reading_unpicked(graph: &Graph, reader: NodeId, picked: &Selection, input: Shape) -> Option<Conv> {
    let Op::Conv(conv) = &graph.nodes[reader].op else { return None };
    if conv.groups != 1 || conv.pad_value.iter().any(|v| *v != 0.0) {
        return None;
    }
    let mut weights = vec![0.0; conv.weights.len() / picked.from.len() * input.c];
    for (new, old) in weights.chunks_exact_mut(input.c).zip(conv.weights.chunks_exact(picked.from.len())) {
        for (w, from) in old.iter().zip(&picked.from) {
            if let Some(c) = *from {
                new[c] += w;
            }
        }
    }
    let mut window = conv.window;
    let mut dilation = conv.dilation;
    for (a, (step, apart)) in picked.stride.into_iter().zip(&mut dilation).enumerate() {
        window.stride[a] *= step;
        window.pad[a] *= step;
        if window.kernel[a] > 1 {
            *apart *= step;
        }
    }
    if window.stride.iter().chain(&dilation).any(|&n| n > MAX_KERNEL) {
        return None;
    }
    let window = fitted(window, input, dilation, graph.nodes[reader].shape)?;
    let pad_value = vec![0.0; input.c];
    Some(Conv { weights, bias: conv.bias.clone(), window, dilation, groups: 1, pad_value })
}

/// Returns the window with as much padding below and to the right as this output needs.
fn fitted(mut window: Window, input: Shape, dilation: [usize; 2], output: Shape) -> Option<Window> {
    for (a, (side, out)) in [(input.h, output.h), (input.w, output.w)].into_iter().enumerate() {
        let reach = (window.kernel[a] - 1) * dilation[a];
        let needed = (out - 1) * window.stride[a] + reach + 1;
        window.pad[a + 2] = needed.saturating_sub(side + window.pad[a]);
        if window.pad[a + 2] > reach || window.pad[a] > reach {
            return None;
        }
    }
    (window.output([input.h, input.w], dilation) == Some([output.h, output.w])).then_some(window)
}

/// Folds into the convolution that it reads; returns whether something changed.
pub fn backward(graph: &mut Graph) -> bool {
    let mut changed = false;
    let mut readers = Readers::of(graph);
    for id in 1..graph.nodes.len() {
        let Some(picked) = selection(&graph.nodes[id].op) else { continue };
        let Some(&from) = graph.nodes[id].inputs.first() else { continue };
        let Op::Conv(conv) = &graph.nodes[from].op else { continue };
        if readers.only(graph, from) != Some(id) {
            continue;
        }
        let Some(&origin) = graph.nodes[from].inputs.first() else { continue };
        let Some(folded) = filters(conv, &picked, graph.nodes[origin].shape, graph.nodes[id].shape) else {
            continue;
        };
        let after = macs(&folded, graph.nodes[id].shape);
        let Op::Conv(own) = &graph.nodes[id].op else { continue };
        let before = macs(conv, graph.nodes[from].shape) + macs(own, graph.nodes[id].shape);
        if !pays(before, after) && !stacks(graph, &readers, id, conv, origin) {
            continue;
        }
        // The convolution keeps its name and replaces the one that picked.
        let name = graph.nodes[from].name.clone();
        graph.nodes[from].name = std::mem::replace(&mut graph.nodes[id].name, name);
        graph.nodes[id].op = Op::Conv(folded);
        readers.rewire(graph, from, Vec::new());
        readers.rewire(graph, id, vec![origin]);
        changed = true;
    }
    changed
}

/// Returns whether the picked channels are added to channels picked from another convolution of the same input and
/// window: [`super::parallel`] joins the two, which removes the zeros.
fn stacks(graph: &Graph, readers: &Readers, picked: NodeId, conv: &Conv, origin: NodeId) -> bool {
    let mut top = picked;
    let sum = loop {
        let Some(reader) = readers.only(graph, top) else { return false };
        match graph.nodes[reader].op {
            Op::Relu => top = reader,
            Op::Add => break reader,
            _ => return false,
        }
    };
    let Some(mut other) = graph.nodes[sum].inputs.iter().copied().find(|&i| i != top) else { return false };
    loop {
        let node = &graph.nodes[other];
        let Some(&below) = node.inputs.first() else { return false };
        match &node.op {
            op if selection(op).is_some() => other = below,
            Op::Relu => other = below,
            Op::Conv(c) => return below == origin && (c.window, c.dilation) == (conv.window, conv.dilation),
            _ => return false,
        }
    }
}

/// Returns the convolution with only the picked filters, with the stride of the picked pixels.
fn filters(conv: &Conv, picked: &Selection, input: Shape, output: Shape) -> Option<Conv> {
    let outputs = conv.bias.len();
    let filter = conv.weights.len() / outputs;
    if !picked.from.len().is_multiple_of(conv.groups) {
        return None;
    }
    let group = |channel: usize, of: usize| channel / (of / conv.groups);
    let stays = |(o, from): (usize, &Option<usize>)| {
        from.is_none_or(|c| group(c, outputs) == group(o, picked.from.len()))
    };
    if !picked.from.iter().enumerate().all(stays) {
        return None;
    }
    let mut weights = Vec::with_capacity(picked.from.len() * filter);
    let mut bias = Vec::with_capacity(picked.from.len());
    for from in &picked.from {
        match *from {
            Some(c) => {
                weights.extend_from_slice(&conv.weights[c * filter..][..filter]);
                bias.push(conv.bias[c]);
            }
            None => {
                weights.extend(std::iter::repeat_n(0.0, filter));
                bias.push(0.0);
            }
        }
    }
    let mut window = conv.window;
    (0..2).for_each(|a| window.stride[a] *= picked.stride[a]);
    if window.stride.iter().any(|&n| n > MAX_KERNEL) {
        return None;
    }
    let window = fitted(window, input, conv.dilation, output)?;
    Some(Conv { weights, bias, window, ..conv.clone() })
}

/// Moves it before a ReLU or an affine map that nothing else reads; returns whether something changed.
pub fn earlier(graph: &mut Graph) -> bool {
    let mut changed = false;
    let readers = Readers::of(graph);
    for id in 1..graph.nodes.len() {
        let Some(picked) = selection(&graph.nodes[id].op) else { continue };
        let Some(&from) = graph.nodes[id].inputs.first() else { continue };
        let moved = match &graph.nodes[from].op {
            Op::Relu => Op::Relu,
            Op::Affine { gain, offset } => Op::Affine {
                gain: picked.from.iter().map(|c| c.map_or(1.0, |c| gain[c])).collect(),
                offset: picked.from.iter().map(|c| c.map_or(0.0, |c| offset[c])).collect(),
            },
            _ => continue,
        };
        let Some(&before) = graph.nodes[from].inputs.first() else { continue };
        // Only move towards a convolution that may absorb it.
        let takes = matches!(graph.nodes[before].op, Op::Conv(_) | Op::Relu | Op::Affine { .. });
        let alone = readers.only(graph, from) == Some(id) && readers.only(graph, before) == Some(from);
        if !takes || !alone || !graph.given.is_empty() {
            continue;
        }
        let shape = graph.nodes[id].shape;
        let pick = std::mem::replace(&mut graph.nodes[id].op, moved);
        graph.nodes[from].op = pick;
        graph.nodes[from].shape = shape;
        let name = graph.nodes[from].name.clone();
        graph.nodes[from].name = std::mem::replace(&mut graph.nodes[id].name, name);
        changed = true;
    }
    changed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pass::testing::{Build, check};

    #[test]
    fn into_the_convolution_behind_it() {
        let graph = Build::new(7, 9, 3)
            .conv(4, [1, 1], [0; 4])
            .relu()
            .pick(&[Some(3), Some(1), None], 2)
            .conv(5, [3, 3], [1; 4])
            .done();
        check(&graph, forward, &["input", "convolution", "ReLU", "convolution"]);
    }

    #[test]
    fn into_the_convolution_before_it() {
        let graph =
            Build::new(9, 8, 3).conv(4, [3, 3], [1; 4]).relu().pick(&[Some(3), Some(1), Some(1)], 2).done();
        check(&graph, |g| earlier(g) || backward(g), &["input", "convolution", "ReLU"]);
    }

    #[test]
    fn not_into_groups_that_it_mixes() {
        let graph =
            Build::new(5, 6, 4).grouped(4, [3, 3], [1; 4], 2).pick(&[Some(2), Some(3), Some(0)], 1).done();
        check(&graph, backward, &["input", "convolution", "convolution"]);
        let kept = [Some(1), Some(0), Some(3), None];
        let graph = Build::new(5, 6, 4).grouped(4, [3, 3], [1; 4], 2).pick(&kept, 1).done();
        check(&graph, backward, &["input", "convolution"]);
    }

    #[test]
    fn not_where_zeros_would_be_multiplied() {
        // A hundred zero channels for a large kernel cost more than picking.
        let from: Vec<Option<usize>> = (0..100).map(|c| (c < 2).then_some(c)).collect();
        let graph = Build::new(8, 8, 3).conv(2, [5, 5], [2; 4]).pick(&from, 1).done();
        check(&graph, backward, &["input", "convolution", "convolution"]);
    }
}
