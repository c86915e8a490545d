//! The bytes of a plan.
//!
//! Little-endian. A [`Header`] of 128 bytes, then `steps` records of [`RECORD`] bytes, then packed
//! constants at multiples of [`ALIGN`] from the start. Nothing in it is an address. The checksum
//! (CRC-32/ISO-HDLC) covers everything behind the checksum field. A plan is bound to the kernel set
//! whose name it carries, since that set alone knows the layout of its blobs, and to this version.

use foldnet_kernels::{
    ALIGN, AddScalars, AvgPoolScalars, ConvDesc, ConvOutput, ConvScalars, MAX_TERMS, PoolDesc, Requant,
    ScaleScalars, Shape, Source, SumTerm,
};

/// The first four bytes.
pub const MAGIC: [u8; 4] = *b"FNPL";
/// The version that this build writes and reads. It changes with any change of format or of any blob.
pub const VERSION: u32 = 4;
/// Bytes of the header.
pub const HEADER: usize = 128;
/// Bytes of a step's record.
pub const RECORD: usize = 144;
/// In place of an offset: there is none.
pub const NOWHERE: u32 = u32::MAX;
/// Where the checksum stands.
pub(crate) const CRC_AT: usize = 8;

/// What stands first. Offsets and sizes in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// CRC-32 of everything behind this field.
    pub crc: u32,
    /// Length of the whole plan.
    pub len: u32,
    /// Number of steps.
    pub steps: u32,
    /// Size of the arena.
    pub arena: u32,
    /// Scratch that each thread needs.
    pub scratch: u32,
    /// The input: u8 pixels, HWC.
    pub input: Shape,
    /// Where the logits stand in the arena, as f32.
    pub logits: u32,
    /// How many logits there are.
    pub classes: u32,
    /// Name of the kernel set, padded with zeros.
    pub set: [u8; 16],
    /// Where in the arena the picture may stand, for [`crate::Plan::run_in_place`], or [`NOWHERE`].
    pub pixels: u32,
}

/// One step, decoded. Tensors are byte offsets in the arena.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Record {
    /// Convolution and what is fused behind it.
    Conv {
        /// What to compute.
        desc: ConvDesc,
        /// Its scalars.
        scalars: ConvScalars,
        /// Input; unused for pixels.
        x: u32,
        /// Residual; unused without one.
        skip: u32,
        /// Output.
        y: u32,
        /// Second output; unused without one.
        y2: u32,
        /// Packed constants, in the plan.
        blob: Blob,
        /// Whether the step is worth splitting over threads.
        parallel: bool,
        /// How it shares memory with its neighbours.
        stripes: Stripes,
    },
    /// Max pooling.
    MaxPool {
        /// What to compute.
        desc: PoolDesc,
        /// Input.
        x: u32,
        /// Output.
        y: u32,
    },
    /// Global average pooling.
    AvgPool {
        /// Input shape.
        shape: Shape,
        /// Its scalars.
        scalars: AvgPoolScalars,
        /// Input.
        x: u32,
        /// Output.
        y: u32,
    },
    /// Per-channel affine map.
    Affine {
        /// Shape of input and output.
        shape: Shape,
        /// Zero point of the input.
        x_zero: i8,
        /// Rounding and range.
        out: Requant,
        /// `c` gains, then `c` offsets, f32.
        blob: Blob,
        /// Input.
        x: u32,
        /// Output.
        y: u32,
    },
    /// Residual addition by itself.
    Add {
        /// Shape of all three.
        shape: Shape,
        /// Its scalars.
        scalars: AddScalars,
        /// First summand.
        a: u32,
        /// Second summand.
        b: u32,
        /// Output.
        y: u32,
    },
    /// A function of one value.
    Table {
        /// Shape of input and output.
        shape: Shape,
        /// 256 values of int8.
        blob: Blob,
        /// Input.
        x: u32,
        /// Output.
        y: u32,
    },
    /// Each channel times its gate. Needs 8 bytes of scratch per channel.
    Scale {
        /// Shape of input and output.
        shape: Shape,
        /// Its scalars.
        scalars: ScaleScalars,
        /// Input.
        x: u32,
        /// The gates, `1×1×c`.
        gate: u32,
        /// Output.
        y: u32,
    },
    /// Sum of several tensors.
    Sum {
        /// Shape of all of them.
        shape: Shape,
        /// Rounding and range of the output.
        out: Requant,
        /// How many of `terms` there are.
        count: u32,
        /// What each tensor is multiplied with.
        terms: [SumTerm; MAX_TERMS],
        /// The tensors.
        x: [u32; MAX_TERMS],
        /// Output.
        y: u32,
    },
    /// The logits of a network that does not end in a convolution.
    Dequantize {
        /// Shape of the input.
        shape: Shape,
        /// Zero point of the input.
        zero: i8,
        /// Scale of the input.
        scale: f32,
        /// Input.
        x: u32,
        /// Output, f32, NHWC without gaps.
        y: u32,
    },
}

/// What a convolution of a plan for little memory has beside its tensors. See [`crate::stripes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stripes {
    /// Rows that the input's buffer holds, `desc.x.h` unless the step before runs in turns with this.
    pub x_rows: u32,
    /// Rows that the output's buffer holds, `desc.y.h` unless this step runs in turns with the next.
    pub y_rows: u32,
    /// Whether this step and the next run in turns.
    pub with_next: bool,
    /// Scratch in the arena, or [`NOWHERE`]: each thread's own.
    pub scratch: u32,
}

impl Stripes {
    /// An ordinary step: whole tensors, the threads' scratch.
    pub fn none(desc: &ConvDesc) -> Self {
        Self { x_rows: desc.x.h as u32, y_rows: desc.y.h as u32, with_next: false, scratch: NOWHERE }
    }
}

/// A range of the plan's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blob {
    /// From the plan's start, a multiple of [`ALIGN`].
    pub at: u32,
    /// Length.
    pub len: u32,
}

impl Blob {
    /// The bytes; `None` when they lie outside the plan, in its head, or are not aligned.
    pub fn get<'a>(&self, plan: &'a [u8]) -> Option<&'a [u8]> {
        let at = self.at as usize;
        if !at.is_multiple_of(ALIGN) || at < HEADER {
            return None;
        }
        plan.get(at..at.checked_add(self.len as usize)?)
    }
}

struct Writer<'a> {
    to: &'a mut [u8],
    at: usize,
}

impl Writer<'_> {
    fn u32(&mut self, v: u32) {
        self.to[self.at..self.at + 4].copy_from_slice(&v.to_le_bytes());
        self.at += 4;
    }
    fn size(&mut self, v: usize) {
        self.u32(u32::try_from(v).unwrap_or(u32::MAX));
    }
    fn f32(&mut self, v: f32) {
        self.u32(v.to_bits());
    }
    fn int8s(&mut self, v: [i8; 4]) {
        self.u32(u32::from_le_bytes(v.map(|b| b as u8)));
    }
    fn pair(&mut self, v: [usize; 2]) {
        v.iter().for_each(|&v| self.size(v));
    }
    fn shape(&mut self, s: Shape) {
        [s.h, s.w, s.c].iter().for_each(|&v| self.size(v));
    }
    fn requant(&mut self, r: Requant) {
        self.int8s([r.zero, r.lo, r.hi, 0]);
    }
}

struct Reader<'a> {
    from: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    // A call per field, not a copy of this per field: firmware counts bytes.
    #[inline(never)]
    fn u32(&mut self) -> u32 {
        let bytes = self.from.get(self.at..self.at + 4).and_then(|b| b.try_into().ok());
        self.at += 4;
        // Records and headers are long enough; this spelling has no panic in it, for firmware.
        bytes.map_or(0, u32::from_le_bytes)
    }
    fn size(&mut self) -> usize {
        self.u32() as usize
    }
    fn f32(&mut self) -> f32 {
        f32::from_bits(self.u32())
    }
    fn int8s(&mut self) -> [i8; 4] {
        self.u32().to_le_bytes().map(|b| b as i8)
    }
    fn pair(&mut self) -> [usize; 2] {
        [self.size(), self.size()]
    }
    fn shape(&mut self) -> Shape {
        Shape::new(self.size(), self.size(), self.size())
    }
    fn requant(&mut self) -> Requant {
        let [zero, lo, hi, _] = self.int8s();
        Requant { zero, lo, hi }
    }
    fn blob(&mut self) -> Blob {
        Blob { at: self.u32(), len: self.u32() }
    }
}

impl Header {
    /// Writes the header over the first [`HEADER`] bytes.
    pub fn write(&self, to: &mut [u8]) {
        to[..HEADER].fill(0);
        to[..4].copy_from_slice(&MAGIC);
        let mut w = Writer { to, at: 4 };
        w.u32(VERSION);
        for v in [self.crc, self.len, self.steps, self.arena, self.scratch] {
            w.u32(v);
        }
        w.shape(self.input);
        w.u32(self.logits);
        w.u32(self.classes);
        let at = w.at;
        to[at..at + 16].copy_from_slice(&self.set);
        to[at + 16..at + 20].copy_from_slice(&self.pixels.to_le_bytes());
    }

    /// Reads magic-free fields; the caller has seen at least [`HEADER`] bytes.
    pub fn read(from: &[u8]) -> Self {
        let mut r = Reader { from, at: CRC_AT };
        let [crc, len, steps, arena, scratch] = [r.u32(), r.u32(), r.u32(), r.u32(), r.u32()];
        let (input, logits, classes) = (r.shape(), r.u32(), r.u32());
        let mut set = [0; 16];
        for word in set.chunks_exact_mut(4) {
            word.copy_from_slice(&r.u32().to_le_bytes());
        }
        let pixels = r.u32();
        Self { crc, len, steps, arena, scratch, input, logits, classes, set, pixels }
    }

    /// Whether the plan is for the kernel set of this name.
    pub fn is_for(&self, name: &str) -> bool {
        let mut name = name.bytes();
        self.set.iter().all(|&b| b == name.next().unwrap_or(0)) && name.next().is_none()
    }

    /// The kernel set's name.
    pub fn set_name(&self) -> &str {
        let len = self.set.iter().position(|&b| b == 0).unwrap_or(self.set.len());
        self.set.get(..len).and_then(|name| core::str::from_utf8(name).ok()).unwrap_or("")
    }
}

const CONV: u32 = 1;
const MAX_POOL: u32 = 2;
const AVG_POOL: u32 = 3;
const AFFINE: u32 = 4;
const ADD: u32 = 5;
const TABLE: u32 = 6;
const SCALE: u32 = 7;
const DEQUANTIZE: u32 = 8;
const SUM: u32 = 9;

impl Record {
    /// Writes [`RECORD`] bytes.
    pub fn write(&self, to: &mut [u8]) {
        to[..RECORD].fill(0);
        let mut w = Writer { to, at: 0 };
        match *self {
            Self::Conv { desc, scalars, x, skip, y, y2, blob, parallel, stripes } => {
                w.u32(CONV);
                w.shape(desc.x);
                w.shape(desc.y);
                for p in [desc.kernel, desc.stride, desc.dilation, desc.pad] {
                    w.pair(p);
                }
                w.size(desc.groups);
                w.u32(u32::from(desc.source == Source::Pixels));
                w.u32(u32::from(desc.skip));
                w.u32(match desc.output {
                    ConvOutput::Int8 => 0,
                    ConvOutput::Int8AndAffine => 1,
                    ConvOutput::Affine => 2,
                    ConvOutput::Float32 => 3,
                });
                w.int8s(scalars.x_zero);
                w.int8s([scalars.skip_zero, 0, 0, 0]);
                w.f32(scalars.skip_multiplier);
                w.requant(scalars.y);
                w.requant(scalars.y2);
                for v in [x, skip, y, y2, blob.at, blob.len, u32::from(parallel)] {
                    w.u32(v);
                }
                let Stripes { x_rows, y_rows, with_next, scratch } = stripes;
                for v in [x_rows, y_rows, u32::from(with_next), scratch] {
                    w.u32(v);
                }
            }
            Self::MaxPool { desc, x, y } => {
                w.u32(MAX_POOL);
                w.shape(desc.x);
                w.shape(desc.y);
                for p in [desc.kernel, desc.stride, desc.pad] {
                    w.pair(p);
                }
                w.int8s([desc.pad_value, 0, 0, 0]);
                w.u32(x);
                w.u32(y);
            }
            Self::AvgPool { shape, scalars, x, y } => {
                w.u32(AVG_POOL);
                w.shape(shape);
                w.int8s([scalars.x_zero, 0, 0, 0]);
                w.f32(scalars.multiplier);
                w.requant(scalars.y);
                w.u32(x);
                w.u32(y);
            }
            Self::Affine { shape, x_zero, out, blob, x, y } => {
                w.u32(AFFINE);
                w.shape(shape);
                w.int8s([x_zero, 0, 0, 0]);
                w.requant(out);
                for v in [blob.at, blob.len, x, y] {
                    w.u32(v);
                }
            }
            Self::Add { shape, scalars, a, b, y } => {
                w.u32(ADD);
                w.shape(shape);
                w.int8s([scalars.a_zero, scalars.b_zero, 0, 0]);
                w.f32(scalars.a_multiplier);
                w.f32(scalars.b_multiplier);
                w.requant(scalars.y);
                for v in [a, b, y] {
                    w.u32(v);
                }
            }
            Self::Table { shape, blob, x, y } => {
                w.u32(TABLE);
                w.shape(shape);
                for v in [blob.at, blob.len, x, y] {
                    w.u32(v);
                }
            }
            Self::Scale { shape, scalars, x, gate, y } => {
                w.u32(SCALE);
                w.shape(shape);
                w.int8s([scalars.x_zero, scalars.gate_zero, 0, 0]);
                w.f32(scalars.multiplier);
                w.requant(scalars.y);
                for v in [x, gate, y] {
                    w.u32(v);
                }
            }
            Self::Sum { shape, out, count, terms, x, y } => {
                w.u32(SUM);
                w.shape(shape);
                w.requant(out);
                w.u32(count);
                w.u32(y);
                for (term, x) in terms.iter().zip(x) {
                    w.f32(term.zero);
                    w.f32(term.multiplier);
                    w.u32(x);
                }
            }
            Self::Dequantize { shape, zero, scale, x, y } => {
                w.u32(DEQUANTIZE);
                w.shape(shape);
                w.int8s([zero, 0, 0, 0]);
                w.f32(scale);
                w.u32(x);
                w.u32(y);
            }
        }
    }

    /// Reads a record; `None` when its kind or one of its choices is unknown. Numbers are not checked.
    pub fn read(from: &[u8]) -> Option<Self> {
        let mut r = Reader { from, at: 0 };
        Some(match r.u32() {
            CONV => {
                let (x, y) = (r.shape(), r.shape());
                let (kernel, stride, dilation, pad) = (r.pair(), r.pair(), r.pair(), r.pair());
                let groups = r.size();
                let source = match r.u32() {
                    0 => Source::Tensor,
                    1 => Source::Pixels,
                    _ => return None,
                };
                let skip = r.u32() != 0;
                let output = match r.u32() {
                    0 => ConvOutput::Int8,
                    1 => ConvOutput::Int8AndAffine,
                    2 => ConvOutput::Affine,
                    3 => ConvOutput::Float32,
                    _ => return None,
                };
                let desc = ConvDesc { x, y, kernel, stride, dilation, pad, groups, source, skip, output };
                let scalars = ConvScalars {
                    x_zero: r.int8s(),
                    skip_zero: r.int8s()[0],
                    skip_multiplier: r.f32(),
                    y: r.requant(),
                    y2: r.requant(),
                };
                let (x, skip, y, y2) = (r.u32(), r.u32(), r.u32(), r.u32());
                let (blob, parallel) = (r.blob(), r.u32() != 0);
                let stripes =
                    Stripes { x_rows: r.u32(), y_rows: r.u32(), with_next: r.u32() != 0, scratch: r.u32() };
                Self::Conv { desc, scalars, x, skip, y, y2, blob, parallel, stripes }
            }
            MAX_POOL => {
                let (x, y) = (r.shape(), r.shape());
                let (kernel, stride, pad) = (r.pair(), r.pair(), r.pair());
                let desc = PoolDesc { x, y, kernel, stride, pad, pad_value: r.int8s()[0] };
                Self::MaxPool { desc, x: r.u32(), y: r.u32() }
            }
            AVG_POOL => Self::AvgPool {
                shape: r.shape(),
                scalars: AvgPoolScalars { x_zero: r.int8s()[0], multiplier: r.f32(), y: r.requant() },
                x: r.u32(),
                y: r.u32(),
            },
            AFFINE => Self::Affine {
                shape: r.shape(),
                x_zero: r.int8s()[0],
                out: r.requant(),
                blob: r.blob(),
                x: r.u32(),
                y: r.u32(),
            },
            ADD => {
                let shape = r.shape();
                let [a_zero, b_zero, _, _] = r.int8s();
                let scalars = AddScalars {
                    a_zero,
                    a_multiplier: r.f32(),
                    b_zero,
                    b_multiplier: r.f32(),
                    y: r.requant(),
                };
                Self::Add { shape, scalars, a: r.u32(), b: r.u32(), y: r.u32() }
            }
            #[cfg(feature = "gates")]
            TABLE => Self::Table { shape: r.shape(), blob: r.blob(), x: r.u32(), y: r.u32() },
            #[cfg(feature = "gates")]
            SCALE => {
                let shape = r.shape();
                let [x_zero, gate_zero, _, _] = r.int8s();
                let scalars = ScaleScalars { x_zero, gate_zero, multiplier: r.f32(), y: r.requant() };
                Self::Scale { shape, scalars, x: r.u32(), gate: r.u32(), y: r.u32() }
            }
            #[cfg(feature = "gates")]
            SUM => {
                let (shape, out, count, y) = (r.shape(), r.requant(), r.u32(), r.u32());
                let (mut terms, mut x) = ([SumTerm::default(); MAX_TERMS], [0; MAX_TERMS]);
                for (term, x) in terms.iter_mut().zip(&mut x) {
                    *term = SumTerm { zero: r.f32(), multiplier: r.f32() };
                    *x = r.u32();
                }
                Self::Sum { shape, out, count, terms, x, y }
            }
            #[cfg(feature = "gates")]
            DEQUANTIZE => Self::Dequantize {
                shape: r.shape(),
                zero: r.int8s()[0],
                scale: r.f32(),
                x: r.u32(),
                y: r.u32(),
            },
            _ => return None,
        })
    }
}
