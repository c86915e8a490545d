//! Validates a plan once, so that the executor needs no checks.

use core::fmt;

use foldnet_kernels::{ALIGN, ConvDesc, ConvOutput, KernelSet, Requant, Shape, ShapeError, Source};

use crate::crc::crc32;
use crate::format::{Blob, CRC_AT, HEADER, Header, MAGIC, NOWHERE, RECORD, Record, Stripes, VERSION};
use crate::stripes;

/// The largest arena or scratch that a plan may ask for.
const MAX_MEMORY: u32 = 1 << 30;

/// Why a plan is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlanError {
    /// The bytes do not start as a plan does.
    NotAPlan,
    /// A plan of another version.
    Version(u32),
    /// The length in the header is not that of the bytes: cut, or something behind it.
    Length,
    /// The checksum does not fit: damaged.
    Checksum,
    /// The bytes do not stand at a multiple of [`ALIGN`].
    Alignment,
    /// Made for another kernel set.
    OtherSet,
    /// The arena or scratch is unreasonably large.
    Memory,
    /// A step is of an unknown kind.
    UnknownStep(u32),
    /// A step's shapes are wrong.
    Shape(u32, ShapeError),
    /// A step's tensor lies outside the arena, or overlaps another that it must not.
    Tensor(u32),
    /// A step's constants lie outside the plan, or are not what the kernel set packs.
    Constants(u32),
    /// A step's scalar is not finite, or a range is empty.
    Scalar(u32),
    /// A step cannot run in turns with the one before, or shares memory that it must not.
    Stripes(u32),
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAPlan => f.write_str("this is not a plan"),
            Self::Version(v) => write!(f, "the plan has version {v}, this build reads version {VERSION}"),
            Self::Length => f.write_str("the plan is cut, or has something behind it"),
            Self::Checksum => f.write_str("the plan is damaged: its checksum does not fit"),
            Self::Alignment => write!(f, "the plan does not stand at a multiple of {ALIGN} bytes"),
            Self::OtherSet => f.write_str("the plan was compiled for another kernel set"),
            Self::Memory => f.write_str("the plan asks for an unreasonable amount of memory"),
            Self::UnknownStep(s) => write!(f, "step {s} is of an unknown kind"),
            Self::Shape(s, e) => write!(f, "step {s}: {e}"),
            Self::Tensor(s) => write!(f, "step {s}: a tensor lies outside the arena or overlaps another"),
            Self::Constants(s) => write!(f, "step {s}: the packed constants are not valid"),
            Self::Stripes(s) => write!(f, "step {s} cannot run in turns with the one before"),
            Self::Scalar(s) => write!(f, "step {s}: a scalar is not finite or a range is empty"),
        }
    }
}

impl core::error::Error for PlanError {}

/// Checks everything that [`crate::Plan::run`] relies on.
pub(crate) fn check(bytes: &[u8], set: &dyn KernelSet) -> Result<Header, PlanError> {
    let word = |at: usize| bytes.get(at..at + 4).and_then(|b| <[u8; 4]>::try_from(b).ok());
    if bytes.len() < HEADER || word(0) != Some(MAGIC) {
        return Err(PlanError::NotAPlan);
    }
    let version = word(4).map_or(0, u32::from_le_bytes);
    if version != VERSION {
        return Err(PlanError::Version(version));
    }
    let header = Header::read(bytes);
    let records = (header.steps as usize).checked_mul(RECORD).and_then(|n| n.checked_add(HEADER));
    if header.len as usize != bytes.len() || records.is_none_or(|end| end > bytes.len()) {
        return Err(PlanError::Length);
    }
    if bytes.get(CRC_AT + 4..).map(crc32) != Some(header.crc) {
        return Err(PlanError::Checksum);
    }
    if !bytes.as_ptr().addr().is_multiple_of(ALIGN) {
        return Err(PlanError::Alignment);
    }
    if !header.is_for(set.name()) {
        return Err(PlanError::OtherSet);
    }
    if header.arena > MAX_MEMORY || header.scratch > MAX_MEMORY {
        return Err(PlanError::Memory);
    }
    if header.input.validate().is_err() || header.input.c > 4 || header.classes == 0 {
        return Err(PlanError::NotAPlan);
    }
    let checker = Checker { bytes, set, header: &header };
    if checker.span(header.logits, (header.classes as usize).saturating_mul(4)).is_none() {
        return Err(PlanError::Memory);
    }
    if header.pixels != NOWHERE && checker.span(header.pixels, header.input.len()).is_none() {
        return Err(PlanError::Memory);
    }
    let mut before = None;
    for step in 0..header.steps {
        let record = record(bytes, step as usize).ok_or(PlanError::UnknownStep(step))?;
        checker.step(step, &record)?;
        checker.turns(step, before.as_ref(), &record)?;
        before = Some(record);
    }
    if before.is_some_and(|last| in_turns(&last)) {
        return Err(PlanError::Stripes(header.steps));
    }
    Ok(header)
}

/// Record number `step`, if there is one and it is of a known kind.
pub(crate) fn record(bytes: &[u8], step: usize) -> Option<Record> {
    let at = HEADER + step * RECORD;
    Record::read(bytes.get(at..at + RECORD)?)
}

/// Whether the step runs in turns with the next.
pub(crate) fn in_turns(record: &Record) -> bool {
    matches!(record, Record::Conv { stripes, .. } if stripes.with_next)
}

struct Checker<'a> {
    bytes: &'a [u8],
    set: &'a dyn KernelSet,
    header: &'a Header,
}

/// What a convolution touches; what it does not have is empty.
struct Spans {
    x: Span,
    skip: Span,
    y: Span,
    y2: Span,
    scratch: Span,
}

type Span = (usize, usize);

fn apart(a: Span, b: Span) -> bool {
    a.1 <= b.0 || b.1 <= a.0
}

impl Checker<'_> {
    /// The arena range of `len` bytes at `at`, if it is inside and aligned.
    fn span(&self, at: u32, len: usize) -> Option<Span> {
        let (at, end) = (at as usize, (at as usize).checked_add(len)?);
        (at.is_multiple_of(ALIGN) && end <= self.header.arena as usize).then_some((at, end))
    }

    fn tensor(&self, at: u32, shape: Shape) -> Option<Span> {
        self.span(at, self.set.tensor_bytes(shape))
    }

    fn step(&self, step: u32, record: &Record) -> Result<(), PlanError> {
        let shape = |r: Result<(), ShapeError>| r.map_err(|e| PlanError::Shape(step, e));
        let tensors = |ok: Option<bool>| {
            if ok == Some(true) { Ok(()) } else { Err(PlanError::Tensor(step)) }
        };
        let scalars = |floats: &[f32], ranges: &[Requant]| {
            let good = floats.iter().all(|v| v.is_finite()) && ranges.iter().all(|r| r.lo <= r.hi);
            if good { Ok(()) } else { Err(PlanError::Scalar(step)) }
        };
        match *record {
            Record::Conv { desc, scalars: s, x, skip, y, y2, blob, parallel: _, stripes } => {
                shape(desc.validate())?;
                scalars(&[s.skip_multiplier], &[s.y, s.y2])?;
                let spans = self.conv(&desc, [x, skip, y, y2], &stripes).ok_or(PlanError::Tensor(step))?;
                let Spans { x, skip, y, y2, scratch } = spans;
                tensors(Some(
                    apart(x, y)
                        && apart(x, y2)
                        && apart(y, y2)
                        && apart(skip, y2)
                        && (apart(skip, y) || skip == y)
                        && [x, skip, y, y2].iter().all(|&t| apart(t, scratch)),
                ))?;
                let enough = stripes.scratch != NOWHERE
                    || self.set.conv_scratch_bytes(&desc) <= self.header.scratch as usize;
                match blob.get(self.bytes) {
                    Some(b) if enough && self.set.check_conv(&desc, b) => Ok(()),
                    _ => Err(PlanError::Constants(step)),
                }
            }
            Record::MaxPool { desc, x, y } => {
                shape(desc.validate())?;
                tensors((|| Some(apart(self.tensor(x, desc.x)?, self.tensor(y, desc.y)?)))())
            }
            Record::AvgPool { shape: s, scalars: v, x, y } => {
                shape(s.validate())?;
                scalars(&[v.multiplier], &[v.y])?;
                if s.pixels() > 65_536 {
                    return Err(PlanError::Shape(step, ShapeError::Volume));
                }
                tensors((|| Some(apart(self.tensor(x, s)?, self.tensor(y, Shape::new(1, 1, s.c))?)))())
            }
            Record::Affine { shape: s, x_zero: _, out, blob, x, y } => {
                shape(s.validate())?;
                scalars(&[], &[out])?;
                self.affine_constants(s, blob).ok_or(PlanError::Constants(step))?;
                tensors((|| Some(apart(self.tensor(x, s)?, self.tensor(y, s)?)))())
            }
            Record::Add { shape: s, scalars: v, a, b, y } => {
                shape(s.validate())?;
                scalars(&[v.a_multiplier, v.b_multiplier], &[v.y])?;
                tensors((|| {
                    let (a, b, y) = (self.tensor(a, s)?, self.tensor(b, s)?, self.tensor(y, s)?);
                    Some(apart(b, y) && (apart(a, y) || a == y))
                })())
            }
            #[cfg(not(feature = "gates"))]
            Record::Table { .. } | Record::Scale { .. } | Record::Sum { .. } | Record::Dequantize { .. } => {
                Err(PlanError::UnknownStep(step))
            }
            #[cfg(feature = "gates")]
            Record::Table { shape: s, blob, x, y } => {
                shape(s.validate())?;
                if blob.get(self.bytes).is_none_or(|b| b.len() != 256) {
                    return Err(PlanError::Constants(step));
                }
                tensors((|| Some(apart(self.tensor(x, s)?, self.tensor(y, s)?)))())
            }
            #[cfg(feature = "gates")]
            Record::Scale { shape: s, scalars: v, x, gate, y } => {
                shape(s.validate())?;
                scalars(&[v.multiplier], &[v.y])?;
                if 8 * s.c > self.header.scratch as usize {
                    return Err(PlanError::Memory);
                }
                tensors((|| {
                    let gate = self.tensor(gate, Shape::new(1, 1, s.c))?;
                    let (x, y) = (self.tensor(x, s)?, self.tensor(y, s)?);
                    Some(apart(x, y) && apart(gate, y))
                })())
            }
            #[cfg(feature = "gates")]
            Record::Sum { shape: s, out, count, terms, x, y } => {
                shape(s.validate())?;
                // `get` is none for a count beyond the most there may be.
                let (Some(terms @ [_, ..]), Some(x)) = (terms.get(..count as usize), x.get(..count as usize))
                else {
                    return Err(PlanError::Scalar(step));
                };
                terms.iter().try_for_each(|t| scalars(&[t.zero, t.multiplier], &[out]))?;
                tensors((|| {
                    let y = self.tensor(y, s)?;
                    x.iter().try_fold(true, |all, &x| Some(all && apart(self.tensor(x, s)?, y)))
                })())
            }
            #[cfg(feature = "gates")]
            Record::Dequantize { shape: s, zero: _, scale, x, y } => {
                shape(s.validate())?;
                scalars(&[scale], &[])?;
                tensors((|| Some(apart(self.tensor(x, s)?, self.span(y, 4 * s.len())?)))())
            }
        }
    }

    /// Where a convolution's tensors and its scratch lie.
    fn conv(&self, desc: &ConvDesc, [x, skip, y, y2]: [u32; 4], s: &Stripes) -> Option<Spans> {
        // An empty span overlaps nothing.
        let none = (0, 0);
        let rows = |shape: Shape, rows: u32| {
            let rows = rows as usize;
            (1..=shape.h).contains(&rows).then_some(Shape { h: rows, ..shape })
        };
        Some(Spans {
            x: match desc.source {
                Source::Pixels if desc.x != self.header.input => return None,
                // Standing in the arena, if the plan is run so.
                Source::Pixels if self.header.pixels != NOWHERE => {
                    self.span(self.header.pixels, desc.x.len())?
                }
                Source::Pixels => none,
                Source::Tensor => self.tensor(x, rows(desc.x, s.x_rows)?)?,
            },
            y: match desc.output {
                ConvOutput::Affine => none,
                ConvOutput::Float32 => self.span(y, 4 * desc.y.c)?,
                _ => self.tensor(y, rows(desc.y, s.y_rows)?)?,
            },
            y2: if desc.output.has_affine() { self.tensor(y2, desc.y)? } else { none },
            skip: if desc.skip { self.tensor(skip, desc.y)? } else { none },
            scratch: if s.scratch == NOWHERE {
                none
            } else {
                self.span(s.scratch, self.set.conv_scratch_bytes(desc))?
            },
        })
    }

    /// Checks what `record` and the one before share: nothing, unless they run in turns.
    fn turns(&self, step: u32, before: Option<&Record>, record: &Record) -> Result<(), PlanError> {
        let sound = (|| {
            let first = before.filter(|b| in_turns(b));
            let Record::Conv { desc, x, skip, y, y2, stripes, .. } = *record else {
                return first.is_none().then_some(());
            };
            if desc.source == Source::Tensor && first.is_none() && stripes.x_rows as usize != desc.x.h {
                return None;
            }
            if !stripes.with_next && stripes.y_rows as usize != desc.y.h {
                return None;
            }
            let Some(Record::Conv { desc: first, x: fx, y: fy, stripes: fs, .. }) = first else {
                return Some(());
            };
            // Chains of more than two, and a second output between, are nobody's need.
            if stripes.with_next || first.output != ConvOutput::Int8 || desc.source != Source::Tensor {
                return None;
            }
            let (rows, passed) = stripes::ring(first, &desc, self.set)?;
            if x != *fy || stripes.x_rows != fs.y_rows || (fs.y_rows as usize) < rows {
                return None;
            }
            let a = self.conv(first, [*fx, 0, *fy, 0], fs)?;
            let b = self.conv(&desc, [x, skip, y, y2], &stripes)?;
            let over = b.y == a.x && desc.y == first.x && first.source == Source::Tensor && passed;
            let sound = [b.y2, b.scratch, a.scratch].iter().all(|&t| apart(t, a.x))
                && (apart(b.y, a.x) || over)
                && [b.y, b.y2, b.skip].iter().all(|&t| apart(t, a.scratch))
                && apart(a.y, b.scratch)
                && [b.y, b.y2, b.skip].iter().all(|&t| apart(t, a.y));
            sound.then_some(())
        })();
        sound.ok_or(PlanError::Stripes(step))
    }

    fn affine_constants(&self, s: Shape, blob: Blob) -> Option<()> {
        let bytes = blob.get(self.bytes)?;
        let finite = |b: &[u8]| b.try_into().is_ok_and(|b| f32::from_le_bytes(b).is_finite());
        (bytes.len() == 8 * s.c && bytes.chunks_exact(4).all(finite)).then_some(())
    }
}
