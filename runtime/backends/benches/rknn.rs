//! Measures the time that the NPU backend adds to a frame, besides the library's own. It uses the smallest network
//! and the fake library of `tests/fake-rknn`; "library" is the same network in the fake alone.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use fake_rknn::Model;
use foldnet::Session;
use foldnet_archive::testing::{every_step, manifest};
use foldnet_backends::rknn::{Options, Rknn};

fn overhead(criterion: &mut Criterion) {
    let network = every_step();
    let manifest = Model::of(every_step()).manifest(manifest());
    let library = std::env::current_exe().expect("a program").with_file_name("libfake_rknn.so");
    let options = Options { library: Some(library), cores: 1, sram: false, batch: false };
    let mut rknn = Rknn::open(&network, &manifest, &options).expect("the fake");
    let pixels = vec![100; network.input().len()];
    let mut group = criterion.benchmark_group("rknn");
    group.bench_function("backend and library", |b| {
        b.iter(|| black_box(rknn.run(black_box(&pixels)).expect("an answer")[0]));
    });
    let portable = foldnet_kernels::dispatch::by_name("portable").expect("always there");
    let mut session = Session::new(&network, portable, 1).expect("a sound network");
    group.bench_function("library", |b| b.iter(|| black_box(session.run(black_box(&pixels))[0])));
    group.finish();
}

criterion_group!(benches, overhead);
criterion_main!(benches);
