//! Joins functions of one value in a row.
//!
//! ```text
//! g(f(x)) = (g∘f)(x)
//! ```
//! Otherwise each would be a table with its own rounding. Bounds and affine maps after a function join it. An
//! affine map before it joins, too, unless its input is a convolution: the convolution computes the map before it
//! rounds.

use super::Readers;
use crate::graph::{Graph, NodeId, Op};

/// See the module; returns whether something changed.
pub fn run(graph: &mut Graph) -> bool {
    let mut changed = false;
    let mut readers = Readers::of(graph);
    for outer in 1..graph.nodes.len() {
        let Some(&inner) = graph.nodes[outer].inputs.first() else { continue };
        let alone = inner != 0 && readers.only(graph, inner) == Some(outer) && !graph.is_rounded(inner);
        if !alone || !join(graph, inner, outer) {
            continue;
        }
        let (Some(first), Some(second)) = (graph.nodes[inner].op.curve(), graph.nodes[outer].op.curve())
        else {
            continue;
        };
        if !second.may_follow(&first) {
            continue;
        }
        graph.nodes[inner].op = Op::Curve(second.after(&first));
        readers.bypass(graph, outer, inner);
        changed = true;
    }
    changed
}

/// Returns whether two nodes in a row are better as one function.
fn join(graph: &Graph, inner: NodeId, outer: NodeId) -> bool {
    match (&graph.nodes[inner].op, &graph.nodes[outer].op) {
        (Op::Curve(_), _) => true,
        (Op::Affine { .. }, Op::Curve(_)) => {
            let from = graph.nodes[inner].inputs[0];
            let sum = |n: NodeId| matches!(graph.nodes[n].op, Op::Conv(_));
            let sums = graph.nodes[from].op == Op::Add && graph.nodes[from].inputs.iter().any(|&n| sum(n));
            !sum(from) && !sums
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::curve::Curve;
    use crate::pass::testing::{Build, check};

    fn swish() -> Curve {
        Curve::of("Mul", &[&Curve::x(), &Curve::of("Sigmoid", &[&Curve::x()])])
    }

    #[test]
    fn a_function_takes_in_what_follows() {
        let graph = Build::new(4, 5, 3).conv(4, [3, 3], [1; 4]).curve(swish()).curve(swish()).relu().done();
        check(&graph, run, &["input", "convolution", "function of one value"]);
    }

    #[test]
    fn an_affine_map_joins_unless_a_convolution_computes_it() {
        let start = || Build::new(4, 5, 3).conv(4, [3, 3], [1; 4]);
        let graph = start().max_pool([2, 2], [0; 4]).scaled(0.5, 1.0).curve(swish()).done();
        check(&graph, run, &["input", "convolution", "max pooling", "function of one value"]);
        let graph = start().scaled(0.5, 1.0).curve(swish()).done();
        check(&graph, run, &["input", "convolution", "affine map", "function of one value"]);
    }

    #[test]
    fn not_without_end() {
        let mut build = Build::new(4, 5, 3).conv(4, [3, 3], [1; 4]);
        for _ in 0..100 {
            build = build.curve(Curve::of("Tanh", &[&Curve::x()]));
        }
        let mut graph = build.done();
        while run(&mut graph) {}
        let left =
            graph.nodes.iter().filter(|n| matches!(n.op, Op::Curve(_)) && !n.inputs.is_empty()).count();
        assert_eq!(left, 2);
    }

    #[test]
    fn not_where_the_first_is_read_twice() {
        let graph = Build::new(4, 5, 3).conv(4, [3, 3], [1; 4]).curve(swish()).relu().add(2).done();
        check(&graph, run, &["input", "convolution", "function of one value", "ReLU", "addition"]);
    }
}
