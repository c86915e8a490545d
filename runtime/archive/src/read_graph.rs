//! Reads `graph.nnef` and its tensor files into a network.
//!
//! The definitions at the start must equal those of this format version byte for byte. Then each fragment means
//! what [`crate::vocabulary`] defines, and statements can be read by name. A step is a chain of statements whose
//! last one writes a tensor; each operator recognizes its own (see [`foldnet_kernels::op`]). The result is
//! validated as a whole ([`Network::validate`]) before it is returned.

use std::collections::HashMap;

use foldnet_kernels::Shape;
use foldnet_kernels::network::{Argument, Files, GraphReader, Statement};

use crate::statements::parse;
use crate::vocabulary::{PREAMBLE, strip_definitions};
use crate::{Activation, GraphError, Network, Step, Tensor};

/// Reads a graph and takes its tensors out of `files`.
pub(crate) fn read_graph(text: &str, files: &mut dyn Files) -> Result<Network, GraphError> {
    let at = |line: usize, message: &str| GraphError::Text { line, message: message.into() };
    let Some(graph) = strip_definitions(text) else {
        let line = text.lines().zip(PREAMBLE.lines()).take_while(|(a, b)| a == b).count() + 1;
        return Err(at(line, "the definitions in front of the graph are not those of this format version"));
    };
    let first_line = text[..text.len() - graph.len()].lines().count() + 1;
    let body = graph
        .strip_prefix("graph network(pixels) -> (output)\n{\n")
        .and_then(|g| g.strip_suffix("}\n"))
        .ok_or_else(|| {
            at(first_line, "expected `graph network(pixels) -> (output)` and its body in braces")
        })?;
    let statements = parse(body, first_line + 2)?;
    let mut reader = Reader {
        from: GraphReader::new(files),
        steps: Vec::new(),
        activation: None,
        open: HashMap::new(),
        reads: HashMap::new(),
    };
    for s in &statements {
        if let Some(Argument::Name(first)) = s.positional.first() {
            *reader.reads.entry(first).or_default() += 1;
        }
    }
    for s in &statements {
        reader.statement(s)?;
    }
    reader.finish()
}

struct Reader<'s, 'a> {
    from: GraphReader<'s>,
    steps: Vec<Step>,
    activation: Option<Activation>,
    /// The chain of statements that computes each float value.
    open: HashMap<&'a str, Vec<&'s Statement<'a>>>,
    /// How many of the remaining statements read each value as their first argument.
    reads: HashMap<&'a str, usize>,
}

impl<'s, 'a> Reader<'s, 'a> {
    fn statement(&mut self, s: &'s Statement<'a>) -> Result<(), GraphError> {
        match s.operator {
            "tract_core_external" => self.input(s),
            "variable" => self.variable(s),
            "copy" => self.output(s, Activation::None),
            "softmax" => self.output(s, Activation::Softmax),
            "sigmoid" => self.output(s, Activation::Sigmoid),
            _ => self.link(s),
        }
    }

    fn input(&mut self, s: &Statement<'_>) -> Result<(), GraphError> {
        let [n, c, h, w] = s.sizes("shape")?;
        if n != 1 || s.text("datum_type")? != "u8" || s.name != "pixels" || !self.from.tensors.is_empty() {
            return s.fail("the input must be one batch of u8 pixels");
        }
        let shape = Shape::new(h, w, c);
        self.from.tensors.push(Tensor { name: "pixels".into(), shape, scale: 1.0, zero: 0 });
        Ok(())
    }

    fn variable(&mut self, s: &Statement<'_>) -> Result<(), GraphError> {
        if s.text("label")? != s.name {
            return s.fail("a variable's label must be its name");
        }
        let dims = match s.sizes::<1>("shape") {
            Ok(one) => one.to_vec(),
            Err(_) => s.sizes::<4>("shape")?.to_vec(),
        };
        self.from.variables.insert(s.name.into(), dims);
        if s.name == "pixel_zero" {
            let c = self.from.tensors.first().map_or(0, |t| t.shape.c);
            let zero = self.from.files.floats(s.name, &[1, c, 1, 1])?;
            if !zero.iter().all(|z| z.fract() == 0.0 && (0.0..=255.0).contains(z)) {
                return s.fail("a pixel zero point is not in 0…255");
            }
            self.from.pixel_zero = zero.iter().map(|z| (z - 128.0) as i8).collect();
        }
        Ok(())
    }

    fn output(&mut self, s: &Statement<'_>, activation: Activation) -> Result<(), GraphError> {
        if s.name != "output" || !matches!(s.positional[..], [Argument::Name("logits")]) {
            return s.fail("only the logits become the output");
        }
        self.activation = Some(activation);
        Ok(())
    }

    /// Continues a chain or starts one. The last statement of a chain completes a step.
    fn link(&mut self, s: &'s Statement<'a>) -> Result<(), GraphError> {
        let Some(&Argument::Name(first)) = s.positional.first() else {
            return s.fail("expected a name as the first argument");
        };
        let reads = self.reads.entry(first).or_default();
        *reads = reads.saturating_sub(1);
        let read_again = *reads > 0;
        let mut chain = self.open.remove(first).unwrap_or_default();
        chain.push(s);
        if !s.name.starts_with("t_") && s.name != "logits" {
            self.open.insert(s.name, chain);
        } else if chain.len() > 1 && read_again {
            // The value is rounded and then used again: it is a second output of the same step.
            self.open.insert(first, chain);
        } else {
            match Step::read(&chain, &mut self.from)? {
                Some(step) => self.steps.push(step),
                None => return s.fail("no operator of this format ends so"),
            }
        }
        Ok(())
    }

    fn finish(self) -> Result<Network, GraphError> {
        let missing = |what: &str| GraphError::Text { line: 0, message: format!("the graph has no {what}") };
        if let Some(s) = self.open.values().filter_map(|chain| chain.last()).min_by_key(|s| s.line) {
            return s.fail("nothing makes a tensor of this value");
        }
        let network = Network {
            pixel_zero: self.from.pixel_zero,
            logits: self.from.logits.ok_or_else(|| missing("logits"))?,
            activation: self.activation.ok_or_else(|| missing("output"))?,
            tensors: self.from.tensors,
            steps: self.steps,
        };
        network.validate()?;
        Ok(network)
    }
}
