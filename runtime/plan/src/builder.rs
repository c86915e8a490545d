//! Assembles a plan's bytes.

use alloc::vec::Vec;

use foldnet_kernels::ALIGN;

use crate::format::{Blob, HEADER, Header, RECORD, Record};

/// Collects steps and constants; [`Builder::finish`] returns the bytes.
#[derive(Default)]
pub struct Builder {
    records: Vec<Record>,
    blobs: Vec<u8>,
}

impl Builder {
    /// Starts an empty plan.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds constants. The result's `at` is relative to the first constant; [`Builder::finish`] adds the size of
    /// the header and the records.
    pub fn blob(&mut self, bytes: &[u8]) -> Blob {
        self.blobs.resize(self.blobs.len().next_multiple_of(ALIGN), 0);
        let at = self.blobs.len() as u32;
        self.blobs.extend_from_slice(bytes);
        Blob { at, len: bytes.len() as u32 }
    }

    /// Adds a step.
    pub fn step(&mut self, record: Record) {
        self.records.push(record);
    }

    /// Returns the finished plan, or `None` if it would exceed 4 GiB. `header` specifies the sizes; `finish` fills
    /// in its `crc`, `len` and `steps`.
    pub fn finish(mut self, mut header: Header) -> Option<Vec<u8>> {
        let base = (HEADER + RECORD * self.records.len()).next_multiple_of(ALIGN);
        let len = base.checked_add(self.blobs.len())?;
        header.len = u32::try_from(len).ok()?;
        header.steps = self.records.len() as u32;
        let mut bytes = Vec::with_capacity(len);
        bytes.resize(base, 0);
        for (i, record) in self.records.iter_mut().enumerate() {
            if let Some(blob) = record.blob() {
                blob.at += base as u32;
            }
            record.write(&mut bytes[HEADER + i * RECORD..][..RECORD]);
        }
        bytes.append(&mut self.blobs);
        header.write(&mut bytes);
        Header::seal(&mut bytes);
        Some(bytes)
    }
}
