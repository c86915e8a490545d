//! Measures the conversion of a 640×480 camera frame to a network's 224×224 pixels, for each pixel format.

use criterion::{Criterion, criterion_group, criterion_main};
use foldnet_archive::{Input, Resize};
use foldnet_image::frame::{Colors, Fitter, Format, Frame, View};

fn fit(c: &mut Criterion) {
    let mut group = c.benchmark_group("640x480 to 224x224");
    for (name, resize) in [("stretch", Resize::Stretch), ("crop 256", Resize::Crop { short_side: 256 })] {
        for (format_name, format) in Format::NAMED.into_iter().filter(|(_, f)| *f != Format::Jpeg) {
            let mut frame = Frame::default();
            let bytes = frame.shape(format, 640, 480, Colors::default()).expect("a size that exists");
            bytes.iter_mut().enumerate().for_each(|(i, b)| *b = (i * i / 7) as u8);
            let (mean, std) = (vec![0.0; 3], vec![1.0; 3]);
            let preprocess = "none".into();
            let input = Input { width: 224, height: 224, channels: 3, resize, preprocess, mean, std };
            let mut fitter = Fitter::new(input, View::default());
            let mut pixels = Vec::new();
            group.bench_function(format!("{format_name}, {name}"), |b| {
                b.iter(|| fitter.fit(&mut frame, &mut pixels));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, fit);
criterion_main!(benches);
