//! After a session is made, classifying allocates nothing, on any kernel set and on every thread.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use foldnet::Session;
use foldnet_archive::testing::every_step;
use foldnet_kernels::dispatch;

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

// One test in this file: another one running beside it would be counted too.
#[test]
fn classifying_allocates_nothing() {
    let network = every_step();
    let pixels = vec![100; network.input().len()];
    for entry in dispatch::REGISTRY {
        let Some(set) = (entry.get)() else { continue };
        for threads in [1, 2] {
            let mut session = Session::new(&network, set, threads).unwrap();
            session.classify(&pixels);
            let mut allocations = || {
                let before = ALLOCATIONS.load(Ordering::Relaxed);
                for _ in 0..20 {
                    session.classify(&pixels);
                    session.features(&pixels);
                }
                ALLOCATIONS.load(Ordering::Relaxed) - before
            };
            // The test's harness has a thread of its own, which on a busy machine may still be starting this one.
            let counts: [usize; 5] = std::array::from_fn(|_| allocations());
            assert!(counts.contains(&0), "{} with {threads} threads: {counts:?}", entry.name);
        }
    }
}
