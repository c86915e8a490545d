//! Once a session is created, classifying allocates nothing, on any kernel set and any thread.

#[path = "common/counting.rs"]
mod counting;

use foldnet::Session;
use foldnet_archive::testing::every_step;
use foldnet_kernels::dispatch;

#[test]
fn classifying_allocates_nothing() {
    let network = every_step();
    let pixels = vec![100; network.input().len()];
    for entry in dispatch::REGISTRY {
        let Some(set) = (entry.get)() else { continue };
        for threads in [1, 2] {
            let mut session = Session::new(&network, set, threads).unwrap();
            session.classify(&pixels);
            let counts = counting::allocations(|| {
                session.classify(&pixels);
                session.features(&pixels);
                session.run_with_features(&pixels);
            });
            assert!(counts.contains(&0), "{} with {threads} threads: {counts:?}", entry.name);
        }
    }
}
