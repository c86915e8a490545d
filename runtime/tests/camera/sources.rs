//! Frames of each kind in, labels out; sources that fail, go and come back.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::place::{Place, Running, lines, state, stderr, until};

fn y4m(frames: usize) -> Vec<u8> {
    let mut bytes = b"YUV4MPEG2 W32 H16 F30:1 C420jpeg\n".to_vec();
    for n in 0..frames {
        bytes.extend(b"FRAME\n");
        bytes.extend(vec![(n * 40) as u8; 32 * 16]);
        bytes.extend(vec![128; 2 * 16 * 8]);
    }
    bytes
}

fn jpeg(grey: u8) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    let picture = image::RgbImage::from_pixel(32, 16, image::Rgb([grey; 3]));
    picture.write_to(&mut bytes, image::ImageFormat::Jpeg).unwrap();
    bytes.into_inner()
}

#[test]
fn every_frame_of_a_video_gets_a_line() {
    let place = Place::new();
    let all = lines(&place.fed("--input - --all --json", y4m(7)));
    assert_eq!(all.len(), 7);
    // A temperature stands there as well, where the board tells.
    let keys = all[0].as_object().unwrap().keys().map(String::as_str);
    let keys: Vec<&str> = keys.filter(|key| *key != "temperature").collect();
    assert_eq!(
        keys,
        ["captured", "damaged", "dropped", "fps", "frame", "label", "labels", "latency_ms", "ms", "resting"]
    );
    assert_eq!(all.iter().map(|l| l["frame"].as_u64().unwrap()).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(lines(&place.fed("--input - --all --json --every 3", y4m(7))).len(), 2);
    assert_eq!(lines(&place.fed("--input - --all --json --frames 4", y4m(7))).len(), 4);
    let raw = vec![90; 3 * (32 * 16 * 2)];
    let out = place.fed("--input - --all --json --format yuyv --size 32x16 --rotate 90 --flip", raw);
    assert_eq!(lines(&out).len(), 3);
    let motion = [jpeg(10), jpeg(200)].concat();
    assert_eq!(lines(&place.fed("--input - --all --json --roi 0,0,0.5,1", motion)).len(), 2);
}

#[test]
fn the_camera_says_what_classify_says() {
    let place = Place::new();
    let live = lines(&place.run("--input photos --all --once --json --smooth 1 --fps 1000"));
    assert_eq!(live.len(), 3);
    for (n, line) in live.iter().enumerate() {
        let mut command = Command::new(env!("CARGO_BIN_EXE_runtime"));
        command.args(["classify", "net.nnef.tgz", &format!("photos/{n}.png"), "--json"]);
        let output = command.current_dir(place.0.path()).output().unwrap();
        let still: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(line["labels"], still["labels"]);
    }
}

#[test]
fn what_is_no_source_is_named_with_exit_code_2() {
    let place = Place::new();
    std::fs::create_dir(place.path("empty")).unwrap();
    std::fs::write(place.path("broken.jpg"), b"no picture").unwrap();
    for folder in ["garbled", "clips"] {
        std::fs::create_dir(place.path(folder)).unwrap();
    }
    for name in ["garbled/a.jpg", "garbled/b.png", "clips/clip.mp4", "clip.mp4"] {
        std::fs::write(place.path(name), b"AAAAftypmp42").unwrap();
    }
    assert!(Command::new("mkfifo").arg(place.path("fifo")).status().unwrap().success());
    let mut cut = y4m(3);
    cut.truncate(cut.len() - 5);
    let cases: [(&str, Vec<u8>, &str); 19] = [
        ("--device /dev/video250", vec![], "runtime devices"),
        ("--device /dev/null", vec![], "not a video device"),
        ("--input empty", vec![], "no images"),
        ("--input nowhere", vec![], "nowhere"),
        (
            "--input rtsp://me:secret@camera/live",
            vec![],
            "ffmpeg -loglevel error -rtsp_transport tcp -i rtsp://camera/live -f",
        ),
        ("--input clip.mp4", vec![], "ffmpeg -loglevel error -i clip.mp4 -f yuv4mpegpipe"),
        ("--input clips", vec![], "no images"),
        ("--input garbled --once", vec![], "none of 2 images"),
        ("--input broken.jpg --once", vec![], "broken.jpg"),
        ("--input fifo", vec![], "not a file"),
        ("--input http://127.0.0.1:1/", vec![], "127.0.0.1:1"),
        ("--input -", b"\0\0\0\x01\x27\x64\0\x28".to_vec(), "H.264"),
        ("--input -", b"hello, world".to_vec(), "neither Y4M nor JPEGs"),
        ("--input -", b"YUV4MPEG2 W99999 H9 \n".to_vec(), "99999×9"),
        ("--input - --all", cut, "ends within a frame, 5 bytes"),
        ("--input - --format nv12", vec![0; 99], "--size"),
        ("--input photos --listen 0.0.0.0:0", vec![], "needs a token"),
        ("--input photos --listen 0 --token short", vec![], "8 characters"),
        ("--input photos --roi 1,1,1,1", vec![], "four shares"),
    ];
    for (words, bytes, expected) in cases {
        let output = place.fed(words, bytes);
        assert_eq!(output.status.code(), Some(2), "{words}: {}", stderr(&output));
        assert!(stderr(&output).contains(expected), "{words}: {}", stderr(&output));
        assert!(!stderr(&output).contains("secret"), "{words}: {}", stderr(&output));
    }
}

#[test]
fn what_became_of_frames_is_counted_when_none_was_classified() {
    let place = Place::new();
    std::fs::create_dir(place.path("garbled")).unwrap();
    for name in ["garbled/a.jpg", "garbled/b.jpg", "garbled/c.jpg"] {
        std::fs::write(place.path(name), b"no picture").unwrap();
    }
    let output = place.run("--input garbled --fps 1000");
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("0 frames classified of 0 captured, 0 dropped, 2 damaged"),
        "{}",
        stderr(&output)
    );
    // One good file makes the others damaged frames.
    std::fs::copy(place.path("photos/1.png"), place.path("garbled/d.png")).unwrap();
    let output = place.run("--input garbled --fps 1000 --once --all");
    assert!(
        output.status.success() && stderr(&output).contains("1 captured, 0 dropped, 3 damaged"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn still_images_are_not_smoothed_over_one_another() {
    let place = Place::new();
    let labels = |words: &str| -> Vec<Value> {
        let all = lines(&place.run(&format!("--input photos --all --once --json --fps 1000 {words}")));
        all.iter().map(|line| line["labels"].clone()).collect()
    };
    assert_eq!(labels(""), labels("--smooth 1 --hysteresis 0"));
    assert_ne!(labels(""), labels("--smooth 5"));
}

#[test]
fn quiet_is_quiet() {
    let place = Place::new();
    let output = place.run("--input photos --all --once -q --fps 1000");
    assert!(output.status.success() && output.stdout.is_empty() && output.stderr.is_empty(), "{output:?}");
    assert_eq!(lines(&place.run("--input photos --all --once -q --json --fps 1000")).len(), 3);
}

/// Red frames in I420, whose rows are padded as `rpicam-vid` pads them.
fn padded_red(width: usize, height: usize, frames: usize) -> Vec<u8> {
    let stride = width.next_multiple_of(64);
    let mut frame = Vec::new();
    for (shown, stride, rows, value, margin) in [
        (width, stride, height, 81, 16),
        (width / 2, stride / 2, height / 2, 90, 128),
        (width / 2, stride / 2, height / 2, 240, 128),
    ] {
        for _ in 0..rows {
            frame.extend(vec![value; shown]);
            frame.extend(vec![margin; stride - shown]);
        }
    }
    frame.repeat(frames)
}

#[test]
fn padded_rows_change_no_label() {
    let place = Place::new();
    let words = "--input - --all --json --format i420 --size";
    let tight: Vec<u8> = {
        let planes = [(224 * 224, 81), (112 * 112, 90), (112 * 112, 240)];
        planes.iter().flat_map(|&(bytes, value)| vec![value; bytes]).collect()
    };
    let right = lines(&place.fed(&format!("{words} 224x224"), tight))[0]["labels"].clone();
    for more in ["", "--stride 256"] {
        let output = place.fed(&format!("{words} 224x224 {more}"), padded_red(224, 224, 6));
        let told = lines(&output);
        assert_eq!(told.len(), 6, "{}", stderr(&output));
        assert!(told.iter().all(|line| line["labels"] == right), "{more}");
        assert_eq!(stderr(&output).contains("--stride 256"), more.is_empty(), "{}", stderr(&output));
    }
    // Whoever insists gets what was asked for, and is told at the end what it may have been.
    let output = place.fed(&format!("{words} 224x224 --stride 224"), padded_red(224, 224, 6));
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("try --stride 256"), "{}", stderr(&output));
}

#[test]
fn damaged_frames_are_counted_and_the_rest_goes_on() {
    let place = Place::new();
    let good = jpeg(90);
    let mut garbled = jpeg(120);
    let middle = garbled.len() / 3;
    garbled[middle..middle + 40].fill(0xee);
    let broken = good[..good.len() - 30].to_vec();
    let stream =
        [good.clone(), broken, good.clone(), b"noise".to_vec(), garbled, good.clone(), good].concat();
    let told = lines(&place.fed("--input - --all --json", stream));
    let last = told.last().unwrap();
    assert!(told.len() >= 4, "{told:?}");
    assert!(last["damaged"].as_u64().unwrap() >= 1, "{last}");
}

#[test]
fn a_camera_that_sends_nothing_but_damage_is_told_of() {
    let place = Place::new();
    let mut bad = jpeg(90);
    let header = bad.windows(2).position(|two| two == [0xff, 0xc0]).unwrap();
    // Samples of three bits: it is cut out of the stream as a whole JPEG, and is none.
    bad[header + 4] = 3;
    let mut command = place.command("--input - --all --listen 0");
    command.stdin(Stdio::piped());
    let mut running = Running::of(command);
    let mut stdin = running.child.stdin.take().unwrap();
    let feeder = std::thread::spawn(move || while stdin.write_all(&bad).is_ok() {});
    let at = running.page();
    let state = until(&at, |s| s["damaged"].as_u64() > Some(20));
    assert_eq!((&state["classified"], &state["alive"]), (&0.into(), &true.into()));
    running.ends_well();
    feeder.join().unwrap();
}

#[test]
fn a_camera_on_the_network_may_go_and_come_back() {
    let place = Place::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut running = Running::start(&place, &format!("--input http://{address}/ --listen 0 -v"));
    // Whenever it is asked it sends two pictures. The first time it hangs up then, afterwards it freezes.
    let (go, gone) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let (mut first, mut frozen) = (true, Vec::new());
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut answer = b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace\r\n\r\n".to_vec();
            for n in 0..2 {
                answer.extend(b"--b\r\nContent-Type: image/jpeg\r\n\r\n");
                answer.extend(jpeg(n));
            }
            // Who has waited too long on a busy machine is gone, and asks again.
            if stream.read(&mut [0; 1024]).and_then(|_| stream.write_all(&answer)).is_err() {
                continue;
            }
            if first {
                gone.recv().unwrap();
                first = false;
            } else {
                frozen.push(stream);
            }
        }
    });
    let at = running.page();
    until(&at, |s| s["captured"].as_u64() >= Some(2));
    go.send(()).unwrap();
    // It comes back, sends pictures, and freezes: after a while it is asked anew, again and again.
    until(&at, |s| s["lost"].as_u64() >= Some(1) && s["captured"].as_u64() >= Some(4));
    until(&at, |s| s["lost"].as_u64() >= Some(3) && s["captured"].as_u64() >= Some(8));
    running.ends_well();
}

#[test]
fn a_folder_that_vanishes_is_waited_for() {
    let place = Place::new();
    let mut running = Running::start(&place, "--input photos --fps 100 --listen 0 -v");
    let at = running.page();
    until(&at, |s| s["captured"].as_u64() > Some(3));
    let (here, there): (&Path, &Path) = (&place.path("photos"), &place.path("away"));
    std::fs::rename(here, there).unwrap();
    running.says("trying again");
    std::fs::rename(there, here).unwrap();
    let before = state(&at)["captured"].as_u64();
    until(&at, |s| s["captured"].as_u64() > before);
    running.ends_well();
}
