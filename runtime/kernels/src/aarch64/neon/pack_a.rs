//! Packs the windows of a block of pixels for the direct kernel: `[pixel / 4][k / 16][4][16]`.
//!
//! A *row* contains the values under one output pixel's window, tap after tap, as raw int8; padding is the zero
//! point. Piece `i` of 16 bytes of pixel `p` of a group of four is at `64·i + 16·p`.
//!
//! 1. *Whole vectors.* If each tap is a pixel's whole channels, four pointers (into the input, or to a tap of
//!    padding) are read side by side: four loads and one `st1` of four registers per 64 bytes.
//! 2. *Dense windows.* Groups and camera pixels have few channels per tap; a window is first copied without gaps,
//!    then packed like one long tap.
//! 3. *Lines.* The camera's lines under an output row are laid out with their padding once, so that every window
//!    is complete, and each of its rows is one copy.

use core::arch::aarch64::*;

use super::geometry::Geometry;
use super::layout::{VECTOR, channel_stride};
use super::tile::MR;
use crate::set::ConvArgs;
use crate::shape::Source;

/// The places in a task's scratch where it packs.
pub struct PackA<'a> {
    plan: &'a Geometry<'a>,
    args: &'a ConvArgs<'a>,
    /// Packed rows.
    packed: *mut u8,
    /// Four windows, or a tap of padding.
    aside: *mut u8,
    /// The lines of pixels with their padding.
    lines: *mut u8,
    /// The columns and bytes of a line.
    line: (usize, usize),
    /// The output row whose lines are laid out.
    lines_of: Option<usize>,
}

impl<'a> PackA<'a> {
    /// # Safety
    /// See [`crate::KernelSet`]; the convolution is a direct one.
    pub unsafe fn new(plan: &'a Geometry<'a>, args: &'a ConvArgs<'a>) -> Self {
        let [sums, packed, aside, _] = plan.direct_scratch();
        // SAFETY: the scratch contains these parts, one after another.
        unsafe {
            let new = Self {
                plan,
                args,
                packed: args.scratch.add(sums),
                aside: args.scratch.add(sums + packed),
                lines: args.scratch.add(sums + packed + aside),
                line: plan.line(),
                lines_of: None,
            };
            if !plan.is_dense() {
                new.aside.write_bytes(args.scalars.x_zero[0] as u8, plan.tap);
            }
            new
        }
    }

    /// Returns the packed rows.
    pub fn rows(&self) -> *const u8 {
        self.packed
    }

    /// Packs `count` pixels from `first` on; in the last group of four, the pixels after them are undefined.
    ///
    /// # Safety
    /// The pixels exist, at most [`Geometry::block_pixels`] of them.
    pub unsafe fn pack(&mut self, first: usize, count: usize, group: usize) {
        for four in (0..count).step_by(MR) {
            let to = self.packed.wrapping_add(four * self.plan.row);
            let pixels = MR.min(count - four);
            // SAFETY: guaranteed by the caller; the packed rows have room for whole fours.
            unsafe {
                if self.plan.is_dense() {
                    for i in 0..pixels {
                        let window = self.aside.add(i * (self.plan.row + 64));
                        match self.plan.desc.source {
                            Source::Tensor => self.window_of_group(first + four + i, group, window),
                            Source::Pixels => self.window_of_pixels(first + four + i, window),
                        }
                    }
                    let windows = core::array::from_fn(|i| {
                        self.aside.cast_const().wrapping_add(i * (self.plan.row + 64))
                    });
                    interleave(windows, to, self.plan.row);
                } else {
                    self.taps(first + four, pixels, to);
                }
            }
        }
    }

    /// Packs four pixels of a convolution whose taps are whole vectors.
    ///
    /// # Safety
    /// The same as for [`PackA::pack`], for up to four pixels; `to` has room for four.
    #[inline]
    unsafe fn taps(&self, first: usize, count: usize, mut to: *mut u8) {
        let d = self.plan.desc;
        let tap = self.plan.tap;
        let padding = self.aside.cast_const();
        // The window's first row and column, possibly before the input's first.
        let mut corners = [(usize::MAX / 2, 0); MR];
        for (i, corner) in corners.iter_mut().enumerate().take(count) {
            let (oy, ox) = ((first + i) / d.y.w, (first + i) % d.y.w);
            *corner = ((oy * d.stride[0]).wrapping_sub(d.pad[0]), (ox * d.stride[1]).wrapping_sub(d.pad[1]));
        }
        for ky in 0..d.kernel[0] {
            for kx in 0..d.kernel[1] {
                let from = corners.map(|(top, left)| {
                    let iy = top.wrapping_add(ky * d.dilation[0]);
                    let ix = left.wrapping_add(kx * d.dilation[1]);
                    let inside = iy < d.x.h && ix < d.x.w;
                    if inside { self.args.x.wrapping_add((iy * d.x.w + ix) * tap) } else { padding }
                });
                // SAFETY: each is a pixel of the input or the tap of padding, of `tap` bytes.
                unsafe { interleave(from, to, tap) };
                to = to.wrapping_add(MR * tap);
            }
        }
    }

    /// Copies one window of one group's channels.
    ///
    /// # Safety
    /// The pixel and the group exist; `to` has room for a row.
    unsafe fn window_of_group(&self, pixel: usize, group: usize, mut to: *mut u8) {
        let d = self.plan.desc;
        let tap = self.plan.tap;
        let stride = channel_stride(d.x.c);
        let (oy, ox) = (pixel / d.y.w, pixel % d.y.w);
        let x = self.args.x.wrapping_add(group * tap);
        for ky in 0..d.kernel[0] {
            for kx in 0..d.kernel[1] {
                let iy = (oy * d.stride[0] + ky * d.dilation[0]).wrapping_sub(d.pad[0]);
                let ix = (ox * d.stride[1] + kx * d.dilation[1]).wrapping_sub(d.pad[1]);
                // SAFETY: pixel (iy, ix) is read only if it exists; the row has `kernel` taps.
                unsafe {
                    if iy < d.x.h && ix < d.x.w {
                        core::ptr::copy_nonoverlapping(x.add((iy * d.x.w + ix) * stride), to, tap);
                    } else {
                        to.write_bytes(self.args.scalars.x_zero[0] as u8, tap);
                    }
                    to = to.add(tap);
                }
            }
        }
    }

    /// Copies one window of the camera's pixels, as int8.
    ///
    /// # Safety
    /// The pixel exists; `to` has room for a row and 64 bytes.
    unsafe fn window_of_pixels(&mut self, pixel: usize, mut to: *mut u8) {
        let d = self.plan.desc;
        let c = d.x.c;
        let line_bytes = self.line.1;
        let (oy, ox) = (pixel / d.y.w, pixel % d.y.w);
        if self.lines_of != Some(oy) {
            for ky in 0..d.kernel[0] {
                let iy = (oy * d.stride[0] + ky * d.dilation[0]).wrapping_sub(d.pad[0]);
                // SAFETY: guaranteed by the caller; there is a line per row of the kernel.
                unsafe { self.lay_out(iy, self.lines.add(ky * line_bytes)) };
            }
            self.lines_of = Some(oy);
        }
        let bytes = d.kernel[1] * c;
        let mut line = self.lines.cast_const().wrapping_add(ox * d.stride[1] * c);
        for _ in 0..d.kernel[0] {
            // SAFETY: the window is in the line. Whole vectors may read up to 31 bytes after the window, for which
            // a line has room, and write as many after the row: the next one overwrites these bytes, or they
            // follow the window's last.
            unsafe {
                if d.dilation[1] > 1 {
                    for kx in 0..d.kernel[1] {
                        core::ptr::copy_nonoverlapping(line.add(kx * d.dilation[1] * c), to.add(kx * c), c);
                    }
                } else if bytes <= 2 * VECTOR {
                    // This covers all usual images, up to 10×10 of three colours, without a loop.
                    vst1q_u8(to, vld1q_u8(line));
                    vst1q_u8(to.add(VECTOR), vld1q_u8(line.add(VECTOR)));
                } else {
                    copy_vectors(line, to, bytes);
                }
            }
            to = to.wrapping_add(bytes);
            line = line.wrapping_add(line_bytes);
        }
    }

    /// Lays out row `iy` of the camera's pixels, if there is one, with its padding.
    ///
    /// # Safety
    /// `line` has the size that [`Geometry::line`] returns.
    unsafe fn lay_out(&self, iy: usize, line: *mut u8) {
        let d = self.plan.desc;
        let c = d.x.c;
        let columns = self.line.0;
        let exists = iy < d.x.h;
        let inside = if exists { d.pad[1]..d.pad[1] + d.x.w } else { columns..columns };
        for column in (0..inside.start).chain(inside.end..columns) {
            for (k, &z) in self.args.scalars.x_zero.iter().enumerate().take(c) {
                // SAFETY: a line has `columns` pixels.
                unsafe { *line.add(column * c + k) = z as u8 };
            }
        }
        if exists {
            // SAFETY: row `iy` of the image has `x.w` pixels, and so has the line after its padding.
            unsafe {
                copy_flipped(self.args.x.add(iy * d.x.w * c), line.add(d.pad[1] * c), d.x.w * c);
            }
        }
    }
}

/// Interleaves four times `n` bytes, a multiple of 16.
///
/// # Safety
/// `n` bytes are readable at each of `from`, 4·`n` are writable at `to`, and they do not overlap.
#[inline(always)]
unsafe fn interleave(from: [*const u8; MR], to: *mut u8, n: usize) {
    for at in (0..n).step_by(VECTOR) {
        // SAFETY: guaranteed by the caller.
        unsafe {
            let piece = |i: usize| vld1q_u8(from[i].add(at));
            vst1q_u8_x4(to.add(MR * at), uint8x16x4_t(piece(0), piece(1), piece(2), piece(3)));
        }
    }
}

/// Copies `n` bytes rounded up to whole vectors of 16.
///
/// # Safety
/// That many bytes are readable and writable, and do not overlap.
#[inline(always)]
unsafe fn copy_vectors(from: *const u8, to: *mut u8, n: usize) {
    for i in (0..n).step_by(VECTOR) {
        // SAFETY: guaranteed by the caller.
        unsafe { vst1q_u8(to.add(i), vld1q_u8(from.add(i))) };
    }
}

/// Copies `n` bytes and flips the top bit of each: u8 pixels to int8.
///
/// # Safety
/// `n` bytes are readable at `from` and writable at `to`, and do not overlap.
unsafe fn copy_flipped(from: *const u8, to: *mut u8, n: usize) {
    // SAFETY: guaranteed by the caller; the last vector overlaps the one before it rather than the end.
    unsafe {
        let flip = |i: usize| vst1q_u8(to.add(i), veorq_u8(vld1q_u8(from.add(i)), vdupq_n_u8(0x80)));
        if n < VECTOR {
            for i in 0..n {
                *to.add(i) = *from.add(i) ^ 0x80;
            }
            return;
        }
        for i in (0..n - VECTOR + 1).step_by(VECTOR) {
            flip(i);
        }
        flip(n - VECTOR);
    }
}
