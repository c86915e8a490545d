//! Convolution with its fused epilogue.
//!
//! ```text
//! acc[c] = bias[c] + Σ (x − x_zero)·w[c]                      int32
//! v[c]   = f32(acc[c])·m[c]  (+ f32(skip − skip_zero)·m_skip) f32, two products, then one sum
//! y      = clamp(rne(v) + z, lo, hi)                           int8
//! y2     = clamp(rne(v·gain[c] + offset[c]) + z2, lo2, hi2)    int8
//! ```
//! Layout: `x` and outputs are NHWC, weights OHWI. Taps outside the input contribute nothing. The accumulator
//! wraps on overflow; a converter never emits weights with which it could overflow. See Jacob et al.,
//! *Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference*, 2018; here the
//! fixed-point multiplier is an f32.

#[cfg(feature = "network")]
mod step;

#[cfg(feature = "alloc")]
use alloc::{format, string::String, vec};
use core::ops::Range;

use super::Operation;
#[cfg(feature = "alloc")]
use super::{Outline, Write};
use crate::record::{
    Blob, Checker, Fault, Field, Machine, NOWHERE, Reader, Span, Writer, apart, fields, record,
};
use crate::set::{ConvArgs, ConvScalars, ConvWeights, KernelSet};
use crate::shape::{ConvDesc, ConvOutput, Shape, Source};

#[cfg(feature = "network")]
pub use step::{Conv, SecondOutput, ohwi, oihw};
#[cfg(feature = "network")]
pub(super) use step::{check_output_size, window_shape};

/// The outputs of [`conv`]; slices that the description does not use remain unchanged.
pub struct ConvResult<'a> {
    /// `y`, NHWC.
    pub y: &'a mut [i8],
    /// `y2`, NHWC.
    pub y2: &'a mut [i8],
    /// `v`, for [`ConvOutput::Float32`].
    pub logits: &'a mut [f32],
}

/// See the module. `x` is int8 NHWC even if the description's source is pixels (`p − 128`).
pub fn conv(
    desc: &ConvDesc,
    weights: &ConvWeights<'_>,
    scalars: &ConvScalars,
    x: &[i8],
    skip: &[i8],
    out: ConvResult<'_>,
) {
    let ConvResult { y, y2, logits } = out;
    let row = desc.y.w * desc.y.c;
    let nth = |len: usize, oy: usize| if len == 0 { 0..0 } else { oy * row..(oy + 1) * row };
    for oy in 0..desc.y.h {
        let skip = &skip[nth(skip.len(), oy)];
        let (n, n2, nl) = (nth(y.len(), oy), nth(y2.len(), oy), nth(logits.len(), oy));
        let out = ConvResult { y: &mut y[n], y2: &mut y2[n2], logits: &mut logits[nl] };
        conv_row(desc, oy, weights, scalars, x, skip, out);
    }
}

/// Computes row `oy` of [`conv`]; `skip` and `out` are that row only.
pub fn conv_row(
    desc: &ConvDesc,
    oy: usize,
    weights: &ConvWeights<'_>,
    scalars: &ConvScalars,
    x: &[i8],
    skip: &[i8],
    out: ConvResult<'_>,
) {
    let (group_in, group_out) = (desc.c_in(), desc.y.c / desc.groups);
    for ox in 0..desc.y.w {
        for oc in 0..desc.y.c {
            let first_in = oc / group_out * group_in;
            let mut acc = weights.bias[oc];
            for ky in 0..desc.kernel[0] {
                for kx in 0..desc.kernel[1] {
                    let iy = (oy * desc.stride[0] + ky * desc.dilation[0]).checked_sub(desc.pad[0]);
                    let ix = (ox * desc.stride[1] + kx * desc.dilation[1]).checked_sub(desc.pad[1]);
                    let (Some(iy), Some(ix)) = (iy, ix) else { continue };
                    if iy >= desc.x.h || ix >= desc.x.w {
                        continue;
                    }
                    let pixel = &x[(iy * desc.x.w + ix) * desc.x.c..][first_in..][..group_in];
                    let tap = &weights.weights
                        [((oc * desc.kernel[0] + ky) * desc.kernel[1] + kx) * group_in..][..group_in];
                    for (i, (&q, &w)) in pixel.iter().zip(tap).enumerate() {
                        let zero = if weights.x_zero.len() == 1 {
                            weights.x_zero[0]
                        } else {
                            weights.x_zero[first_in + i]
                        };
                        acc = acc.wrapping_add((i32::from(q) - i32::from(zero)) * i32::from(w));
                    }
                }
            }
            let at = ox * desc.y.c + oc;
            let mut v = acc as f32 * weights.multiplier[oc];
            if desc.skip {
                let residual = (i32::from(skip[at]) - i32::from(scalars.skip_zero)) as f32;
                v += residual * scalars.skip_multiplier;
            }
            if desc.output == ConvOutput::Float32 {
                out.logits[at] = v;
            }
            if desc.output.has_int8() {
                out.y[at] = scalars.y.apply(v);
            }
            if desc.output.has_affine() {
                out.y2[at] = scalars.y2.apply(v * weights.gain[oc] + weights.offset[oc]);
            }
        }
    }
}

impl Field for Source {
    fn write(&self, to: &mut Writer<'_>) {
        to.u32(u32::from(*self == Self::Pixels));
    }
    fn read(from: &mut Reader<'_>) -> Self {
        match from.u32() {
            0 => Self::Tensor,
            1 => Self::Pixels,
            _ => {
                from.refuse();
                Self::Tensor
            }
        }
    }
}

impl Field for ConvOutput {
    fn write(&self, to: &mut Writer<'_>) {
        to.u32(match self {
            Self::Int8 => 0,
            Self::Int8AndAffine => 1,
            Self::Affine => 2,
            Self::Float32 => 3,
        });
    }
    fn read(from: &mut Reader<'_>) -> Self {
        match from.u32() {
            0 => Self::Int8,
            1 => Self::Int8AndAffine,
            2 => Self::Affine,
            3 => Self::Float32,
            _ => {
                from.refuse();
                Self::Int8
            }
        }
    }
}

fields!(ConvDesc { x, y, kernel, stride, dilation, pad, groups, source, skip, output });
fields!(ConvScalars { x_zero, skip_zero, skip_multiplier, y, y2 });
fields!(Stripes { x_rows, y_rows, with_next, scratch });

/// How a convolution shares memory in a plan for little memory: see `foldnet_plan::stripes`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stripes {
    /// The number of rows in the input's buffer: `desc.x.h`, unless the step before runs in turns with this one.
    pub x_rows: u32,
    /// The number of rows in the output's buffer: `desc.y.h`, unless this step runs in turns with the next one.
    pub y_rows: u32,
    /// Whether this step and the next run in turns.
    pub with_next: bool,
    /// The offset of the step's scratch in the arena, or [`NOWHERE`] to use each thread's own.
    pub scratch: u32,
}

impl Stripes {
    /// Returns an ordinary step with whole tensors and the threads' scratch.
    pub fn none(desc: &ConvDesc) -> Self {
        Self { x_rows: desc.x.h as u32, y_rows: desc.y.h as u32, with_next: false, scratch: NOWHERE }
    }
}

record! {
    /// A convolution in a plan, with its fused epilogue.
    pub struct ConvRecord {
        /// The convolution's description.
        pub desc: ConvDesc,
        /// The scalars.
        pub scalars: ConvScalars,
        /// Input; unused for pixels.
        pub x: u32,
        /// The residual; unused if there is none. It may be the output.
        pub skip: u32,
        /// Output.
        pub y: u32,
        /// The second output; unused if there is none.
        pub y2: u32,
        /// The packed constants in the plan.
        pub blob: Blob,
        /// Whether the step is worth splitting over threads.
        pub parallel: bool,
        /// How the step shares memory with its neighbours.
        pub stripes: Stripes,
    }
}

/// The arena ranges that a convolution accesses; those that it does not have are empty.
pub struct Spans {
    /// Input.
    pub x: Span,
    /// Residual.
    pub skip: Span,
    /// Output.
    pub y: Span,
    /// Second output.
    pub y2: Span,
    /// Its own scratch.
    pub scratch: Span,
}

impl ConvRecord {
    /// Returns the ranges of its tensors and its scratch, or `None` if one is outside the arena.
    pub fn spans(&self, plan: &Checker<'_>) -> Option<Spans> {
        let (desc, s) = (&self.desc, &self.stripes);
        // An empty span overlaps nothing.
        let none = (0, 0);
        let rows = |shape: Shape, rows: u32| {
            let rows = rows as usize;
            (1..=shape.h).contains(&rows).then_some(Shape { h: rows, ..shape })
        };
        Some(Spans {
            x: match desc.source {
                Source::Pixels if desc.x != plan.input => return None,
                // The pixels are in the arena if the plan runs in place.
                Source::Pixels if plan.pixels != NOWHERE => plan.span(plan.pixels, desc.x.len())?,
                Source::Pixels => none,
                Source::Tensor => plan.tensor(self.x, rows(desc.x, s.x_rows)?)?,
            },
            y: match desc.output {
                ConvOutput::Affine => none,
                ConvOutput::Float32 => plan.span(self.y, 4 * desc.y.c)?,
                _ => plan.tensor(self.y, rows(desc.y, s.y_rows)?)?,
            },
            y2: if desc.output.has_affine() { plan.tensor(self.y2, desc.y)? } else { none },
            skip: if desc.skip { plan.tensor(self.skip, desc.y)? } else { none },
            scratch: if s.scratch == NOWHERE {
                none
            } else {
                plan.span(s.scratch, plan.set.conv_scratch_bytes(desc))?
            },
        })
    }
}

impl Operation for ConvRecord {
    const CODE: u32 = 1;

    fn check(&self, plan: &Checker<'_>) -> Result<(), Fault> {
        self.desc.validate()?;
        let s = &self.scalars;
        plan.scalars(&[s.skip_multiplier], &[s.y, s.y2])?;
        let Spans { x, skip, y, y2, scratch } = self.spans(plan).ok_or(Fault::Tensor)?;
        plan.all(Some(
            apart(x, y)
                && apart(x, y2)
                && apart(y, y2)
                && apart(skip, y2)
                && (apart(skip, y) || skip == y)
                && [x, skip, y, y2].iter().all(|&t| apart(t, scratch)),
        ))?;
        let enough = self.stripes.scratch != NOWHERE
            || plan.set.conv_scratch_bytes(&self.desc) <= plan.scratch as usize;
        match self.blob.get(plan.plan) {
            Some(b) if enough && plan.set.check_conv(&self.desc, b) => Ok(()),
            _ => Err(Fault::Constants),
        }
    }

    fn tasks(&self, set: &dyn KernelSet) -> usize {
        set.conv_tasks(&self.desc)
    }

    fn alone(&self) -> bool {
        !self.parallel || self.stripes.scratch != NOWHERE
    }

    unsafe fn run(&self, on: &Machine<'_>, thread: usize, tasks: Range<usize>) {
        // `check` has found the constants.
        let Some(blob) = self.blob.get(on.plan()) else { return };
        let args = ConvArgs {
            desc: &self.desc,
            scalars: &self.scalars,
            blob,
            x: match self.desc.source {
                Source::Pixels => on.pixels(),
                Source::Tensor => on.at(self.x),
            },
            skip: on.at(self.skip),
            y: on.at(self.y),
            y2: on.at(self.y2),
            x_rows: self.stripes.x_rows as usize,
            y_rows: self.stripes.y_rows as usize,
            scratch: match self.stripes.scratch {
                NOWHERE => on.scratch(thread),
                at => on.at(at),
            },
        };
        // SAFETY: the record was checked; the tasks and the scratch belong to this thread.
        unsafe { on.set().conv(&args, tasks) }
    }

    #[cfg(feature = "alloc")]
    fn blob(&mut self) -> Option<&mut Blob> {
        Some(&mut self.blob)
    }

    #[cfg(feature = "alloc")]
    fn outline(&self) -> Outline {
        let ConvDesc { x, y, source, skip, output, .. } = self.desc;
        let first = (!output.has_affine() || output.has_int8()).then_some(self.y);
        let first = first.map(|at| Write { at, shape: y, int8: output.has_int8() });
        let second = output.has_affine().then_some(Write { at: self.y2, shape: y, int8: true });
        let input = (source == Source::Tensor).then_some(self.x);
        Outline {
            what: words(&self.desc),
            shapes: format!("{x} → {y}"),
            reads: input.into_iter().chain(skip.then_some(self.skip)).collect(),
            writes: first.into_iter().chain(second).collect(),
        }
    }
}

/// Formats the options, as in `conv 3×3 /2 +skip +affine`.
#[cfg(feature = "alloc")]
fn words(desc: &ConvDesc) -> String {
    let mut words = vec![format!("conv {}×{}", desc.kernel[0], desc.kernel[1])];
    if desc.stride != [1, 1] {
        words.push(format!("/{}", desc.stride[0]));
    }
    if desc.groups > 1 {
        words.push(format!("in {} groups", desc.groups));
    }
    if desc.skip {
        words.push("+skip".into());
    }
    if desc.output.has_affine() {
        words.push(if desc.output.has_int8() { "+affine".into() } else { "affine".into() });
    }
    words.join(" ")
}
