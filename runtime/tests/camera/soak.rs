//! Many frames, faster than a camera gives them: memory and descriptors stay as they were.
//!
//! `FOLDNET_SOAK_FRAMES=2592000` makes it a day at 30 frames a second.

use std::io::Write;
use std::process::Stdio;

use crate::place::{Place, Running, get, state};

/// Resident memory in kilobytes, and open descriptors, of a process.
fn held(pid: u32) -> (u64, usize) {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap();
    let kilobytes = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    (kilobytes, std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count())
}

#[test]
fn memory_and_descriptors_stay_flat() {
    let frames: u64 = match std::env::var("FOLDNET_SOAK_FRAMES") {
        Ok(text) => text.parse().unwrap(),
        Err(_) => 30_000,
    };
    let place = Place::new();
    // JPEGs of two sizes and a broken one, so that every way a frame can go is gone.
    let jpeg = |width, height, grey: u8| {
        let mut bytes = std::io::Cursor::new(Vec::new());
        let picture = image::RgbImage::from_pixel(width, height, image::Rgb([grey, 90, 200]));
        picture.write_to(&mut bytes, image::ImageFormat::Jpeg).unwrap();
        bytes.into_inner()
    };
    let mut turn = Vec::new();
    for n in 0..16_u8 {
        turn.extend(jpeg(32, 24, 15 * n));
        turn.extend(jpeg(40, 40, 255 - 15 * n));
    }
    let broken = jpeg(32, 24, 1);
    turn.extend(&broken[..broken.len() / 2]);
    let mut command =
        place.command("--input - --all --keep-uncertain kept --keep-below 1 --keep-mb 1 --listen 0");
    command.stdin(Stdio::piped());
    let mut running = Running::of(command);
    let mut stdin = running.child.stdin.take().unwrap();
    let feeder = std::thread::spawn(move || while stdin.write_all(&turn).is_ok() {});
    let at = running.page();
    let pid = running.child.id();
    let reach = |count: u64| loop {
        let now = state(&at)["classified"].as_u64().unwrap();
        if now >= count {
            return now;
        }
        // Viewers come and go meanwhile.
        assert!(get(&at, "/", "").contains("<title>"));
        std::thread::sleep(std::time::Duration::from_millis(20));
    };
    let warm = reach(frames / 5);
    let (memory, descriptors) = held(pid);
    let end = reach(frames);
    let (memory_after, mut descriptors_after) = held(pid);
    // A connection that is just ended, a frame that is just kept, the thermometer: such ones go again.
    for _ in 0..600 {
        if descriptors_after <= descriptors {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
        descriptors_after = descriptors_after.min(held(pid).1);
    }
    eprintln!(
        "{warm} frames: {memory} kB, {descriptors} descriptors; {end} frames: {memory_after} kB, {descriptors_after}"
    );
    assert!(memory_after <= memory + 1024, "{memory} kB, then {memory_after} kB");
    assert!(descriptors_after <= descriptors, "{descriptors}, then {descriptors_after}");
    assert!(state(&at)["damaged"].as_u64() > Some(10));
    running.ends_well();
    feeder.join().unwrap();
}
