//! Parts of a tensor, as in shortcuts that drop every second pixel.

use super::super::super::node::Problem;
use super::super::file::Operator;
use super::super::translate::Translator;
use super::{Options, options, same_grid};
use crate::tflite::schema::operator_name;

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
