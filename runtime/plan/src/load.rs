//! Validates a plan once, so that the executor needs no checks.

use core::fmt;

use foldnet_kernels::record::{Checker, Fault, apart};
use foldnet_kernels::{ALIGN, ConvOutput, KernelSet, Source};

use crate::format::{ConvRecord, HEADER, Header, NOWHERE, RECORD, Record, VERSION};
use crate::stripes;

/// The largest arena or scratch that a plan may ask for.
const MAX_MEMORY: u32 = 1 << 30;

/// The reason why a plan is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlanError {
    /// The bytes do not start like a plan.
    NotAPlan,
    /// The plan has another version.
    Version(u32),
    /// The length in the header differs from the number of bytes.
    Length,
    /// The checksum does not match: the plan is damaged.
    Checksum,
    /// The bytes do not start at a multiple of [`ALIGN`].
    Alignment,
    /// The plan was compiled for another kernel set.
    OtherSet,
    /// The arena or scratch is unreasonably large.
    Memory,
    /// A step is of an unknown kind.
    UnknownStep(u32),
    /// A step's record is not valid.
    Step(u32, Fault),
    /// A step cannot run in turns with the one before, or shares memory with it where that is not allowed.
    Stripes(u32),
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAPlan => f.write_str("this is not a plan"),
            Self::Version(v) => write!(f, "the plan has version {v}, this build reads version {VERSION}"),
            Self::Length => f.write_str("the plan's length does not match its header"),
            Self::Checksum => f.write_str("the plan is damaged: its checksum does not fit"),
            Self::Alignment => write!(f, "the plan does not stand at a multiple of {ALIGN} bytes"),
            Self::OtherSet => f.write_str("the plan was compiled for another kernel set"),
            Self::Memory => f.write_str("the plan asks for an unreasonable amount of memory"),
            Self::UnknownStep(s) => write!(f, "step {s} is of an unknown kind"),
            Self::Step(s, fault) => write!(f, "step {s}: {fault}"),
            Self::Stripes(s) => write!(f, "step {s} cannot run in turns with the one before"),
        }
    }
}

impl core::error::Error for PlanError {}

/// Checks everything on which [`crate::Plan::run`] relies.
pub(crate) fn check(bytes: &[u8], set: &dyn KernelSet) -> Result<Header, PlanError> {
    let header = Header::parse(bytes)?;
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
    let Header { arena, scratch, input, pixels, .. } = header;
    let plan = Checker { plan: bytes, set, arena, scratch, input, pixels };
    if plan.span(header.logits, (header.classes as usize).saturating_mul(4)).is_none() {
        return Err(PlanError::Memory);
    }
    if pixels != NOWHERE && plan.span(pixels, input.len()).is_none() {
        return Err(PlanError::Memory);
    }
    let mut before = None;
    for step in 0..header.steps {
        let record = record(bytes, step as usize).ok_or(PlanError::UnknownStep(step))?;
        record.check(&plan).map_err(|fault| PlanError::Step(step, fault))?;
        turns(&plan, before.as_ref(), &record).ok_or(PlanError::Stripes(step))?;
        before = Some(record);
    }
    if before.is_some_and(|last| in_turns(&last).is_some()) {
        return Err(PlanError::Stripes(header.steps));
    }
    Ok(header)
}

/// Returns record number `step`, if it exists and is of a known kind.
pub(crate) fn record(bytes: &[u8], step: usize) -> Option<Record> {
    let at = HEADER + step * RECORD;
    Record::read(bytes.get(at..at + RECORD)?)
}

/// Returns the convolution of this record if it runs in turns with the next step.
fn in_turns(record: &Record) -> Option<&ConvRecord> {
    match record {
        Record::Conv(conv) if conv.stripes.with_next => Some(conv),
        _ => None,
    }
}

/// Checks what `record` and the one before it share: nothing, unless they run in turns.
fn turns(plan: &Checker<'_>, before: Option<&Record>, record: &Record) -> Option<()> {
    let first = before.and_then(in_turns);
    let Record::Conv(second) = record else {
        return first.is_none().then_some(());
    };
    let (desc, stripes) = (&second.desc, &second.stripes);
    if desc.source == Source::Tensor && first.is_none() && stripes.x_rows as usize != desc.x.h {
        return None;
    }
    if !stripes.with_next && stripes.y_rows as usize != desc.y.h {
        return None;
    }
    let Some(first) = first else { return Some(()) };
    // No network needs chains of more than two, or a second output between them.
    if stripes.with_next || first.desc.output != ConvOutput::Int8 || desc.source != Source::Tensor {
        return None;
    }
    let (rows, passed) = stripes::ring(&first.desc, desc, plan.set)?;
    let between = first.stripes.y_rows;
    if second.x != first.y || stripes.x_rows != between || (between as usize) < rows {
        return None;
    }
    let (a, b) = (first.spans(plan)?, second.spans(plan)?);
    let over = b.y == a.x && desc.y == first.desc.x && first.desc.source == Source::Tensor && passed;
    let sound = [b.y2, b.scratch, a.scratch].iter().all(|&t| apart(t, a.x))
        && (apart(b.y, a.x) || over)
        && [b.y, b.y2, b.skip].iter().all(|&t| apart(t, a.scratch))
        && apart(a.y, b.scratch)
        && [b.y, b.y2, b.skip].iter().all(|&t| apart(t, a.y));
    sound.then_some(())
}
