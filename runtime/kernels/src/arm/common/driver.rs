//! The loops around the tile: tasks, window rows, panels, rows of pixels.

use core::mem::size_of;
use core::ops::Range;

use super::epilogue::Epilogue;
use super::geometry::Geometry;
use super::pack_a::fill_row;
use super::tile::{Isa, Sums};
use crate::set::ConvArgs;
use crate::shape::{ConvDesc, ConvOutput};

/// Runs some tasks of a convolution.
///
/// # Safety
/// See [`crate::KernelSet`].
pub(crate) unsafe fn run<I: Isa>(args: &ConvArgs<'_>, tasks: Range<usize>) {
    let d = args.desc;
    let g = Geometry::new::<I>(d);
    let window = args.scratch.cast::<I::Element>();
    let advance = g.rows * d.stride[0];
    // Rows at the end of the window that are at the start of the next window.
    let shared = g.height.saturating_sub(advance);
    let mut keep = 0;
    for task in tasks {
        let first = task * g.rows;
        let rows = g.rows.min(d.y.h.saturating_sub(first));
        // SAFETY: the window has `height` rows of `row` elements, and `shared + advance ≤ height` if rows are
        // kept. Everything below stays inside the sizes computed by `Geometry`.
        unsafe {
            if keep > 0 {
                I::shift(window, window.add(advance * g.row), keep * g.row * size_of::<I::Element>());
            }
            for i in keep..g.height {
                fill_row::<I>(
                    args,
                    &g,
                    (first * d.stride[0] + i).wrapping_sub(d.pad[0]),
                    window.add(i * g.row),
                );
            }
            keep = shared;
            panels::<I>(args, &g, first, rows);
        }
    }
}

/// Computes all output channels of the rows whose input is in the window.
unsafe fn panels<I: Isa>(args: &ConvArgs<'_>, g: &Geometry, first: usize, rows: usize) {
    let d = args.desc;
    let per_group = g.padded_group / I::NR;
    let vector = g.vector(d);
    let size = size_of::<I::Element>();
    for group in 0..d.groups {
        for panel in 0..per_group {
            let padded = group * g.padded_group + panel * I::NR;
            let channel = group * g.group + panel * I::NR;
            let channels = I::NR.min(g.group - panel * I::NR);
            // SAFETY: the blob was checked to have the size that `Geometry` requires, and so was the scratch.
            unsafe {
                let constants = args.blob.as_ptr().cast::<f32>().add(padded);
                let packed =
                    args.blob.as_ptr().add(g.head(d) + (group * per_group + panel) * g.panel_bytes::<I>());
                let weights = I::unpack(packed.cast(), g.panel_bytes::<I>(), args.scratch.add(g.weights));
                let out = args.scratch.add(g.sums).cast::<i32>();
                let step = d.stride[1] * g.channels * size;
                let mut sums = Sums {
                    x: args.scratch,
                    step,
                    gap: g.row.saturating_sub(g.segment) * size,
                    segments: g.segments,
                    segment: g.segment,
                    weights,
                    bias: constants.cast(),
                    out,
                    pixels: g.pixels,
                };
                for row in 0..rows {
                    let x = args.scratch.add(row * d.stride[0] * g.row * size);
                    if g.gather {
                        gathered::<I>(args, g, group, x.cast(), &mut sums);
                        sums.out = out;
                    } else {
                        sums.x = x;
                        I::sums(&sums);
                    }
                    let oy = first + row;
                    let place = oy.checked_rem(args.y_rows).unwrap_or(0);
                    let width = d.y.w * d.y.c;
                    let float = d.output == ConvOutput::Float32;
                    let epilogue = Epilogue {
                        scalars: args.scalars,
                        output: d.output,
                        has_skip: d.skip,
                        sums: out,
                        multiplier: constants.add(vector),
                        gain: constants.wrapping_add(2 * vector),
                        offset: constants.wrapping_add(3 * vector),
                        skip: args.skip.cast::<i8>().wrapping_add(oy * width + channel),
                        y: args.y.cast::<i8>().wrapping_add(place * width + channel),
                        y2: args.y2.cast::<i8>().wrapping_add(oy * width + channel),
                        logits: if float { args.y.cast::<f32>().add(channel) } else { args.y.cast() },
                        stride: d.y.c,
                    };
                    I::finish(&epilogue, channels, d.y.w);
                }
            }
        }
    }
}

/// Sums a row whose pixels do not read contiguous runs: first copies each tile's patches together.
unsafe fn gathered<I: Isa>(
    args: &ConvArgs<'_>,
    g: &Geometry,
    group: usize,
    row: *const I::Element,
    sums: &mut Sums,
) {
    let d: &ConvDesc = args.desc;
    let c_in = d.x.c.checked_div(d.groups).unwrap_or(0);
    let pixels = sums.pixels;
    // SAFETY: `Geometry` gave the patches `MR × segment` elements, and the window's columns extend to the last tap
    // of the last padded pixel.
    unsafe {
        let patches = args.scratch.add(g.patches).cast::<I::Element>();
        sums.x = patches.cast();
        sums.step = g.segment * size_of::<I::Element>();
        sums.pixels = I::MR;
        for pixel in (0..pixels).step_by(I::MR) {
            for p in 0..I::MR {
                let mut k = 0;
                for ky in 0..d.kernel[0] {
                    for kx in 0..d.kernel[1] {
                        let column = (pixel + p) * d.stride[1] + kx * d.dilation[1];
                        let at = row.add(ky * d.dilation[0] * g.row + column * g.channels);
                        for c in group * c_in..(group + 1) * c_in {
                            *patches.add(p * g.segment + I::place(k)) = *at.add(I::place(c));
                            k += 1;
                        }
                    }
                }
            }
            I::sums(sums);
            sums.out = sums.out.add(I::MR * I::NR);
        }
        sums.pixels = pixels;
    }
}
