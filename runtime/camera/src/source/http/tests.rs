//! Cameras as people have them, each a server on this machine.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use super::super::jpeg_stream::testing::jpeg;
use super::*;

/// A server that answers each request by `handler`, and the requests it got.
struct Camera {
    at: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Camera {
    fn new(handler: impl Fn(&str) -> Vec<u8> + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap().to_string();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let theirs = requests.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let request = head(&mut stream);
                theirs.lock().unwrap().push(request.clone());
                // Who has seen enough hangs up.
                let _ = stream.write_all(&handler(&request));
            }
        });
        Self { at, requests }
    }

    fn open(&self, login: &str) -> Result<Http, SourceError> {
        let wishes = Wishes { fps: Some(1000.0), ..Wishes::default() };
        Http::open(&format!("http://{login}{}/video?a=b", self.at), &wishes)
    }

    /// The grey values of this many frames.
    fn greys(&self, login: &str, count: usize) -> Vec<u8> {
        let mut source = self.open(login).unwrap();
        (0..count).map(|_| grey(&mut source)).collect()
    }

    fn refusal(&self, login: &str) -> String {
        match self.open(login).map(|_| ()) {
            Err(SourceError::Unusable(why)) => why,
            other => panic!("{other:?}"),
        }
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

fn head(stream: &mut TcpStream) -> String {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read(&mut byte).unwrap() == 0 {
            break;
        }
        request.push(byte[0]);
    }
    String::from_utf8(request).unwrap()
}

/// The next frame's, however busy the machine is.
fn grey(source: &mut Http) -> u8 {
    let mut frame = Frame::default();
    loop {
        match source.next(&mut frame) {
            Ok(()) => break,
            Err(SourceError::Nothing) => {}
            Err(e) => panic!("{e}"),
        }
    }
    frame.develop().unwrap();
    frame.bytes[0]
}

const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=frame\r\n";
const GREYS: [u8; 3] = [10, 20, 30];

fn part(grey: u8, boundary: &str, length: Option<usize>) -> Vec<u8> {
    let image = jpeg(8, 8, grey);
    let length = length.map_or(String::new(), |n| format!("Content-Length: {n}\r\n"));
    [format!("{boundary}\r\nContent-Type: image/jpeg\r\n{length}\r\n").as_bytes(), &image, b"\r\n"].concat()
}

fn parts(boundary: &str, length: Option<usize>) -> Vec<u8> {
    GREYS.iter().flat_map(|&grey| part(grey, boundary, length)).collect()
}

fn stream() -> Vec<u8> {
    [HEAD.as_bytes(), b"\r\n", &parts("--frame", None)].concat()
}

fn chunked(bytes: &[u8], size: usize) -> Vec<u8> {
    let mut all = [HEAD.as_bytes(), b"Transfer-Encoding: chunked\r\n\r\n"].concat();
    for chunk in bytes.chunks(size) {
        all.extend(format!("{:x}\r\n", chunk.len()).bytes());
        all.extend([chunk, b"\r\n"].concat());
    }
    all.extend(b"0\r\n\r\n");
    all
}

#[test]
fn streams_are_read_however_they_are_sent() {
    let bare: Vec<u8> = GREYS.iter().flat_map(|&grey| jpeg(8, 8, grey)).collect();
    let octets = "HTTP/1.0 200 OK\r\nContent-Type: application/octet-stream\r\n\r\n";
    let body = |parts: Vec<u8>| [HEAD.as_bytes(), b"\r\n", &parts].concat();
    let first = [&b"Content-Type: image/jpeg\r\n\r\n"[..], &bare].concat();
    let answers = [
        ("plain", stream()),
        ("a chunk for many images", chunked(&parts("--frame", None), 1 << 20)),
        ("chunks within images", chunked(&parts("--frame", None), 100)),
        ("chunks of a byte", chunked(&parts("--frame", None), 1)),
        ("no first boundary", body(first)),
        ("another boundary", body(parts("----my boundary--", None))),
        ("wrong lengths", body(parts("--frame", Some(3)))),
        ("lines without CR", [HEAD.replace('\r', "").as_bytes(), b"\n", &parts("--frame", None)].concat()),
        ("octets", [octets.as_bytes(), &bare].concat()),
    ];
    for (name, answer) in answers {
        let camera = Camera::new(move |_| answer.clone());
        assert_eq!(camera.greys("", 3), GREYS, "{name}");
        let request = &camera.requests()[0];
        assert!(request.starts_with("GET /video?a=b HTTP/1.1\r\n"), "{request}");
    }
}

#[test]
fn a_stream_that_ends_is_lost() {
    let camera = Camera::new(|_| stream());
    let mut source = camera.open("").unwrap();
    assert_eq!(GREYS.map(|_| grey(&mut source)), GREYS);
    let mut frame = Frame::default();
    let end = std::iter::repeat_with(|| source.next(&mut frame));
    let end = end.filter_map(Result::err).find(|e| !matches!(e, SourceError::Nothing));
    assert!(matches!(end, Some(SourceError::Lost(_))), "{end:?}");
}

#[test]
fn a_snapshot_is_asked_for_again_and_again() {
    for kind in ["image/jpeg", "image/jpg", "image/jpeg; charset=x"] {
        let camera = Camera::new(move |_| {
            let image = jpeg(8, 8, 70);
            let head =
                format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n", image.len());
            [head.as_bytes(), &image].concat()
        });
        assert_eq!(camera.greys("", 3), [70; 3], "{kind}");
        assert!(camera.requests().len() >= 3);
    }
}

fn asks_for(challenge: &'static str, welcome: impl Fn(&str) -> bool + Send + 'static) -> Camera {
    Camera::new(move |request| {
        let authorization = request.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("authorization").then_some(value)
        });
        if authorization.is_some_and(&welcome) {
            return stream();
        }
        format!("HTTP/1.1 401 Unauthorized\r\n{challenge}Content-Length: 0\r\n\r\n").into()
    })
}

#[test]
fn basic_logins_are_decoded_first() {
    for (login, sent) in [
        ("me:secret@", "Basic bWU6c2VjcmV0"),
        ("me:p@ss@", "Basic bWU6cEBzcw=="),
        ("me:p%40ss@", "Basic bWU6cEBzcw=="),
        ("me:a%2Fb%23c%3F@", "Basic bWU6YS9iI2M/"),
        ("a%40b.c:x@", "Basic YUBiLmM6eA=="),
    ] {
        for challenge in ["WWW-Authenticate: Basic realm=\"cam\"\r\n", ""] {
            let camera = asks_for(challenge, move |value| value == sent);
            assert_eq!(camera.greys(login, 1), [10], "{login}");
            // Nothing is told to who has not asked.
            assert!(!camera.requests()[0].to_lowercase().contains("authorization"));
        }
    }
}

#[test]
fn digest_logins_are_answered() {
    for (challenge, parts) in [
        (
            "WWW-Authenticate: Digest realm=\"IP Camera\", nonce=\"abc\", qop=\"auth\", algorithm=MD5\r\n",
            vec!["algorithm=MD5", "qop=auth", "nc=00000001", "uri=\"/video?a=b\"", "username=\"me\""],
        ),
        (
            "WWW-Authenticate: Digest realm=\"x\", nonce=\"abc\", qop=\"auth\", algorithm=SHA-256\r\n",
            vec!["algorithm=SHA-256", "response=\""],
        ),
        // RFC 2069, without qop; HA1 = MD5(me:x:pw), HA2 = MD5(GET:/video?a=b), MD5(HA1:abc:HA2).
        (
            "WWW-Authenticate: Digest realm=\"x\", nonce=\"abc\"\r\n",
            vec!["response=\"25f257f8e12851cb91ef409ad6c2f5cc\""],
        ),
        // Both offered: the password is not sent as it is.
        (
            "WWW-Authenticate: Basic realm=\"x\"\r\nWWW-Authenticate: Digest realm=\"x\", nonce=\"abc\", qop=\"auth\"\r\n",
            vec!["Digest ", "qop=auth"],
        ),
    ] {
        let camera = asks_for(challenge, move |value| {
            value.starts_with("Digest ") && parts.iter().all(|part| value.contains(part))
        });
        assert_eq!(camera.greys("me:pw@", 1), [10], "{:?}", camera.requests());
    }
}

#[test]
fn a_login_that_is_wrong_or_missing_is_told() {
    let camera = asks_for("WWW-Authenticate: Digest realm=\"x\", nonce=\"abc\", qop=\"auth\"\r\n", |_| false);
    assert!(camera.refusal("me:secret@").contains("password is wrong"));
    assert_eq!(camera.requests().len(), 2);
    assert!(camera.refusal("").contains("USER:PASSWORD"));
    let camera = asks_for("WWW-Authenticate: Negotiate\r\n", |_| true);
    let refusal = camera.refusal("me:secret@");
    assert!(refusal.contains("not understood") && !refusal.contains("secret"), "{refusal}");
}

fn redirect(to: String) -> Vec<u8> {
    format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n").into()
}

#[test]
fn redirects_are_followed_a_few_times() {
    let camera =
        Camera::new(
            |request| {
                if request.starts_with("GET /real ") { stream() } else { redirect("/real".into()) }
            },
        );
    assert_eq!(camera.greys("", 3), GREYS);
    let around = Camera::new(|_| redirect("/video?a=b".into()));
    assert!(around.refusal("").contains("5 redirects"));
    assert_eq!(around.requests().len(), MAX_REDIRECTS + 1);
    for to in ["ftp://x/", "http://", "file:///etc/passwd"] {
        let camera = Camera::new(move |_| redirect(to.into()));
        assert!(camera.refusal("").contains("redirected to"), "{to}");
    }
}

#[test]
fn the_login_goes_to_no_other_server() {
    let other = asks_for("WWW-Authenticate: Basic realm=\"x\"\r\n", |_| true);
    let to = format!("http://who:what@{}/", other.at);
    let camera = Camera::new(move |_| redirect(to.clone()));
    assert!(camera.refusal("me:secret@").contains("another server"));
    assert!(!other.requests().concat().to_lowercase().contains("authorization"), "{:?}", other.requests());
    // One that asks for nothing is no danger.
    let other = Camera::new(|_| stream());
    let to = format!("http://{}/", other.at);
    let camera = Camera::new(move |_| redirect(to.clone()));
    assert_eq!(camera.greys("me:secret@", 1), [10]);
    assert!(!other.requests()[0].to_lowercase().contains("authorization"));
}

#[test]
fn answers_that_are_no_camera_are_named() {
    let long = [b"HTTP/1.1 200 OK\r\nX: ".to_vec(), vec![b'a'; 1 << 16]].concat();
    for (answer, word) in [
        (b"HTTP/1.0 200 OK\r\nContent-Type: text/html\r\n\r\n".to_vec(), "text/html"),
        (b"HTTP/1.0 200 OK\r\nContent-Type: video/mp4\r\n\r\n".to_vec(), "ffmpeg"),
        (b"HTTP/1.1 404 Not Found\r\n\r\n".to_vec(), "404"),
        (b"HTTP/1.1 505 HTTP Version Not Supported\r\n\r\n".to_vec(), "505"),
        (b"Content-Type: multipart/x-mixed-replace\r\n\r\n--x\r\n".to_vec(), "status line"),
        (b"SSH-2.0-x\r\n\r\n".to_vec(), "status line"),
        (long, "longer than"),
    ] {
        let camera = Camera::new(move |_| answer.clone());
        let refusal = camera.refusal("me:secret@");
        assert!(refusal.contains(word) && !refusal.contains("secret"), "{word}: {refusal}");
    }
    // These may be better in a while.
    for answer in [&b"HTTP/1.1 503 Later\r\n\r\n"[..], b"HTTP/1.1 200 OK\r\n", b""] {
        let camera = Camera::new(move |_| answer.into());
        assert!(matches!(camera.open("").map(|_| ()), Err(SourceError::Lost(_))), "{answer:?}");
    }
}
