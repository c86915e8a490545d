//! Measures the cost of one fork and join of the pool while its workers are awake.
#![allow(missing_docs)]

use criterion::{Criterion, criterion_group, criterion_main};
use foldnet::pool::Threads;
use foldnet_plan::Pool;

fn fork_join(c: &mut Criterion) {
    for threads in [1, 2] {
        let pool = Threads::new(threads).expect("two threads can be started");
        c.bench_function(&format!("fork_join/{threads}"), |b| {
            b.iter(|| {
                pool.run(&|i| {
                    std::hint::black_box(i);
                })
            });
        });
    }
}

criterion_group!(benches, fork_join);
criterion_main!(benches);
