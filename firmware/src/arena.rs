//! Static memory for a plan.

use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicBool, Ordering};

/// The working memory of a plan, which is handed out once.
#[repr(C, align(64))]
pub struct Arena<const N: usize> {
    bytes: UnsafeCell<[u8; N]>,
    taken: AtomicBool,
}

// SAFETY: `take` returns the bytes to one caller only.
unsafe impl<const N: usize> Sync for Arena<N> {}

impl<const N: usize> Arena<N> {
    /// Creates zeroed memory.
    #[allow(clippy::new_without_default)]
    pub const fn new() -> Self {
        Self { bytes: UnsafeCell::new([0; N]), taken: AtomicBool::new(false) }
    }

    /// Returns the memory the first time, and `None` afterwards.
    #[allow(clippy::mut_from_ref)]
    pub fn take(&'static self) -> Option<&'static mut [u8; N]> {
        if self.taken.load(Ordering::Relaxed) {
            return None;
        }
        self.taken.store(true, Ordering::Relaxed);
        // SAFETY: nobody else has it: this branch is taken once (programs have one thread, and interrupts take no
        // arena).
        Some(unsafe { &mut *self.bytes.get() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_handed_out_once_and_aligned() {
        static ARENA: Arena<100> = Arena::new();
        let bytes = ARENA.take().unwrap();
        assert!(bytes.as_ptr().addr().is_multiple_of(64));
        assert!(ARENA.take().is_none());
    }
}
