//! The loops around the two convolution kernels.

use core::ops::Range;

use super::epilogue::Epilogue;
use super::geometry::Geometry;
use super::layout::{VECTOR, channel_stride};
use super::pack_a::PackA;
use super::pack_b::HEADER;
use super::requant::is_tame;
use super::tile::{self, CHANNELS, MR, NR};
use super::winograd::{self, CLASSES, Class, LANES, POSITIONS, TILE};
use crate::neon_tiling::Tiling;
use crate::set::ConvArgs;
use crate::shape::ConvOutput;

impl Geometry<'_> {
    fn epilogue(&self, args: &ConvArgs<'_>) -> Epilogue {
        let s = args.scalars;
        let constants = args.blob.as_ptr().wrapping_add(HEADER);
        let vector = |i: usize| constants.wrapping_add(4 * self.constants() * i);
        Epilogue {
            bias: constants.cast(),
            multiplier: vector(1).cast(),
            gain: vector(2).cast(),
            offset: vector(3).cast(),
            skip: args.skip,
            y: args.y,
            y2: args.y2,
            stride: channel_stride(self.desc.y.c),
            skip_zero: s.skip_zero,
            skip_multiplier: s.skip_multiplier,
            requant: s.y,
            requant2: s.y2,
            has_skip: self.desc.skip,
            has_y: self.desc.output.has_int8(),
            has_y2: self.desc.output.has_affine(),
            tame: args.blob[0] == 1 && is_tame(s.skip_multiplier),
        }
    }

    /// See [`crate::KernelSet::conv`].
    ///
    /// # Safety
    /// See [`crate::KernelSet`].
    pub unsafe fn run(&self, args: &ConvArgs<'_>, tasks: Range<usize>) {
        let epilogue = self.epilogue(args);
        let mut task = tasks.start;
        while task < tasks.end {
            // The splits of one band run together, because they share the packed rows or the transformed input.
            let band = task / self.splits;
            let end = ((band + 1) * self.splits).min(tasks.end);
            let first = self.split(task % self.splits).start;
            let last = self.split((end - 1) % self.splits).end;
            // SAFETY: guaranteed by the caller; band and runs exist.
            unsafe {
                match &self.winograd {
                    Some(tiling) => self.winograd_band(args, &epilogue, tiling, band, first..last),
                    None => self.direct_band(args, &epilogue, band, first..last),
                }
            }
            task = end;
        }
    }

    /// # Safety
    /// See [`crate::KernelSet`]; the convolution does not use Winograd.
    unsafe fn direct_band(&self, args: &ConvArgs<'_>, epilogue: &Epilogue, band: usize, runs: Range<usize>) {
        let per_group = self.group_out.div_ceil(CHANNELS);
        let pixels = band * self.band_pixels..((band + 1) * self.band_pixels).min(self.desc.y.pixels());
        let block = self.block_pixels();
        // SAFETY: guaranteed by the caller.
        let mut packed_rows = unsafe { PackA::new(self, args) };
        for at in pixels.clone().step_by(block) {
            let count = block.min(pixels.end - at);
            let mut packed = None;
            for run in runs.clone() {
                let group = run / per_group;
                // SAFETY: guaranteed by the caller; `count` pixels from `at` on exist, no more than a block.
                unsafe {
                    if packed != Some(group) {
                        packed_rows.pack(at, count, group);
                        packed = Some(group);
                    }
                    self.direct_run(args, epilogue, at..at + count, packed_rows.rows(), run);
                }
            }
        }
    }

    /// Computes up to 16 channels of a block of pixels.
    ///
    /// # Safety
    /// `rows` are the packed rows of these pixels and the run's group.
    unsafe fn direct_run(
        &self,
        args: &ConvArgs<'_>,
        epilogue: &Epilogue,
        pixels: Range<usize>,
        rows: *const u8,
        run: usize,
    ) {
        let per_group = self.group_out.div_ceil(CHANNELS);
        let (group, run) = (run / per_group, run % per_group);
        let count = CHANNELS.min(self.group_out - run * CHANNELS);
        let first = group * self.group_out.div_ceil(NR) + run * (CHANNELS / NR);
        let channel = group * self.group_out + run * CHANNELS;
        let sums: *mut i32 = args.scratch.cast();
        let tiles = pixels.len() / MR;
        // SAFETY: panels and words are in the blob, whose length and words `check` has verified; the sums have
        // room for a block; packed rows are whole groups of four; the pixels and channels exist.
        unsafe {
            let words: *const u64 = args.blob.as_ptr().add(self.words_at()).cast();
            let panels = args.blob.as_ptr().add(self.panels_at());
            for i in 0..count.div_ceil(NR) {
                let panel = panels.add((first + i) * NR * self.row);
                let words = words.add((first + i) * self.words());
                let end = words.add(self.words());
                let sums = sums.add(i * NR);
                if tiles > 0 {
                    tile::panel_4x4(rows, tiles, panel, words, end, sums);
                }
                let left = rows.add(tiles * MR * self.row);
                for p in 0..pixels.len() % MR {
                    let sums = sums.add((tiles * MR + p) * CHANNELS);
                    tile::panel_1x4(left.add(p * VECTOR), panel, words, end, sums);
                }
            }
            if self.desc.output == ConvOutput::Float32 {
                epilogue.logits(sums, channel, count);
            } else {
                epilogue.run(sums, pixels.start, pixels.len(), channel, count);
            }
        }
    }

    /// # Safety
    /// See [`crate::KernelSet`]; `tiling` is the plan's.
    unsafe fn winograd_band(
        &self,
        args: &ConvArgs<'_>,
        epilogue: &Epilogue,
        tiling: &Tiling,
        band: usize,
        runs: Range<usize>,
    ) {
        let d = self.desc;
        let c_in = d.x.c;
        let steps = c_in / LANES;
        let parts = Self::parts(args.blob);
        let band = winograd::Band::new(tiling, band);
        let [sums, v_bytes, _] = self.winograd_scratch(tiling);
        let acc: *mut i32 = args.scratch.cast();
        let v: *mut i16 = args.scratch.wrapping_add(sums).cast();
        let m: *mut i32 = args.scratch.wrapping_add(sums + v_bytes).cast();
        let u: *const i16 = args.blob.as_ptr().wrapping_add(self.words_at()).cast();
        let m_part = band.tiles() * POSITIONS * CHANNELS;
        // SAFETY: V has `products_per_band` entries of c_in, and M `most_parts` times as many tiles of 36 ·
        // CHANNELS; `check` verified that there are no more parts. The blob has 36 · c_in · c_out weights; the
        // rows and columns of a tile that are stored exist.
        unsafe {
            transform_band(args, &band, v);
            for run in runs {
                for part in 0..parts {
                    let (first_step, end_step) = winograd::part(steps, parts, part);
                    for (class, half) in (0..CLASSES).flat_map(|c| [(c, 0), (c, 1)]) {
                        let tiles = band.class(class);
                        let channels = run * (CHANNELS / LANES) + half;
                        for g in 0..winograd::groups(tiles.len()) {
                            let (first, count) = winograd::group(tiles.len(), g);
                            let of_step = first * c_in + first_step * count * LANES;
                            let of = Class {
                                positions: winograd::Band::positions(class),
                                v: v.add(band.start(class) * c_in + of_step),
                                v_strides: [band.row() * c_in, tiles.len() * c_in],
                                u: u.add(channels * POSITIONS * c_in * LANES + first_step * LANES * LANES),
                                u_stride: c_in * LANES,
                                m: m.add(
                                    part * m_part
                                        + (tiles.start + first) * POSITIONS * CHANNELS
                                        + half * LANES,
                                ),
                            };
                            winograd::products(count, &of, end_step - first_step);
                        }
                    }
                }
                for t in 0..band.tiles() {
                    let ([oy, ox], four) = band.tile(t);
                    for part in 0..parts {
                        let m = m.add(part * m_part + t * POSITIONS * CHANNELS);
                        winograd::transform_output(m, four, acc, part > 0);
                    }
                    let [high, wide] = four.map(|four| if four { TILE } else { TILE - 1 });
                    for i in 0..high.min(d.y.h - oy) {
                        let pixel = (oy + i) * d.y.w + ox;
                        let acc = acc.add(i * TILE * CHANNELS);
                        epilogue.run(acc, pixel, wide.min(d.y.w - ox), run * CHANNELS, CHANNELS);
                    }
                }
            }
        }
    }
}

/// Transforms the input of a band's tiles.
///
/// # Safety
/// See [`crate::KernelSet`]; `v` has room.
unsafe fn transform_band(args: &ConvArgs<'_>, band: &winograd::Band, v: *mut i16) {
    let d = args.desc;
    let input = winograd::Input {
        x: args.x,
        shape: d.x,
        stride: channel_stride(d.x.c),
        zero: args.scalars.x_zero[0],
        pad: d.pad,
        patch: args.scratch,
    };
    let column = [band.count(0) * d.x.c, band.count(2) * d.x.c];
    for t in 0..band.tiles() {
        let (at, four) = band.tile(t);
        let mut place =
            winograd::Place { v: [v; CLASSES], step: [0; CLASSES], row: band.row() * d.x.c, column };
        for class in 0..CLASSES {
            let tiles = band.class(class);
            if tiles.contains(&t) {
                let (first, count, nth) = winograd::group_of(tiles.len(), t - tiles.start);
                place.v[class] = v.wrapping_add((band.start(class) + first) * d.x.c + nth * LANES);
                place.step[class] = count * LANES;
            }
        }
        // SAFETY: the tile reads the input around its outputs, and its places are in V.
        unsafe { winograd::transform_input(&input, at, four, &place) };
    }
}
