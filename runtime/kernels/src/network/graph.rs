//! The interface with which an operator writes and reads its statements in `graph.nnef`.
//!
//! A step is a *chain* of statements: the first reads tensors, each further one continues the float value of the
//! one before, and the last one, named `t_<tensor>` or `logits`, writes the result. Identifiers: `t_<name>` is an
//! int8 tensor, `<kind>_<step>` everything else.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::Write;
use std::collections::HashMap;

use super::{GraphError, Network, Out, PIXELS, Tensor, TensorId};
use crate::shape::Shape;

/// The values of a tensor file.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// int8.
    I8(Vec<i8>),
    /// int32.
    I32(Vec<i32>),
    /// f32.
    F32(Vec<f32>),
}

/// Formats a float so that NNEF and `f32::from_str` read it back exactly.
pub(crate) fn float(v: f32) -> String {
    let text = format!("{v}");
    if text.contains('.') { text } else { text + ".0" }
}

/// Formats top, left, bottom and right as NNEF requires.
pub(crate) fn pads([top, left, bottom, right]: [usize; 4]) -> String {
    format!("({top},{bottom}), ({left},{right})")
}

/// Collects the statements of a graph and its tensor files.
pub struct GraphWriter<'a> {
    /// The network that is written.
    pub network: &'a Network,
    /// The text of the graph.
    pub text: String,
    /// The tensor files: label, dimensions, values.
    pub files: Vec<(String, Vec<usize>, Values)>,
}

impl GraphWriter<'_> {
    /// Writes a statement, given without its semicolon.
    pub fn line(&mut self, statement: &str) {
        writeln!(self.text, "    {statement};").expect("writing to a string");
    }

    /// Writes a tensor file and the statement that reads it.
    pub fn variable(&mut self, id: &str, dims: &[usize], values: Values) {
        self.line(&format!("{id} = variable<scalar>(label = '{id}', shape = {dims:?})"));
        self.files.push((id.into(), dims.to_vec(), values));
    }

    /// Writes f32 values, one per channel.
    pub fn per_channel(&mut self, id: &str, values: &[f32]) {
        self.variable(id, &[1, values.len(), 1, 1], Values::F32(values.to_vec()));
    }

    /// Returns a tensor's identifier.
    pub fn tensor(&self, id: TensorId) -> String {
        if id == PIXELS { "pixels".into() } else { format!("t_{}", self.network.tensors[id].name) }
    }

    /// Returns a tensor's zero point.
    pub fn zero(&self, id: TensorId) -> String {
        float(f32::from(self.network.tensors[id].zero))
    }

    /// Returns a layer's name as a string literal; characters that NNEF does not allow become underscores.
    pub fn quoted(&self, name: &str) -> String {
        let clean: String =
            name.chars().map(|c| if c == '"' || c == '\\' || c.is_control() { '_' } else { c }).collect();
        format!("\"{clean}\"")
    }

    /// Writes the rounding of the float value `v` to a tensor.
    pub fn round(&mut self, v: &str, out: Out) {
        let t = &self.network.tensors[out.tensor];
        let statement = format!(
            "{} = foldnet_round({v}, zero = {}, lo = {}, hi = {}, scale = {})",
            self.tensor(out.tensor),
            float(f32::from(t.zero)),
            float(f32::from(out.lo)),
            float(f32::from(out.hi)),
            float(t.scale)
        );
        self.line(&statement);
    }

    /// Writes `to = f32(x − zero)·multiplier`.
    pub fn scaled(&mut self, to: &str, x: TensorId, name: &str, zero: f32, multiplier: f32) {
        let statement = format!(
            "{to} = foldnet_scaled({}, name = {}, zero = {}, multiplier = {})",
            self.tensor(x),
            self.quoted(name),
            float(zero),
            float(multiplier)
        );
        self.line(&statement);
    }

    /// Writes `to = v + f32(x − zero)·multiplier`.
    pub fn residual(&mut self, to: &str, v: &str, x: TensorId, zero: f32, multiplier: f32) {
        let statement = format!(
            "{to} = foldnet_residual({v}, {}, zero = {}, multiplier = {})",
            self.tensor(x),
            float(zero),
            float(multiplier)
        );
        self.line(&statement);
    }
}

/// An argument of a statement.
#[derive(Clone, Debug, PartialEq)]
pub enum Argument<'a> {
    /// An identifier.
    Name(&'a str),
    /// A number, not yet parsed.
    Number(&'a str),
    /// A string literal.
    Text(&'a str),
    /// A list or tuple.
    List(Vec<Argument<'a>>),
}

/// `name = operator(…);`
#[derive(Clone, Debug, PartialEq)]
pub struct Statement<'a> {
    /// The line of `graph.nnef`, from 1.
    pub line: usize,
    /// The identifier that the statement defines.
    pub name: &'a str,
    /// The fragment or operator.
    pub operator: &'a str,
    /// The arguments without a name.
    pub positional: Vec<Argument<'a>>,
    /// The arguments with a name.
    pub named: Vec<(&'a str, Argument<'a>)>,
}

impl<'a> Statement<'a> {
    /// Returns an error at this line.
    pub fn fail<T>(&self, message: impl core::fmt::Display) -> Result<T, GraphError> {
        Err(GraphError::Text { line: self.line, message: format!("{}: {message}", self.operator) })
    }

    fn get(&self, key: &str) -> Result<&Argument<'a>, GraphError> {
        match self.named.iter().find(|(k, _)| *k == key) {
            Some((_, v)) => Ok(v),
            None => self.fail(format!("argument {key} is missing")),
        }
    }

    /// Returns the positional arguments, all of which must be names.
    pub fn names<const N: usize>(&self) -> Result<[&'a str; N], GraphError> {
        let mut names = [""; N];
        if self.positional.len() != N {
            return self.fail(format!("{} arguments, expected {N}", self.positional.len()));
        }
        for (to, value) in names.iter_mut().zip(&self.positional) {
            match value {
                Argument::Name(n) => *to = n,
                other => return self.fail(format!("expected a name, found {other:?}")),
            }
        }
        Ok(names)
    }

    /// Returns a string argument.
    pub fn text(&self, key: &str) -> Result<&'a str, GraphError> {
        match self.get(key)? {
            Argument::Text(t) => Ok(t),
            other => self.fail(format!("{key} is {other:?}, expected a string")),
        }
    }

    /// Returns a number argument.
    pub fn number<T: core::str::FromStr>(&self, key: &str) -> Result<T, GraphError> {
        if let Argument::Number(n) = self.get(key)?
            && let Ok(v) = n.parse()
        {
            return Ok(v);
        }
        self.fail(format!("{key} is not a number of the kind expected here"))
    }

    /// Returns an int8 that is written as a float.
    pub fn int8(&self, key: &str) -> Result<i8, GraphError> {
        let v: f32 = self.number(key)?;
        if v.fract() == 0.0 && (-128.0..=127.0).contains(&v) {
            Ok(v as i8)
        } else {
            self.fail(format!("{key} = {v} is not in −128…127"))
        }
    }

    /// Returns a list of whole numbers, with tuples flattened.
    pub fn sizes<const N: usize>(&self, key: &str) -> Result<[usize; N], GraphError> {
        fn flatten(value: &Argument<'_>, to: &mut Vec<usize>) -> Option<()> {
            match value {
                Argument::List(items) => items.iter().try_for_each(|v| flatten(v, to)),
                Argument::Number(n) => {
                    to.push(n.parse().ok()?);
                    Some(())
                }
                _ => None,
            }
        }
        let mut sizes = Vec::new();
        match flatten(self.get(key)?, &mut sizes).and_then(|()| sizes.try_into().ok()) {
            Some(sizes) => Ok(sizes),
            None => self.fail(format!("{key} is not a list of {N} whole numbers")),
        }
    }
}

/// Returns the operators of a chain, to match against.
pub(crate) fn words<'a>(chain: &[&Statement<'a>]) -> Vec<&'a str> {
    chain.iter().map(|s| s.operator).collect()
}

/// Tensor files by label; each can be taken once.
pub trait Files {
    /// Takes int8 values of exactly this shape.
    fn int8s(&mut self, name: &str, dims: &[usize]) -> Result<Vec<i8>, GraphError>;
    /// Takes int32 values of exactly this shape.
    fn int32s(&mut self, name: &str, dims: &[usize]) -> Result<Vec<i32>, GraphError>;
    /// Takes f32 values of exactly this shape.
    fn floats(&mut self, name: &str, dims: &[usize]) -> Result<Vec<f32>, GraphError>;
}

/// The state of reading a graph.
pub struct GraphReader<'a> {
    /// The tensors so far.
    pub tensors: Vec<Tensor>,
    /// See [`Network::pixel_zero`].
    pub pixel_zero: Vec<i8>,
    /// The logits, once they have been written.
    pub logits: Option<TensorId>,
    /// The dimensions of the tensor files that the graph declares.
    pub variables: HashMap<String, Vec<usize>>,
    /// The tensor files.
    pub files: &'a mut dyn Files,
    by_name: HashMap<String, TensorId>,
}

impl<'a> GraphReader<'a> {
    /// Starts with an empty graph.
    pub fn new(files: &'a mut dyn Files) -> Self {
        Self {
            tensors: Vec::new(),
            pixel_zero: Vec::new(),
            logits: None,
            variables: HashMap::new(),
            files,
            by_name: HashMap::new(),
        }
    }

    /// Returns an int8 tensor that an earlier statement wrote.
    pub fn tensor(&self, s: &Statement<'_>, name: &str) -> Result<TensorId, GraphError> {
        match self.by_name.get(name) {
            Some(&id) => Ok(id),
            None => s.fail(format!("{name} is not an int8 tensor written before")),
        }
    }

    /// Returns whether a zero point in the text equals the tensor's own.
    pub fn is_zero(&self, x: TensorId, zero: f32) -> bool {
        zero == f32::from(self.tensors[x].zero)
    }

    /// Checks that the zero point in the text equals the tensor's own.
    pub fn same_zero(&self, s: &Statement<'_>, x: TensorId, key: &str) -> Result<(), GraphError> {
        if s.int8(key)? == self.tensors[x].zero {
            Ok(())
        } else {
            s.fail(format!("{key} is not the tensor's zero point"))
        }
    }

    /// Returns the dimensions of a tensor file.
    pub fn variable(&self, s: &Statement<'_>, name: &str) -> Result<Vec<usize>, GraphError> {
        match self.variables.get(name) {
            Some(dims) => Ok(dims.clone()),
            None => s.fail(format!("{name} is not a variable")),
        }
    }

    /// Returns the f32 values of a tensor file.
    pub fn floats(&mut self, s: &Statement<'_>, name: &str) -> Result<Vec<f32>, GraphError> {
        let dims = self.variable(s, name)?;
        self.files.floats(name, &dims)
    }

    /// Returns the int8 values of a tensor file.
    pub fn int8s(&mut self, s: &Statement<'_>, name: &str, dims: &[usize]) -> Result<Vec<i8>, GraphError> {
        self.variable(s, name)?;
        self.files.int8s(name, dims)
    }

    /// Adds the tensor that the statement defines.
    pub fn write(
        &mut self,
        s: &Statement<'_>,
        shape: Shape,
        scale: f32,
        zero: i8,
    ) -> Result<TensorId, GraphError> {
        let id = self.tensors.len();
        let Some(name) = s.name.strip_prefix("t_") else {
            return s.fail(format!("{} should be named t_…", s.name));
        };
        if self.by_name.insert(s.name.to_string(), id).is_some() {
            return s.fail(format!("{name} is written twice"));
        }
        self.tensors.push(Tensor { name: name.to_owned(), shape, scale, zero });
        Ok(id)
    }

    /// Adds the tensor that a `foldnet_round` writes.
    pub fn round(&mut self, s: &Statement<'_>, shape: Shape) -> Result<Out, GraphError> {
        let (zero, lo, hi, scale) = (s.int8("zero")?, s.int8("lo")?, s.int8("hi")?, s.number("scale")?);
        Ok(Out { tensor: self.write(s, shape, scale, zero)?, lo, hi })
    }

    /// Adds the logits.
    pub fn write_logits(&mut self, shape: Shape) -> TensorId {
        let id = self.tensors.len();
        self.tensors.push(Tensor { name: "logits".into(), shape, scale: 1.0, zero: 0 });
        self.logits = Some(id);
        id
    }
}
