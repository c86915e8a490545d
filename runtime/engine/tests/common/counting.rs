//! An allocator that counts, for tests of what must not allocate. A test program that includes this file
//! has one test only: another one running beside it would be counted too.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: hands everything on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's contract is the system's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// How often memory was allocated in each of five turns of twenty calls. The test's harness has a thread of its own,
/// which on a busy machine may still be starting this one, so a turn of zero is enough.
pub fn allocations(mut call: impl FnMut()) -> [usize; 5] {
    std::array::from_fn(|_| {
        let before = ALLOCATIONS.load(Ordering::Relaxed);
        (0..20).for_each(|_| call());
        ALLOCATIONS.load(Ordering::Relaxed) - before
    })
}
