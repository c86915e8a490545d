//! Recognizing taught classes allocates nothing.

#[path = "../../engine/tests/common/counting.rs"]
mod counting;

use foldnet::Session;
use foldnet::backend::Backend;
use foldnet_archive::Scores;
use foldnet_archive::testing::manifest_stretched;
use foldnet_archive::testing::resnet8;
use foldnet_kernels::dispatch;
use foldnet_teach::{Example, FalseAlarms, Metric, Other, OwnClasses, OwnExample, Taught, Teacher};

#[test]
fn recognizing_allocates_nothing() {
    for mixed in [false, true] {
        recognizes(mixed);
    }
}

fn recognizes(mixed: bool) {
    let network = resnet8();
    let manifest = manifest_stretched(&network);
    let scores = Scores::new(&manifest, network.activation, network.classes());
    let labels = (0..scores.len()).map(|class| scores.name(&manifest, class)).collect();
    let own = OwnClasses { scores, labels };
    let mut session = Session::new(&network, dispatch::best(), 2).unwrap();
    let mut teacher = Teacher::new([0; 32], Metric::of(&network).unwrap(), Other::Unknown);
    for n in 0..40u8 {
        let pixels: Vec<u8> = (0..network.input().len()).map(|i| (i % 251) as u8 ^ n).collect();
        let (_, features) = session.run_with_features(&pixels).unwrap();
        teacher.add(&format!("class {}", n % 4), Example::new(&pixels, features)).unwrap();
    }
    for n in 0..40u8 {
        teacher.add_own(OwnExample::new(&[n], &[0.5 + f32::from(n) / 100.0])).unwrap();
    }
    teacher.mix(mixed);
    let teaching = teacher.finish(FalseAlarms::percent(5.0).unwrap()).unwrap();
    let mut taught = Taught::new(session, [0; 32], &teaching, &own).unwrap();
    let pixels = vec![100; network.input().len()];
    taught.classify(&pixels).unwrap();
    let counts = counting::allocations(|| {
        taught.classify(&pixels).unwrap();
    });
    assert!(counts.contains(&0), "{counts:?}");
}
