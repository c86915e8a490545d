//! Byte buffers aligned to [`ALIGN`], as kernels require.

use alloc::boxed::Box;
use core::ops::{Deref, DerefMut};

use foldnet_kernels::ALIGN;

/// One cache line.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u8; ALIGN]);

/// A byte buffer that starts at a multiple of [`ALIGN`].
pub struct Aligned {
    lines: Box<[Line]>,
    len: usize,
}

impl Aligned {
    /// Allocates `len` zero bytes.
    pub fn zeroed(len: usize) -> Self {
        Self { lines: alloc::vec![Line([0; ALIGN]); len.div_ceil(ALIGN)].into(), len }
    }

    /// Copies the bytes.
    pub fn from_slice(bytes: &[u8]) -> Self {
        let mut new = Self::zeroed(bytes.len());
        new.copy_from_slice(bytes);
        new
    }
}

impl Deref for Aligned {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: `lines` contains at least `len` initialized bytes.
        unsafe { core::slice::from_raw_parts(self.lines.as_ptr().cast(), self.len) }
    }
}

impl DerefMut for Aligned {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, borrowed mutably.
        unsafe { core::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.len) }
    }
}
