//! Copies the input of one band into the scratch, see [`PackedBand`].
//!
//! Optimizations:
//! 1. The copy is made once per band and read by every panel. Its cost is therefore divided by the number of
//!    panels (output channels / 8), and the tile's loop needs neither border tests nor strides.
//! 2. Padding is written as the zero point, which the bias already includes.
//! 3. Without a horizontal stride a row is copied 64 bytes at a time, whatever its alignment.

use core::arch::aarch64::*;
use core::mem::MaybeUninit;

use super::geometry::{Geometry, PackedBand};
use super::layout::{BLOCK, pitch};
use super::tile::Depth;
use crate::set::ConvArgs;
use crate::shape::{ConvDesc, Source};

/// Writes the table of tap offsets.
///
/// # Safety
/// `table` is aligned and has room for `geometry.taps` values.
pub(crate) unsafe fn write_table(desc: &ConvDesc, geometry: &Geometry, table: *mut usize) {
    for tap in 0..geometry.taps {
        let (ky, kx) = match desc.source {
            Source::Tensor => (tap / desc.kernel[1], tap % desc.kernel[1]),
            Source::Pixels => (tap, 0),
        };
        // SAFETY: guaranteed by the caller.
        unsafe { table.add(tap).write(geometry.packed.tap_offset(desc, ky, kx)) };
    }
}

/// Packs the band whose first output row is `first_row`.
///
/// # Safety
/// `args` meets the conditions of [`crate::KernelSet::conv`]; `band` has `geometry.packed_bytes()` bytes, and for
/// pixels `geometry.pixel_row_bytes()` more.
pub(crate) unsafe fn pack_band(args: &ConvArgs<'_>, geometry: &Geometry, first_row: usize, band: *mut u8) {
    let desc = args.desc;
    let packed = &geometry.packed;
    let rows = packed.rows.min(desc.y.h - first_row);
    let input_rows = (rows - 1) * desc.stride[0] + (desc.kernel[0] - 1) * desc.dilation[0] + 1;
    let top = first_row * desc.stride[0];
    let zeros = args.scalars.x_zero.map(|z| z as u8);
    let wanted = (0..input_rows).filter(|r| r % desc.stride[0] < packed.phases).map(|r| {
        let at = (r % desc.stride[0] * packed.slots + r / desc.stride[0]) * packed.row_bytes;
        ((top + r).checked_sub(desc.pad[0]).filter(|&iy| iy < desc.x.h), at)
    });
    match desc.source {
        Source::Tensor => {
            for block in 0..packed.blocks {
                for kx in 0..packed.columns {
                    let columns = Columns::new(desc, kx);
                    for (iy, at) in wanted.clone() {
                        // SAFETY: `at` is a row of the phase and slot that `PackedBand` has room for, and
                        // `iy` a row of the input.
                        unsafe {
                            let to = band.add(
                                block * packed.block_bytes()
                                    + kx * packed.phases * packed.slots * packed.row_bytes
                                    + at,
                            );
                            match iy {
                                None => fill(to, desc.y.w, zeros[0]),
                                Some(iy) => {
                                    let row = args.x.add(block * pitch(desc.x) + iy * desc.x.w * BLOCK);
                                    columns.copy(desc, row, to, zeros[0]);
                                }
                            }
                        }
                    }
                }
            }
        }
        Source::Pixels => {
            for (iy, at) in wanted {
                // SAFETY: as above; the padded row follows the packed band.
                unsafe {
                    let row = band.add(geometry.packed_bytes());
                    pad_pixels(args, geometry, iy, row);
                    pack_pixels(desc, packed, row, band.add(at));
                }
            }
        }
    }
}

/// The output columns that read the input through one kernel column.
struct Columns {
    /// The output columns before this one read padding.
    first: usize,
    /// The output columns from this one on read padding.
    end: usize,
    /// The input column that `first` reads.
    from: usize,
}

impl Columns {
    fn new(desc: &ConvDesc, kx: usize) -> Self {
        let (stride, tap, pad) = (desc.stride[1], kx * desc.dilation[1], desc.pad[1]);
        let first = pad.saturating_sub(tap).div_ceil(stride).min(desc.y.w);
        let end = match (desc.x.w + pad).checked_sub(tap + 1) {
            Some(last) => (last / stride + 1).clamp(first, desc.y.w),
            None => first,
        };
        Self { first, end, from: (first * stride + tap).saturating_sub(pad) }
    }

    /// # Safety
    /// `row` is an input row of one block, `to` has room for `desc.y.w` pixels.
    #[inline(always)]
    unsafe fn copy(&self, desc: &ConvDesc, row: *const u8, to: *mut u8, zero: u8) {
        let n = self.end - self.first;
        // SAFETY: `from + (n − 1)·stride` is below `x.w`, as `Columns::new` computed it.
        unsafe {
            fill(to, self.first, zero);
            let (from, at) = (row.wrapping_add(self.from * BLOCK), to.add(self.first * BLOCK));
            if desc.stride[1] == 1 {
                copy_pixels(from, at, n);
            } else {
                for i in 0..n {
                    vst1_u8(at.add(i * BLOCK), vld1_u8(from.add(i * desc.stride[1] * BLOCK)));
                }
            }
            fill(to.add(self.end * BLOCK), desc.y.w - self.end, zero);
        }
    }
}

/// # Safety
/// `to` has room for `n` pixels.
#[inline(always)]
unsafe fn fill(to: *mut u8, n: usize, zero: u8) {
    for i in 0..n {
        // SAFETY: guaranteed by the caller.
        unsafe { vst1_u8(to.add(i * BLOCK), vdup_n_u8(zero)) };
    }
}

/// # Safety
/// Both have `n` pixels of eight bytes.
#[inline(always)]
unsafe fn copy_pixels(mut from: *const u8, mut to: *mut u8, mut n: usize) {
    // SAFETY: each loop moves no more pixels than are left.
    unsafe {
        while n >= 8 {
            vst1q_u8_x4(to, vld1q_u8_x4(from));
            (from, to, n) = (from.add(8 * BLOCK), to.add(8 * BLOCK), n - 8);
        }
        while n >= 2 {
            vst1q_u8(to, vld1q_u8(from));
            (from, to, n) = (from.add(2 * BLOCK), to.add(2 * BLOCK), n - 2);
        }
        if n == 1 {
            vst1_u8(to, vld1_u8(from));
        }
    }
}

/// Writes one row of pixels as int8 with its padding, from the first column that an output reads.
///
/// # Safety
/// `row` has `geometry.pixel_row_bytes()` bytes.
unsafe fn pad_pixels(args: &ConvArgs<'_>, geometry: &Geometry, iy: Option<usize>, row: *mut u8) {
    let desc = args.desc;
    let c = desc.x.c;
    let bytes = geometry.pixel_row_bytes(desc);
    let (start, n) = match iy {
        Some(_) => (desc.pad[1] * c, (desc.x.w * c).min(bytes.saturating_sub(desc.pad[1] * c))),
        None => (0, 0),
    };
    // SAFETY: all writes stay below `bytes`, all reads inside row `iy` of the pixels.
    unsafe {
        for i in (0..start.min(bytes)).chain(start + n..bytes) {
            row.add(i).write(args.scalars.x_zero[i % c] as u8);
        }
        if let Some(iy) = iy {
            let from = args.x.add(iy * desc.x.w * c);
            let to = row.add(start);
            let whole = n / 16 * 16;
            for i in (0..whole).step_by(16) {
                vst1q_u8(to.add(i), veorq_u8(vld1q_u8(from.add(i)), vdupq_n_u8(0x80)));
            }
            for i in whole..n {
                to.add(i).write(from.add(i).read() ^ 0x80);
            }
        }
    }
}

/// Copies the pieces of eight bytes that each output column reads of a padded row.
///
/// # Safety
/// `row` is a result of [`pad_pixels`]; `to` is the place of this row in the first packed block.
unsafe fn pack_pixels(desc: &ConvDesc, packed: &PackedBand, row: *const u8, to: *mut u8) {
    let c = desc.x.c;
    let step = desc.stride[1] * c;
    for block in 0..packed.blocks {
        // SAFETY: the padded row has 64 bytes after the last byte that the last column reads, and each packed
        // block has room for this row.
        unsafe {
            let to = to.add(block * packed.block_bytes());
            if desc.dilation[1] == 1 {
                let from = row.add(block * BLOCK);
                for ox in 0..desc.y.w {
                    vst1_u8(to.add(ox * BLOCK), vld1_u8(from.add(ox * step)));
                }
            } else {
                for ox in 0..desc.y.w {
                    for k in 0..BLOCK {
                        let (kx, channel) = ((block * BLOCK + k) / c, (block * BLOCK + k) % c);
                        // Depth after the kernel's last column has weight zero.
                        let kx = kx.min(desc.kernel[1] - 1);
                        let from = ox * step + kx * desc.dilation[1] * c + channel;
                        to.add(ox * BLOCK + k).write(row.add(from).read());
                    }
                }
            }
        }
    }
}

/// The largest size of a packed group: the first-level cache of the cores that use it.
pub(crate) const GROUP_ROOM: usize = 32 << 10;

/// Copies `bytes` of each block's plane, one after another; returns the copy.
///
/// # Safety
/// `x` has `depth.blocks` planes of `depth.stride` bytes with `bytes`, a multiple of 16, readable; `to` has room
/// for all.
pub(crate) unsafe fn pack_group(
    x: *const u8,
    depth: &Depth,
    bytes: usize,
    to: &mut [MaybeUninit<u8>; GROUP_ROOM],
) -> *const u8 {
    let to = to.as_mut_ptr().cast::<u8>();
    for block in 0..depth.blocks {
        for i in (0..bytes).step_by(16) {
            // SAFETY: guaranteed by the caller.
            unsafe { vst1q_u8(to.add(block * bytes + i), vld1q_u8(x.add(block * depth.stride + i))) };
        }
    }
    to
}
