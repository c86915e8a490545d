//! Copies input rows such that the pixels of a tile are evenly spaced, with padding around them.

use core::ops::Range;

use super::geometry::Geometry;
use crate::set::ConvArgs;
use crate::shape::{MAX_KERNEL, Source};
use crate::tiled::geometry::SLACK;

/// Prepares the input of the given output rows at `to`.
///
/// # Safety
/// The same as for [`crate::KernelSet::conv`]; `to` has room for `plane_rows` rows of every plane and the slack, and
/// `rows` are at most `block_rows` rows of the output.
pub(super) unsafe fn pack_rows(args: &ConvArgs<'_>, g: &Geometry, rows: Range<usize>, to: *mut u8) {
    // SAFETY: guaranteed by the caller; see the two functions.
    unsafe {
        if g.interleaved {
            interleave(args, g, rows, to);
        } else {
            copy_planes(args, g, rows, to);
        }
        // Zero weights multiply these bytes, but they are read.
        let all = g.planes * g.plane_rows * g.row_bytes();
        to.add(all).write_bytes(0, SLACK);
    }
}

/// Distributes rows over planes.
///
/// # Safety
/// The same as for [`pack_rows`].
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

/// Interleaves the rows under the kernel, column by column: `[output row][column][kernel row][channel]`.
///
/// A pixel of three channels is moved as four bytes; the next pixel in memory order overwrites the fourth. So the
/// last column of the image, after which nothing may be read, and the padding are copied byte by byte.
///
/// # Safety
/// The same as for [`pack_rows`].
unsafe fn interleave(args: &ConvArgs<'_>, g: &Geometry, rows: Range<usize>, to: *mut u8) {
    let desc = args.desc;
    debug_assert_eq!(desc.source, Source::Pixels);
    let (c, kh) = (desc.x.c, desc.kernel[0]);
    let zeros = args.scalars.x_zero.map(|z| z as u8 ^ 0x80);
    let columns = g.width * desc.stride[1];
    for (i, row) in rows.enumerate() {
        // The rows under the kernel and the distance between their pixels; padding is one pixel that repeats.
        let mut under = [(zeros.as_ptr(), 0); MAX_KERNEL];
        for (k, under) in under.iter_mut().enumerate().take(kh) {
            let down = row * desc.stride[0] + k * desc.dilation[0];
            if let Some(y) = down.checked_sub(desc.pad[0]).filter(|&y| y < desc.x.h) {
                *under = (args.x.wrapping_add(y * desc.x.w * c), c);
            }
        }
        let under = &under[..kh];
        // SAFETY: only existing pixels are read, and four bytes only if another pixel follows in the row (`zeros`
        // has four); `columns · kh · c` bytes are a row of the only plane, and slack follows the last.
        unsafe {
            let mut to = to.add(i * g.row_bytes());
            for column in 0..columns {
                match column.checked_sub(desc.pad[1]).filter(|&x| x < desc.x.w) {
                    Some(x) if x + 1 < desc.x.w && c >= 3 => {
                        for &(from, step) in under {
                            let pixel = from.add(x * step).cast::<u32>().read_unaligned();
                            to.cast::<u32>().write_unaligned(pixel);
                            to = to.add(c);
                        }
                    }
                    inside => {
                        for &(from, step) in under {
                            let pixel = inside.map_or(zeros.as_ptr(), |x| from.add(x * step));
                            for channel in 0..c {
                                *to.add(channel) = *pixel.add(channel);
                            }
                            to = to.add(c);
                        }
                    }
                }
            }
        }
    }
}
