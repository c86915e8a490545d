//! Einsum of a value and constant weights: a dense layer or a 1×1 convolution.

use super::super::Importer;
use super::super::node::{Node, Problem};
use super::super::value::Value;
use super::dense::{Matrix, of_value};

/// An equation of two operands, in each of which a letter names a dimension.
pub struct Equation {
    /// The letters of the operands.
    pub operands: [Vec<char>; 2],
    /// The letters of the result; the others are summed over.
    pub output: Vec<char>,
}

impl Equation {
    /// Reads an equation like `ab,bc->ac`, in which no letter occurs twice in one array.
    pub fn parse(text: &str) -> Option<Self> {
        let text: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        let (operands, output) = text.split_once("->")?;
        let (a, b) = operands.split_once(',')?;
        let letters = |part: &str| -> Option<Vec<char>> {
            let letters: Vec<char> = part.chars().collect();
            let plain = letters.iter().all(char::is_ascii_alphabetic);
            let once = (0..letters.len()).all(|i| !letters[..i].contains(&letters[i]));
            (plain && once).then_some(letters)
        };
        Some(Self { operands: [letters(a)?, letters(b)?], output: letters(output)? })
    }
}

/// A product that sums over the letters shared by weights and value.
pub fn einsum<'a>(importer: &mut Importer<'a>, node: Node<'a>) -> Result<(), Problem> {
    node.only(&["equation"])?;
    let text = node.word("equation", "")?;
    let unsupported = || format!("equation {text} is not supported; dense layers of a value and weights are");
    let equation = Equation::parse(&text).ok_or_else(unsupported)?;
    let constant = (0..2).find(|&i| node.input(i).is_some_and(|n| importer.constants.contains_key(n)));
    let constant = constant.ok_or_else(unsupported)?;
    let (of_x, of_w) = (&equation.operands[1 - constant], &equation.operands[constant]);
    let x = importer.value(node, 1 - constant)?;
    let (dims, values) = importer.weights(node, constant)?;
    if of_x.len() != x.dims.len() || of_w.len() != dims.len() {
        return Err(unsupported());
    }
    let summed: Vec<char> = of_x.iter().copied().filter(|c| !equation.output.contains(c)).collect();
    let kept: Vec<char> = of_x.iter().copied().filter(|c| equation.output.contains(c)).collect();
    let new: Vec<char> = of_w.iter().copied().filter(|c| !of_x.contains(c)).collect();
    let known = of_w.iter().all(|c| summed.contains(c) || new.contains(c));
    let complete = summed.iter().all(|c| of_w.contains(c)) && !summed.is_empty();
    let [letter] = new[..] else { return Err(unsupported()) };
    if !known || !complete || equation.output.len() != kept.len() + 1 || !equation.output.contains(&letter) {
        return Err(unsupported());
    }
    // First the kept dimensions, then the summed ones as one.
    let place = |c: &char| of_x.iter().position(|x| x == c);
    let mut row: Vec<_> = kept.iter().filter_map(place).map(|d| x.dims[d].clone()).collect();
    row.push(summed.iter().filter_map(place).flat_map(|d| x.dims[d].clone()).collect());
    let x = Value { dims: row, ..x };
    // The weights with their letters in the same order, the new one last.
    let order: Vec<char> = summed.iter().copied().chain([letter]).collect();
    let size = |c: &char| of_w.iter().position(|w| w == c).map_or(1, |d| dims[d]);
    let stride =
        |c: &char| of_w.iter().position(|w| w == c).map_or(0, |d| dims[d + 1..].iter().product::<usize>());
    let (sizes, strides): (Vec<usize>, Vec<usize>) = order.iter().map(|c| (size(c), stride(c))).unzip();
    let outputs = size(&letter);
    let depth: usize = sizes[..sizes.len() - 1].iter().product();
    let ordered = (0..depth * outputs).map(|mut i| {
        let mut from = 0;
        for (n, s) in sizes.iter().zip(&strides).rev() {
            from += i % n * s;
            i /= n;
        }
        values[from]
    });
    let matrix = Matrix { values: ordered.collect(), depth, outputs, transposed: false };
    of_value(importer, node, &x, &matrix, vec![0.0; outputs])?;
    // The output's dimensions in the requested order.
    let name = node.proto.output.first().ok_or("it has no output")?;
    let value = importer.values.get_mut(name.as_str()).ok_or("it has no output")?;
    let have: Vec<char> = kept.into_iter().chain([letter]).collect();
    let order: Vec<usize> = equation.output.iter().filter_map(|c| have.iter().position(|h| h == c)).collect();
    *value = value.transposed(&order).ok_or_else(unsupported)?;
    Ok(())
}
