//! Joins two affine maps in a row.

use super::{Readers, affine};
use crate::graph::{Graph, Op};

/// See the module; returns whether something changed.
pub fn run(graph: &mut Graph) -> bool {
    let mut changed = false;
    let mut readers = Readers::of(graph);
    for id in 1..graph.nodes.len() {
        let Some((outer, shift, from)) = affine(graph, id) else { continue };
        if readers.only(graph, from) != Some(id) || graph.is_rounded(from) {
            continue;
        }
        let Op::Affine { gain, offset } = &mut graph.nodes[from].op else { continue };
        for c in 0..outer.len() {
            gain[c] *= outer[c];
            offset[c] = offset[c] * outer[c] + shift[c];
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
    fn become_one() {
        let graph = Build::new(3, 3, 3).affine().affine().affine().done();
        check(&graph, run, &["input", "affine map"]);
    }
}
