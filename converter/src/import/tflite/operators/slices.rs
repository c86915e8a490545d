//! Parts of a tensor, as in shortcuts that drop every second pixel, and in branches that take some channels each.

use super::super::super::node::Problem;
use super::super::file::Operator;
use super::super::translate::Translator;
use super::{Options, alike, options, same_grid};
use crate::tflite::schema::{operator as op, operator_name};

/// The range of every dimension: start, end and step.
struct Ranges {
    starts: Vec<i64>,
    ends: Vec<i64>,
    steps: Vec<i64>,
}

/// Translates SLICE: start and size; a size of −1 extends to the end.
pub fn slice(t: &mut Translator<'_, '_, '_>, operator: &Operator<'_, '_>) -> Result<(), Problem> {
    let (starts, sizes) = (t.integers(operator, 1)?, t.integers(operator, 2)?);
    let ends = starts.iter().zip(&sizes).map(|(&start, &size)| match size {
        ..0 => i64::MAX,
        _ => start.saturating_add(size),
    });
    let ranges = Ranges { ends: ends.collect(), steps: vec![1; starts.len()], starts };
    take(t, operator, &ranges)
}

/// Translates STRIDED_SLICE: bit n of the first two masks leaves dimension n open at that side.
pub fn strided(t: &mut Translator<'_, '_, '_>, operator: &Operator<'_, '_>) -> Result<(), Problem> {
    let options = Options::of(operator, options::STRIDED_SLICE)?;
    let (open_start, open_end) = (options.int(0, 0)?, options.int(1, 0)?);
    for (field, name) in [(2, "ellipsis"), (3, "new-axis"), (4, "shrink-axis")] {
        let mask = options.int(field, 0)?;
        if mask != 0 {
            return Err(format!("its {name} mask is {mask}; 0 is supported"));
        }
    }
    if options.byte(5)? != 0 {
        return Err("its ends are offsets from its starts, which is not supported".into());
    }
    let (mut starts, mut ends) = (t.integers(operator, 1)?, t.integers(operator, 2)?);
    let steps = t.integers(operator, 3)?;
    if steps.iter().any(|&step| step < 1) {
        return Err(format!("its strides are {steps:?}; positive ones are supported"));
    }
    let open = |mask: i32, dimension: usize| dimension < 32 && mask >> dimension & 1 == 1;
    for (_, start) in starts.iter_mut().enumerate().filter(|(n, _)| open(open_start, *n)) {
        *start = 0;
    }
    for (_, end) in ends.iter_mut().enumerate().filter(|(n, _)| open(open_end, *n)) {
        *end = i64::MAX;
    }
    take(t, operator, &Ranges { starts, ends, steps })
}

/// Translates SPLIT, into equal parts, and SPLIT_V, into parts of given lengths: one slice for each output.
pub fn split(t: &mut Translator<'_, '_, '_>, operator: &Operator<'_, '_>) -> Result<(), Problem> {
    let (value, axis) = if operator.code == op::SPLIT_V { (0, 2) } else { (1, 0) };
    let source = t.tensor(operator, value)?;
    let rank = source.shape.len() as i64;
    let axes = t.integers(operator, axis)?;
    let place = match axes[..] {
        [axis] if (-rank..rank).contains(&axis) => axis.rem_euclid(rank),
        _ => return Err(format!("its axis is {axes:?}, of {rank} dimensions")),
    };
    let length = i64::from(source.shape[place as usize]);
    let parts = operator.outputs.len() as i64;
    let lengths = match operator.code {
        op::SPLIT_V => given_lengths(t.integers(operator, 1)?, length),
        _ if parts > 0 && length % parts == 0 => vec![length / parts; operator.outputs.len()],
        _ => vec![],
    };
    let sum = lengths.iter().try_fold(0i64, |sum, &n| sum.checked_add(n));
    if lengths.len() as i64 != parts || sum != Some(length) || lengths.iter().any(|&n| n < 1) {
        return Err(format!("it splits a length of {length} into {parts} parts of {lengths:?}"));
    }
    let x = t.operand(operator, value)?;
    let mut start = 0;
    for (&output, length) in operator.outputs.iter().zip(lengths) {
        alike(source, &t.model.tensors[output])?;
        let ends = [[start], [start + length], [place], [1]];
        let numbers = ends.map(|number| t.constant_integers(&number));
        t.part(operator, output, "Slice", &[&x, &numbers[0], &numbers[1], &numbers[2], &numbers[3]]);
        start += length;
    }
    Ok(())
}

/// Replaces a length of −1, which is the rest.
fn given_lengths(mut lengths: Vec<i64>, whole: i64) -> Vec<i64> {
    let rest = lengths.iter().filter(|&&n| n > 0).try_fold(whole, |rest, &n| rest.checked_sub(n));
    if let Some(open) = lengths.iter().position(|&n| n == -1) {
        lengths[open] = rest.unwrap_or(-1);
    }
    lengths
}

fn take(t: &mut Translator<'_, '_, '_>, operator: &Operator<'_, '_>, ranges: &Ranges) -> Result<(), Problem> {
    same_grid(t, operator)?;
    let rank = t.tensor(operator, 0)?.shape.len();
    let Ranges { starts, ends, steps } = ranges;
    if [starts, ends, steps].iter().any(|numbers| numbers.len() != rank) {
        let name = operator_name(operator.code);
        return Err(format!("{name} of {rank} dimensions with {} numbers", starts.len()));
    }
    let axes: Vec<i64> = (0..rank as i64).collect();
    let numbers = [starts, ends, &axes, steps].map(|numbers| t.constant_integers(numbers));
    let x = t.operand(operator, 0)?;
    let y = t.main(operator, "Slice", &[&x, &numbers[0], &numbers[1], &numbers[2], &numbers[3]], vec![])?;
    t.bind(operator, &y)
}
