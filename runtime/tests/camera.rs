//! `runtime camera` as its users meet it: frames of each kind in, labels out, faults survived, signals
//! obeyed.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use foldnet_archive::testing::{every_step, manifest};
use serde_json::Value;

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        foldnet_archive::write(&place.path("net.nnef.tgz"), &every_step(), &manifest()).unwrap();
        std::fs::create_dir(place.path("photos")).unwrap();
        for n in 0..3_u8 {
            let picture = image::RgbImage::from_pixel(40, 30, image::Rgb([80 * n, 60, 200 - 80 * n]));
            picture.save(place.path(&format!("photos/{n}.png"))).unwrap();
        }
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn command(&self, words: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_runtime"));
        command.args(["camera", "net.nnef.tgz", "--threads", "1"]).args(words.split_whitespace());
        command.current_dir(self.0.path()).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).env_remove("FOLDNET_TOKEN");
        command
    }

    fn run(&self, words: &str) -> Output {
        self.command(words).output().unwrap()
    }

    /// Runs with these bytes on standard input.
    fn fed(&self, words: &str, bytes: Vec<u8>) -> Output {
        let mut child = self.command(words).stdin(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let writer = std::thread::spawn(move || {
            // A program that has refused the start does not read the rest.
            let _ = stdin.write_all(&bytes);
        });
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        output
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn lines(output: &Output) -> Vec<Value> {
    assert!(output.status.success(), "{}", stderr(output));
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

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
    let keys: Vec<&str> = all[0].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(
        keys,
        ["captured", "damaged", "dropped", "fps", "frame", "label", "labels", "latency_ms", "ms"]
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
    let mut cut = y4m(3);
    cut.truncate(cut.len() - 5);
    let cases: [(&str, Vec<u8>, &str); 12] = [
        ("--device /dev/video250", vec![], "runtime devices"),
        ("--device /dev/null", vec![], "not a video device"),
        ("--input empty", vec![], "no pictures"),
        ("--input nowhere", vec![], "nowhere"),
        ("--input https://camera/", vec![], "only http://"),
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
    }
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

/// A program that runs until it is told to stop.
struct Running {
    child: Child,
    words: BufReader<std::process::ChildStderr>,
}

impl Running {
    fn start(place: &Place, words: &str) -> Self {
        let mut child = place.command(words).stdout(Stdio::null()).spawn().unwrap();
        let words = BufReader::new(child.stderr.take().unwrap());
        Self { child, words }
    }

    /// The first line on standard error that contains this.
    fn says(&mut self, what: &str) -> String {
        loop {
            let mut line = String::new();
            assert!(self.words.read_line(&mut line).unwrap() > 0, "never said {what:?}");
            if line.contains(what) {
                return line;
            }
        }
    }

    fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    /// The page's address, host and port.
    fn page(&mut self) -> String {
        let line = self.says("page: http://");
        line.trim().trim_start_matches("page: http://").split('/').next().unwrap().into()
    }

    fn ends_well(mut self) -> String {
        self.signal("-TERM");
        let mut rest = String::new();
        self.words.read_to_string(&mut rest).unwrap();
        assert_eq!(self.child.wait().unwrap().code(), Some(0), "{rest}");
        rest
    }
}

#[test]
fn signals_stop_and_reload() {
    let place = Place::new();
    let mut running = Running::start(&place, "--input photos");
    running.says("photos: 3 pictures");
    let archive = place.path("net.nnef.tgz");
    let good = std::fs::read(&archive).unwrap();
    std::fs::write(&archive, &good[..good.len() / 2]).unwrap();
    running.signal("-HUP");
    running.says("is refused, the old network goes on");
    std::fs::write(&archive, &good).unwrap();
    running.signal("-HUP");
    running.says("was read again");
    let rest = running.ends_well();
    assert!(rest.contains("frames classified"), "{rest}");
    // Also while it waits for a camera that never comes.
    let mut waiting = Running::start(&place, "--device /dev/video250 --wait -v");
    waiting.says("waiting");
    waiting.ends_well();
}

/// Asks, and reads the whole answer.
fn ask(address: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    // A server that hangs up in the middle has answered as well.
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

fn get(address: &str, path: &str, headers: &str) -> String {
    let host = if headers.contains("Host:") { String::new() } else { format!("Host: {address}\r\n") };
    ask(address, &format!("GET {path} HTTP/1.1\r\n{host}{headers}Connection: close\r\n\r\n"))
}

fn body(answer: &str) -> &str {
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    answer.split_once("\r\n\r\n").unwrap().1
}

fn state(address: &str) -> Value {
    let answer = get(address, "/api/state", "");
    serde_json::from_str(body(&answer)).unwrap()
}

/// Waits until the state is as wanted.
fn until(address: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    for _ in 0..600 {
        let state = state(address);
        if wanted(&state) {
            return state;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("never as wanted: {}", state(address));
}

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
    // Fifty who look, one who does not read, one who never finishes asking; and the camera goes on.
    let asks = |path: &str| {
        let mut stream = TcpStream::connect(&at).unwrap();
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: {at}\r\n\r\n").as_bytes()).unwrap();
        stream
    };
    let _deaf = asks("/live.mjpg");
    let mut unfinished = TcpStream::connect(&at).unwrap();
    unfinished.write_all(b"GET / HT").unwrap();
    let viewers: Vec<_> = (0..50)
        .map(|n| {
            let mut stream = asks(if n % 2 == 0 { "/live.mjpg" } else { "/seen.mjpg" });
            std::thread::spawn(move || {
                let mut seen = Vec::new();
                let mut buffer = [0; 4096];
                while seen.windows(2).filter(|w| w == b"\xff\xd9").count() < 3 {
                    let n = stream.read(&mut buffer).unwrap();
                    assert!(n > 0, "the stream ended");
                    seen.extend_from_slice(&buffer[..n]);
                }
            })
        })
        .collect();
    let before = until(&at, |s| s["viewers"].as_u64() > Some(10))["classified"].as_u64();
    viewers.into_iter().for_each(|viewer| viewer.join().unwrap());
    until(&at, |s| s["classified"].as_u64() > before && s["viewers"].as_u64() < Some(10));
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
    running.ends_well();
}

#[test]
fn a_camera_on_the_network_may_go_and_come_back() {
    let place = Place::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut running = Running::start(&place, &format!("--input http://{address}/ --listen 0 -v"));
    let serve = |pictures: u8| {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 1024];
        assert!(stream.read(&mut request).unwrap() > 0);
        stream.write_all(b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace\r\n\r\n").unwrap();
        for n in 0..pictures {
            stream.write_all(b"--b\r\nContent-Type: image/jpeg\r\n\r\n").unwrap();
            stream.write_all(&jpeg(n)).unwrap();
        }
        stream
    };
    let first = serve(2);
    let at = running.page();
    until(&at, |s| s["captured"].as_u64() >= Some(2));
    drop(first);
    // It comes back, sends a picture, and freezes: after a while it is asked anew.
    let frozen = serve(1);
    until(&at, |s| s["lost"].as_u64() >= Some(1) && s["captured"].as_u64() >= Some(3));
    let third = serve(1);
    until(&at, |s| s["lost"].as_u64() >= Some(2) && s["captured"].as_u64() >= Some(4));
    drop((frozen, third));
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
