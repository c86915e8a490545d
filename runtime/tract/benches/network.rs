//! Measures whole networks on every kernel set of this CPU and in tract: the same network in f32, and our archive
//! with tract's own int8. One thread.
//!
//! A ResNet-8 for 32×32 with random weights is always measured; `FOLDNET_ARCHIVES=a.nnef.tgz:b.nnef.tgz cargo
//! bench -p foldnet-tract --bench network` adds archives.
#![allow(missing_docs)]

use std::path::Path;

use criterion::{BenchmarkGroup, Criterion, criterion_group, criterion_main, measurement::WallTime};
use foldnet::Session;
use foldnet_archive::testing::{manifest, resnet8};
use foldnet_backends::bench::noise;
use foldnet_kernels::dispatch;
use foldnet_tract::{Float, Stock};

fn networks(c: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let own = folder.path().join("resnet8.nnef.tgz");
    let network = resnet8();
    let mut manifest = manifest();
    (manifest.input.width, manifest.input.height) = (network.input().w, network.input().h);
    manifest.labels.clear();
    foldnet_archive::write(&own, &network, &manifest).expect("the temporary folder can be written");
    let given = std::env::var_os("FOLDNET_ARCHIVES").unwrap_or_default();
    let others = std::env::split_paths(&given).filter(|path| !path.as_os_str().is_empty());
    for path in [own].into_iter().chain(others) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        one(&mut c.benchmark_group(name), &path);
    }
}

fn one(group: &mut BenchmarkGroup<'_, WallTime>, archive: &Path) {
    let (network, _) = foldnet_archive::read(archive).expect("an archive");
    let pixels = noise(network.input().len());
    group.sample_size(10);
    for set in dispatch::REGISTRY.iter().filter_map(|entry| (entry.get)()) {
        // The reference set and the models of microcontrollers exist for their bits, not for speed.
        if set.peak_macs_per_cycle().is_some() {
            let mut session = Session::new(&network, set, 1).expect("a network that compiles");
            group.bench_function(set.name(), |b| b.iter(|| session.run(&pixels)[0]));
        }
    }
    let mut float = Float::new(&network).expect("a network that tract has");
    group
        .bench_function("f32 (tract)", |b| b.iter(|| float.logits(&pixels).map(|y| y[0]).expect("as built")));
    let mut stock = Stock::load(archive, network.input()).expect("an archive that tract loads");
    group.bench_function("int8 (tract)", |b| {
        b.iter(|| stock.logits(&pixels).map(|y| y[0]).expect("as loaded"))
    });
}

criterion_group!(benches, networks);
criterion_main!(benches);
