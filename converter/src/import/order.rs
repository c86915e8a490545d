//! Sorts the nodes on which outputs depend, each after those that it reads.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use crate::onnx::{GraphProto, NodeProto};

use super::error::ImportError;

/// Returns the names that a node reads, including those of its branches.
fn read_by(node: &NodeProto) -> Vec<&str> {
    let mut names: Vec<&str> = node.input.iter().map(String::as_str).filter(|n| !n.is_empty()).collect();
    let branches = node.attribute.iter().filter_map(|a| a.g.as_ref());
    for graph in branches {
        names.extend(graph.node.iter().flat_map(read_by));
        names.extend(graph.output.iter().map(|o| o.name.as_str()));
    }
    names
}

/// Sorts the nodes that `outputs` need, in the file's order if it is valid.
pub fn sorted<'a>(graph: &'a GraphProto, outputs: &[&str]) -> Result<Vec<&'a NodeProto>, ImportError> {
    let mut writer: HashMap<&str, usize> = HashMap::new();
    for (i, node) in graph.node.iter().enumerate() {
        node.output.iter().filter(|o| !o.is_empty()).for_each(|o| {
            writer.insert(o, i);
        });
    }
    let mut needed = vec![false; graph.node.len()];
    let mut open: Vec<usize> = outputs.iter().filter_map(|o| writer.get(o).copied()).collect();
    let mut readers: Vec<Vec<usize>> = vec![Vec::new(); graph.node.len()];
    let mut waits = vec![0usize; graph.node.len()];
    while let Some(i) = open.pop() {
        if std::mem::replace(&mut needed[i], true) {
            continue;
        }
        for name in read_by(&graph.node[i]) {
            if let Some(&w) = writer.get(name) {
                readers[w].push(i);
                waits[i] += 1;
                open.push(w);
            }
        }
    }
    let ready = (0..needed.len()).filter(|&i| needed[i] && waits[i] == 0);
    let mut ready: BinaryHeap<Reverse<usize>> = ready.map(Reverse).collect();
    let mut order = Vec::new();
    while let Some(Reverse(i)) = ready.pop() {
        order.push(&graph.node[i]);
        for &r in &readers[i] {
            waits[r] -= 1;
            if waits[r] == 0 {
                ready.push(Reverse(r));
            }
        }
    }
    match (0..needed.len()).find(|&i| needed[i] && waits[i] > 0) {
        Some(i) => Err(ImportError::NotOnnx(format!(
            "node {} depends on its own output",
            graph.node[i].output.first().unwrap_or(&graph.node[i].name)
        ))),
        None => Ok(order),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(input: &str, output: &str) -> NodeProto {
        let words = |text: &str| text.split_whitespace().map(String::from).collect();
        NodeProto { input: words(input), output: words(output), ..Default::default() }
    }

    fn names(nodes: Vec<NodeProto>, outputs: &[&str]) -> Result<Vec<String>, ImportError> {
        let graph = GraphProto { node: nodes, ..Default::default() };
        Ok(sorted(&graph, outputs)?.iter().map(|n| n.output[0].clone()).collect())
    }

    #[test]
    fn the_files_order_stays_where_it_is_one() {
        let nodes = || vec![node("x", "a"), node("x", "b"), node("b a", "c"), node("c", "unused")];
        assert_eq!(names(nodes(), &["c"]).unwrap(), ["a", "b", "c"]);
        let mut turned = nodes();
        turned.reverse();
        assert_eq!(names(turned, &["c"]).unwrap(), ["b", "a", "c"]);
    }

    #[test]
    fn a_circle_is_refused() {
        let error = names(vec![node("b", "a"), node("a", "b")], &["b"]).unwrap_err();
        assert!(error.to_string().contains("its own output"), "{error}");
    }
}
