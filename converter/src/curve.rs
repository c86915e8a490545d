//! Functions of one value.
//!
//! A [`Curve`] is a small program of elementwise operators over one number `x` and constants. It describes any
//! chain or tree of operators that depends on a single tensor, such as `x·clip(x + 3, 0, 6)/6`. In int8 it becomes
//! one table of 256 entries, so its length costs nothing.

use std::sync::Arc;

/// A function of one number, the same for all channels or with constants per channel.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    /// The terms in execution order; an operand refers only to earlier terms.
    terms: Vec<Term>,
    /// The function's result.
    result: Operand,
}

/// One operator of a [`Curve`].
#[derive(Clone, Debug, PartialEq)]
struct Term {
    operator: Operator,
    operands: Vec<Operand>,
}

/// An operand of an operator of a [`Curve`].
#[derive(Clone, Debug, PartialEq)]
enum Operand {
    /// The function's argument.
    X,
    /// The result of the term with this number.
    Term(usize),
    /// A constant.
    Number(f32),
    /// A constant for each channel.
    PerChannel(Arc<[f32]>),
}

/// The largest number of operators up to which functions are joined.
const LONGEST: usize = 64;

/// An elementwise operator with its ONNX name. Comparisons and logic return 0 or 1.
#[derive(Clone, Copy, Debug)]
pub struct Operator(&'static Definition);

impl PartialEq for Operator {
    fn eq(&self, other: &Self) -> bool {
        self.0.name == other.0.name
    }
}

#[derive(Debug)]
struct Definition {
    name: &'static str,
    arity: usize,
    /// Missing operands are 0.
    value: fn([f64; 3]) -> f64,
}

const fn unary(name: &'static str, value: fn([f64; 3]) -> f64) -> Definition {
    Definition { name, arity: 1, value }
}

const fn binary(name: &'static str, value: fn([f64; 3]) -> f64) -> Definition {
    Definition { name, arity: 2, value }
}

fn truth(condition: bool) -> f64 {
    f64::from(u8::from(condition))
}

/// Like `f64::max`, but NaN if either is NaN, as in ONNX.
fn larger(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::NAN } else { a.max(b) }
}

fn sign(x: f64) -> f64 {
    if x == 0.0 { 0.0 } else { x.signum() }
}

/// Computes `ln(1 + eˣ)` without overflow.
fn softplus(x: f64) -> f64 {
    x.max(0.0) + libm::log1p(libm::exp(-x.abs()))
}

static OPERATORS: &[Definition] = &[
    unary("Abs", |[x, ..]| x.abs()),
    unary("Acos", |[x, ..]| libm::acos(x)),
    unary("Acosh", |[x, ..]| libm::acosh(x)),
    unary("Asin", |[x, ..]| libm::asin(x)),
    unary("Asinh", |[x, ..]| libm::asinh(x)),
    unary("Atan", |[x, ..]| libm::atan(x)),
    unary("Atanh", |[x, ..]| libm::atanh(x)),
    unary("Ceil", |[x, ..]| x.ceil()),
    unary("Cos", |[x, ..]| libm::cos(x)),
    unary("Cosh", |[x, ..]| libm::cosh(x)),
    unary("Erf", |[x, ..]| libm::erf(x)),
    unary("Exp", |[x, ..]| libm::exp(x)),
    unary("Floor", |[x, ..]| x.floor()),
    unary("Log", |[x, ..]| libm::log(x)),
    unary("Neg", |[x, ..]| -x),
    unary("Not", |[x, ..]| truth(x == 0.0)),
    unary("Reciprocal", |[x, ..]| 1.0 / x),
    unary("Round", |[x, ..]| x.round_ties_even()),
    unary("Sigmoid", |[x, ..]| 1.0 / (1.0 + libm::exp(-x))),
    unary("Sign", |[x, ..]| sign(x)),
    unary("Sin", |[x, ..]| libm::sin(x)),
    unary("Sinh", |[x, ..]| libm::sinh(x)),
    unary("Softplus", |[x, ..]| softplus(x)),
    unary("Softsign", |[x, ..]| x / (1.0 + x.abs())),
    unary("Sqrt", |[x, ..]| x.sqrt()),
    unary("Tan", |[x, ..]| libm::tan(x)),
    unary("Tanh", |[x, ..]| libm::tanh(x)),
    binary("Add", |[a, b, _]| a + b),
    binary("And", |[a, b, _]| truth(a != 0.0 && b != 0.0)),
    binary("Div", |[a, b, _]| a / b),
    binary("Equal", |[a, b, _]| truth(a == b)),
    binary("Greater", |[a, b, _]| truth(a > b)),
    binary("GreaterOrEqual", |[a, b, _]| truth(a >= b)),
    binary("Less", |[a, b, _]| truth(a < b)),
    binary("LessOrEqual", |[a, b, _]| truth(a <= b)),
    binary("Max", |[a, b, _]| larger(a, b)),
    binary("Min", |[a, b, _]| -larger(-a, -b)),
    binary("Mul", |[a, b, _]| a * b),
    binary("Or", |[a, b, _]| truth(a != 0.0 || b != 0.0)),
    binary("Pow", |[a, b, _]| libm::pow(a, b)),
    binary("Sub", |[a, b, _]| a - b),
    binary("Xor", |[a, b, _]| truth((a != 0.0) != (b != 0.0))),
    Definition { name: "Where", arity: 3, value: |[c, a, b]| if c != 0.0 { a } else { b } },
];

impl Operator {
    /// Returns the operator with this name, if there is one.
    pub fn named(name: &str) -> Option<Self> {
        OPERATORS.iter().find(|d| d.name == name).map(Self)
    }

    /// Returns the number of operands.
    pub fn arity(self) -> usize {
        self.0.arity
    }

    /// Returns the result; operands that the operator does not have are ignored.
    pub fn value(self, operands: [f64; 3]) -> f64 {
        (self.0.value)(operands)
    }
}

/// The number of values that [`Curve::map`] processes at a time.
const VALUES_AT_ONCE: usize = 512;

impl Curve {
    /// Returns the identity function.
    pub fn x() -> Self {
        Self { terms: Vec::new(), result: Operand::X }
    }

    /// Returns a constant function.
    pub fn number(value: f32) -> Self {
        Self { terms: Vec::new(), result: Operand::Number(value) }
    }

    /// Returns the function that returns a constant per channel.
    pub fn per_channel(values: &[f32]) -> Self {
        match values {
            [first, rest @ ..] if rest.iter().all(|v| v.to_bits() == first.to_bits()) => Self::number(*first),
            _ => Self { terms: Vec::new(), result: Operand::PerChannel(values.into()) },
        }
    }

    /// Applies the operator with this ONNX name to functions of the same argument.
    ///
    /// # Panics
    ///
    /// Panics if no operator has this name or if it takes another number of operands, which is a bug in the
    /// program.
    pub fn of(name: &str, operands: &[&Self]) -> Self {
        let operator =
            Operator::named(name).unwrap_or_else(|| panic!("no elementwise operator is called {name}"));
        assert_eq!(operator.arity(), operands.len(), "operands of {name}");
        let mut terms: Vec<Term> = Vec::new();
        let operands = operands.iter().map(|o| append(&mut terms, o, &Operand::X)).collect();
        let result = push(&mut terms, Term { operator, operands });
        Self { terms, result }
    }

    /// Returns `max(x, 0)`.
    pub fn relu() -> Self {
        Self::x().clip(0.0, f32::INFINITY)
    }

    /// Clips this function's value to two bounds; an infinite one has no effect.
    pub fn clip(&self, lo: f32, hi: f32) -> Self {
        let mut curve = self.clone();
        if lo > f32::NEG_INFINITY {
            curve = Self::of("Max", &[&curve, &Self::number(lo)]);
        }
        if hi < f32::INFINITY {
            curve = Self::of("Min", &[&curve, &Self::number(hi)]);
        }
        curve
    }

    /// Returns whether the composition of this function with another is short enough to be one function. Chains of
    /// thousands of operators do not occur in networks, and a bound keeps the cost of searching and joining
    /// functions linear in their number.
    pub fn may_follow(&self, inner: &Self) -> bool {
        self.terms.len() + inner.terms.len() <= LONGEST
    }

    /// Returns the composition of this function with another: this one is applied last.
    pub fn after(&self, inner: &Self) -> Self {
        let mut terms = inner.terms.clone();
        let result = append(&mut terms, self, &inner.result);
        Self { terms, result }
    }

    /// Returns the single operator applied to `x`, if the function is just that.
    pub fn single(&self) -> Option<&'static str> {
        match (&self.terms[..], &self.result) {
            ([Term { operator, operands }], Operand::Term(0)) if operands[..] == [Operand::X] => {
                Some(operator.0.name)
            }
            _ => None,
        }
    }

    /// Returns the number of channels of its constants; 1 if they are the same for all.
    pub fn channels(&self) -> usize {
        let operands = self.terms.iter().flat_map(|t| &t.operands).chain([&self.result]);
        operands
            .map(|o| match o {
                Operand::PerChannel(values) => values.len(),
                _ => 1,
            })
            .max()
            .unwrap_or(1)
    }

    /// Returns its value in a channel.
    pub fn at(&self, x: f64, channel: usize) -> f64 {
        let mut found: Vec<f64> = Vec::with_capacity(self.terms.len());
        let read = |operand: &Operand, found: &[f64]| match operand {
            Operand::X => x,
            Operand::Term(i) => found[*i],
            Operand::Number(v) => f64::from(*v),
            Operand::PerChannel(values) => f64::from(values[channel]),
        };
        for term in &self.terms {
            let mut arguments = [0.0; 3];
            for (argument, operand) in arguments.iter_mut().zip(&term.operands) {
                *argument = read(operand, &found);
            }
            found.push((term.operator.0.value)(arguments));
        }
        read(&self.result, &found)
    }

    /// Returns its values for a tensor whose last axis is the channels.
    pub fn map(&self, values: &[f32], channels: usize) -> Vec<f32> {
        let mut results = Vec::with_capacity(values.len());
        let mut found = vec![[0.0; VALUES_AT_ONCE]; self.terms.len()];
        let mut operands = [[0.0; VALUES_AT_ONCE]; 3];
        for (number, x) in values.chunks(VALUES_AT_ONCE).enumerate() {
            let first = number * VALUES_AT_ONCE % channels.max(1);
            for (t, term) in self.terms.iter().enumerate() {
                for (to, operand) in operands.iter_mut().zip(&term.operands) {
                    read_block(operand, &found, x, first, to);
                }
                let ([a, b, c], value) = (&operands, term.operator.0.value);
                for (i, to) in found[t][..x.len()].iter_mut().enumerate() {
                    *to = value([a[i], b[i], c[i]]);
                }
            }
            read_block(&self.result, &found, x, first, &mut operands[0]);
            results.extend(operands[0][..x.len()].iter().map(|&v| v as f32));
        }
        results
    }
}

/// Reads an operand's values for the arguments `x`, the first of which is in channel `first`.
fn read_block(
    operand: &Operand,
    found: &[[f64; VALUES_AT_ONCE]],
    x: &[f32],
    first: usize,
    to: &mut [f64; VALUES_AT_ONCE],
) {
    match operand {
        Operand::X => to.iter_mut().zip(x).for_each(|(to, &x)| *to = f64::from(x)),
        Operand::Term(t) => *to = found[*t],
        Operand::Number(v) => to.fill(f64::from(*v)),
        Operand::PerChannel(values) => {
            let values = values.iter().cycle().skip(first);
            to.iter_mut().zip(values).for_each(|(to, &v)| *to = f64::from(v));
        }
    }
}

/// Adds a function's terms with `x` replaced; returns the operand of its value.
fn append(terms: &mut Vec<Term>, curve: &Curve, x: &Operand) -> Operand {
    let mut moved: Vec<Operand> = Vec::with_capacity(curve.terms.len());
    let place = |operand: &Operand, moved: &[Operand]| match operand {
        Operand::X => x.clone(),
        Operand::Term(i) => moved[*i].clone(),
        constant => constant.clone(),
    };
    for term in &curve.terms {
        let operands = term.operands.iter().map(|o| place(o, &moved)).collect();
        let result = push(terms, Term { operator: term.operator, operands });
        moved.push(result);
    }
    place(&curve.result, &moved)
}

/// Adds a term, unless the same term exists already.
fn push(terms: &mut Vec<Term>, term: Term) -> Operand {
    let place = terms.iter().position(|t| *t == term).unwrap_or_else(|| {
        terms.push(term);
        terms.len() - 1
    });
    Operand::Term(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hard_swish() -> Curve {
        let x = Curve::x();
        let gate = Curve::of("Add", &[&x, &Curve::number(3.0)]).clip(0.0, 6.0);
        Curve::of("Div", &[&Curve::of("Mul", &[&x, &gate]), &Curve::number(6.0)])
    }

    #[test]
    fn programs_compute_what_they_spell() {
        let curve = hard_swish();
        for x in [-4.0, -3.0, -1.5, 0.0, 1.0, 3.0, 7.0f64] {
            assert_eq!(curve.at(x, 0), x * (x + 3.0).clamp(0.0, 6.0) / 6.0);
        }
        let twice = curve.after(&curve);
        assert_eq!(twice.at(1.0, 0), curve.at(curve.at(1.0, 0), 0));
    }

    #[test]
    fn equal_terms_are_computed_once() {
        let e = Curve::of("Exp", &[&Curve::x()]);
        assert_eq!(Curve::of("Add", &[&e, &e.clone()]).terms.len(), 2);
    }

    #[test]
    fn blocks_and_single_values_agree_in_every_channel() {
        let slope = Curve::per_channel(&[0.25, -1.0, 2.0]);
        let negative = Curve::of("Min", &[&Curve::x(), &Curve::number(0.0)]);
        let curve = Curve::of("Add", &[&Curve::relu(), &Curve::of("Mul", &[&slope, &negative])]);
        assert_eq!(curve.channels(), 3);
        let values: Vec<f32> = (0..3 * 400).map(|i| (i % 37) as f32 - 18.0).collect();
        let got = curve.map(&values, 3);
        for (i, (&x, &y)) in values.iter().zip(&got).enumerate() {
            assert_eq!(y, curve.at(f64::from(x), i % 3) as f32);
        }
    }

    #[test]
    fn one_number_for_all_channels_is_one_number() {
        assert_eq!(Curve::per_channel(&[2.0, 2.0]), Curve::number(2.0));
        assert_eq!(Curve::per_channel(&[2.0, 3.0]).channels(), 2);
    }

    #[test]
    fn a_single_operator_is_recognized() {
        let sigmoid = Curve::of("Sigmoid", &[&Curve::x()]);
        assert_eq!(sigmoid.single(), Some("Sigmoid"));
        assert_eq!(Curve::of("Mul", &[&Curve::x(), &sigmoid]).single(), None);
        assert_eq!(hard_swish().single(), None);
    }
}
