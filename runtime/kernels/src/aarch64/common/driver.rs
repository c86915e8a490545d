//! Convolution as a matrix product over the blocked layout; see [`crate::reference::conv`] for the
//! formula.
//!
//! ```text
//! for band of output pixels:               the band's input stays in the second-level cache
//!     pack its input, unless it can be read in place
//!     for group of the band's pixels:      all of them, or as many as the first-level cache holds
//!         for panel of 8 output channels:  the panel's weights stay in the first-level cache
//!             for tile of 12, 8, 4 or 2 pixels:
//!                 acc = tile(input, weights); write epilogue(acc)
//! ```
//! Optimizations:
//! 1. 1×1 convolutions read the input in place; its pixels are one row, with one tail per band.
//! 2. Others read a packed copy in which each kernel tap is an offset to such a row, see
//!    [`super::geometry::PackedBand`]: only pixels of the output are computed.
//! 3. Cores that issue in order wait for each miss and have few misses in flight. They process small groups
//!    ([`Tile::GROUP`]), whose input all panels of a band then find in the first-level cache.
//! 4. All properties of an epilogue that do not vary inside a convolution are parameters of the code.

use core::arch::aarch64::float32x4_t;
use core::mem::MaybeUninit;
use core::ops::Range;

use super::epilogue::{AFFINE, BOTH, FLOAT, INT8, Places, Scalars, scaled, write_pair};
use super::geometry::{Geometry, HEADER};
use super::layout::{BLOCK, pitch};
use super::pack_a::{GROUP_ROOM, pack_band, pack_group, write_table};
use super::pack_b::is_tame;
use super::tile::{Depth, Pair, Tile, WIDEST};
use crate::quant::Requant;
use crate::set::ConvArgs;
use crate::shape::ConvOutput;

/// The tap table of a convolution that reads its input in place.
static ONE_TAP: [usize; 1] = [0];

/// See [`crate::KernelSet::conv`].
///
/// # Safety
/// The same as for that method.
pub(crate) unsafe fn conv<T: Tile>(args: &ConvArgs<'_>, tasks: Range<usize>) {
    let s = args.scalars;
    let full = |r: Requant| r.lo == i8::MIN && r.hi == i8::MAX;
    let plain = args.blob[0] == 1 && full(s.y) && full(s.y2) && is_tame(s.skip_multiplier);
    // SAFETY: guaranteed by the caller.
    unsafe {
        match (args.desc.output, args.desc.skip, plain) {
            (ConvOutput::Float32, ..) => run::<T, false, FLOAT, true>(args, tasks),
            (ConvOutput::Int8, false, true) => run::<T, false, INT8, false>(args, tasks),
            (ConvOutput::Int8, false, false) => run::<T, false, INT8, true>(args, tasks),
            (ConvOutput::Int8, true, true) => run::<T, true, INT8, false>(args, tasks),
            (ConvOutput::Int8, true, false) => run::<T, true, INT8, true>(args, tasks),
            (ConvOutput::Int8AndAffine, false, true) => run::<T, false, BOTH, false>(args, tasks),
            (ConvOutput::Int8AndAffine, false, false) => run::<T, false, BOTH, true>(args, tasks),
            (ConvOutput::Int8AndAffine, true, true) => run::<T, true, BOTH, false>(args, tasks),
            (ConvOutput::Int8AndAffine, true, false) => run::<T, true, BOTH, true>(args, tasks),
            (ConvOutput::Affine, false, true) => run::<T, false, AFFINE, false>(args, tasks),
            (ConvOutput::Affine, false, false) => run::<T, false, AFFINE, true>(args, tasks),
            (ConvOutput::Affine, true, true) => run::<T, true, AFFINE, false>(args, tasks),
            (ConvOutput::Affine, true, false) => run::<T, true, AFFINE, true>(args, tasks),
        }
    }
}

unsafe fn run<T: Tile, const SKIP: bool, const OUTPUT: u8, const CAREFUL: bool>(
    args: &ConvArgs<'_>,
    mut tasks: Range<usize>,
) {
    let desc = args.desc;
    let geometry = Geometry::new::<T>(desc);
    let packed_input = args.scratch.wrapping_add(if geometry.direct { 0 } else { geometry.table_bytes() });
    let taps: *const usize = if geometry.direct {
        ONE_TAP.as_ptr()
    } else {
        // SAFETY: the scratch begins with room for the table, aligned to `ALIGN`.
        unsafe { write_table(desc, &geometry, args.scratch.cast()) };
        args.scratch.cast_const().cast()
    };
    let mut group_input = [MaybeUninit::uninit(); GROUP_ROOM];
    let mut packed = None;
    while !tasks.is_empty() {
        // The tasks of a band run together, so that all of their panels read a group of pixels.
        let band = tasks.start / geometry.splits;
        let end = tasks.end.min((band + 1) * geometry.splits);
        let splits = tasks.start % geometry.splits..end - band * geometry.splits;
        tasks.start = end;
        let first = band * geometry.band;
        let input = if geometry.direct {
            // SAFETY: `first` is a pixel of the input: it has the output's width, and no fewer rows.
            unsafe { args.x.add(first * BLOCK) }
        } else {
            if packed != Some(band) {
                // SAFETY: the packed band's bytes follow the table in the scratch.
                unsafe { pack_band(args, &geometry, band * geometry.packed.rows, packed_input) };
                packed = Some(band);
            }
            packed_input.cast_const()
        };
        let pixels = first..desc.y.pixels().min(first + geometry.band);
        let part = |n: usize| n * geometry.panels / geometry.splits;
        let group = geometry.group::<T>();
        for start in pixels.clone().step_by(group) {
            let count = group.min(pixels.end - start);
            let mut depth = Depth {
                taps,
                tap_count: geometry.taps,
                blocks: geometry.depth,
                stride: geometry.block_stride(desc),
            };
            // SAFETY: the group's pixels are the input's.
            let mut input = unsafe { input.add((start - first) * BLOCK) };
            // In an input that is read in place, each block is one plane away, on a page of its own.
            let bytes = count.next_multiple_of(2) * BLOCK;
            if T::GROUP.is_some() && geometry.direct && desc.groups == 1 && bytes * depth.blocks <= GROUP_ROOM
            {
                // SAFETY: room was just compared, and the input has all blocks' planes.
                input = unsafe { pack_group(input, &depth, bytes, &mut group_input) };
                depth.stride = bytes;
            }
            for panel in part(splits.start)..part(splits.end) {
                // SAFETY: `check_conv` found all panels in the blob. The panel's blocks are inside the input
                // (`first_block`); pixels in pairs are inside its planes, or inside the packed band and its slack.
                // The task owns these pixels of the outputs' planes, which have room for the last pair.
                unsafe {
                    let x = input.add(geometry.first_block(desc, panel) * depth.stride);
                    let blob = args.blob.as_ptr().add(HEADER + panel * geometry.panel_bytes);
                    let weights = blob.add(geometry.constant_bytes);
                    if OUTPUT == FLOAT {
                        floats::<T>(args, panel, &depth, x, weights, blob);
                        continue;
                    }
                    let at = panel * pitch(desc.y) + start * BLOCK;
                    let to = Places {
                        skip: args.skip.wrapping_add(at),
                        y: args.y.wrapping_add(at),
                        y2: args.y2.wrapping_add(at),
                    };
                    row::<T, SKIP, OUTPUT, CAREFUL>(args, count, &depth, x, weights, blob, to);
                }
            }
        }
    }
}

/// Computes one panel of `pixels` neighbouring pixels.
///
/// # Safety
/// The conditions of the tiles and the epilogue, for `pixels` rounded up to an even number.
#[inline(always)]
unsafe fn row<T: Tile, const SKIP: bool, const OUTPUT: u8, const CAREFUL: bool>(
    args: &ConvArgs<'_>,
    pixels: usize,
    depth: &Depth,
    mut x: *const u8,
    weights: *const u8,
    blob: *const u8,
    mut to: Places,
) {
    let s = Scalars::new(args.scalars);
    let constants = blob.cast::<f32>();
    let mut left = pixels.next_multiple_of(2);
    // SAFETY: each tile takes no more pixels than are left.
    unsafe {
        macro_rules! tile {
            ($tile:ident, $pixels:literal, $($i:literal)*) => {{
                let acc: [Pair; $pixels / 2] = T::$tile(depth, x, weights, blob);
                $(write_pair::<T, SKIP, OUTPUT, CAREFUL>(acc[$i], $i, constants, &s, &to);)*
                x = x.wrapping_add($pixels * BLOCK);
                to.skip = to.skip.wrapping_add($pixels * BLOCK);
                to.y = to.y.wrapping_add($pixels * BLOCK);
                to.y2 = to.y2.wrapping_add($pixels * BLOCK);
                left -= $pixels;
            }};
        }
        while left >= WIDEST {
            tile!(twelve, 12, 0 1 2 3 4 5);
        }
        if left >= 8 {
            tile!(eight, 8, 0 1 2 3);
        }
        if left >= 4 {
            tile!(four, 4, 0 1);
        }
        if left >= 2 {
            tile!(two, 2, 0);
        }
    }
    let _ = (x, left, to);
}

/// Computes one panel of logits; the output has one pixel.
///
/// # Safety
/// The conditions of the tile of two pixels; `args.y` has `y.c` f32 values.
unsafe fn floats<T: Tile>(
    args: &ConvArgs<'_>,
    panel: usize,
    depth: &Depth,
    x: *const u8,
    weights: *const u8,
    blob: *const u8,
) {
    let first = panel * BLOCK;
    // SAFETY: guaranteed by the caller; a vector of four f32 is an array of them.
    unsafe {
        let s = Scalars::new(args.scalars);
        let acc = T::two(depth, x, weights, blob)[0];
        let v = scaled::<T, false>(acc, blob.cast(), &s, args.skip);
        let v = core::mem::transmute::<[float32x4_t; 4], [[f32; 4]; 4]>(v);
        // The first pixel's channels come first in each vector that has them.
        let mut seen = [false; BLOCK];
        for (vector, values) in v.iter().enumerate() {
            for (lane, &value) in values.iter().enumerate() {
                let channel = T::channel(vector, lane);
                if !core::mem::replace(&mut seen[channel], true) && first + channel < args.desc.y.c {
                    args.y.cast::<f32>().add(first + channel).write(value);
                }
            }
        }
    }
}
