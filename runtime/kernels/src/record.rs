//! A step's record in a plan: the encoding of its fields, and the checks that validation can use.
//!
//! A plan is a header of [`HEADER`] bytes, records of [`RECORD`] bytes each, and packed constants. Numbers are
//! little-endian words of four bytes. Each operator declares the fields of its record once, in their order
//! (`record!`); reading and writing are generated from that.

use core::fmt;

use crate::quant::Requant;
use crate::set::{ALIGN, KernelSet};
use crate::shape::{Shape, ShapeError};

/// Bytes of a plan's header.
pub const HEADER: usize = 128;
/// Bytes of a step's record.
pub const RECORD: usize = 144;
/// The value that replaces an offset if there is none.
pub const NOWHERE: u32 = u32::MAX;

/// A range of the plan's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blob {
    /// The offset from the plan's start, a multiple of [`ALIGN`].
    pub at: u32,
    /// The length.
    pub len: u32,
}

impl Blob {
    /// Returns the bytes, or `None` if they are outside the plan, in its header, or not aligned.
    pub fn get<'a>(&self, plan: &'a [u8]) -> Option<&'a [u8]> {
        let at = self.at as usize;
        if !at.is_multiple_of(ALIGN) || at < HEADER {
            return None;
        }
        plan.get(at..at.checked_add(self.len as usize)?)
    }
}

/// Writes fields one after another.
pub struct Writer<'a> {
    to: &'a mut [u8],
    at: usize,
}

impl<'a> Writer<'a> {
    /// Starts writing at `at`; `to` must have room for everything that is written.
    pub fn new(to: &'a mut [u8], at: usize) -> Self {
        Self { to, at }
    }

    /// Returns the position of the next field.
    pub fn at(&self) -> usize {
        self.at
    }

    /// Writes a word.
    pub fn u32(&mut self, v: u32) {
        self.to[self.at..self.at + 4].copy_from_slice(&v.to_le_bytes());
        self.at += 4;
    }
}

/// Reads fields one after another.
pub struct Reader<'a> {
    from: &'a [u8],
    at: usize,
    bad: bool,
}

impl<'a> Reader<'a> {
    /// Starts reading at `at`.
    pub fn new(from: &'a [u8], at: usize) -> Self {
        Self { from, at, bad: false }
    }

    /// Reads a word; returns 0 after the end.
    // Calls save firmware's flash: this is compiled once, not once per field.
    #[inline(never)]
    pub fn u32(&mut self) -> u32 {
        let bytes = self.from.get(self.at..self.at + 4).and_then(|b| b.try_into().ok());
        self.at += 4;
        // Records and headers are long enough; this form contains no panic, which firmware needs.
        bytes.map_or(0, u32::from_le_bytes)
    }

    /// Marks the record as invalid, because a field holds a choice that does not exist.
    pub fn refuse(&mut self) {
        self.bad = true;
    }

    /// Returns whether a field was refused.
    pub fn refused(&self) -> bool {
        self.bad
    }
}

/// A field of a record.
pub trait Field {
    /// Writes the field.
    fn write(&self, to: &mut Writer<'_>);
    /// Reads the field. Numbers are not checked; a choice that does not exist is [`Reader::refuse`]d.
    fn read(from: &mut Reader<'_>) -> Self;
}

impl Field for u32 {
    fn write(&self, to: &mut Writer<'_>) {
        to.u32(*self);
    }
    fn read(from: &mut Reader<'_>) -> Self {
        from.u32()
    }
}

impl Field for usize {
    fn write(&self, to: &mut Writer<'_>) {
        to.u32(u32::try_from(*self).unwrap_or(u32::MAX));
    }
    fn read(from: &mut Reader<'_>) -> Self {
        from.u32() as usize
    }
}

impl Field for f32 {
    fn write(&self, to: &mut Writer<'_>) {
        to.u32(self.to_bits());
    }
    fn read(from: &mut Reader<'_>) -> Self {
        f32::from_bits(from.u32())
    }
}

impl Field for bool {
    fn write(&self, to: &mut Writer<'_>) {
        to.u32(u32::from(*self));
    }
    fn read(from: &mut Reader<'_>) -> Self {
        from.u32() != 0
    }
}

impl Field for [i8; 4] {
    fn write(&self, to: &mut Writer<'_>) {
        to.u32(u32::from_le_bytes(self.map(|b| b as u8)));
    }
    fn read(from: &mut Reader<'_>) -> Self {
        from.u32().to_le_bytes().map(|b| b as i8)
    }
}

/// Encoded as a whole word.
impl Field for i8 {
    fn write(&self, to: &mut Writer<'_>) {
        [*self, 0, 0, 0].write(to);
    }
    fn read(from: &mut Reader<'_>) -> Self {
        <[i8; 4]>::read(from)[0]
    }
}

impl Field for [usize; 2] {
    fn write(&self, to: &mut Writer<'_>) {
        self.iter().for_each(|v| v.write(to));
    }
    fn read(from: &mut Reader<'_>) -> Self {
        [usize::read(from), usize::read(from)]
    }
}

impl Field for Requant {
    fn write(&self, to: &mut Writer<'_>) {
        [self.zero, self.lo, self.hi, 0].write(to);
    }
    fn read(from: &mut Reader<'_>) -> Self {
        let [zero, lo, hi, _] = Field::read(from);
        Self { zero, lo, hi }
    }
}

/// Implements [`Field`] for a struct: its fields are encoded one after another, in the given order.
macro_rules! fields {
    ($Name:ident { $($field:ident),* $(,)? }) => {
        impl $crate::record::Field for $Name {
            fn write(&self, to: &mut $crate::record::Writer<'_>) {
                $($crate::record::Field::write(&self.$field, to);)*
            }
            fn read(from: &mut $crate::record::Reader<'_>) -> Self {
                Self { $($field: $crate::record::Field::read(from)),* }
            }
        }
    };
}

/// Declares an operator's record: a struct whose fields are encoded in the order of their declaration.
macro_rules! record {
    ($(#[$doc:meta])* pub struct $Name:ident { $($(#[$field_doc:meta])* pub $field:ident: $Type:ty),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq)]
        pub struct $Name { $($(#[$field_doc])* pub $field: $Type),* }
        $crate::record::fields!($Name { $($field),* });
    };
}

pub(crate) use {fields, record};

fields!(Shape { h, w, c });
fields!(Blob { at, len });

/// The reason why a record is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The shapes are not valid.
    Shape(ShapeError),
    /// A tensor is outside the arena, or overlaps another where that is not allowed.
    Tensor,
    /// The constants are outside the plan, or the kernel set could not have packed them.
    Constants,
    /// A scalar is not finite, or a range is empty.
    Scalar,
    /// The step needs more scratch than the plan requests.
    Scratch,
}

impl From<ShapeError> for Fault {
    fn from(error: ShapeError) -> Self {
        Self::Shape(error)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Shape(error) => return error.fmt(f),
            Self::Tensor => "a tensor lies outside the arena or overlaps another",
            Self::Constants => "the packed constants are not valid",
            Self::Scalar => "a scalar is not finite or a range is empty",
            Self::Scratch => "the plan asks for less scratch than this step needs",
        })
    }
}

/// A range of the arena.
pub type Span = (usize, usize);

/// Returns whether two ranges do not overlap; an empty one overlaps nothing.
pub fn apart(a: Span, b: Span) -> bool {
    a.1 <= b.0 || b.1 <= a.0
}

/// The plan that a record belongs to, for its validation.
pub struct Checker<'a> {
    /// All bytes of the plan.
    pub plan: &'a [u8],
    /// The kernel set for which it was compiled.
    pub set: &'a dyn KernelSet,
    /// Bytes of the arena.
    pub arena: u32,
    /// Bytes of each thread's scratch.
    pub scratch: u32,
    /// Shape of the pixels.
    pub input: Shape,
    /// The offset of the pixels in the arena, or [`NOWHERE`].
    pub pixels: u32,
}

impl Checker<'_> {
    /// Returns the arena range of `len` bytes at `at`, if it is inside the arena and aligned.
    pub fn span(&self, at: u32, len: usize) -> Option<Span> {
        let (at, end) = (at as usize, (at as usize).checked_add(len)?);
        (at.is_multiple_of(ALIGN) && end <= self.arena as usize).then_some((at, end))
    }

    /// Returns the arena range of an activation.
    pub fn tensor(&self, at: u32, shape: Shape) -> Option<Span> {
        self.span(at, self.set.tensor_bytes(shape))
    }

    /// Checks that two activations do not overlap.
    pub fn two(&self, x: (u32, Shape), y: (u32, Shape)) -> Result<(), Fault> {
        self.all((|| Some(apart(self.tensor(x.0, x.1)?, self.tensor(y.0, y.1)?)))())
    }

    /// Checks a condition on tensors; `None` means that a tensor is outside the arena.
    pub fn all(&self, good: Option<bool>) -> Result<(), Fault> {
        if good == Some(true) { Ok(()) } else { Err(Fault::Tensor) }
    }

    /// Checks that floats are finite and ranges are not empty.
    pub fn scalars(&self, floats: &[f32], ranges: &[Requant]) -> Result<(), Fault> {
        let good = floats.iter().all(|v| v.is_finite()) && ranges.iter().all(|r| r.lo <= r.hi);
        if good { Ok(()) } else { Err(Fault::Scalar) }
    }

    /// Returns constants that must have exactly this length.
    pub fn constants(&self, blob: Blob, len: usize) -> Result<&[u8], Fault> {
        blob.get(self.plan).filter(|b| b.len() == len).ok_or(Fault::Constants)
    }
}

/// The place of the pixels when a plan runs.
#[derive(Clone, Copy)]
pub enum Pixels {
    /// Outside the working memory.
    Apart(*const u8),
    /// In the arena, at this offset.
    Inside(usize),
}

/// A running plan, as a record's [`run`](crate::op::Operation::run) sees it.
#[derive(Clone, Copy)]
pub struct Machine<'a> {
    plan: &'a [u8],
    set: &'a dyn KernelSet,
    memory: *mut u8,
    scratch_at: usize,
    scratch_bytes: usize,
    pixels: Pixels,
}

// SAFETY: the contract of `Operation::run` is that the threads of one step write disjoint parts of the memory and
// read pixels that nobody writes.
unsafe impl Sync for Machine<'_> {}

impl<'a> Machine<'a> {
    /// # Safety
    /// `plan` is a valid plan for `set`; `memory` is aligned to [`ALIGN`] and contains the plan's arena, followed
    /// at `scratch_at` by `scratch_bytes` for each thread; the pixels have the size of the plan's input.
    pub unsafe fn new(
        plan: &'a [u8],
        set: &'a dyn KernelSet,
        memory: *mut u8,
        (scratch_at, scratch_bytes): (usize, usize),
        pixels: Pixels,
    ) -> Self {
        Self { plan, set, memory, scratch_at, scratch_bytes, pixels }
    }

    /// Returns all bytes of the plan.
    pub fn plan(&self) -> &'a [u8] {
        self.plan
    }

    /// Returns the kernel set.
    pub fn set(&self) -> &'a dyn KernelSet {
        self.set
    }

    /// Returns the pixels.
    pub fn pixels(&self) -> *const u8 {
        match self.pixels {
            Pixels::Apart(pixels) => pixels,
            Pixels::Inside(at) => self.memory.wrapping_add(at),
        }
    }

    /// Returns the address of an offset in the arena.
    pub fn at(&self, offset: u32) -> *mut u8 {
        self.memory.wrapping_add(offset as usize)
    }

    /// Returns a thread's scratch.
    pub fn scratch(&self, thread: usize) -> *mut u8 {
        self.memory.wrapping_add(self.scratch_at + thread * self.scratch_bytes)
    }
}
