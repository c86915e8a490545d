//! The element in pipelines: results, formats, settings, errors, files. `.ci/gstreamer` adds an RTSP stream.

use std::path::{Path, PathBuf};
use std::sync::Once;

use foldnet::{Classifier, Image, ImageRef, Label};
use foldnet_archive::testing::{every_step, manifest};
use gst::prelude::*;
use tempfile::TempDir;

/// Until when a pipeline must have answered, on a machine that others use, too.
const PATIENCE: gst::ClockTime = gst::ClockTime::from_seconds(60);

/// A folder with an archive, whose network reads 8×9 RGB.
struct Fixture(TempDir);

impl Fixture {
    fn new() -> Self {
        static START: Once = Once::new();
        START.call_once(|| {
            gst::init().unwrap();
            gstfoldnet::plugin_register_static().unwrap();
        });
        let folder = tempfile::tempdir().unwrap();
        foldnet_archive::write(&folder.path().join("model.nnef.tgz"), &every_step(), &manifest()).unwrap();
        Self(folder)
    }

    fn file(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    /// The element as a pipeline's description has it.
    fn element(&self, properties: &str) -> String {
        format!("foldnetclassify threads=1 model={} {properties}", self.file("model.nnef.tgz"))
    }

    fn engine(&self) -> Classifier {
        Classifier::builder().threads(1).open(self.file("model.nnef.tgz")).unwrap()
    }
}

fn launch(description: &str) -> gst::Pipeline {
    gst::parse::launch(description).unwrap().downcast().unwrap()
}

/// Stops a pipeline at the end of a test, also when it fails.
struct Playing(gst::Pipeline);

impl Playing {
    fn start(description: &str) -> Self {
        let pipeline = launch(description);
        let playing = Self(pipeline);
        playing.0.set_state(gst::State::Playing).unwrap();
        playing
    }

    /// Messages with results until there are `enough`, or until the stream ends.
    fn results(&self, enough: usize) -> Vec<gst::Structure> {
        let (mut found, bus) = (Vec::new(), self.0.bus().unwrap());
        while found.len() < enough {
            match bus.timed_pop(PATIENCE).expect("the pipeline answers").view() {
                gst::MessageView::Element(message) => {
                    let structure = message.structure().filter(|s| s.name() == "foldnet-classification");
                    found.extend(structure.map(|s| s.to_owned()));
                }
                gst::MessageView::Eos(_) => break,
                gst::MessageView::Error(error) => panic!("{}: {:?}", error.error(), error.debug()),
                _ => {}
            }
        }
        found
    }
}

impl Drop for Playing {
    fn drop(&mut self) {
        let _ = self.0.set_state(gst::State::Null);
    }
}

type Class = (String, u32, f32);

fn class(structure: &gst::StructureRef) -> Class {
    let get = "every class has these fields";
    (
        structure.get("label").expect(get),
        structure.get("index").expect(get),
        structure.get("score").expect(get),
    )
}

fn classes(structure: &gst::StructureRef) -> Vec<Class> {
    let results: gst::Array = structure.get("results").unwrap();
    results.iter().map(|value| class(&value.get::<gst::Structure>().unwrap())).collect()
}

fn assert_bits(found: &[Class], expected: &[Label]) {
    assert!(!found.is_empty());
    for ((label, index, score), expected) in found.iter().zip(expected) {
        assert_eq!((&**label, *index as usize), (&*expected.name, expected.index));
        assert_eq!(score.to_bits(), expected.score.to_bits());
    }
}

fn noise(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|i| (i * 37 + i / 7) as u8).collect()
}

/// Sends one buffer through the element. Returns the buffer behind it and the message.
fn through(fixture: &Fixture, caps: &str, bytes: Vec<u8>, properties: &str) -> (gst::Buffer, gst::Structure) {
    let element = fixture.element(properties);
    let playing = Playing::start(&format!(
        "appsrc name=in format=time caps={caps} ! {element} ! appsink name=out sync=false"
    ));
    let input = playing.0.by_name("in").unwrap().downcast::<gst_app::AppSrc>().unwrap();
    let output = playing.0.by_name("out").unwrap().downcast::<gst_app::AppSink>().unwrap();
    let mut buffer = gst::Buffer::from_slice(bytes);
    buffer.get_mut().unwrap().set_pts(gst::ClockTime::from_mseconds(40));
    input.push_buffer(buffer).unwrap();
    input.end_of_stream().unwrap();
    let sample = output.try_pull_sample(PATIENCE).expect("the buffer comes out again");
    let message = playing.results(1).pop().expect("a message about the buffer");
    (sample.buffer_owned().unwrap(), message)
}

fn meta(buffer: &gst::BufferRef) -> gst::Structure {
    let meta = gst::meta::CustomMeta::from_buffer(buffer, gstfoldnet::META).expect("the meta is there");
    meta.structure().to_owned()
}

#[test]
fn results_are_on_the_buffer_and_on_the_bus() {
    let fixture = Fixture::new();
    let caps = "video/x-raw,format=RGB,width=20,height=30,framerate=25/1";
    let (buffer, message) = through(&fixture, caps, noise(1800), "");
    assert_eq!(buffer.map_readable().unwrap().as_slice(), noise(1800), "pixels pass as they are");
    let expected = fixture.engine().classify(&Image::new(20, 30, noise(1800)).unwrap());
    let found = classes(&meta(&buffer));
    assert_eq!(found.len(), 3, "`top` is 3 unless it is set");
    assert_bits(&found, &expected);
    assert_bits(&[class(&meta(&buffer))], &expected);
    assert_eq!(classes(&message), found);
    assert_eq!(message.get::<gst::ClockTime>("timestamp"), Ok(gst::ClockTime::from_mseconds(40)));
    assert_eq!(message.get::<gst::ClockTime>("running-time"), Ok(gst::ClockTime::from_mseconds(40)));
}

#[test]
fn rows_with_margins_and_regions_are_those_of_the_engine() {
    let fixture = Fixture::new();
    // GStreamer's rows of RGB are multiples of four bytes: 5 pixels take 16.
    let caps = "video/x-raw,format=RGB,width=5,height=6,framerate=25/1";
    let bytes = noise(16 * 6);
    let (buffer, _) = through(&fixture, caps, bytes.clone(), "top=4");
    let mut engine = fixture.engine();
    let expected = engine.classify(ImageRef::new(5, 6, 16, &bytes).unwrap());
    assert_bits(&classes(&meta(&buffer)), &expected);
    // The right half of a frame.
    let caps = "video/x-raw,format=RGB,width=20,height=30,framerate=25/1";
    let (buffer, _) = through(&fixture, caps, noise(1800), "top=99 region=0.5,0,0.5,1");
    let half: Vec<u8> = noise(1800).chunks(60).flat_map(|row| row[30..].to_vec()).collect();
    let expected = engine.classify(&Image::new(10, 30, half).unwrap());
    let found = classes(&meta(&buffer));
    assert_eq!(found.len(), expected.len());
    assert_bits(&found, &expected);
}

#[test]
fn every_format_of_the_pads_is_classified() {
    let fixture = Fixture::new();
    let registry = gst::ElementFactory::find("foldnetclassify").unwrap();
    let template = registry.static_pad_templates().iter().next().unwrap().caps();
    let formats: gst::List = template.structure(0).unwrap().get("format").unwrap();
    assert_eq!(formats.len(), 12);
    for format in formats.iter() {
        let format: &str = format.get().unwrap();
        let playing = Playing::start(&format!(
            "videotestsrc num-buffers=2 pattern=smpte ! video/x-raw,format={format},width=35,height=27 ! {} ! fakesink",
            fixture.element("")
        ));
        assert_eq!(playing.results(9).len(), 2, "{format}");
    }
}

/// Formats that differ only in the order of their bytes have the same answers, to the bit.
#[test]
fn the_order_of_bytes_does_not_matter() {
    let fixture = Fixture::new();
    let answer = |format: &str| {
        let playing = Playing::start(&format!(
            "videotestsrc num-buffers=1 pattern=smpte ! video/x-raw,format=RGB,width=35,height=27 ! videoconvert ! \
             video/x-raw,format={format} ! {} ! fakesink",
            fixture.element("top=4")
        ));
        classes(&playing.results(1)[0])
    };
    let rgb = answer("RGB");
    for format in ["BGR", "RGBx", "RGBA", "BGRx", "BGRA"] {
        assert_eq!(answer(format), rgb, "{format}");
    }
}

#[test]
fn every_nth_frame_is_classified_and_buffers_are_shared() {
    let fixture = Fixture::new();
    let element = fixture.element("interval=4");
    let source = "videotestsrc num-buffers=10 ! video/x-raw,format=I420,width=64,height=48,framerate=25/1";
    let playing = Playing::start(&format!("{source} ! {element} ! fakesink"));
    let time = |result: &gst::Structure| result.get::<gst::ClockTime>("timestamp").unwrap().mseconds();
    let times: Vec<u64> = playing.results(9).iter().map(time).collect();
    assert_eq!(times, [0, 160, 320], "frames 0, 4 and 8");
    // Behind a tee, others hold the buffers, too: they must not get the meta.
    let playing = Playing::start(&format!(
        "{source} ! tee name=t t. ! queue ! {element} ! fakesink sync=false t. ! queue ! appsink name=plain sync=false"
    ));
    let plain = playing.0.by_name("plain").unwrap().downcast::<gst_app::AppSink>().unwrap();
    assert_eq!(playing.results(3).len(), 3);
    for _ in 0..10 {
        let sample = plain.try_pull_sample(PATIENCE).unwrap();
        let buffer = sample.buffer().unwrap();
        assert!(gst::meta::CustomMeta::from_buffer(buffer, gstfoldnet::META).is_err());
    }
}

#[test]
fn settings_can_be_read_back_and_changed_while_playing() {
    let fixture = Fixture::new();
    let playing = Playing::start(&format!(
        "videotestsrc is-live=true ! video/x-raw,format=RGB,width=64,height=48 ! {} ! fakesink",
        fixture.element("name=c top=2 interval=1")
    ));
    let element = playing.0.by_name("c").unwrap();
    assert!(playing.results(2).iter().all(|result| classes(result).len() == 2));
    element.set_property("top", 1_u32);
    element.set_property("region", "0,0,0.5,0.5");
    let last = playing.results(5).pop().unwrap();
    assert_eq!(classes(&last).len(), 1);
    assert_eq!(element.property::<String>("region"), "0,0,0.5,0.5");
    element.set_property("region", "nonsense");
    assert_eq!(element.property::<String>("region"), "0,0,0.5,0.5", "what has no meaning changes nothing");
    let bus = playing.0.bus().unwrap();
    let warning = bus.timed_pop_filtered(PATIENCE, &[gst::MessageType::Warning]).expect("a warning");
    assert!(format!("{warning:?}").contains("nonsense"), "{warning:?}");
}

fn error_of(description: &str) -> String {
    let pipeline = launch(description);
    let bus = pipeline.bus().unwrap();
    let _ = pipeline.set_state(gst::State::Playing);
    let message = bus.timed_pop_filtered(PATIENCE, &[gst::MessageType::Error, gst::MessageType::Eos]);
    let _ = pipeline.set_state(gst::State::Null);
    match message.expect("the pipeline ends").view() {
        gst::MessageView::Error(error) => format!("{} {:?}", error.error(), error.debug()),
        _ => "no error".into(),
    }
}

#[test]
fn what_cannot_work_is_an_error_on_the_bus() {
    let fixture = Fixture::new();
    let run = |element: &str| error_of(&format!("videotestsrc num-buffers=3 ! {element} ! fakesink"));
    assert!(run("foldnetclassify").contains("`model` is not set"), "{}", run("foldnetclassify"));
    assert!(run("foldnetclassify model=/none.nnef.tgz").contains("/none.nnef.tgz"));
    std::fs::write(fixture.file("broken"), b"no archive").unwrap();
    let broken = run(&format!("foldnetclassify model={}", fixture.file("broken")));
    assert!(broken.contains("not a Foldnet archive"), "{broken}");
    assert!(run(&fixture.element("region=nonsense")).contains("expected left,top,width,height"));
    // Larger than a frame may be: the sizes that pass are those of `runtime camera`.
    let large = format!(
        "videotestsrc num-buffers=1 ! video/x-raw,format=GRAY8,width=9000,height=16 ! {} ! fakesink",
        fixture.element("")
    );
    assert!(error_of(&large).contains("9000×16"), "{}", error_of(&large));
    assert_eq!(run(&fixture.element("")), "no error");
}

#[test]
fn a_pipeline_can_be_stopped_and_started_again() {
    let fixture = Fixture::new();
    let pipeline = launch(&format!(
        "videotestsrc num-buffers=5 ! video/x-raw,format=NV12,width=64,height=48 ! {} ! fakesink",
        fixture.element("")
    ));
    for _ in 0..3 {
        let playing = Playing(pipeline.clone());
        playing.0.set_state(gst::State::Playing).unwrap();
        assert_eq!(playing.results(9).len(), 5);
    }
}

#[test]
fn files_are_decoded_and_classified() {
    let fixture = Fixture::new();
    let film = fixture.file("film.mkv");
    let write = Playing::start(&format!(
        "videotestsrc num-buffers=12 ! video/x-raw,width=96,height=64 ! jpegenc ! matroskamux ! filesink location={film}"
    ));
    assert!(write.results(1).is_empty(), "the file is written");
    drop(write);
    assert!(Path::new(&film).metadata().unwrap().len() > 1000);
    let playing = Playing::start(&format!(
        "filesrc location={film} ! decodebin ! {} ! fakesink sync=false",
        fixture.element("")
    ));
    assert_eq!(playing.results(99).len(), 12);
}

/// The logits of the program `runtime`, with networks and images that `.ci/doors` has made.
#[test]
fn logits_have_the_bits_of_the_program() {
    let Some(folder) = std::env::var_os("FOLDNET_DOORS").map(PathBuf::from) else {
        eprintln!("SKIPPED: the comparison with `runtime` needs FOLDNET_DOORS, a folder of `.ci/doors`");
        return;
    };
    let _started = Fixture::new();
    for network in ["resnet20", "resnet50"] {
        let file = |kind: &str| folder.join(format!("{network}.{kind}"));
        let archive = file("nnef.tgz");
        let playing = Playing::start(&format!(
            "appsrc name=in format=time ! foldnetclassify top=1000 threads=1 model={} ! fakesink",
            archive.display()
        ));
        let input = playing.0.by_name("in").unwrap().downcast::<gst_app::AppSrc>().unwrap();
        let images = std::fs::read(file("ppm")).unwrap();
        for (number, (width, height, pixels)) in images_of(&images).enumerate() {
            input.push_sample(&sample(number, width, height, pixels)).unwrap();
        }
        input.end_of_stream().unwrap();
        let results = playing.results(usize::MAX);
        let expected = std::fs::read_to_string(file("logits")).unwrap();
        assert!(results.len() > 20 && results.len() == expected.lines().count(), "{}", results.len());
        for (number, (result, expected)) in results.iter().zip(expected.lines()).enumerate() {
            // The output is plain numbers, so that scores are logits.
            let mut found = classes(result);
            found.sort_by_key(|(_, index, _)| *index);
            let bits: Vec<String> =
                found.iter().map(|(_, _, score)| format!("{:08x}", score.to_bits())).collect();
            assert_eq!(bits.join(" "), expected, "{network}, image {number}");
        }
        println!("{network}: {} images have the program's logits, bit for bit", results.len());
    }
}

/// Width, height and pixels of PPM images that follow each other.
fn images_of(bytes: &[u8]) -> impl Iterator<Item = (usize, usize, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let lines: Vec<&[u8]> = rest.splitn(4, |byte| *byte == b'\n').collect();
        let [_, size, _, pixels] = lines[..] else { return None };
        let (width, height) = std::str::from_utf8(size).unwrap().split_once(' ').unwrap();
        let (width, height) = (width.parse().unwrap(), height.parse().unwrap());
        let (pixels, after) = pixels.split_at(3 * width * height);
        rest = after;
        Some((width, height, pixels))
    })
}

/// An image as a source has it: rows of GStreamer's own length, and the caps that say their size.
fn sample(number: usize, width: usize, height: usize, pixels: &[u8]) -> gst::Sample {
    let info = gst_video::VideoInfo::builder(gst_video::VideoFormat::Rgb, width as u32, height as u32)
        .fps(gst::Fraction::new(25, 1))
        .build()
        .unwrap();
    let mut bytes = vec![0; info.size()];
    for (row, pixels) in bytes.chunks_mut(info.stride()[0] as usize).zip(pixels.chunks(3 * width)) {
        row[..3 * width].copy_from_slice(pixels);
    }
    let mut buffer = gst::Buffer::from_slice(bytes);
    buffer.get_mut().unwrap().set_pts(gst::ClockTime::from_mseconds(40 * number as u64));
    gst::Sample::builder().buffer(&buffer).caps(&info.to_caps().unwrap()).build()
}
