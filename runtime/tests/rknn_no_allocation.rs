//! After a model is on the NPU, classifying allocates nothing. (The fake library has an allocator of its own,
//! which is not counted.)

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use fake_rknn::{Fault, Model};
use foldnet_archive::testing::{every_step, manifest};
use foldnet_archive::{Manifest, NpuModel};
use foldnet_runtime::backend::Backend;
use foldnet_runtime::backend::rknn::Rknn;

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
    let (target, toolkit) = ("rk3588".to_owned(), "2.3.2".to_owned());
    let fake = Model {
        target: target.clone(),
        toolkit: toolkit.clone(),
        fault: Fault::None,
        scale: 0.25,
        zero: -3,
        network: every_step(),
    };
    let model = fake.pack(&manifest());
    let sha256 = NpuModel::digest(&model);
    let npu = NpuModel { target, toolkit, sha256, agreement: 1.0, images: 1, model };
    let manifest = Manifest { npu: vec![npu], ..manifest() };
    let library = std::env::current_exe().unwrap().with_file_name("libfake_rknn.so");
    let mut rknn = Rknn::open(&network, &manifest, Some(&library), 1).unwrap();
    let pixels = vec![100; network.input().len()];
    rknn.classify(&pixels).unwrap();
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    for _ in 0..20 {
        rknn.classify(&pixels).unwrap();
    }
    assert_eq!(ALLOCATIONS.load(Ordering::Relaxed) - before, 0);
}
