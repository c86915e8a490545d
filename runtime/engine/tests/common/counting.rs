//! An allocator that counts, for tests of code that must not allocate. A test program that includes this file may
//! have only one test, because a second one running at the same time would be counted, too.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's contract is that of the system's allocator.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Returns how often memory was allocated in each of five rounds of twenty calls. The test harness has a thread of
/// its own, which may still be starting this one on a busy machine. One round without allocations is therefore
/// enough.
pub fn allocations(mut call: impl FnMut()) -> [usize; 5] {
    std::array::from_fn(|_| {
        let before = ALLOCATIONS.load(Ordering::Relaxed);
        (0..20).for_each(|_| call());
        ALLOCATIONS.load(Ordering::Relaxed) - before
    })
}
