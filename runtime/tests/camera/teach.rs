//! Classes taught through the page.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use foldnet_archive::testing::{manifest_stretched, resnet8};
use serde_json::{Value, json};

use crate::place::{Place, Running, body, get, state, until};

/// Kinds of images: bars across, bars down, and checks.
const KINDS: [&str; 3] = ["across", "down", "checks"];

/// A folder with an archive of eight layers, and images of each kind.
pub fn place() -> Place {
    let place = Place::new();
    let network = resnet8();
    let manifest = manifest_stretched(&network);
    foldnet_archive::write(&place.path("net.nnef.tgz"), &network, &manifest).unwrap();
    for (kind, name) in KINDS.iter().enumerate() {
        std::fs::create_dir(place.path(name)).unwrap();
        for n in 0..12_u32 {
            let pixel = |x: u32, y: u32| {
                let bar = [y / 4 % 2, x / 4 % 2, (x / 8 + y / 8) % 2][kind];
                let noise = (x * 31 + y * 17 + n * 101).wrapping_mul(2_654_435_761) >> 27;
                let level = 40 + 150 * bar + noise;
                image::Rgb([level as u8, (level + n) as u8, 90])
            };
            let image = image::RgbImage::from_fn(32, 32, pixel);
            image.save(place.path(&format!("{name}/{n:02}.png"))).unwrap();
        }
    }
    place
}

/// Sends a body, and returns the answer's code and body.
pub fn send(at: &str, line: &str, headers: &str, body: &[u8]) -> (u16, String) {
    let mut stream = TcpStream::connect(at).unwrap();
    let length = body.len();
    let head = format!(
        "{line} HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\n{headers}Content-Length: {length}\r\n\r\n"
    );
    // One that is refused early is not read to its end.
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let code = answer.split(' ').nth(1).and_then(|code| code.parse().ok()).expect(&answer);
    (code, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
}

pub const JSON: &str = "Content-Type: application/json\r\n";
const FILE: &str = "Content-Type: application/octet-stream\r\n";

pub fn post(at: &str, what: &str, value: &Value) -> (u16, String) {
    send(at, &format!("POST /api/teach/{what}"), JSON, value.to_string().as_bytes())
}

/// The images of a folder, as the page sends them.
pub fn uploads(folder: &Path) -> Value {
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    paths.sort();
    let upload = |path: &std::path::PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap();
        json!({ "name": name, "bytes": STANDARD.encode(std::fs::read(path).unwrap()) })
    };
    paths.iter().map(upload).collect()
}

pub fn taught(at: &str) -> Value {
    serde_json::from_str(body(&get(at, "/api/teach", ""))).unwrap()
}

pub fn names(at: &str) -> Vec<String> {
    let taught = taught(at);
    let classes = taught["classes"].as_array().unwrap();
    classes.iter().map(|class| class["class"].as_str().unwrap().to_owned()).collect()
}

/// The first heat map of the page's stream.
fn heat_map(at: &str) -> Value {
    let mut stream = TcpStream::connect(at).unwrap();
    stream.write_all(format!("GET /stream?heat HTTP/1.1\r\nHost: {at}\r\n\r\n").as_bytes()).unwrap();
    let mut lines = BufReader::new(stream).lines().map(Result::unwrap);
    lines.find(|line| line == "event: heat").expect("a heat map");
    let data = lines.next().unwrap();
    serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap()
}

#[test]
fn a_class_is_taught_recognized_and_there_after_a_restart() {
    let place = place();
    let words = |input: &str| format!("--input {input} --fps 20 --listen 0 --teach a.teach");
    let mut running = Running::start(&place, &words("across"));
    running.says("a.teach: nothing is taught yet");
    let at = running.page();
    let before = until(&at, |s| s["classified"].as_u64() > Some(30));
    assert_eq!((&before["teaching"], &before["model"]["other"]), (&1.into(), &Value::Null));
    let (code, answer) = post(&at, "frames", &json!({ "class": "across", "seconds": 10 }));
    assert_eq!(code, 200, "{answer}");
    let new = serde_json::from_str::<Value>(&answer).unwrap()["new"].as_u64().unwrap();
    assert!((2..=12).contains(&new), "{new} of twelve images");
    until(&at, |s| s["label"] == "across" && s["model"]["other"] == "unknown" && s["teaching"] == 2);
    let map = heat_map(&at);
    assert!(map["none"].is_null() && map["cells"].as_array().unwrap().contains(&255.into()), "{map}");
    let lesson = json!({ "class": "down", "images": uploads(&place.path("down")) });
    assert_eq!(post(&at, "images", &lesson), (200, r#"{"new":12}"#.into()));
    assert_eq!(post(&at, "images", &lesson), (200, r#"{"new":0}"#.into()));
    until(&at, |s| s["model"]["classes"] == 3);
    let shown = taught(&at);
    assert!(shown["unknown"]["expected"].as_f64() > Some(0.0), "{shown}");
    assert!(!shown["classes"][1]["thumbnails"].as_array().unwrap().is_empty());
    running.ends_well();
    for (input, label) in [("down", "down"), ("checks", "unknown"), ("across", "across")] {
        let mut running = Running::start(&place, &words(input));
        let at = running.page();
        until(&at, |s| s["label"] == label);
        assert_eq!(names(&at), ["across", "down"]);
        running.ends_well();
    }
    // What the page made is what the command reads.
    let mut command = Command::new(env!("CARGO_BIN_EXE_runtime"));
    command.args(["teach", "net.nnef.tgz", "--from", "a.teach"]).current_dir(place.0.path());
    let output = command.output().unwrap();
    assert!(output.status.success() && String::from_utf8_lossy(&output.stdout).contains("across"));
}

#[test]
fn classes_are_renamed_removed_undone_exported_and_imported() {
    let place = place();
    let mut running = Running::start(&place, "--input across --fps 20 --listen 0 --teach a.teach");
    let at = running.page();
    for kind in ["across", "down"] {
        let lesson = json!({ "class": kind, "images": uploads(&place.path(kind)) });
        assert_eq!(post(&at, "images", &lesson).0, 200);
    }
    let file = std::fs::read(place.path("a.teach")).unwrap();
    let head = get(&at, "/api/teach/file", "");
    assert!(head.starts_with("HTTP/1.1 200") && head.contains("content-disposition: attachment"));
    assert_eq!(post(&at, "rename", &json!({ "from": "across", "to": "bars, a\u{e4}" })).0, 204);
    until(&at, |s| s["label"] == "bars, a\u{e4}");
    assert_eq!(post(&at, "remove", &json!({ "class": "down" })).0, 204);
    assert_eq!(names(&at), ["bars, a\u{e4}"]);
    assert_eq!(post(&at, "undo", &json!({})), (200, r#"{"undone":"remove down"}"#.into()));
    assert_eq!(names(&at).len(), 2);
    assert_eq!(send(&at, "PUT /api/teach/file", FILE, &file).0, 204);
    assert_eq!(names(&at), ["across", "down"]);
    assert_eq!(std::fs::read(place.path("a.teach")).unwrap(), file);
    // Without its last class the network says its own again.
    for kind in ["across", "down"] {
        assert_eq!(post(&at, "remove", &json!({ "class": kind })).0, 204);
    }
    assert!(!place.path("a.teach").exists());
    until(&at, |s| s["model"]["other"].is_null() && s["model"]["classes"] == 10);
    running.ends_well();
}

#[test]
fn what_cannot_be_taught_is_told_and_nothing_changes() {
    let place = place();
    let mut running = Running::start(&place, "--input across/00.png --fps 20 --listen 0 --teach a.teach");
    let at = running.page();
    let lesson = json!({ "class": "across", "images": uploads(&place.path("across")) });
    assert_eq!(post(&at, "images", &lesson).0, 200);
    until(&at, |s| s["model"]["other"] == "unknown" && s["classified"].as_u64() > Some(20));
    let file = std::fs::read(place.path("a.teach")).unwrap();
    let one = |name: &str| {
        let bytes = STANDARD.encode(std::fs::read(place.path(name)).unwrap());
        json!({ "name": name, "bytes": bytes })
    };
    let torn = json!({ "name": "torn.png", "bytes": STANDARD.encode(b"\x89PNG\r\n\x1a\n") });
    let images = |class: &str, images: &[Value]| json!({ "class": class, "images": images });
    for (what, value, code, says) in [
        ("frames", json!({ "class": "still", "seconds": 5 }), 400, "both \"across\" and \"still\""),
        ("frames", json!({ "class": "across", "seconds": -1 }), 400, "0 to 3600"),
        ("frames", json!({ "class": "across" }), 400, "missing field"),
        ("frames", json!({ "seconds": 1 }), 400, "missing field `class`"),
        ("mix", json!({ "mixed": true }), 400, "images of them are needed"),
        ("mix", json!({ "mixed": 1 }), 400, "boolean"),
        ("rate", json!({ "percent": 51 }), 400, "0 to 50"),
        ("unknown", json!({ "class": "down", "images": [] }), 400, "no image"),
        ("unknown", json!({ "class": "down", "images": ["../../../a.teach"] }), 400, "hexadecimal"),
        ("unknown", json!({ "class": "down", "images": ["0123456789abcdef"] }), 409, "no longer kept"),
        ("unknown", json!({ "class": "x".repeat(5000), "images": [] }), 413, "too large"),
        ("frames", json!({ "class": "x", "seconds": 1, "more": 1 }), 400, "unknown field"),
        ("images", images("down", &[]), 400, "no image"),
        ("images", images("down", &[one("down/00.png")]), 400, "one example only"),
        ("images", images("down", &[one("down/00.png"), one("down/00.png")]), 400, "same content"),
        ("images", images("down", &[one("down/00.png"), torn]), 400, "torn.png"),
        ("images", images("down", &[json!({ "name": "x", "bytes": "%" })]), 400, "x: not base64"),
        ("images", images("unknown", &[one("down/00.png"), one("down/01.png")]), 400, "cannot be the name"),
        ("images", images("down", &[one("down/00.png"), one("across/01.png")]), 400, "both \"across\""),
        ("images", images("down", &vec![json!({ "name": "", "bytes": "" }); 101]), 413, "at most 100"),
        ("rename", json!({ "from": "nobody", "to": "x" }), 404, "no class \"nobody\""),
        ("rename", json!({ "from": "across", "to": " " }), 400, "empty"),
        ("remove", json!({ "class": "nobody" }), 404, "no class \"nobody\""),
    ] {
        let (found, said) = post(&at, what, &value);
        assert!(found == code && said.contains(says), "{what} {says}: {found} {said}");
    }
    assert_eq!(std::fs::read(place.path("a.teach")).unwrap(), file);
    assert_eq!(post(&at, "undo", &json!({})), (200, r#"{"undone":"teach across"}"#.into()));
    assert!(!place.path("a.teach").exists());
    assert_eq!(post(&at, "undo", &json!({})).0, 409);
    assert_eq!(get(&at, "/api/teach/file", "").split(' ').nth(1), Some("409"));
    for (bytes, code, says) in [
        (&file[..file.len() / 2], 400, "damaged"),
        (b"hello", 400, "not a teaching file"),
        (&vec![0; 17 << 20], 413, "too large"),
    ] {
        let (found, said) = send(&at, "PUT /api/teach/file", FILE, bytes);
        assert!(found == code && said.contains(says), "{says}: {found} {said}");
    }
    // What another site's form could send.
    assert_eq!(send(&at, "PUT /api/teach/file", "Content-Type: text/plain\r\n", &file).0, 415);
    assert_eq!(send(&at, "POST /api/teach/undo", "", b"").0, 415);
    assert_eq!(send(&at, "PUT /api/teach/file", FILE, &file).0, 204);
    running.ends_well();
    // Taught with another archive, and without a place for classes.
    let fresh = Place::new();
    std::fs::write(fresh.path("a.teach"), &file).unwrap();
    let mut running = Running::start(&fresh, "--input photos --fps 20 --listen 0 --teach b.teach");
    let at = running.page();
    let (code, said) = send(&at, "PUT /api/teach/file", FILE, &file);
    assert!(code == 409 && said.contains("another archive"), "{code} {said}");
    running.ends_well();
    let output = fresh.run("--input photos --once --teach absent.teach");
    assert_eq!(output.status.code(), Some(2), "without the page nobody could make it");
    let output = fresh.run("--input photos --once --listen 0 --teach b.teach --backend rknn");
    assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stderr));
    let mut running = Running::start(&fresh, "--input photos --fps 20 --listen 0");
    let at = running.page();
    assert_eq!(state(&at)["teaching"], Value::Null);
    let (code, said) = post(&at, "remove", &json!({ "class": "x" }));
    assert!(code == 409 && said.contains("--teach FILE"), "{code} {said}");
    running.ends_well();
}

#[test]
fn without_the_token_nothing_is_taught() {
    let place = place();
    let words = "--input across --fps 20 --listen 0.0.0.0:0 --token correct-horse --teach a.teach";
    let mut running = Running::start(&place, words);
    let at = running.page().replace("0.0.0.0", "127.0.0.1");
    let lesson = json!({ "class": "down", "images": uploads(&place.path("down")) });
    for (what, value) in [
        ("frames", json!({ "class": "x", "seconds": 1 })),
        ("images", lesson.clone()),
        ("rename", json!({ "from": "x", "to": "y" })),
        ("remove", json!({ "class": "x" })),
        ("mix", json!({ "mixed": true })),
        ("rate", json!({ "percent": 1 })),
        ("unknown", json!({ "class": "x", "images": ["0123456789abcdef"] })),
        ("unknown/forget", json!({ "images": [] })),
        ("undo", json!({})),
    ] {
        assert_eq!(post(&at, what, &value).0, 401, "{what}");
    }
    assert_eq!(send(&at, "PUT /api/teach/file", FILE, b"x").0, 401);
    for path in ["/api/teach", "/api/teach/file", "/api/teach/unknown", "/api/history", "/api/history.csv"] {
        assert!(get(&at, path, "").starts_with("HTTP/1.1 401"), "{path}");
    }
    assert!(!place.path("a.teach").exists());
    let headers = format!("{JSON}Authorization: Bearer correct-horse\r\n");
    assert_eq!(send(&at, "POST /api/teach/images", &headers, lesson.to_string().as_bytes()).0, 200);
    running.ends_well();
}

#[test]
#[cfg(unix)]
fn a_full_disk_is_told_and_the_camera_goes_on() {
    let place = place();
    let mut command = Command::new("sh");
    // A limit on the size of files stands for the full disk: writing fails in the middle.
    command.args(["-c", "trap '' XFSZ; ulimit -f 2; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_runtime")]);
    command.args("camera net.nnef.tgz --threads 1 --no-cache --input across --fps 20".split(' '));
    command.args("--listen 0 --teach a.teach".split(' '));
    command.current_dir(place.0.path()).stdin(Stdio::null()).stderr(Stdio::piped());
    let mut running = Running::of(command);
    let at = running.page();
    let lesson = json!({ "class": "down", "images": uploads(&place.path("down")) });
    let (code, said) = post(&at, "images", &lesson);
    assert!(code == 507 && said.contains("nothing is changed") && said.contains("a.teach"), "{code} {said}");
    assert!(names(&at).is_empty());
    let before = state(&at)["classified"].as_u64();
    until(&at, |s| s["classified"].as_u64() > before && s["alive"] == true);
    running.ends_well();
    let left: Vec<_> = std::fs::read_dir(place.0.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(
        !left.iter().any(|name| name.to_string_lossy().contains("foldnet-") || name == "a.teach"),
        "{left:?}"
    );
}
