//! The page: what it tells, whom it tells, and what it bears.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::place::{Place, Running, ask, body, get, until};

#[test]
fn the_page_tells_and_listens() {
    let place = Place::new();
    let mut running = Running::start(&place, "--input photos --fps 50 --listen 0");
    let at = running.page();
    let state = until(&at, |s| s["classified"].as_u64() > Some(3));
    assert_eq!(state["size"], serde_json::json!([40, 30]));
    assert_eq!(state["alive"], true);
    assert!(!state["labels"].as_array().unwrap().is_empty());
    assert!(get(&at, "/", "").contains("<title>Foldnet camera</title>"));
    assert!(body(&get(&at, "/metrics", "")).contains("\nfoldnet_frames_classified_total "));
    let roi = |body: &str, kind: &str| {
        let length = body.len();
        let head = format!("POST /api/roi HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\n");
        ask(&at, &format!("{head}Content-Type: {kind}\r\nContent-Length: {length}\r\n\r\n{body}"))
    };
    assert!(roi(r#"{"roi":[0.5,0,0.5,1]}"#, "application/json").starts_with("HTTP/1.1 204"));
    until(&at, |s| s["roi"] == serde_json::json!([0.5, 0.0, 0.5, 1.0]));
    for bad in [r#"{"roi":[2,0,1,1]}"#, r#"{"roi":[0,0,0,0]}"#, "{}x", "[", r#"{"roi":[0,0]}"#] {
        assert!(roi(bad, "application/json").starts_with("HTTP/1.1 400"), "{bad}");
    }
    assert!(roi(r#"{"roi":null}"#, "text/plain").starts_with("HTTP/1.1 415"));
    assert!(roi(&"x".repeat(10_000), "application/json").starts_with("HTTP/1.1 413"));
    assert!(roi(r#"{"roi":null}"#, "application/json").starts_with("HTTP/1.1 204"));
    until(&at, |s| s["roi"].is_null());
    running.ends_well();
}

#[test]
fn hostile_clients_get_no_more_than_an_answer() {
    let place = Place::new();
    let mut running = Running::start(&place, "--input photos --fps 50 --listen 0");
    let at = running.page();
    for path in ["/../../etc/passwd", "/..%2f..%2fetc/passwd", "/nothing", "//", "/api/state/../../x"] {
        assert!(get(&at, path, "").starts_with("HTTP/1.1 404"), "{path}");
    }
    assert!(get(&at, "/", "Host: evil.example\r\n").starts_with("HTTP/1.1 403"));
    let huge = format!("X-Long: {}\r\n", "a".repeat(1 << 20));
    let answer = get(&at, "/", &huge);
    assert!(!answer.starts_with("HTTP/1.1 200"), "{answer}");
    for garbage in
        ["\0\u{1}\u{2}\r\n\r\n", "GET\r\n\r\n", "POST /api/roi HTTP/1.1\r\nContent-Length: -5\r\n\r\n"]
    {
        assert!(!ask(&at, garbage).starts_with("HTTP/1.1 200"), "{garbage:?}");
    }
    running.ends_well();
}

/// Asks for a stream and leaves the rest to the caller.
fn asks(at: &str, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(at).unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: {at}\r\n\r\n").as_bytes()).unwrap();
    stream
}

/// Reads this many pictures of a stream, and goes on until it may leave.
fn looks(mut stream: TcpStream, pictures: usize, leave: &AtomicBool) {
    let (mut seen, mut last) = (0, 0);
    let mut buffer = [0; 65_536];
    while seen < pictures || !leave.load(Ordering::Relaxed) {
        let n = stream.read(&mut buffer).unwrap();
        assert!(n > 0, "the stream ended");
        for &byte in &buffer[..n] {
            seen += usize::from((last, byte) == (0xff, 0xd9));
            last = byte;
        }
    }
}

#[test]
fn fifty_look_and_one_stops_reading() {
    let place = Place::new();
    // Large pictures, so that the one who does not read is soon full.
    let mut state = 1_u32;
    let noise = image::RgbImage::from_fn(640, 480, |_, _| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        image::Rgb([state >> 24, state >> 16 & 255, state >> 8 & 255].map(|c| c as u8))
    });
    noise.save(place.path("noise.bmp")).unwrap();
    let mut running = Running::start(&place, "--input noise.bmp --fps 50 --listen 0");
    let at = running.page();
    until(&at, |s| s["classified"].as_u64() > Some(10));
    let deaf = asks(&at, "/live.mjpg");
    let mut unfinished = TcpStream::connect(&at).unwrap();
    unfinished.write_all(b"GET / HT").unwrap();
    let leave = Arc::new(AtomicBool::new(false));
    let viewers: Vec<_> = (0..50)
        .map(|n| {
            let stream = asks(&at, if n % 2 == 0 { "/live.mjpg" } else { "/seen.mjpg" });
            let leave = leave.clone();
            std::thread::spawn(move || looks(stream, 8, &leave))
        })
        .collect();
    // All of them at once, however long it takes until the last has come.
    let before = until(&at, |s| s["streams"].as_u64() >= Some(50))["classified"].as_u64();
    leave.store(true, Ordering::Relaxed);
    viewers.into_iter().for_each(|viewer| viewer.join().unwrap());
    until(&at, |s| s["classified"].as_u64() > before);
    // Those who left are forgotten, and who does not read is cut off.
    until(&at, |s| s["streams"].as_u64() == Some(0));
    drop(deaf);
    running.ends_well();
}

#[test]
fn viewers_who_do_not_read_take_no_memory() {
    let place = Place::new();
    let mut running = Running::start(&place, "--input photos --fps 200 --listen 0");
    let at = running.page();
    let pid = running.child.id();
    let deaf: Vec<TcpStream> = (0..100).map(|n| asks(&at, ["/live.mjpg", "/events"][n % 2])).collect();
    let memory = || {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap().to_string();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
    };
    let start = until(&at, |s| s["streams"].as_u64() == Some(50))["classified"].as_u64().unwrap();
    let first = memory();
    until(&at, |s| s["classified"].as_u64() > Some(start + 1000));
    let then = memory();
    assert!(then < first + 8 * 1024, "{first} kB, then {then} kB");
    drop(deaf);
    running.ends_well();
}

#[test]
fn another_camera_may_be_chosen_of_those_there_are() {
    let place = Place::new();
    let mut running = Running::start(&place, "--input photos --fps 50 --listen 0");
    let at = running.page();
    let list: serde_json::Value = serde_json::from_str(body(&get(&at, "/api/cameras", ""))).unwrap();
    assert_eq!(list[0]["camera"], "photos");
    let choose = |what: &str| {
        let body = serde_json::json!({ "camera": what }).to_string();
        let head = format!(
            "POST /api/camera HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\nContent-Type: application/json\r\n"
        );
        ask(&at, &format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()))
    };
    for other in ["/etc/passwd", "net.nnef.tgz", "http://10.0.0.1/", "", "-"] {
        assert!(choose(other).starts_with("HTTP/1.1 404"), "{other}");
    }
    // The one there is, anew: its frames are counted from one again.
    until(&at, |s| s["captured"].as_u64() > Some(5));
    assert!(choose("photos").starts_with("HTTP/1.1 204"));
    let then = until(&at, |s| s["alive"] == true && s["camera"] == "photos: 3 images");
    until(&at, |s| s["captured"].as_u64() > then["captured"].as_u64());
    running.ends_well();
}

#[test]
fn a_token_opens_the_page_for_others() {
    let place = Place::new();
    let mut running = Running::start(&place, "--input photos --listen 0.0.0.0:0 --token correct-horse");
    let at = running.page().replace("0.0.0.0", "127.0.0.1");
    for path in
        ["/", "/api/state", "/events", "/live.mjpg", "/metrics", "/openapi.json", "/?token=wrong-horse"]
    {
        assert!(get(&at, path, "").starts_with("HTTP/1.1 401"), "{path}");
    }
    assert!(get(&at, "/metrics", "Authorization: Bearer correct-horse\r\n").starts_with("HTTP/1.1 200"));
    let answer = get(&at, "/?token=correct-horse", "");
    assert!(answer.starts_with("HTTP/1.1 200"));
    assert!(answer.contains("set-cookie: foldnet_token=correct-horse; HttpOnly; SameSite=Strict"));
    assert!(answer.contains("cross-origin-resource-policy: same-origin"));
    // People get a field for it.
    let login = get(&at, "/", "");
    assert!(login.contains("<input id=\"token\" name=\"token\" type=\"password\"") && !login.contains("WHY"));
    running.ends_well();
}

#[test]
fn who_guesses_tokens_is_slowed_and_told() {
    let place = Place::new();
    let mut running = Running::start(&place, "--input photos --listen 0.0.0.0:0 --token correct-horse");
    let at = running.page().replace("0.0.0.0", "127.0.0.1");
    let with = |token: &str| get(&at, "/metrics", &format!("Authorization: Bearer {token}\r\n"));
    for n in 0..6 {
        assert!(with(&format!("wrong-horse-{n}")).starts_with("HTTP/1.1 401"));
    }
    running.says("127.0.0.1 brought a wrong token (1 so far)");
    // Not even the right one is looked at now.
    let answer = with("correct-horse");
    assert!(answer.starts_with("HTTP/1.1 429") && answer.contains("try again in 1 s"), "{answer}");
    assert!(get(&at, "/", "").contains("Too many wrong tokens"));
    while !with("correct-horse").starts_with("HTTP/1.1 200") {
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    running.ends_well();
}

#[test]
fn a_page_needs_one_connection() {
    let place = Place::new();
    let mut running = Running::start(&place, "--input photos --fps 50 --listen 0");
    let at = running.page();
    let mut stream = asks(&at, "/stream?heat");
    let (mut text, mut buffer) = (String::new(), [0; 65_536]);
    while !["state", "live", "seen", "heat"]
        .iter()
        .all(|name| text.contains(&format!("\nevent: {name}\ndata: ")))
    {
        let n = stream.read(&mut buffer).unwrap();
        assert!(n > 0, "the stream ended");
        text.push_str(&String::from_utf8_lossy(&buffer[..n]));
    }
    assert!(text.contains("\ndata: {\"alive\":true") && text.contains("\ndata: /9j/"));
    until(&at, |s| s["streams"] == 1);
    drop(stream);
    until(&at, |s| s["streams"] == 0);
    running.ends_well();
}
