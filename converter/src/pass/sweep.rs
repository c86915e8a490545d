//! Removes nodes on which the output does not depend.

use crate::graph::Graph;

/// See the module; returns whether something changed.
pub fn run(graph: &mut Graph) -> bool {
    let mut needed = vec![false; graph.nodes.len()];
    needed[0] = true;
    needed[graph.output] = true;
    for id in (0..graph.nodes.len()).rev() {
        if needed[id] {
            graph.nodes[id].inputs.iter().for_each(|&i| needed[i] = true);
        }
    }
    let mut number = Vec::with_capacity(needed.len());
    let mut next = 0;
    for &n in &needed {
        number.push(next);
        next += usize::from(n);
    }
    let mut id = 0;
    graph.nodes.retain(|_| {
        id += 1;
        needed[id - 1]
    });
    graph.nodes.iter_mut().for_each(|n| n.inputs.iter_mut().for_each(|i| *i = number[*i]));
    graph.output = number[graph.output];
    next < needed.len()
}
