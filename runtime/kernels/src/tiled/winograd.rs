//! The loops around 3×3 convolutions of stride 1 by exact Winograd, see [`crate::winograd`].
//!
//! ```text
//! for block of tile rows (its V fits in V_BYTES)
//!     for tile, 16 channels: V[ξ] = Bᵀ d B                     36 × 16 int16, ξ = 0…35
//!     for panel of 16 output channels
//!         U = G g Gᵀ                                           36 × [c_in / 2][16][2] int16
//!         for AT_ONCE tiles
//!             for part of the depth
//!                 for ξ, group of tiles: M[ξ] = V[ξ]·U[ξ]      [tiles × c_in]·[c_in × 16], int32
//!                 for tile: Aᵀ M A, divide, add                into the tile's 16 × 16 sums
//!             epilogue
//! ```
//! 1. Weights stay in the int8 blob of the direct kernel, so a plan is no larger, and are transformed again in
//!    each inference. That takes eight instructions per pair of channels, as much as two tiles' products. U read
//!    from memory would be 72 bytes where the blob has 9. Computing U for a few channels at a time, so that it
//!    stays in the first-level cache, was tried for layers with few tiles and was slower: M is then read and
//!    written for each group of channels.
//! 2. Tiles at the edge compute outputs that do not exist and drop them: 14 = 4·4 − 2 takes 24 MACs per line.
//! 3. Padding is not copied: a tile has 36 pointers to pixels, and those outside point to a pixel of zero points.
//! 4. Positions are a cache line further apart than a power of two, so that their 36 streams of writes do not meet
//!    in one set of the first-level cache.

use core::ops::Range;

use super::epilogue::{Epilogue, MODES, Outputs};
use super::geometry::{Geometry, Tiling};
use super::pack_b::BlobLayout;
use crate::set::ConvArgs;
use crate::shape::{ConvDesc, ConvOutput, Source};
use crate::winograd::{DEPTH, POSITIONS, REACH, TILE, most_parts, part};

/// The number of output channels of a panel.
pub(crate) const CHANNELS: usize = 16;
/// The largest number of tiles of a register tile.
pub(crate) const GROUP: usize = 6;
/// The number of tiles whose products are stored at once: their M, 55 kB, shares the second-level cache with U.
const AT_ONCE: usize = 4 * GROUP;
/// The largest size of V of a block of tile rows in bytes.
const V_BYTES: usize = 768 << 10;
/// The largest size of V of one row of tiles in bytes; above it, the scratch would be too large for its benefit.
const MOST_V_BYTES: usize = 8 * V_BYTES;
/// The additional int16s between positions in V and U, see the module.
const APART: usize = 32;
/// The number of channels that the input's transform processes at once.
const INPUT_CHANNELS: usize = 16;

/// The part that an instruction set provides.
///
/// # Safety of the functions
/// The CPU has the set's features, and the pointers cover the range that the sizes imply.
pub(crate) struct Kernels {
    /// The layout of the blob: panels of [`CHANNELS`], pairs of depth.
    pub tiling: &'static Tiling,
    /// Computes `V[ξ] = Bᵀ d B` of the 36 stored pixels of a tile, all `channels`; positions are `position` int16s
    /// apart.
    pub input: unsafe fn(pixels: &[*const u8; POSITIONS], v: *mut i16, position: usize, channels: usize),
    /// Computes `U[ξ] = G g Gᵀ` of a panel's blob, `[9][pairs][16][2]` int8; positions are `position` int16s
    /// apart.
    pub weights: unsafe fn(blob: *const u8, u: *mut i16, position: usize, pairs: usize),
    /// The products by the number of tiles − 1.
    pub products: &'static [ProductFn; GROUP],
    /// Computes the 4×4 sums of a tile, `[16][CHANNELS]`, from its M; adds them to `start` ([`CHANNELS`] of them)
    /// or, if that is null, to the content of `sums`.
    pub output: unsafe fn(m: *const i32, start: *const i32, sums: *mut i32),
    /// The epilogue of a row of 1 to 4 pixels' sums, by mode and pixels − 1.
    pub rows: &'static [[RowFn; TILE]; MODES],
    /// The cost of the direct kernel and of this one per MAC, in sixteenths of an instruction.
    pub price: [u64; 2],
}

/// Computes `m[t][0..16] = Σ_k v[t][k]·u[k][0..16]` over pairs of channels; tiles are `tile` int16s apart in V and
/// [`M_TILE`] int32s in M.
///
/// # Safety
/// See [`Kernels`].
pub(crate) type ProductFn = unsafe fn(v: *const i16, tile: usize, u: *const i16, m: *mut i32, pairs: usize);

/// See [`Kernels::rows`].
///
/// # Safety
/// See [`Kernels`].
pub(crate) type RowFn = unsafe fn(sums: *const i32, out: &Outputs, e: &Epilogue);

/// The size of one tile's M in int32s: `[36][CHANNELS]`.
pub(crate) const M_TILE: usize = POSITIONS * CHANNELS;
/// The size of one tile's sums in int32s.
const SUMS_TILE: usize = TILE * TILE * CHANNELS;

/// Returns whether Winograd can compute a convolution in fewer instructions than the direct kernel.
pub(crate) fn suits(d: &ConvDesc, kernels: &Kernels) -> bool {
    let possible = d.kernel == [3, 3]
        && d.stride == [1, 1]
        && d.dilation == [1, 1]
        && d.groups == 1
        && d.source == Source::Tensor
        && d.x.c.is_multiple_of(INPUT_CHANNELS)
        && d.y.c.is_multiple_of(CHANNELS)
        && d.output != ConvOutput::Float32
        && 2 * POSITIONS * d.y.w.div_ceil(TILE) * d.x.c <= MOST_V_BYTES;
    if !possible {
        return false;
    }
    let p = WinogradGeometry::new(d);
    let (tiles, c_in, c_out) = ((p.tiles[0] * p.tiles[1]) as u64, d.x.c as u64, d.y.c as u64);
    let [direct, product] = kernels.price;
    let product = tiles * POSITIONS as u64 * c_in * c_out * product / 16;
    let transforms = tiles * (22 * c_in + 45 * p.parts as u64 * c_out) + 9 * c_in * c_out;
    product + transforms < d.macs() * direct / 16
}

/// The sizes that follow from the shape.
struct WinogradGeometry {
    /// Rows and columns of tiles.
    tiles: [usize; 2],
    /// Rows of tiles per block.
    block_rows: usize,
    panels: usize,
    /// Whether tasks are panels rather than rows of tiles: each thread transforms all input, but only its weights.
    by_panel: bool,
    /// The number of parts of the depth for which the division is exact.
    parts: usize,
}

impl WinogradGeometry {
    fn new(d: &ConvDesc) -> Self {
        let tiles = [d.y.h.div_ceil(TILE), d.y.w.div_ceil(TILE)];
        let most = V_BYTES / (2 * POSITIONS * tiles[1] * d.x.c);
        Self {
            tiles,
            block_rows: most.clamp(1, tiles[0]),
            panels: d.y.c / CHANNELS,
            by_panel: d.y.c >= tiles[0] * tiles[1] * 2,
            parts: most_parts(d.x.c / DEPTH),
        }
    }

    /// Returns the distance in int16s from position to position in V, and in U.
    fn positions(&self, d: &ConvDesc) -> [usize; 2] {
        [self.block_rows * self.tiles[1] * d.x.c + APART, d.x.c * CHANNELS + APART]
    }

    /// Returns the sizes in bytes of the zero points, V, U, M and the sums.
    fn scratch(&self, d: &ConvDesc) -> [usize; 5] {
        let [v, u] = self.positions(d).map(|p| 2 * POSITIONS * p);
        [d.x.c, v, u, 4 * AT_ONCE * M_TILE, 4 * AT_ONCE * SUMS_TILE].map(|n| n.next_multiple_of(64))
    }
}

/// See [`crate::KernelSet::conv_scratch_bytes`].
pub(crate) fn scratch_bytes(d: &ConvDesc) -> usize {
    WinogradGeometry::new(d).scratch(d).iter().sum()
}

/// See [`crate::KernelSet::conv_tasks`].
pub(crate) fn tasks(d: &ConvDesc) -> usize {
    let p = WinogradGeometry::new(d);
    if p.by_panel { p.panels } else { p.tiles[0] }
}

/// Runs tasks of a convolution that [`suits`].
///
/// # Safety
/// The same as for [`crate::KernelSet::conv`], and the CPU has the features of `kernels`.
pub(crate) unsafe fn conv(args: &ConvArgs<'_>, tasks: Range<usize>, kernels: &Kernels) {
    if tasks.is_empty() {
        return;
    }
    let d = args.desc;
    let geometry = WinogradGeometry::new(d);
    let (rows, panels) =
        if geometry.by_panel { (0..geometry.tiles[0], tasks) } else { (tasks, 0..geometry.panels) };
    let layout = BlobLayout::new(d, kernels.tiling, &Geometry::new(d, kernels.tiling));
    let driver = Driver { args, kernels, epilogue: Epilogue::new(args), layout, geometry };
    let blocks = rows.len().div_ceil(driver.geometry.block_rows);
    let at = |i: usize| rows.start + i * rows.len() / blocks;
    // SAFETY: guaranteed by the caller; a block has at most `block_rows` rows.
    unsafe {
        for block in 0..blocks {
            driver.transform_input(at(block)..at(block + 1));
            for panel in panels.clone() {
                driver.panel(panel, at(block)..at(block + 1));
            }
        }
    }
}

struct Driver<'a> {
    args: &'a ConvArgs<'a>,
    kernels: &'a Kernels,
    epilogue: Epilogue,
    layout: BlobLayout,
    geometry: WinogradGeometry,
}

impl Driver<'_> {
    /// Returns the addresses of the zero points, V, U, M and the sums.
    fn places(&self) -> [*mut u8; 5] {
        let mut at = self.args.scratch;
        self.geometry.scratch(self.args.desc).map(|bytes| {
            let place = at;
            at = at.wrapping_add(bytes);
            place
        })
    }

    /// Computes V of some rows of tiles.
    ///
    /// # Safety
    /// The same as for [`conv`]; at most `block_rows` of them.
    unsafe fn transform_input(&self, rows: Range<usize>) {
        let d = self.args.desc;
        let [zeros, v, ..] = self.places();
        let [position, _] = self.geometry.positions(d);
        // SAFETY: the zero points have room for a pixel; of pixels inside the input only the existing channels are
        // read; V has room for the block's tiles.
        unsafe {
            zeros.write_bytes(self.args.scalars.x_zero[0] as u8 ^ 0x80, d.x.c);
            let mut v: *mut i16 = v.cast();
            for ty in rows {
                for tx in 0..self.geometry.tiles[1] {
                    let mut pixels = [zeros.cast_const(); POSITIONS];
                    for (i, line) in pixels.chunks_exact_mut(REACH).enumerate() {
                        let Some(iy) = (TILE * ty + i).checked_sub(d.pad[0]).filter(|&y| y < d.x.h) else {
                            continue;
                        };
                        for (j, pixel) in line.iter_mut().enumerate() {
                            match (TILE * tx + j).checked_sub(d.pad[1]) {
                                Some(ix) if ix < d.x.w => *pixel = self.args.x.add((iy * d.x.w + ix) * d.x.c),
                                _ => {}
                            }
                        }
                    }
                    (self.kernels.input)(&pixels, v, position, d.x.c);
                    v = v.add(d.x.c);
                }
            }
        }
    }

    /// Computes one panel of the output channels of some rows of tiles, whose V is ready.
    ///
    /// # Safety
    /// The same as for [`conv`].
    unsafe fn panel(&self, panel: usize, rows: Range<usize>) {
        let (args, d, k) = (self.args, self.args.desc, self.kernels);
        let [_, v, u, m, sums] = self.places();
        let (v, u, m, sums): (*const i16, *mut i16, *mut i32, *mut i32) =
            (v.cast(), u.cast(), m.cast(), sums.cast());
        let [v_position, u_position] = self.geometry.positions(d);
        let tiles = rows.len() * self.geometry.tiles[1];
        let vector = panel * CHANNELS / k.tiling.lanes;
        let steps = d.x.c / DEPTH;
        // SAFETY: addresses are inside the blob and the scratch whose sizes `BlobLayout` and `WinogradGeometry`
        // gave for this description.
        unsafe {
            let constants = args.blob.as_ptr().add(vector * k.tiling.lanes * 4);
            let weights = args.blob.as_ptr().add(self.layout.weights + vector * self.layout.vector_bytes);
            (k.weights)(weights, u, u_position, d.x.c / 2);
            let mut out = Outputs {
                constants,
                constants_stride: self.layout.constants,
                skip: args.skip,
                y: args.y,
                y2: args.y2,
                stride: d.y.c,
                channels: CHANNELS,
            };
            let rounds = tiles.div_ceil(AT_ONCE);
            for round in 0..rounds {
                let (first, end) = (tiles * round / rounds, tiles * (round + 1) / rounds);
                let count = end - first;
                let groups = count.div_ceil(GROUP);
                for p in 0..self.geometry.parts {
                    let (from, to) = part(steps, self.geometry.parts, p);
                    for position in 0..POSITIONS {
                        let v = v.add(position * v_position + first * d.x.c + from * DEPTH);
                        let u = u.add(position * u_position + from * DEPTH * CHANNELS);
                        for g in 0..groups {
                            let (at, next) = (count * g / groups, count * (g + 1) / groups);
                            k.products[next - at - 1](
                                v.add(at * d.x.c),
                                d.x.c,
                                u,
                                m.add(at * M_TILE + position * CHANNELS),
                                (to - from) * DEPTH / 2,
                            );
                        }
                    }
                    let start = if p == 0 { constants.cast() } else { core::ptr::null() };
                    for t in 0..count {
                        (k.output)(m.add(t * M_TILE), start, sums.add(t * SUMS_TILE));
                    }
                }
                for t in 0..count {
                    let tile = rows.start * self.geometry.tiles[1] + first + t;
                    let (oy, ox) =
                        (tile / self.geometry.tiles[1] * TILE, tile % self.geometry.tiles[1] * TILE);
                    self.epilogue_tile(sums.add(t * SUMS_TILE), oy, ox, panel * CHANNELS, &mut out);
                }
            }
        }
    }

    /// Writes those of a tile's outputs that exist; the first is (`oy`, `ox`).
    ///
    /// # Safety
    /// The same as for [`conv`].
    unsafe fn epilogue_tile(
        &self,
        sums: *const i32,
        oy: usize,
        ox: usize,
        channel: usize,
        out: &mut Outputs,
    ) {
        let (args, d) = (self.args, self.args.desc);
        let run = self.kernels.rows[self.epilogue.mode()][TILE.min(d.y.w - ox) - 1];
        for i in 0..TILE.min(d.y.h - oy) {
            let at = ((oy + i) * d.y.w + ox) * d.y.c + channel;
            out.skip = args.skip.wrapping_add(at);
            out.y = args.y.wrapping_add(at);
            out.y2 = args.y2.wrapping_add(at);
            // SAFETY: the row's pixels exist; pointers that the mode does not use are not dereferenced.
            unsafe { run(sums.add(i * TILE * CHANNELS), out, &self.epilogue) };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::vec;
    use std::vec::Vec;

    use super::*;
    use crate::testing::{Aligned, Rng};
    #[cfg(target_arch = "wasm32")]
    use crate::wasm32::WINOGRAD;
    #[cfg(target_arch = "x86_64")]
    use crate::x86_64::WINOGRAD;
    use crate::{ConvScalars, ConvWeights, KernelSet, Requant, Shape, dispatch, reference};

    fn desc(h: usize, w: usize, c_in: usize, c_out: usize) -> ConvDesc {
        ConvDesc {
            x: Shape::new(h, w, c_in),
            y: Shape::new(h, w, c_out),
            kernel: [3, 3],
            stride: [1, 1],
            dilation: [1, 1],
            pad: [1, 1],
            groups: 1,
            source: Source::Tensor,
            skip: false,
            output: ConvOutput::Int8,
        }
    }

    /// Compares with the definition; the multipliers are such that the largest sum is barely not clamped.
    fn check(set: &dyn KernelSet, d: &ConvDesc, weights: &[i8], x: &[i8], x_zero: i8) {
        let multiplier = vec![1.0 / (255.0 * d.depth() as f32); d.y.c];
        let w = ConvWeights {
            weights,
            bias: &vec![1000; d.y.c],
            multiplier: &multiplier,
            gain: &[],
            offset: &[],
            x_zero: &[x_zero],
        };
        let y = Requant::full(0);
        let scalars = ConvScalars { x_zero: [x_zero; 4], skip_zero: 0, skip_multiplier: 0.0, y, y2: y };
        let mut expected = vec![0; d.y.len()];
        let out = reference::ConvResult { y: &mut expected, y2: &mut [], logits: &mut [] };
        reference::conv(d, &w, &scalars, x, &[], out);
        let blob = Aligned::from(&set.pack_conv(d, &w));
        let mut input = Aligned::new(set.tensor_bytes(d.x), 0);
        set.write_tensor(d.x, x, input.get_mut());
        let mut output = Aligned::new(set.tensor_bytes(d.y), 0);
        let mut scratch = Aligned::new(set.conv_scratch_bytes(d), 0xcc);
        let y = output.get_mut().as_mut_ptr();
        let args = ConvArgs {
            desc: d,
            scalars: &scalars,
            blob: blob.get(),
            x: input.get().as_ptr(),
            skip: y,
            y,
            y2: y,
            x_rows: d.x.h,
            y_rows: d.y.h,
            scratch: scratch.get_mut().as_mut_ptr(),
        };
        // SAFETY: a valid description, buffers of the sizes that the set requested.
        unsafe { set.conv(&args, 0..set.conv_tasks(d)) };
        assert!(set.read_tensor(d.y, output.get()) == expected, "{d:?}, zero point {x_zero}");
    }

    /// Returns a set whose convolutions use Winograd.
    const SET: &str = if cfg!(target_arch = "x86_64") { "avx2" } else { "simd128" };

    fn set() -> Option<&'static dyn KernelSet> {
        let set = dispatch::by_name(SET).ok();
        if set.is_none() {
            std::println!("SKIPPED: this CPU lacks {SET}");
        }
        set
    }

    /// Tests the deepest sum that is divided in one part, and deeper ones; all products have one sign.
    #[test]
    fn depths_at_the_limit() {
        let Some(set) = set() else { return };
        for (c_in, parts) in [(224, 1), (240, 2), (448, 2), (464, 3)] {
            let d = desc(9, 8, c_in, 32);
            assert_eq!(WinogradGeometry::new(&d).parts, parts);
            for (w, x, x_zero) in [(-127, -128, 127), (127, -128, 0), (127, 127, -128), (100, -128, -128)] {
                check(set, &d, &vec![w; d.y.c * d.depth()], &vec![x; d.x.len()], x_zero);
            }
        }
    }

    /// Tests inputs and weights that drive every position of the transformed tile to its extremes.
    #[test]
    fn extremes() {
        let Some(set) = set() else { return };
        let mut rng = Rng(12);
        for side in [3, 4, 5, 7, 14] {
            let d = desc(side, side, 16, 32);
            let mut either = |n: usize, a: i8, b: i8| -> Vec<i8> {
                (0..n).map(|_| if rng.bits().is_multiple_of(2) { a } else { b }).collect()
            };
            let (weights, x) = (either(d.y.c * d.depth(), -127, 127), either(d.x.len(), -128, 127));
            for x_zero in [-128, 0, 127] {
                check(set, &d, &weights, &x, x_zero);
            }
        }
    }

    /// Tests sides that end in parts of tiles, tasks of both kinds, and more rows of tiles than one block has.
    #[test]
    fn tilings() {
        let Some(set) = set() else { return };
        let mut rng = Rng(13);
        for (h, w, c_in, c_out) in
            [(5, 13, 32, 48), (10, 14, 16, 160), (13, 47, 32, 16), (31, 8, 16, 16), (9, 50, 1024, 16)]
        {
            let d = desc(h, w, c_in, c_out);
            let geometry = WinogradGeometry::new(&d);
            assert!(suits(&d, &WINOGRAD), "{d:?}");
            assert_eq!(geometry.block_rows < geometry.tiles[0], c_in == 1024);
            let mut any = |n: usize, lo| -> Vec<i8> { (0..n).map(|_| rng.range(lo, 127) as i8).collect() };
            let (weights, x) = (any(d.y.c * d.depth(), -127), any(d.x.len(), -128));
            check(set, &d, &weights, &x, -5);
        }
    }
}
