//! Functions that a model defines itself: each call is replaced by the nodes of its body.

use std::collections::HashMap;

use super::error::ImportError;
use crate::onnx::{AttributeProto, FunctionProto, ModelProto, NodeProto};

/// The largest number of nodes that replace calls, so that functions that call each other do not loop forever.
const MOST_NODES: usize = 1 << 18;
/// The largest nesting of function calls.
const DEEPEST: usize = 32;

/// Replaces the calls of a model's own functions by their bodies.
pub fn inlined(mut model: ModelProto) -> Result<ModelProto, ImportError> {
    let functions = std::mem::take(&mut model.functions);
    let Some(graph) = model.graph.as_mut().filter(|_| !functions.is_empty()) else { return Ok(model) };
    let mut inliner = Inliner { functions: &functions, nodes: Vec::new(), calls: 0 };
    for node in std::mem::take(&mut graph.node) {
        inliner.add(node, 0)?;
    }
    graph.node = inliner.nodes;
    let stated = |domain: &str| model.opset_import.iter().find(|o| o.domain == domain).map(|o| o.version);
    for function in &functions {
        let other = function
            .opset_import
            .iter()
            .find(|o| o.domain.is_empty() && stated("").is_some_and(|v| v != o.version));
        if let Some(other) = other {
            return Err(ImportError::NotOnnx(format!(
                "its function {} is written in opset {}, the model in another; export it in one opset",
                function.name, other.version
            )));
        }
    }
    Ok(model)
}

struct Inliner<'f> {
    functions: &'f [FunctionProto],
    nodes: Vec<NodeProto>,
    calls: usize,
}

impl Inliner<'_> {
    fn add(&mut self, node: NodeProto, depth: usize) -> Result<(), ImportError> {
        let called = self.functions.iter().find(|f| f.name == node.op_type && f.domain == node.domain);
        let Some(function) = called else {
            self.nodes.push(node);
            return Ok(());
        };
        self.calls += 1;
        if depth > DEEPEST || self.nodes.len() > MOST_NODES || self.calls > MOST_NODES {
            return Err(ImportError::NotOnnx(format!(
                "its function {} calls itself, or too many others",
                function.name
            )));
        }
        let mut names: HashMap<&str, String> = HashMap::new();
        for (i, formal) in function.input.iter().enumerate() {
            names.insert(formal, node.input.get(i).cloned().unwrap_or_default());
        }
        for (i, formal) in function.output.iter().enumerate() {
            let unread = || format!("{}.{}/{formal}", function.name, self.calls);
            let actual = node.output.get(i).filter(|o| !o.is_empty()).cloned();
            names.insert(formal, actual.unwrap_or_else(unread));
        }
        let prefix = match node.name.is_empty() {
            true => format!("{}.{}", function.name, self.calls),
            false => node.name.clone(),
        };
        for inner in &function.node {
            let inner = renamed(inner, &prefix, &mut |name: &str| match names.get(name) {
                Some(actual) => actual.clone(),
                None if name.is_empty() => String::new(),
                None => format!("{prefix}/{name}"),
            });
            self.add(with_attributes(inner, function, &node), depth + 1)?;
        }
        Ok(())
    }
}

fn renamed(node: &NodeProto, prefix: &str, name: &mut dyn FnMut(&str) -> String) -> NodeProto {
    let mut node = node.clone();
    node.input.iter_mut().chain(&mut node.output).for_each(|n| *n = name(n));
    if !node.name.is_empty() {
        node.name = format!("{prefix}/{}", node.name);
    }
    for graph in node.attribute.iter_mut().filter_map(|a| a.g.as_mut()) {
        graph.node = graph.node.iter().map(|n| renamed(n, prefix, name)).collect();
        graph.output.iter_mut().for_each(|o| o.name = name(&o.name));
        graph.initializer.iter_mut().for_each(|i| i.name = name(&i.name));
    }
    node
}

/// Replaces attributes that refer to the function's own by the call's values or the function's defaults.
fn with_attributes(mut node: NodeProto, function: &FunctionProto, call: &NodeProto) -> NodeProto {
    let value = |a: AttributeProto| -> Option<AttributeProto> {
        if a.ref_attr_name.is_empty() {
            return Some(a);
        }
        let named = |v: &&AttributeProto| v.name == a.ref_attr_name;
        let given = call.attribute.iter().find(named);
        let given = given.or_else(|| function.attribute_proto.iter().find(named))?;
        Some(AttributeProto { name: a.name, ref_attr_name: String::new(), ..given.clone() })
    };
    node.attribute = node.attribute.into_iter().filter_map(value).collect();
    node
}
