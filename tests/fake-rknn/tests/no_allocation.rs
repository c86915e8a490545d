//! After a model is on the NPU, classifying allocates nothing. (The fake library has an allocator of its own,
//! which is not counted.)

#[path = "../../../runtime/engine/tests/common/counting.rs"]
mod counting;

use fake_rknn::Model;
use foldnet::backend::Backend;
use foldnet_archive::testing::{every_step, manifest};
use foldnet_backends::rknn::{Options, Rknn};

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
    let counts = counting::allocations(|| {
        rknn.classify(&pixels).unwrap();
        let memory = rknn.memory().unwrap();
        memory.pixels().fill(7);
        memory.classify().unwrap();
    });
    assert!(counts.contains(&0), "{counts:?}");
}
