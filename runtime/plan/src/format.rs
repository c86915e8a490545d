//! The bytes of a plan.
//!
//! All numbers are little-endian. A plan is a [`Header`] of 128 bytes, then `steps` records of [`RECORD`] bytes,
//! then packed constants at multiples of [`ALIGN`] from the start. It contains no addresses. The checksum
//! (CRC-32/ISO-HDLC) covers everything after the checksum field. A plan is bound to this version and to the kernel
//! set that it names, since only that set knows the layout of its blobs.

pub use foldnet_kernels::op::Record;
pub use foldnet_kernels::op::conv::{ConvRecord, Stripes};
pub use foldnet_kernels::record::{Blob, HEADER, NOWHERE, RECORD};
use foldnet_kernels::record::{Field, Reader, Writer};
use foldnet_kernels::{ALIGN, Shape};

use crate::PlanError;
use crate::crc::crc32;

/// The first four bytes.
pub const MAGIC: [u8; 4] = *b"FNPL";
/// The version that this build writes and reads. It changes with any change of format or of any blob.
pub const VERSION: u32 = 4;
/// The checksum's offset.
pub(crate) const CRC_AT: usize = 8;

/// The start of a plan. Offsets and sizes are in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The CRC-32 of everything after this field.
    pub crc: u32,
    /// The length of the whole plan.
    pub len: u32,
    /// The number of steps.
    pub steps: u32,
    /// The size of the arena.
    pub arena: u32,
    /// The size of the scratch memory that each thread needs.
    pub scratch: u32,
    /// The shape of the input: u8 pixels, HWC.
    pub input: Shape,
    /// The offset of the logits in the arena; they are f32.
    pub logits: u32,
    /// The number of logits.
    pub classes: u32,
    /// The name of the kernel set, padded with zeros.
    pub set: [u8; 16],
    /// The image's offset in the arena, for [`crate::Plan::run_in_place`], or [`NOWHERE`].
    pub pixels: u32,
}

impl Header {
    /// Writes the header over the first [`HEADER`] bytes.
    pub fn write(&self, to: &mut [u8]) {
        to[..HEADER].fill(0);
        to[..4].copy_from_slice(&MAGIC);
        let mut w = Writer::new(to, 4);
        w.u32(VERSION);
        for v in [self.crc, self.len, self.steps, self.arena, self.scratch] {
            w.u32(v);
        }
        self.input.write(&mut w);
        w.u32(self.logits);
        w.u32(self.classes);
        let at = w.at();
        to[at..at + 16].copy_from_slice(&self.set);
        to[at + 16..at + 20].copy_from_slice(&self.pixels.to_le_bytes());
    }

    /// Reads the header of a whole plan. It checks that the bytes are an undamaged plan of this version and of the
    /// length in the header. It does not check what the header's numbers mean for running the plan.
    pub fn parse(plan: &[u8]) -> Result<Self, PlanError> {
        if plan.len() < HEADER || !plan.starts_with(&MAGIC) {
            return Err(PlanError::NotAPlan);
        }
        let mut r = Reader::new(plan, 4);
        let version = r.u32();
        if version != VERSION {
            return Err(PlanError::Version(version));
        }
        let [crc, len, steps, arena, scratch] = [r.u32(), r.u32(), r.u32(), r.u32(), r.u32()];
        let (input, logits, classes) = (Shape::read(&mut r), r.u32(), r.u32());
        let mut set = [0; 16];
        for word in set.chunks_exact_mut(4) {
            word.copy_from_slice(&r.u32().to_le_bytes());
        }
        let pixels = r.u32();
        let records = (steps as usize).checked_mul(RECORD).and_then(|n| n.checked_add(HEADER));
        if len as usize != plan.len() || records.is_none_or(|end| end > plan.len()) {
            return Err(PlanError::Length);
        }
        if plan.get(CRC_AT + 4..).map(crc32) != Some(crc) {
            return Err(PlanError::Checksum);
        }
        Ok(Self { crc, len, steps, arena, scratch, input, logits, classes, set, pixels })
    }

    /// Recomputes the checksum of a whole plan after its bytes were changed.
    pub fn seal(plan: &mut [u8]) {
        if let Some((head, rest)) = plan.split_at_mut_checked(CRC_AT + 4) {
            head[CRC_AT..].copy_from_slice(&crc32(rest).to_le_bytes());
        }
    }

    /// Returns the size in bytes of the working memory for this many threads: the arena, then each thread's
    /// scratch.
    pub fn memory_bytes(&self, threads: usize) -> usize {
        self.arena_bytes() + threads * self.scratch_bytes()
    }

    pub(crate) fn arena_bytes(&self) -> usize {
        (self.arena as usize).next_multiple_of(ALIGN)
    }

    pub(crate) fn scratch_bytes(&self) -> usize {
        (self.scratch as usize).next_multiple_of(ALIGN)
    }

    /// Returns whether the plan is for the kernel set with this name.
    pub fn is_for(&self, name: &str) -> bool {
        let mut name = name.bytes();
        self.set.iter().all(|&b| b == name.next().unwrap_or(0)) && name.next().is_none()
    }

    /// Returns the kernel set's name.
    pub fn set_name(&self) -> &str {
        let len = self.set.iter().position(|&b| b == 0).unwrap_or(self.set.len());
        self.set.get(..len).and_then(|name| core::str::from_utf8(name).ok()).unwrap_or("")
    }
}
