//! After a model is on the NPU, classifying allocates nothing. (The fake library has an allocator of its own,
//! which is not counted.)

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use fake_rknn::Model;
use foldnet::backend::Backend;
use foldnet_archive::testing::{every_step, manifest};
use foldnet_backends::rknn::{Options, Rknn};

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
    // Without margins, so that pixels can be made in its memory.
    let manifest = Model { rows: 1, ..Model::of(every_step()) }.manifest(manifest());
    let library = std::env::current_exe().unwrap().with_file_name("libfake_rknn.so");
    let options = Options { library: Some(library), cores: 1, sram: false, batch: false };
    let mut rknn = Rknn::open(&network, &manifest, &options).unwrap();
    let pixels = vec![100; network.input().len()];
    rknn.classify(&pixels).unwrap();
    let mut allocations = || {
        let before = ALLOCATIONS.load(Ordering::Relaxed);
        for _ in 0..20 {
            rknn.classify(&pixels).unwrap();
            let memory = rknn.memory().unwrap();
            memory.pixels().fill(7);
            memory.classify().unwrap();
        }
        ALLOCATIONS.load(Ordering::Relaxed) - before
    };
    // The test's harness has a thread of its own, which on a busy machine may still be starting this one.
    let counts: [usize; 5] = std::array::from_fn(|_| allocations());
    assert!(counts.contains(&0), "{counts:?}");
}
