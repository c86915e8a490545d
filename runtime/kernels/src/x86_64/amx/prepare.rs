//! Copies input rows such that the pixels of a tile lie evenly, with padding around them.

use core::ops::Range;

use super::super::geometry::SLACK;
use super::geometry::Geometry;
use crate::set::ConvArgs;
use crate::shape::Source;

/// Makes the input of the given output rows ready at `to`.
///
/// # Safety
/// As [`crate::KernelSet::conv`]; `to` has room for `plane_rows` rows of every plane and the slack, and
/// `rows` are at most `block_rows` rows of the output.
pub(super) unsafe fn prepare(args: &ConvArgs<'_>, g: &Geometry, rows: Range<usize>, to: *mut u8) {
    // SAFETY: the caller's contract; see the two functions.
    unsafe {
        if g.interleaved {
            interleave(args, g, rows, to);
        } else {
            copy_planes(args, g, rows, to);
        }
        // Met by zero weights only, but read.
        let all = g.planes * g.plane_rows * g.row_bytes();
        to.add(all).write_bytes(0, SLACK);
    }
}

/// Deals rows to planes.
///
/// # Safety
/// As [`prepare`].
unsafe fn copy_planes(args: &ConvArgs<'_>, g: &Geometry, rows: Range<usize>, to: *mut u8) {
    let desc = args.desc;
    let (c, pitch) = (desc.x.c, g.row_bytes());
    let zero = args.scalars.x_zero[0] as u8 ^ 0x80;
    let left = desc.pad[1] * c;
    let inside = (desc.x.w * c).min(pitch.saturating_sub(left));
    for plane in 0..g.planes {
        for row in 0..rows.len() + g.reach {
            let down = (rows.start + row) * desc.stride[0] + plane;
            // SAFETY: rows that exist are read, at most `x.w` columns of each; `row` is below
            // `plane_rows` and exactly `pitch` bytes of it are written.
            unsafe {
                let to = to.add((plane * g.plane_rows + row) * pitch);
                match down.checked_sub(desc.pad[0]).filter(|&y| y < desc.x.h) {
                    None => to.write_bytes(zero, pitch),
                    Some(y) => {
                        let from = args.x.add(y * desc.x.w * c);
                        if g.gathered && desc.stride[1] > 1 {
                            for x in 0..g.width {
                                from.add(x * desc.stride[1] * c).copy_to_nonoverlapping(to.add(x * c), c);
                            }
                        } else {
                            to.write_bytes(zero, left);
                            from.copy_to_nonoverlapping(to.add(left), inside);
                            to.add(left + inside).write_bytes(zero, pitch - left - inside);
                        }
                    }
                }
            }
        }
    }
}

/// Rows under the kernel, column by column: `[output row][column][kernel row][channel]`.
///
/// # Safety
/// As [`prepare`].
unsafe fn interleave(args: &ConvArgs<'_>, g: &Geometry, rows: Range<usize>, to: *mut u8) {
    let desc = args.desc;
    debug_assert_eq!(desc.source, Source::Pixels);
    let (c, kh) = (desc.x.c, desc.kernel[0]);
    let zeros = args.scalars.x_zero.map(|z| z as u8 ^ 0x80);
    let columns = g.width * desc.stride[1];
    for (i, row) in rows.enumerate() {
        // SAFETY: pixels that exist are read; `columns · kh · c` bytes are a row of the only plane.
        unsafe {
            let to = to.add(i * g.row_bytes());
            for k in 0..kh {
                let down = row * desc.stride[0] + k * desc.dilation[0];
                let from = down
                    .checked_sub(desc.pad[0])
                    .filter(|&y| y < desc.x.h)
                    .map(|y| args.x.add(y * desc.x.w * c));
                for column in 0..columns {
                    let to = to.add((column * kh + k) * c);
                    let inside = column.checked_sub(desc.pad[1]).filter(|&x| x < desc.x.w);
                    let pixel = match (from, inside) {
                        (Some(from), Some(x)) => from.add(x * c),
                        _ => zeros.as_ptr(),
                    };
                    for channel in 0..c {
                        *to.add(channel) = *pixel.add(channel);
                    }
                }
            }
        }
    }
}
