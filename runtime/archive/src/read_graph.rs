//! `graph.nnef` and its tensor files → Network.
//!
//! The preamble must be the one of this format version, byte for byte: then the words mean what
//! [`crate::vocabulary`] says, and the statements can be taken by name. What is read is validated as a
//! whole ([`Network::validate`]) before anyone sees it.

use std::collections::HashMap;

use foldnet_kernels::{MAX_TERMS, Shape};

use crate::dat::Files;
use crate::error::GraphError;
use crate::network::{
    Activation, Add, Affine, AvgPool, Conv, Dequantize, MaxPool, Network, Out, PIXELS, Scale, SecondOutput,
    Step, Sum, Table, Tensor, TensorId, Term,
};
use crate::statements::{Statement, parse};
use crate::vocabulary::PREAMBLE;
use crate::write_graph::pixel_zero_sums;

/// Reads a graph; takes its tensors out of `files`.
pub(crate) fn read_graph(text: &str, files: &mut Files) -> Result<Network, GraphError> {
    let at = |line: usize, message: &str| GraphError::Text { line, message: message.into() };
    let Some(graph) = text.strip_prefix(PREAMBLE) else {
        let line = text.lines().zip(PREAMBLE.lines()).take_while(|(a, b)| a == b).count() + 1;
        return Err(at(line, "the definitions in front of the graph are not those of this format version"));
    };
    let first_line = PREAMBLE.lines().count() + 1;
    let body = graph
        .strip_prefix("graph network(pixels) -> (output)\n{\n")
        .and_then(|g| g.strip_suffix("}\n"))
        .ok_or_else(|| {
            at(first_line, "expected `graph network(pixels) -> (output)` and its body in braces")
        })?;
    let statements = parse(body, first_line + 2)?;
    let mut reader = Reader::default();
    for statement in &statements {
        reader.statement(statement, files)?;
    }
    reader.finish()
}

/// A float value on its way from the operator that makes it to its rounding.
#[derive(Clone)]
enum Value {
    Conv(Box<Conv>),
    Affine(Affine),
    Add(Add),
    Sum(Sum),
    Mean(AvgPool),
    Scale(Scale),
    Rows(Dequantize),
}

/// A tensor file declared by `variable`, not yet read.
struct Variable {
    shape: Vec<usize>,
}

#[derive(Default)]
struct Reader<'a> {
    tensors: Vec<Tensor>,
    pixel_zero: Vec<i8>,
    steps: Vec<Step>,
    activation: Option<Activation>,
    logits: Option<TensorId>,
    by_name: HashMap<&'a str, TensorId>,
    variables: HashMap<&'a str, Variable>,
    padded: HashMap<&'a str, [usize; 4]>,
    values: HashMap<&'a str, Value>,
    /// Where the convolution behind a float value stands in `steps`, once it was rounded.
    done: HashMap<&'a str, usize>,
}

/// What a rounding leaves to be filled in.
const PENDING: Out = Out { tensor: usize::MAX, lo: i8::MIN, hi: i8::MAX };

impl<'a> Reader<'a> {
    fn statement(&mut self, s: &Statement<'a>, files: &mut Files) -> Result<(), GraphError> {
        match s.operator {
            "tract_core_external" => {
                let [n, c, h, w] = s.sizes("shape")?;
                if n != 1 || s.text("datum_type")? != "u8" || s.name != "pixels" || !self.tensors.is_empty() {
                    return s.fail("the input must be one batch of u8 pixels");
                }
                let shape = Shape::new(h, w, c);
                self.tensors.push(Tensor { name: "pixels".into(), shape, scale: 1.0, zero: 0 });
            }
            "variable" => {
                if s.text("label")? != s.name {
                    return s.fail("a variable's label must be its name");
                }
                let shape = shape_of(s)?;
                self.variables.insert(s.name, Variable { shape });
                if s.name == "pixel_zero" {
                    let c = self.tensors.first().map_or(0, |t| t.shape.c);
                    let zero = files.floats(s.name, &[1, c, 1, 1])?;
                    if !zero.iter().all(|z| z.fract() == 0.0 && (0.0..=255.0).contains(z)) {
                        return s.fail("a pixel zero point is not in 0…255");
                    }
                    self.pixel_zero = zero.iter().map(|z| (z - 128.0) as i8).collect();
                }
            }
            "foldnet_pixels" => {
                if s.names()? != ["pixels", "pixel_zero"] {
                    return s.fail("expected the pixels and their zero points");
                }
                let [.., top, bottom, left, right] = s.sizes::<8>("padding")?;
                self.padded.insert(s.name, [top, left, bottom, right]);
            }
            "foldnet_conv" => self.conv(s, files)?,
            "foldnet_scaled" => {
                let [x] = s.names()?;
                let x = self.tensor(s, x)?;
                let (name, zero, multiplier) =
                    (s.text("name")?.into(), s.number("zero")?, s.number("multiplier")?);
                self.values.insert(
                    s.name,
                    if zero == f32::from(self.tensors[x].zero) {
                        Value::Add(Add { name, a: (x, multiplier), b: (usize::MAX, 0.0), y: PENDING })
                    } else {
                        Value::Sum(Sum { name, terms: vec![Term { x, zero, multiplier }], y: PENDING })
                    },
                );
            }
            "foldnet_residual" => self.residual(s)?,
            "foldnet_mean" => {
                let [x] = s.names()?;
                let x = self.tensor(s, x)?;
                let t = &self.tensors[x];
                if s.number::<f32>("offset")? != t.shape.pixels() as f32 * f32::from(t.zero) {
                    return s.fail("the offset is not pixels × zero point");
                }
                let mean = AvgPool {
                    name: s.text("name")?.into(),
                    x,
                    y: PENDING,
                    multiplier: s.number("multiplier")?,
                };
                self.values.insert(s.name, Value::Mean(mean));
            }
            "foldnet_table" => {
                let [x, table] = s.names()?;
                let x = self.tensor(s, x)?;
                self.variable(s, table)?;
                let Ok(table) = files.int8s(table, &[256])?.into_boxed_slice().try_into() else {
                    return s.fail("a table has 256 values");
                };
                let (shape, scale, zero) = (self.tensors[x].shape, s.number("scale")?, s.int8("zero")?);
                let y = self.add_tensor(s, shape, scale, zero)?;
                self.steps.push(Step::Table(Table { name: s.text("name")?.into(), x, y, table }));
            }
            "foldnet_gated" => {
                let [x, gate] = s.names()?;
                let (x, gate) = (self.tensor(s, x)?, self.tensor(s, gate)?);
                self.same_zero(s, x, "zero")?;
                self.same_zero(s, gate, "gate_zero")?;
                let scale = Scale {
                    name: s.text("name")?.into(),
                    x,
                    gate,
                    multiplier: s.number("multiplier")?,
                    y: PENDING,
                };
                self.values.insert(s.name, Value::Scale(scale));
            }
            "foldnet_rows" => {
                let [v] = s.names()?;
                match self.values.remove(v) {
                    Some(Value::Add(Add { name, a: (x, scale), b: (usize::MAX, _), .. }))
                        if self.tensors[x].scale == scale =>
                    {
                        let rows = Dequantize { name, x, y: usize::MAX };
                        self.values.insert(s.name, Value::Rows(rows));
                    }
                    _ => return s.fail("only a tensor scaled by its own scale becomes the logits"),
                }
            }
            "reshape" => {
                let [v] = s.names()?;
                let Some(Value::Rows(Dequantize { name, x, .. })) = self.values.remove(v) else {
                    return s.fail("only rows become the logits");
                };
                let (y, shape) = (self.tensors.len(), self.tensors[x].shape);
                if s.sizes("shape")? != [1, shape.len()] {
                    return s.fail("the number of values is not the tensor's");
                }
                self.tensors.push(Tensor { name: "logits".into(), shape, scale: 1.0, zero: 0 });
                self.logits = Some(y);
                self.steps.push(Step::Dequantize(Dequantize { name, x, y }));
            }
            "foldnet_affine" => self.affine(s, files)?,
            "foldnet_round" => self.round(s)?,
            "foldnet_max_pool" => {
                let [x] = s.names()?;
                let x = self.tensor(s, x)?;
                let [_, _, kh, kw] = s.sizes("size")?;
                let [_, _, sh, sw] = s.sizes("stride")?;
                let [.., top, bottom, left, right] = s.sizes::<8>("padding")?;
                let zero = self.tensors[x].zero;
                let pad_value = s.int8("pad_value")?;
                let floor_at_zero = pad_value != i8::MIN;
                if floor_at_zero && pad_value != zero {
                    return s.fail("the padding is neither −128 nor the zero point");
                }
                let pool = MaxPool {
                    name: s.text("name")?.into(),
                    x,
                    y: self.tensors.len(),
                    kernel: [kh, kw],
                    stride: [sh, sw],
                    pad: [top, left, bottom, right],
                    floor_at_zero,
                };
                let from = self.tensors[x].shape;
                let shape = window_shape(from, from.c, pool.kernel, pool.stride, [1, 1], pool.pad);
                let (scale, zero) = (self.tensors[x].scale, zero);
                self.add_tensor(s, shape, scale, zero)?;
                self.steps.push(Step::MaxPool(pool));
            }
            "squeeze" => {
                let [v] = s.names()?;
                let Some(Value::Conv(mut conv)) = self.values.remove(v) else {
                    return s.fail("the logits must come from a convolution");
                };
                let id = self.tensors.len();
                let shape = self.conv_shape(&conv);
                self.tensors.push(Tensor { name: "logits".into(), shape, scale: 1.0, zero: 0 });
                conv.y = Some(Out { tensor: id, ..PENDING });
                self.logits = Some(id);
                self.steps.push(Step::Conv(conv));
            }
            "copy" => self.activation = Some(Activation::None),
            "softmax" => self.activation = Some(Activation::Softmax),
            "sigmoid" => self.activation = Some(Activation::Sigmoid),
            _ => return s.fail("this operator is not one of the format's"),
        }
        Ok(())
    }

    fn finish(self) -> Result<Network, GraphError> {
        let missing = |what: &str| GraphError::Text { line: 0, message: format!("the graph has no {what}") };
        let network = Network {
            pixel_zero: self.pixel_zero,
            logits: self.logits.ok_or_else(|| missing("logits"))?,
            activation: self.activation.ok_or_else(|| missing("output"))?,
            tensors: self.tensors,
            steps: self.steps,
        };
        network.validate()?;
        Ok(network)
    }

    fn tensor(&self, s: &Statement<'a>, name: &str) -> Result<TensorId, GraphError> {
        match self.by_name.get(name) {
            Some(&id) => Ok(id),
            None => s.fail(format!("{name} is not an int8 tensor written before")),
        }
    }

    /// The zero point in the text must be the tensor's own.
    fn same_zero(&self, s: &Statement<'a>, x: TensorId, key: &str) -> Result<(), GraphError> {
        let zero = s.int8(key)?;
        if zero == self.tensors[x].zero {
            Ok(())
        } else {
            s.fail(format!("{key} is not the tensor's zero point"))
        }
    }

    fn add_tensor(
        &mut self,
        s: &Statement<'a>,
        shape: Shape,
        scale: f32,
        zero: i8,
    ) -> Result<TensorId, GraphError> {
        let id = self.tensors.len();
        let Some(name) = s.name.strip_prefix("t_") else {
            return s.fail(format!("{} should be named t_…", s.name));
        };
        if self.by_name.insert(s.name, id).is_some() {
            return s.fail(format!("{name} is written twice"));
        }
        self.tensors.push(Tensor { name: name.into(), shape, scale, zero });
        Ok(id)
    }

    fn variable(&self, s: &Statement<'a>, name: &str) -> Result<&Variable, GraphError> {
        match self.variables.get(name) {
            Some(v) => Ok(v),
            None => s.fail(format!("{name} is not a variable")),
        }
    }

    fn per_channel(&self, s: &Statement<'a>, name: &str, files: &mut Files) -> Result<Vec<f32>, GraphError> {
        let shape = &self.variable(s, name)?.shape;
        files.floats(name, shape)
    }

    fn conv(&mut self, s: &Statement<'a>, files: &mut Files) -> Result<(), GraphError> {
        let [x, w, b, m, ws] = s.names()?;
        let &[channels, per_group, kh, kw] = self.variable(s, w)?.shape.as_slice() else {
            return s.fail("weights must be OIHW");
        };
        let oihw = files.int8s(w, &[channels, per_group, kh, kw])?;
        let taps = kh.saturating_mul(kw);
        if oihw.is_empty() {
            return s.fail("no weights");
        }
        let mut weights = Vec::with_capacity(oihw.len());
        for filter in oihw.chunks_exact(taps * per_group) {
            for tap in 0..taps {
                weights.extend((0..per_group).map(|i| filter[i * taps + tap]));
            }
        }
        let mut bias = files.int32s(b, &[channels])?;
        let [top, bottom, left, right] = s.sizes("padding")?;
        let (x, pad) = match self.padded.get(x) {
            Some(&pad) => {
                if (top, bottom, left, right) != (0, 0, 0, 0) || s.int8("x_zero")? != 0 {
                    return s.fail("pixels are padded before");
                }
                if self.pixel_zero.is_empty() {
                    return s.fail("the pixels have no zero points");
                }
                for (b, sum) in bias.iter_mut().zip(pixel_zero_sums(&weights, &self.pixel_zero, channels)) {
                    *b = b.wrapping_add(sum);
                }
                (PIXELS, pad)
            }
            None => {
                let x = self.tensor(s, x)?;
                self.same_zero(s, x, "x_zero")?;
                (x, [top, left, bottom, right])
            }
        };
        let conv = Conv {
            name: s.text("name")?.into(),
            x,
            weights,
            bias,
            weight_scale: self.per_channel(s, ws, files)?,
            multiplier: self.per_channel(s, m, files)?,
            kernel: [kh, kw],
            stride: s.sizes("stride")?,
            dilation: s.sizes("dilation")?,
            pad,
            groups: s.number("groups")?,
            skip: None,
            y: None,
            affine: None,
        };
        self.values.insert(s.name, Value::Conv(Box::new(conv)));
        Ok(())
    }

    fn conv_shape(&self, c: &Conv) -> Shape {
        window_shape(self.tensors[c.x].shape, c.bias.len(), c.kernel, c.stride, c.dilation, c.pad)
    }

    fn residual(&mut self, s: &Statement<'a>) -> Result<(), GraphError> {
        let [sum, x] = s.names()?;
        let x = self.tensor(s, x)?;
        let (zero, multiplier) = (s.number("zero")?, s.number("multiplier")?);
        let own = zero == f32::from(self.tensors[x].zero);
        let value = match self.values.remove(sum) {
            Some(Value::Conv(mut c)) if own && c.skip.is_none() => {
                c.skip = Some((x, multiplier));
                Value::Conv(c)
            }
            Some(Value::Add(mut a)) if own && a.b.0 == usize::MAX => {
                a.b = (x, multiplier);
                Value::Add(a)
            }
            Some(Value::Add(a)) => {
                let own = |(x, multiplier): (TensorId, f32)| {
                    let zero = f32::from(self.tensors.get(x)?.zero);
                    Some(Term { x, zero, multiplier })
                };
                let both = [own(a.a), own(a.b)].into_iter().flatten();
                let terms = both.chain([Term { x, zero, multiplier }]).collect();
                Value::Sum(Sum { name: a.name, terms, y: PENDING })
            }
            Some(Value::Sum(mut sum)) if sum.terms.len() < MAX_TERMS => {
                sum.terms.push(Term { x, zero, multiplier });
                Value::Sum(sum)
            }
            _ => return s.fail(format!("{sum} cannot take a residual")),
        };
        self.values.insert(s.name, value);
        Ok(())
    }

    fn affine(&mut self, s: &Statement<'a>, files: &mut Files) -> Result<(), GraphError> {
        let [v, gain, offset] = s.names()?;
        let (gain, offset) = (self.per_channel(s, gain, files)?, self.per_channel(s, offset, files)?);
        // A sum that was already rounded has a second output; its step is in the list.
        let value = match (self.values.remove(v), self.done.remove(v)) {
            (Some(Value::Add(a)), _) if a.b.0 == usize::MAX && a.a.1 == 1.0 => {
                Value::Affine(Affine { name: a.name, x: a.a.0, y: PENDING, gain, offset })
            }
            (Some(Value::Conv(mut c)), _) if c.affine.is_none() => {
                c.affine = Some(SecondOutput { gain, offset, out: PENDING });
                Value::Conv(c)
            }
            (None, Some(step)) if step + 1 == self.steps.len() => match self.steps.pop() {
                Some(Step::Conv(mut c)) if c.affine.is_none() => {
                    c.affine = Some(SecondOutput { gain, offset, out: PENDING });
                    Value::Conv(c)
                }
                _ => return s.fail(format!("{v} cannot have a second output")),
            },
            _ => return s.fail(format!("{v} cannot take an affine map")),
        };
        self.values.insert(s.name, value);
        Ok(())
    }

    fn round(&mut self, s: &Statement<'a>) -> Result<(), GraphError> {
        let [v] = s.names()?;
        let (zero, lo, hi, scale) = (s.int8("zero")?, s.int8("lo")?, s.int8("hi")?, s.number("scale")?);
        let Some(value) = self.values.remove(v) else {
            return s.fail(format!("{v} is not a float value, or was rounded before"));
        };
        let shape = match &value {
            Value::Conv(c) => self.conv_shape(c),
            Value::Affine(a) => self.tensors[a.x].shape,
            Value::Add(a) => self.tensors[a.a.0].shape,
            Value::Sum(sum) => self.tensors[sum.terms[0].x].shape,
            Value::Mean(p) => Shape::new(1, 1, self.tensors[p.x].shape.c),
            Value::Scale(p) => self.tensors[p.x].shape,
            Value::Rows(_) => return s.fail("rows are not rounded"),
        };
        let out = Out { tensor: self.add_tensor(s, shape, scale, zero)?, lo, hi };
        self.steps.push(match value {
            Value::Conv(mut c) => {
                match &mut c.affine {
                    Some(second) => second.out = out,
                    None => {
                        c.y = Some(out);
                        self.done.insert(v, self.steps.len());
                    }
                }
                Step::Conv(c)
            }
            Value::Affine(a) => Step::Affine(Affine { y: out, ..a }),
            Value::Add(a) if a.b.0 != usize::MAX => Step::Add(Add { y: out, ..a }),
            Value::Add(_) => return s.fail("a lone scaled tensor"),
            Value::Sum(sum) => Step::Sum(Sum { y: out, ..sum }),
            Value::Mean(p) => Step::AvgPool(AvgPool { y: out, ..p }),
            Value::Scale(p) => Step::Scale(Scale { y: out, ..p }),
            Value::Rows(_) => return s.fail("rows are not rounded"),
        });
        Ok(())
    }
}

fn shape_of(s: &Statement<'_>) -> Result<Vec<usize>, GraphError> {
    if let Ok(one) = s.sizes::<1>("shape") {
        return Ok(one.to_vec());
    }
    Ok(s.sizes::<4>("shape")?.to_vec())
}

/// The output of a window over `from`; zero-sized when nothing fits, which validation then refuses.
fn window_shape(
    from: Shape,
    c: usize,
    kernel: [usize; 2],
    stride: [usize; 2],
    dilation: [usize; 2],
    pad: [usize; 4],
) -> Shape {
    let out = |n: usize, a: usize| {
        let reach = kernel[a].saturating_sub(1).saturating_mul(dilation[a]).saturating_add(1);
        let padded = n.saturating_add(pad[a]).saturating_add(pad[a + 2]);
        match (padded.checked_sub(reach), stride[a]) {
            (Some(room), 1..) => room / stride[a] + 1,
            _ => 0,
        }
    };
    Shape::new(out(from.h, 0), out(from.w, 1), c)
}
