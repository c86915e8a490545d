//! Camera, resizing, plan and label in one emulated program, against the host's own; and what the watchdog
//! makes of a hang.

use std::time::Duration;

use foldnet::Session;
use foldnet_archive::Input;
use foldnet_image::frame::{Colors, Fitter, Format, Frame, Matrix, Range, View};
use serde_json::Value;

use crate::boards::{BOARDS, available, build};
use crate::emulator::{Emulator, frame};
use crate::network::{archive, built, host, logits, pictures};

const WIDTH: usize = 160;
const HEIGHT: usize = 120;

/// What ails the simulated camera; the order is `Ill::ALL`'s in the firmware.
const WELL: u8 = 0;
const ABSENT: u8 = 1;
const OTHER_SENSOR: u8 = 3;
const HANGS: u8 = 4;
const SHORT: u8 = 5;
const LOST: u8 = 6;
const FROZEN: u8 = 7;

/// Bytes of a scene on the line: the camera sends them over and over until its image is full.
const SCENE: usize = 4_005;

/// A scene: an image of the test set, a bit of it twice. Any bytes are YUYV. The last one is [`WELL`].
fn scene(picture: &[u8]) -> Vec<u8> {
    picture.iter().copied().cycle().take(SCENE - 1).chain([WELL]).collect()
}

/// The host's answer to it.
fn expected(host: &mut Session, input: &Input, scene: &[u8]) -> String {
    let colors = Colors { matrix: Matrix::Bt601, range: Range::Full };
    let mut taken = Frame::default();
    for (place, byte) in
        taken.shape(Format::Yuyv, WIDTH, HEIGHT, colors).unwrap().iter_mut().zip(scene.iter().cycle())
    {
        *place = *byte;
    }
    let mut pixels = Vec::new();
    Fitter::new(input.clone(), View::default()).fit(&mut taken, &mut pixels).unwrap();
    logits(host, &pixels)
}

fn show(emulator: &mut Emulator, scene: &[u8], ill: u8) {
    let mut scene = scene.to_vec();
    scene[SCENE - 1] = ill;
    emulator.send(&frame(&scene));
}

struct Bench {
    emulator: Emulator,
    scenes: Vec<(Vec<u8>, String)>,
    lost: u64,
}

impl Bench {
    fn is_well(&mut self, i: usize) {
        let (scene, logits) = &self.scenes[i % self.scenes.len()];
        show(&mut self.emulator, scene, WELL);
        let answer = self.emulator.answer();
        assert_eq!(answer["logits"], logits.as_str(), "{answer}");
        assert_eq!(answer["lost"], self.lost, "{answer}");
    }

    /// The first line after a reset.
    fn is_reset(&mut self, resets: u64) -> Value {
        // What was under way when the reset came may still be told, or a piece of it.
        let line: Value = loop {
            let line = self.emulator.line();
            if let Some(at) = line.find("{\"board\"") {
                break serde_json::from_str(&line[at..]).unwrap();
            }
        };
        assert_eq!(line["board"], "qemu-camera", "{line}");
        assert_eq!(line["resets"], resets, "{line}");
        self.lost = 0;
        line
    }
}

#[test]
fn a_simulated_camera_gives_the_hosts_bits_and_every_ill_is_survived() {
    if !available() {
        return;
    }
    let board = &BOARDS[0];
    let program = build(board, "qemu-camera", "qemu-mps2-an386,simulated", Some(&built(board).plan));
    let (mut host, (_, manifest)) = (host(), foldnet_archive::read(archive()).unwrap());
    let scenes = pictures(4).into_iter().map(|picture| {
        let scene = scene(&picture);
        let logits = expected(&mut host, &manifest.input, &scene);
        (scene, logits)
    });
    let scenes = scenes.collect();
    let mut bench = Bench { emulator: Emulator::start(board, &program), scenes, lost: 0 };
    let greeting = bench.emulator.answer();
    assert_eq!(greeting["board"], "qemu-camera");
    assert!(greeting["during"].is_null(), "a first start is no reset: {greeting}");
    for i in 0..bench.scenes.len() {
        bench.is_well(i);
    }

    let ills = [
        (ABSENT, "damaged"),
        (HANGS, "timeout"),
        (SHORT, "damaged"),
        (LOST, "damaged"),
        (OTHER_SENSOR, "absent"),
    ];
    for (i, (ill, error)) in ills.into_iter().enumerate() {
        let scene = bench.scenes[0].0.clone();
        if ill == OTHER_SENSOR {
            // It is looked for only when the camera is started again, after another ill.
            show(&mut bench.emulator, &scene, SHORT);
            assert_eq!(bench.emulator.answer()["error"], "damaged");
            bench.lost += 1;
        }
        show(&mut bench.emulator, &scene, ill);
        let answer = bench.emulator.answer();
        bench.lost += 1;
        assert_eq!((&answer["error"], &answer["lost"]), (&error.into(), &bench.lost.into()), "ill {ill}");
        bench.is_well(i);
    }

    // The line: a frame cut in the middle, then one as it should be.
    let sent = frame(&bench.scenes[0].0);
    bench.emulator.send(&[&sent[..sent.len() / 3], &[0]].concat());
    assert_eq!(bench.emulator.answer()["error"], "damaged");
    bench.lost += 1;
    bench.is_well(0);

    // A bus that never lets go: the watchdog's reset, the report, and on.
    let scene = bench.scenes[1].0.clone();
    for resets in 1..3 {
        show(&mut bench.emulator, &scene, FROZEN);
        let line = bench.is_reset(resets);
        assert_eq!(line["during"], "picture", "{line}");
        bench.is_well(resets as usize);
    }

    // Power that fails for a moment: while a frame comes, and while it is worked on.
    let sent = frame(&bench.scenes[2].0);
    for (resets, part) in (3..).zip([sent.len() / 4, sent.len() - 1, sent.len(), sent.len()]) {
        bench.emulator.send(&sent[..part]);
        bench.emulator.reset();
        bench.is_reset(resets);
        // What came of the frame before the reset is gone, what came after it is closed.
        bench.emulator.send(&[0]);
        let (scene, logits) = bench.scenes[3 % bench.scenes.len()].clone();
        show(&mut bench.emulator, &scene, WELL);
        let mut lost = 0;
        loop {
            // Part of it may have gone with the reset: then it is sent again, as any host would.
            let Some(answer) = bench.emulator.answer_within(Duration::from_secs(30)) else {
                lost += 1;
                assert!(lost < 5, "the board does not answer after reset {resets}");
                show(&mut bench.emulator, &scene, WELL);
                continue;
            };
            if answer["logits"] == logits.as_str() {
                break;
            }
            let earlier = answer["logits"] == bench.scenes[2].1.as_str();
            assert!(earlier || answer["error"] == "damaged", "{answer}");
        }
    }
}
