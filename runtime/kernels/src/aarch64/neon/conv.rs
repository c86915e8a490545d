//! Which convolution kernel takes which layer, its packed form, and the loops around it.
//!
//! A blob is, in the CPU's byte order: the kind (u32: 0 direct, 1 Winograd) in 64 bytes; bias, multiplier
//! and, with a second output, gain and offset, each of `y.c + 16` values rounded up to 16; then
//! - direct: per group and panel of 4 channels, the words of decisions ([`super::direct::decide`]);
//!   aligned to 64, per group and panel `[depth / 32][4][32]` int8;
//! - Winograd: `[c_out / 8][36][c_in][8]` int16.
//!
//! Where both kernels could take a layer, packing picks by counted instructions plus a charge for
//! streaming the weights from memory ([`Plan::prefers_winograd`]), and Winograd only if it is exact for the
//! actual weights ([`super::winograd::exact`]). Scratch and tasks depend on the shape alone and so serve
//! both.

use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use super::direct::{self, BLOCK, CHUNK, PANEL};
use super::epilogue::Epilogue;
use super::layout::channel_stride;
use super::winograd::{self, GROUP, LANES, POSITIONS, TILE};
use crate::set::{ConvArgs, ConvWeights};
use crate::shape::{ConvDesc, ConvOutput, Source};

const HEADER: usize = 64;
const DIRECT: u32 = 0;
const WINOGRAD: u32 = 1;

/// Bytes of gathered rows that a block of pixels may take: half of the smallest L1 around.
const ROWS_BYTES: usize = 16 << 10;
/// Pixels per block at most: the length of the table of row pointers.
const BLOCK_PIXELS: usize = 64;
/// Tiles per band at most, so that a band's V stays within a few hundred kB.
const BAND_TILES: usize = 32;
/// How many tasks a layer should at least fall into, if it has the pixels or channels.
const TASKS: usize = 16;

/// Everything about a layer that follows from its shape.
pub struct Plan<'a> {
    desc: &'a ConvDesc,
    /// Bytes per tap in a gathered row.
    tap: usize,
    /// Bytes of a row, rounded up to [`BLOCK`].
    row: usize,
    /// Rows are the activation's own pixels.
    in_place: bool,
    /// Output channels per group.
    group_out: usize,
    /// Winograd could take it.
    winograd: bool,
    /// Output rows per band; the last one may have fewer. 0: bands are of pixels.
    band_rows: usize,
    /// Output pixels per band.
    band_pixels: usize,
    bands: usize,
    /// Pieces that the chunks of output channels fall into.
    splits: usize,
}

impl<'a> Plan<'a> {
    pub fn new(desc: &'a ConvDesc) -> Self {
        let group_in = desc.c_in();
        let group_out = desc.y.c / desc.groups;
        let pixels = desc.y.pixels();
        let taps = desc.kernel[0] * desc.kernel[1];
        let single = desc.kernel == [1, 1] && desc.groups == 1 && desc.source == Source::Tensor;
        let in_place = single && desc.x.c.is_multiple_of(BLOCK) && covers(desc);
        let tap = if desc.source == Source::Pixels || desc.groups > 1 {
            group_in
        } else {
            channel_stride(desc.x.c)
        };
        let winograd = desc.kernel == [3, 3]
            && desc.stride == [1, 1]
            && desc.dilation == [1, 1]
            && desc.groups == 1
            && desc.source == Source::Tensor
            && desc.x.c.is_multiple_of(LANES)
            && desc.y.c.is_multiple_of(CHUNK)
            && desc.output != ConvOutput::Float32;
        let chunks = desc.groups * group_out.div_ceil(CHUNK);
        let (band_rows, band_pixels, bands);
        if winograd {
            let (high, wide) = (desc.y.h.div_ceil(TILE), desc.y.w.div_ceil(TILE));
            let most = (BAND_TILES / wide).max(1);
            let rows = high.div_ceil(high.div_ceil(most));
            band_rows = rows * TILE;
            band_pixels = band_rows * desc.y.w;
            bands = desc.y.h.div_ceil(band_rows);
        } else {
            // Enough pixels make enough bands; few pixels stay together and the channels are split.
            band_rows = 0;
            band_pixels =
                if pixels >= 4 * TASKS * PANEL { pixels.div_ceil(TASKS).next_multiple_of(4) } else { pixels };
            bands = pixels.div_ceil(band_pixels);
        }
        let wanted = TASKS.div_ceil(bands).min(chunks);
        let splits = if bands >= TASKS { 1 } else { divisor_from(chunks, wanted) };
        Self {
            desc,
            tap,
            row: (taps * tap).next_multiple_of(BLOCK),
            in_place,
            group_out,
            winograd,
            band_rows,
            band_pixels,
            bands,
            splits,
        }
    }

    /// Depth in blocks.
    fn blocks(&self) -> usize {
        self.row / BLOCK
    }

    fn words(&self) -> usize {
        direct::words(self.blocks())
    }

    fn panels(&self) -> usize {
        self.desc.groups * self.group_out.div_ceil(PANEL)
    }

    fn chunks(&self) -> usize {
        self.desc.groups * self.group_out.div_ceil(CHUNK)
    }

    /// Values per vector of constants.
    fn constants(&self) -> usize {
        (self.desc.y.c + CHUNK).next_multiple_of(CHUNK)
    }

    fn constant_vectors(&self) -> usize {
        if self.desc.output.has_affine() { 4 } else { 2 }
    }

    fn words_at(&self) -> usize {
        HEADER + 4 * self.constants() * self.constant_vectors()
    }

    /// Where the words of decisions stand in a direct blob.
    #[cfg(test)]
    pub fn words_range(&self) -> Range<usize> {
        self.words_at()..self.words_at() + 8 * self.panels() * self.words()
    }

    fn panels_at(&self) -> usize {
        (self.words_at() + 8 * self.panels() * self.words()).next_multiple_of(64)
    }

    fn direct_bytes(&self) -> usize {
        self.panels_at() + self.panels() * PANEL * self.row
    }

    fn winograd_bytes(&self) -> usize {
        self.words_at() + 2 * POSITIONS * self.desc.x.c * self.desc.y.c
    }

    /// Pixels per block of the direct kernel.
    fn block_pixels(&self) -> usize {
        let most = (ROWS_BYTES / self.row).clamp(4, BLOCK_PIXELS);
        self.band_pixels.div_ceil(self.band_pixels.div_ceil(most)).next_multiple_of(4).min(BLOCK_PIXELS)
    }

    /// Columns of a line of pixels with its padding, and its bytes with room for whole vectors.
    fn line(&self) -> (usize, usize) {
        let d = self.desc;
        let reach = (d.kernel[1] - 1) * d.dilation[1] + 1;
        let columns = ((d.y.w - 1) * d.stride[1] + reach).max(d.pad[1] + d.x.w);
        (columns, (columns * d.x.c + 16).next_multiple_of(16))
    }

    fn tiles(&self) -> (usize, usize) {
        (self.band_rows / TILE, self.desc.y.w.div_ceil(TILE))
    }

    /// Scratch of the direct kernel: sums, gathered rows, lines of pixels.
    fn direct_scratch(&self) -> [usize; 3] {
        let pixels = self.block_pixels();
        let sums = pixels * CHUNK * 4;
        let rows = if self.in_place { 0 } else { pixels * self.row + 64 };
        let lines = if self.desc.source == Source::Pixels { self.desc.kernel[0] * self.line().1 } else { 0 };
        [sums, rows, lines]
    }

    /// Scratch of Winograd: sums or, before there are any, a tile's pixels; V; M.
    fn winograd_scratch(&self) -> [usize; 3] {
        if !self.winograd {
            return [0; 3];
        }
        let patch = winograd::patch_bytes(channel_stride(self.desc.x.c));
        let (high, wide) = self.tiles();
        let tiles = high * wide;
        let m = POSITIONS * tiles * CHUNK * 4;
        [patch.max(TILE * TILE * CHUNK * 4), POSITIONS * tiles * self.desc.x.c * 2, m]
    }

    pub fn scratch_bytes(&self) -> usize {
        let sum = |parts: [usize; 3]| parts.iter().sum::<usize>();
        sum(self.direct_scratch()).max(sum(self.winograd_scratch()))
    }

    pub fn tasks(&self) -> usize {
        self.bands * self.splits
    }

    /// True when Winograd costs less. In instructions, with a quarter of one for each byte of weights that
    /// is streamed from memory once per band.
    fn prefers_winograd(&self) -> bool {
        let d = self.desc;
        let (high, wide) = self.tiles();
        let tiles = (high * wide * self.bands) as u64;
        let (c_in, c_out, pixels) = (d.x.c as u64, d.y.c as u64, d.y.pixels() as u64);
        let positions = POSITIONS as u64;
        let product = tiles * positions * c_in * c_out * 10 / 37;
        let transforms = tiles * (40 * c_in + 45 * c_out);
        let winograd = product + transforms + positions * 2 * c_in * c_out * self.bands as u64 / 4;
        let depth = self.row as u64;
        let direct = pixels * c_out * depth * 10 / 56 + pixels * c_out + depth * c_out / 4;
        winograd < direct
    }

    pub fn pack(&self, w: &ConvWeights<'_>) -> Vec<u8> {
        let d = self.desc;
        let depth = d.depth();
        let winograd =
            self.winograd && self.prefers_winograd() && w.weights.chunks_exact(depth).all(winograd::exact);
        let mut blob = vec![0u8; if winograd { self.winograd_bytes() } else { self.direct_bytes() }];
        blob[..4].copy_from_slice(&(if winograd { WINOGRAD } else { DIRECT }).to_ne_bytes());
        let vector = 4 * self.constants();
        for c in 0..d.y.c {
            let at = HEADER + 4 * c;
            let bias = w.bias[c].wrapping_sub(self.zero_share(c, w));
            blob[at..at + 4].copy_from_slice(&bias.to_ne_bytes());
            let floats = [w.multiplier, w.gain, w.offset];
            for (i, values) in floats.iter().enumerate().take(self.constant_vectors() - 1) {
                let at = at + (i + 1) * vector;
                blob[at..at + 4].copy_from_slice(&values[c].to_ne_bytes());
            }
        }
        if winograd {
            self.pack_winograd(w, &mut blob)
        } else {
            self.pack_direct(w, &mut blob)
        }
        blob
    }

    /// `Σ z·w` of one output channel: kernels multiply the raw input, padding included.
    fn zero_share(&self, channel: usize, w: &ConvWeights<'_>) -> i32 {
        let depth = self.desc.depth();
        let per_channel = w.x_zero.len() > 1;
        w.weights[channel * depth..][..depth].iter().enumerate().fold(0i32, |sum, (i, &q)| {
            let zero = w.x_zero[if per_channel { i % self.desc.x.c } else { 0 }];
            sum.wrapping_add(i32::from(zero) * i32::from(q))
        })
    }

    fn pack_direct(&self, w: &ConvWeights<'_>, blob: &mut [u8]) {
        let d = self.desc;
        let (depth, group_in) = (d.depth(), d.c_in());
        let (words_at, panels_at) = (self.words_at(), self.panels_at());
        let per_group = self.group_out.div_ceil(PANEL);
        let mut panel = vec![0u8; PANEL * self.row];
        for p in 0..self.panels() {
            let first = p / per_group * self.group_out + p % per_group * PANEL;
            let count = PANEL.min(self.group_out - p % per_group * PANEL);
            panel.fill(0);
            for c in 0..count {
                for (i, &q) in w.weights[(first + c) * depth..][..depth].iter().enumerate() {
                    let k = i / group_in * self.tap + i % group_in;
                    panel[(k / BLOCK * PANEL + c) * BLOCK + k % BLOCK] = q as u8;
                }
            }
            for (i, part) in panel.chunks(direct::WORD_BYTES).enumerate() {
                let at = words_at + 8 * (p * self.words() + i);
                blob[at..at + 8].copy_from_slice(&direct::decide(part).to_ne_bytes());
            }
            let at = panels_at + p * panel.len();
            blob[at..at + panel.len()].copy_from_slice(&panel);
        }
    }

    fn pack_winograd(&self, w: &ConvWeights<'_>, blob: &mut [u8]) {
        let c_in = self.desc.x.c;
        for c in 0..self.desc.y.c {
            for k in 0..c_in {
                let g = core::array::from_fn(|i| {
                    core::array::from_fn(|j| w.weights[((c * 3 + i) * 3 + j) * c_in + k])
                });
                for (position, u) in winograd::transform_weights(&g).into_iter().enumerate() {
                    let index = ((c / LANES * POSITIONS + position) * c_in + k) * LANES + c % LANES;
                    let at = self.words_at() + 2 * index;
                    blob[at..at + 2].copy_from_slice(&u.to_ne_bytes());
                }
            }
        }
    }

    pub fn check(&self, blob: &[u8]) -> bool {
        let Some(kind) = blob.first_chunk::<4>() else { return false };
        match u32::from_ne_bytes(*kind) {
            // Any value of a constant or a weight is safe; only the length matters.
            WINOGRAD => self.winograd && blob.len() == self.winograd_bytes(),
            // The words of decisions steer a loop, so they must be those that the weights ask for.
            DIRECT => blob.len() == self.direct_bytes() && self.check_words(blob),
            _ => false,
        }
    }

    fn check_words(&self, blob: &[u8]) -> bool {
        let words = &blob[self.words_at()..][..8 * self.panels() * self.words()];
        let panels = &blob[self.panels_at()..];
        words.chunks_exact(8 * self.words()).zip(panels.chunks_exact(PANEL * self.row)).all(
            |(words, panel)| {
                words
                    .as_chunks::<8>()
                    .0
                    .iter()
                    .zip(panel.chunks(direct::WORD_BYTES))
                    .all(|(word, panel)| u64::from_ne_bytes(*word) == direct::decide(panel))
            },
        )
    }

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
        }
    }

    /// The chunks of output channels of one split.
    fn split(&self, split: usize) -> Range<usize> {
        let chunks = self.chunks();
        chunks * split / self.splits..chunks * (split + 1) / self.splits
    }

    /// # Safety
    /// See [`crate::KernelSet`].
    pub unsafe fn run(&self, args: &ConvArgs<'_>, tasks: Range<usize>) {
        let winograd = args.blob[..4] == WINOGRAD.to_ne_bytes();
        let epilogue = self.epilogue(args);
        let mut task = tasks.start;
        while task < tasks.end {
            // Splits of one band in one go: they share the gathered rows or the transformed input.
            let band = task / self.splits;
            let end = ((band + 1) * self.splits).min(tasks.end);
            let first = self.split(task % self.splits).start;
            let last = self.split((end - 1) % self.splits).end;
            // SAFETY: forwarded; band and chunks exist.
            unsafe {
                if winograd {
                    self.winograd_band(args, &epilogue, band, first..last);
                } else {
                    self.direct_band(args, &epilogue, band, first..last);
                }
            }
            task = end;
        }
    }

    /// # Safety
    /// See [`crate::KernelSet`]; the blob is a direct one.
    unsafe fn direct_band(
        &self,
        args: &ConvArgs<'_>,
        epilogue: &Epilogue,
        band: usize,
        chunks: Range<usize>,
    ) {
        let per_group = self.group_out.div_ceil(CHUNK);
        let pixels = band * self.band_pixels..((band + 1) * self.band_pixels).min(self.desc.y.pixels());
        let block = self.block_pixels();
        let mut lines_of = usize::MAX;
        for at in pixels.clone().step_by(block) {
            let count = block.min(pixels.end - at);
            let mut rows = [core::ptr::null(); BLOCK_PIXELS];
            let mut gathered = usize::MAX;
            for chunk in chunks.clone() {
                let group = chunk / per_group;
                // SAFETY: forwarded; `count ≤ BLOCK_PIXELS` pixels from `at` on exist.
                unsafe {
                    if gathered != group {
                        self.gather(args, at, group, &mut rows[..count], &mut lines_of);
                        gathered = group;
                    }
                    self.direct_chunk(args, epilogue, at, &rows[..count], group, chunk % per_group);
                }
            }
        }
    }

    /// Up to 16 channels of a block of pixels.
    ///
    /// # Safety
    /// `rows` are this group's of the pixels from `pixel` on, of `self.row` bytes each.
    unsafe fn direct_chunk(
        &self,
        args: &ConvArgs<'_>,
        epilogue: &Epilogue,
        pixel: usize,
        rows: &[*const u8],
        group: usize,
        chunk: usize,
    ) {
        let count = CHUNK.min(self.group_out - chunk * CHUNK);
        let first = group * self.group_out.div_ceil(PANEL) + chunk * (CHUNK / PANEL);
        let channel = group * self.group_out + chunk * CHUNK;
        let sums: *mut i32 = args.scratch.cast();
        let tiles = rows.len() / 4;
        // SAFETY: panels and words lie in the blob, whose length and words `check` saw; the sums have
        // room for a block; each row has `self.row` bytes; the pixels and channels exist.
        unsafe {
            let words: *const u64 = args.blob.as_ptr().add(self.words_at()).cast();
            let panels = args.blob.as_ptr().add(self.panels_at());
            for i in 0..count.div_ceil(PANEL) {
                let panel = panels.add((first + i) * PANEL * self.row);
                let words = words.add((first + i) * self.words());
                let end = words.add(self.words());
                let sums = sums.add(i * PANEL);
                if tiles > 0 {
                    direct::panel_4x4(rows.as_ptr(), tiles, panel, words, end, sums);
                }
                for (p, &row) in rows.iter().enumerate().skip(tiles * 4) {
                    direct::panel_1x4(row, panel, words, end, sums.add(p * CHUNK));
                }
            }
            if self.desc.output == ConvOutput::Float32 {
                epilogue.logits(sums, channel, count);
            } else {
                epilogue.run(sums, pixel, rows.len(), channel, count);
            }
        }
    }

    /// Finds or makes the rows of the pixels from `first` on. `lines_of` is the output row whose lines of
    /// pixels stand in the scratch.
    ///
    /// # Safety
    /// See [`crate::KernelSet`]; the pixels exist; `lines_of` tells the truth or is `usize::MAX`.
    unsafe fn gather(
        &self,
        args: &ConvArgs<'_>,
        first: usize,
        group: usize,
        rows: &mut [*const u8],
        lines_of: &mut usize,
    ) {
        let d = self.desc;
        let stride = channel_stride(d.x.c);
        if self.in_place {
            let (mut oy, mut ox) = (first / d.y.w, first % d.y.w);
            for row in rows {
                *row = args.x.wrapping_add((oy * d.stride[0] * d.x.w + ox * d.stride[1]) * stride);
                ox += 1;
                if ox == d.y.w {
                    (oy, ox) = (oy + 1, 0);
                }
            }
            return;
        }
        let [sums, bytes, _] = self.direct_scratch();
        let buffer = args.scratch.wrapping_add(sums);
        for (i, row) in rows.iter_mut().enumerate() {
            *row = buffer.wrapping_add(i * self.row);
        }
        // SAFETY: the buffer holds a row per pixel and 64 bytes, the lines follow it.
        unsafe {
            match d.source {
                Source::Tensor => self.gather_tensor(args, first, rows.len(), group, buffer),
                Source::Pixels => {
                    self.gather_pixels(args, first, rows.len(), buffer, buffer.add(bytes), lines_of);
                }
            }
        }
    }

    /// Copies the windows of `count` pixels; padding becomes the zero point.
    ///
    /// # Safety
    /// As [`Plan::gather`]; `buffer` has `count` rows.
    unsafe fn gather_tensor(
        &self,
        args: &ConvArgs<'_>,
        first: usize,
        count: usize,
        group: usize,
        buffer: *mut u8,
    ) {
        let d = self.desc;
        let stride = channel_stride(d.x.c);
        let zero = args.scalars.x_zero[0] as u8;
        // Neighbouring taps are neighbours in memory too, if all of a pixel is taken.
        let joined = d.groups == 1 && d.dilation[1] == 1;
        let x = args.x.wrapping_add(group * d.c_in());
        for i in 0..count {
            let (oy, ox) = ((first + i) / d.y.w, (first + i) % d.y.w);
            let mut to = buffer.wrapping_add(i * self.row);
            for ky in 0..d.kernel[0] {
                let iy = (oy * d.stride[0] + ky * d.dilation[0]).wrapping_sub(d.pad[0]);
                let left = (ox * d.stride[1]).wrapping_sub(d.pad[1]);
                // SAFETY: what is read are pixels inside the tensor; what is written is the row: `kernel`
                // taps of `self.tap` bytes.
                unsafe {
                    if joined && iy < d.x.h && left < d.x.w && left + d.kernel[1] <= d.x.w {
                        copy(x.add((iy * d.x.w + left) * stride), to, d.kernel[1] * self.tap);
                        to = to.add(d.kernel[1] * self.tap);
                        continue;
                    }
                    for kx in 0..d.kernel[1] {
                        let ix = left.wrapping_add(kx * d.dilation[1]);
                        if iy < d.x.h && ix < d.x.w {
                            copy(x.add((iy * d.x.w + ix) * stride), to, self.tap);
                        } else {
                            core::ptr::write_bytes(to, zero, self.tap);
                        }
                        to = to.add(self.tap);
                    }
                }
            }
        }
    }

    /// Copies the windows of `count` pixels out of the camera's bytes, as int8. The lines that an output
    /// row needs are first laid out with their padding, so that every window is whole.
    ///
    /// # Safety
    /// As [`Plan::gather`]; `buffer` has `count` rows and 64 bytes, `lines` `kernel[0]` lines.
    unsafe fn gather_pixels(
        &self,
        args: &ConvArgs<'_>,
        first: usize,
        count: usize,
        buffer: *mut u8,
        lines: *mut u8,
        lines_of: &mut usize,
    ) {
        let d = self.desc;
        let c = d.x.c;
        let (columns, line_bytes) = self.line();
        for i in 0..count {
            let (oy, ox) = ((first + i) / d.y.w, (first + i) % d.y.w);
            if *lines_of != oy {
                for ky in 0..d.kernel[0] {
                    let iy = (oy * d.stride[0] + ky * d.dilation[0]).wrapping_sub(d.pad[0]);
                    // SAFETY: a line has room for `columns` pixels; row `iy` of the image is read only if
                    // it exists, and whole, within its `x.w` pixels.
                    unsafe {
                        let line = lines.add(ky * line_bytes);
                        let zero = &args.scalars.x_zero;
                        let inside = if iy < d.x.h { d.pad[1]..d.pad[1] + d.x.w } else { columns..columns };
                        for column in (0..inside.start).chain(inside.end..columns) {
                            for (k, &z) in zero.iter().enumerate().take(c) {
                                *line.add(column * c + k) = z as u8;
                            }
                        }
                        if iy < d.x.h {
                            copy_flipped(args.x.add(iy * d.x.w * c), line.add(d.pad[1] * c), d.x.w * c);
                        }
                    }
                }
                *lines_of = oy;
            }
            let mut to = buffer.wrapping_add(i * self.row);
            for ky in 0..d.kernel[0] {
                // SAFETY: the window lies in the line. Whole vectors may read up to 15 bytes behind the
                // window, which a line has in excess, and write as much behind the row: bytes that the
                // next row overwrites later or that are the buffer's last 64.
                unsafe {
                    let line = lines.add(ky * line_bytes + ox * d.stride[1] * c);
                    if d.dilation[1] == 1 {
                        copy16(line, to, d.kernel[1] * c);
                        to = to.add(d.kernel[1] * c);
                    } else {
                        for kx in 0..d.kernel[1] {
                            core::ptr::copy_nonoverlapping(line.add(kx * d.dilation[1] * c), to, c);
                            to = to.add(c);
                        }
                    }
                }
            }
        }
    }

    /// # Safety
    /// See [`crate::KernelSet`]; the blob is a Winograd one.
    unsafe fn winograd_band(
        &self,
        args: &ConvArgs<'_>,
        epilogue: &Epilogue,
        band: usize,
        chunks: Range<usize>,
    ) {
        let d = self.desc;
        let (top, wide) = (band * self.band_rows, self.tiles().1);
        let high = (d.y.h - top).min(self.band_rows).div_ceil(TILE);
        let tiles = high * wide;
        let groups = tiles.div_ceil(GROUP);
        let steps = d.x.c / LANES;
        let [sums, v_bytes, _] = self.winograd_scratch();
        let acc: *mut i32 = args.scratch.cast();
        let v: *mut i16 = args.scratch.wrapping_add(sums).cast();
        let m: *mut i32 = args.scratch.wrapping_add(sums + v_bytes).cast();
        let u: *const i16 = args.blob.as_ptr().wrapping_add(self.words_at()).cast();
        let (position_v, position_u, position_m) = (tiles * d.x.c, d.x.c * LANES, tiles * CHUNK);
        let input = winograd::Input {
            x: args.x,
            shape: d.x,
            stride: channel_stride(d.x.c),
            zero: args.scalars.x_zero[0],
            pad: d.pad,
            patch: args.scratch,
        };
        // SAFETY: V holds 36 positions of `tiles` × c_in, M of `tiles` × CHUNK; the blob 36 · c_in · c_out
        // weights; the rows and columns of a tile that are stored exist.
        unsafe {
            for g in 0..groups {
                let (first, count) = winograd::group(tiles, groups, g);
                for t in 0..count {
                    let (row, column) = ((first + t) / wide, (first + t) % wide);
                    let to = v.add(first * d.x.c + t * LANES);
                    let step = count * LANES;
                    winograd::transform_input(&input, top + row * TILE, column * TILE, to, position_v, step);
                }
            }
            for chunk in chunks {
                for half in 0..CHUNK / LANES {
                    let u = u.add((chunk * (CHUNK / LANES) + half) * POSITIONS * position_u);
                    for g in 0..groups {
                        let (first, count) = winograd::group(tiles, groups, g);
                        let m = m.add(first * CHUNK + half * LANES);
                        let v = v.add(first * d.x.c);
                        winograd::products(count, v, position_v, u, position_u, m, position_m, steps);
                    }
                }
                for tile in 0..tiles {
                    winograd::transform_output(m.add(tile * CHUNK), position_m, acc);
                    let (oy, ox) = (top + tile / wide * TILE, tile % wide * TILE);
                    for i in 0..TILE.min(d.y.h - oy) {
                        let acc = acc.add(i * TILE * CHUNK);
                        let pixel = (oy + i) * d.y.w + ox;
                        epilogue.run(acc, pixel, TILE.min(d.y.w - ox), chunk * CHUNK, CHUNK);
                    }
                }
            }
        }
    }
}

/// True when every window of an unpadded 1×1 convolution lies inside the input.
fn covers(d: &ConvDesc) -> bool {
    d.pad == [0, 0] && (d.y.h - 1) * d.stride[0] < d.x.h && (d.y.w - 1) * d.stride[1] < d.x.w
}

/// The smallest divisor of `n` that is at least `wanted` (≤ n).
fn divisor_from(n: usize, wanted: usize) -> usize {
    (wanted..=n).find(|s| n.is_multiple_of(*s)).unwrap_or(n).min(2 * wanted.max(1)).max(1)
}

/// Copies `n` bytes, by whole vectors where there are only whole ones.
///
/// # Safety
/// `n` bytes are readable at `from` and writable at `to`, and do not overlap.
#[inline(always)]
unsafe fn copy(from: *const u8, to: *mut u8, n: usize) {
    // SAFETY: forwarded.
    unsafe {
        if n.is_multiple_of(16) { copy16(from, to, n) } else { core::ptr::copy_nonoverlapping(from, to, n) }
    }
}

/// Copies `n` bytes rounded up to whole vectors of 16.
///
/// # Safety
/// That many bytes are readable and writable, and do not overlap.
#[inline(always)]
unsafe fn copy16(from: *const u8, to: *mut u8, n: usize) {
    for i in (0..n).step_by(16) {
        // SAFETY: the caller's promise.
        unsafe {
            to.add(i).cast::<[u8; 16]>().write_unaligned(from.add(i).cast::<[u8; 16]>().read_unaligned())
        };
    }
}

/// Copies `n` bytes, each with its top bit flipped: u8 pixels to int8.
///
/// # Safety
/// `n` bytes are readable at `from` and writable at `to`, and do not overlap.
unsafe fn copy_flipped(from: *const u8, to: *mut u8, n: usize) {
    // SAFETY: the caller's promise; the last vector overlaps the one before it rather than the end.
    unsafe {
        let flip = |i: usize| {
            let p = from.add(i).cast::<u128>().read_unaligned();
            to.add(i).cast::<u128>().write_unaligned(p ^ u128::from_ne_bytes([0x80; 16]));
        };
        if n < 16 {
            for i in 0..n {
                *to.add(i) = *from.add(i) ^ 0x80;
            }
            return;
        }
        for i in (0..n - 15).step_by(16) {
            flip(i);
        }
        flip(n - 16);
    }
}
