//! Packs input rows into the window and adds the padding.

use super::geometry::Geometry;
use super::tile::Isa;
use crate::set::ConvArgs;
use crate::shape::Source;

/// Copies row `iy` of the input, or padding if there is no such row, into a window row.
///
/// # Safety
/// See [`crate::KernelSet`]; `to` has room for a row of [`Geometry`].
pub(crate) unsafe fn fill_row<I: Isa>(args: &ConvArgs<'_>, g: &Geometry, iy: usize, to: *mut I::Element) {
    let d = args.desc;
    let zeros = args.scalars.x_zero;
    // All four entries are the tensor's zero point unless the input is pixels.
    let zero = |c: usize| zeros[c & 3];
    let pixels = d.source == Source::Pixels;
    let blank = |from: usize, until: usize| {
        for p in from..until {
            for c in 0..g.channels {
                let z = if pixels { zero(c) } else { zeros[0] };
                // SAFETY: `until ≤ columns`.
                unsafe { *to.add(p * g.channels + c) = I::blank(z) };
            }
        }
    };
    if iy >= d.x.h {
        return blank(0, g.columns);
    }
    let left = d.pad[1].min(g.columns);
    let n = d.x.w.min(g.columns - left);
    blank(0, left);
    blank(left + n, g.columns);
    let place = iy.checked_rem(args.x_rows).unwrap_or(0);
    // SAFETY: row `iy` is at `place` of the input's rows; `left + n ≤ columns`.
    unsafe {
        let x = args.x.add(place * d.x.w * d.x.c);
        let to = to.add(left * g.channels);
        if !pixels && d.x.c == g.channels {
            return I::copy(x.cast(), n * d.x.c, zeros[0], to);
        }
        let flip = if pixels { 0x80 } else { 0 };
        for p in 0..n {
            for c in 0..g.channels {
                let z = if pixels { zero(c) } else { zeros[0] };
                *to.add(p * g.channels + I::place(c)) =
                    if c < d.x.c { I::element((*x.add(p * d.x.c + c) ^ flip) as i8, z) } else { I::blank(0) };
            }
        }
    }
}
