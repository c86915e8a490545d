//! Sum of several int8 tensors of one shape: where one value is held in more than one tensor.
//!
//! `y = clamp(rne(Σ (f32(x) − zero)·multiplier) + z)`; each product is rounded, then they are added from the
//! first to the last.

use crate::quant::Requant;
use crate::set::SumTerm;

/// See the module; one slice of values for each term.
pub fn sum(terms: &[SumTerm], out: Requant, x: &[&[i8]], y: &mut [i8]) {
    for (i, y) in y.iter_mut().enumerate() {
        let mut v = 0.0;
        for (k, (term, x)) in terms.iter().zip(x).enumerate() {
            let product = (f32::from(x[i]) - term.zero) * term.multiplier;
            v = if k == 0 { product } else { v + product };
        }
        *y = out.apply(v);
    }
}
