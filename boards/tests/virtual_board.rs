//! Everything end to end on the virtual board, as the README has it: boot, flash, labels on the page, a
//! broken archive, rollback, and what can go wrong, up to power cuts at random moments.
//!
//! Downloads some 70 MB of Debian's packages, cross-builds and boots an emulated machine several times, so
//! it runs only where `FOLDNET_VIRTUAL_BOARD` names a folder for all that (which may be kept).
//! `FOLDNET_POWER_CUTS` is how often its power is cut, two if nothing is said.

mod common;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use common::{Outcome, archive_at, board_file, built, keygen, programs};
use foldnet::Session;
use foldnet_archive::{Input, Resize};
use foldnet_boards::protocol::{FEED_HEIGHT, FEED_WIDTH};
use foldnet_boards::sum;
use foldnet_image::{Image, fit};
use foldnet_kernels::dispatch;
use serde_json::Value;

const NAME: &str = "qemu-virt-camera";
const TOKEN: &str = "not-to-be-guessed";
/// The emulated processor is slow, and the machine may be busy.
const PATIENT: [&str; 4] = ["--health-seconds", "300", "--settle-seconds", "2"];

struct Virtual {
    state: PathBuf,
    page: u16,
    feed: u16,
    child: Child,
}

fn say(words: &str) {
    writeln!(std::io::stderr(), "virtual board: {words}").expect("standard error");
}

/// Tries for five minutes.
fn within_reason(mut holds: impl FnMut() -> bool) -> bool {
    (0..600).any(|_| {
        let held = holds();
        if !held {
            std::thread::sleep(Duration::from_millis(500));
        }
        held
    })
}

impl Virtual {
    /// Boots it and waits until it is ready. Its clock stands at 1970, as without a battery.
    fn boot(state: &Path) -> Self {
        let port = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let [ssh, page, feed] = [port(), port(), port()];
        let mut boards = Command::new(env!("CARGO_BIN_EXE_boards"));
        boards.args(["--json", "run", NAME, "--clock", "1970-01-01", "--state"]).arg(state);
        for (name, port) in [("--ssh-port", ssh), ("--page-port", page), ("--feed-port", feed)] {
            boards.arg(name).arg(port.to_string());
        }
        let mut child = boards.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(line.contains("\"ssh_config\""), "it does not start: {line}");
        Self { state: state.into(), page, feed, child }
    }

    /// Takes its power away: QEMU dies with its starter.
    fn cut(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn command(&self, command: &str, arguments: &[&str]) -> Command {
        let mut boards = Command::new(env!("CARGO_BIN_EXE_boards"));
        boards.args(["--json", command, NAME, "--state"]).arg(&self.state).args(arguments);
        boards
    }

    fn boards(&self, command: &str, arguments: &[&str]) -> Outcome {
        Outcome::of(self.command(command, arguments))
    }

    fn flash(&self, archive: &Path, arguments: &[&str]) -> Outcome {
        self.boards("flash", &[&[archive.to_str().unwrap()], &PATIENT[..], arguments].concat())
    }

    fn status(&self) -> Value {
        self.boards("status", &[]).done().clone()
    }

    /// The archive's checksum that runs.
    fn runs(&self) -> String {
        self.status()["current"]["archive"].as_str().unwrap_or_default().to_owned()
    }

    fn ssh(&self, command: &str) -> String {
        let mut ssh = Command::new("ssh");
        ssh.args(["-o", "BatchMode=yes", "-F"]).arg(self.state.join("ssh_config")).args([NAME, command]);
        String::from_utf8_lossy(&ssh.output().unwrap().stdout).into_owned()
    }

    /// What the page at the host answers.
    fn fetch(&self, path: &str, head: &str) -> String {
        let ask = || -> std::io::Result<String> {
            let mut stream = TcpStream::connect(("127.0.0.1", self.page))?;
            stream.set_read_timeout(Some(Duration::from_secs(20)))?;
            write!(stream, "GET {path} HTTP/1.1\r\nHost: board\r\n{head}Connection: close\r\n\r\n")?;
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer)?;
            Ok(String::from_utf8_lossy(&answer).into_owned())
        };
        ask().unwrap_or_else(|e| e.to_string())
    }

    /// Holds a picture before its camera and waits until the page at the host names its class.
    fn sees(&self, (path, class): &(PathBuf, String)) {
        let mut boards = Command::new(env!("CARGO_BIN_EXE_boards"));
        boards.arg("picture").arg(path).arg("--feed-port").arg(self.feed.to_string());
        assert!(within_reason(|| Outcome::of_words(&mut boards).code == 0), "no camera");
        let named = format!("\"label\":\"{class}\",\"labels\"");
        let head = format!("Authorization: Bearer {TOKEN}\r\n");
        let mut last = String::new();
        let seen = within_reason(|| {
            last = self.fetch("/api/state", &head);
            last.contains(&named)
        });
        assert!(seen, "{path:?}: {last}\n{}", self.ssh("cat .local/share/foldnet/run/log"));
    }
}

impl Drop for Virtual {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Two pictures of which the network is sure, as the camera sees them, and what it calls them here.
fn two_pictures(model: &Path) -> [(PathBuf, String); 2] {
    let (network, manifest) = foldnet_archive::read(model).unwrap();
    let mut session = Session::new(&network, dispatch::best(), 1).unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/pictures");
    let paths = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path());
    let mut paths: Vec<PathBuf> = paths.filter(|p| p.extension().is_some_and(|e| e == "png")).collect();
    paths.sort();
    let mut sure: Vec<(PathBuf, String)> = Vec::new();
    for path in paths {
        let camera = Input { width: FEED_WIDTH, height: FEED_HEIGHT, ..stretched() };
        let seen = fit(&Image::open(&path).unwrap(), &camera);
        let seen = Image::new(FEED_WIDTH, FEED_HEIGHT, seen).unwrap();
        let scores = session.classify(&fit(&seen, &manifest.input));
        let best = (0..scores.len()).max_by(|&a, &b| scores[a].total_cmp(&scores[b])).unwrap();
        let class = manifest.labels[best].clone();
        if scores[best] > 0.9 && sure.iter().all(|(_, c)| *c != class) {
            sure.push((path, class));
        }
    }
    sure.truncate(2);
    sure.try_into().expect("two that it is sure of")
}

/// As `boards picture` brings a picture before the camera.
fn stretched() -> Input {
    let (preprocess, mean, std) = (String::new(), vec![], vec![]);
    Input { height: 0, width: 0, channels: 3, resize: Resize::Stretch, preprocess, mean, std }
}

/// Folder with the board's own programs, of which `runtime` has another checksum with each number: bytes
/// behind an ELF file's end are read by nobody.
fn numbered(folder: &Path, number: usize) -> PathBuf {
    let built =
        foldnet_boards::source::root().unwrap().join("target/boards/aarch64-unknown-linux-musl/release");
    let to = folder.join(format!("programs-{number}"));
    fs::create_dir_all(&to).unwrap();
    fs::copy(built.join("foldnet-agent"), to.join("foldnet-agent")).unwrap();
    let mut runtime = fs::read(built.join("runtime")).unwrap();
    runtime.extend(number.to_le_bytes());
    fs::write(to.join("runtime"), runtime).unwrap();
    to
}

#[test]
fn the_virtual_board_from_first_boot_to_last_power_cut() {
    let Some(folder) = std::env::var_os("FOLDNET_VIRTUAL_BOARD").map(PathBuf::from) else {
        say("SKIPPED; FOLDNET_VIRTUAL_BOARD=FOLDER runs it");
        return;
    };
    let state = folder.join("state");
    fs::create_dir_all(&state).unwrap();
    let _ = fs::remove_file(state.join("disk"));
    let folder = folder.canonicalize().unwrap();
    let begin = Instant::now();
    let model = folder.join("cifar.nnef.tgz");
    if !model.exists() {
        let mut converter = Command::new(built("converter"));
        converter.args(["quantize", "--json", "-o"]).arg(&model);
        Outcome::of(converter).done();
    }
    let [one, other] = two_pictures(&model);
    let small = archive_at(&folder.join("small.nnef.tgz"), "small", 0);
    say(&format!("the default model is made after {:.1} s", begin.elapsed().as_secs_f32()));

    let begin = Instant::now();
    let mut board = Virtual::boot(&state);
    say(&format!("built and booted in {:.1} s", begin.elapsed().as_secs_f32()));
    let begin = Instant::now();
    let page = ["--", "--listen", "0.0.0.0:8080", "--token", TOKEN];
    let first = board.flash(&model, &page);
    assert_eq!(first.done()["service"], "running");
    say(&format!("flashed in {:.1} s", begin.elapsed().as_secs_f32()));
    // The service is up as soon as it is the runtime; its page comes when that has read the archive.
    let head = format!("Authorization: Bearer {TOKEN}\r\n");
    assert!(within_reason(|| board.fetch("/", &head).contains("<title>Foldnet camera")), "no page");
    assert!(board.fetch("/api/state", "").starts_with("HTTP/1.1 401"), "it asks for no token");
    board.sees(&one);
    board.sees(&other);
    say(&format!("the page at the host named what was held before the camera: {}, {}", one.1, other.1));
    let doctor = board.boards("doctor", &[]);
    assert_eq!(doctor.code, 3, "{}", doctor.words);
    let clock = doctor.json.iter().find(|f| f["what"] == "clock").unwrap();
    assert!(clock["fix"].is_string() && clock["found"].as_str().unwrap().starts_with("1970"), "{clock}");
    say(&format!("its clock says {}", clock["found"]));

    // A broken archive, and rollback.
    board.flash(&small, &[]).done();
    let two = board.status();
    let broken = folder.join("broken.nnef.tgz");
    fs::write(&broken, &fs::read(&model).unwrap()[..2000]).unwrap();
    let out = board.flash(&broken, &["--unchecked"]);
    assert_eq!((out.code, out.error()), (4, "health"), "{}", out.words);
    let after = board.status();
    assert_eq!([&after["current"], &after["previous"]], [&two["current"], &two["previous"]]);
    assert_eq!(after["service"], "running");
    board.boards("rollback", &PATIENT).done();
    assert_eq!(board.runs(), sum::of_file(&model).unwrap());
    board.sees(&one);
    say("a broken archive changed nothing; rolled back to the release with the page");

    faults(&board, &folder, &model);
    power_cuts(&mut board, &folder, &state);
    // Whatever happened, the next flash works.
    board.flash(&model, &page).done();
    board.sees(&other);
    say("flashed again, and the page names what it sees");
}

/// What is refused, and leaves the board as it was.
fn faults(board: &Virtual, folder: &Path, model: &Path) {
    let runs = board.runs();
    let config = board.state.join("ssh_config");
    let as_another = |name: &str, more: &[&std::ffi::OsStr]| {
        let mut boards = Command::new(env!("CARGO_BIN_EXE_boards"));
        boards.args(["--json", "flash", name]).arg(model).args(["--host", NAME, "--ssh-config"]);
        boards.arg(&config).args(more);
        Outcome::of(boards)
    };
    let out = as_another("rock-5b", &[]);
    assert_eq!((out.code, out.error()), (4, "board"), "{}", out.words);
    if std::env::consts::ARCH != "aarch64" {
        let file = folder.join("alien.toml");
        board_file(&file);
        let more = ["--board".as_ref(), file.as_os_str(), "--binaries".as_ref(), programs().as_os_str()];
        let out = as_another("alien", &more);
        assert_eq!(out.error(), "machine", "{}", out.words);
    }
    say("another board's release and another processor's are refused");

    let known = board.state.join("known_hosts");
    let right = fs::read(&known).unwrap();
    let _ = fs::remove_file(folder.join("other"));
    keygen(&folder.join("other"));
    fs::write(&known, format!("{NAME} {}", fs::read_to_string(folder.join("other.pub")).unwrap())).unwrap();
    assert_eq!(board.flash(model, &[]).error(), "key-changed");
    fs::write(&known, right).unwrap();
    say("a changed host key is refused");

    let next = archive_at(&folder.join("next.nnef.tgz"), "next", 0);
    board.ssh("dd if=/dev/zero of=/root/filler bs=1M; sync");
    let out = board.flash(&next, &[]);
    assert_eq!((out.code, out.error()), (4, "space"), "{}", out.words);
    assert_eq!((board.runs(), &board.status()["service"]), (runs.clone(), &"running".into()));
    board.ssh("rm /root/filler; sync");
    say("a full disk is refused, and what runs runs on");

    // It settles for so long that the second comes in time, however busy the machine is.
    let long = ["--health-seconds", "300", "--settle-seconds", "30"];
    let mut first = board.command("flash", &[&[next.to_str().unwrap()], &long[..]].concat());
    let mut first = first.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut words = BufReader::new(first.stderr.take().unwrap()).lines().map_while(Result::ok);
    assert!(words.any(|line| line.contains("filling slot")), "it does not begin");
    let second = board.flash(model, &[]);
    assert_eq!((second.code, second.error()), (4, "busy"), "{}", second.words);
    let rest: Vec<String> = words.collect();
    assert!(first.wait().unwrap().success(), "{rest:?}");
    assert_eq!(board.runs(), sum::of_file(&next).unwrap());
    say("of two flashes at once the second is refused, the first goes on");
}

/// Cuts the power at random moments of a flash in which runtime and archive are new. Afterwards the board
/// always runs the old release or the new one, whole, with its service up.
fn power_cuts(board: &mut Virtual, folder: &Path, state: &Path) {
    let cuts = std::env::var("FOLDNET_POWER_CUTS").map_or(2, |n| n.parse().expect("a number"));
    let package = |i: usize| {
        let archive = archive_at(&folder.join(format!("cut-{i}.nnef.tgz")), "cut", i);
        (sum::of_file(&archive).unwrap(), archive, numbered(folder, i))
    };
    let flash = |board: &Virtual, i: usize| {
        let (_, archive, programs) = package(i);
        let arguments =
            [archive.to_str().unwrap(), "--retries", "0", "--binaries", programs.to_str().unwrap()];
        board.command("flash", &[&arguments[..], &PATIENT].concat())
    };
    let begin = Instant::now();
    Outcome::of(flash(board, 0)).done();
    let whole = begin.elapsed();
    let mut now = package(0).0;
    let seed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    say(&format!("a whole flash takes {:.1} s; the moments' seed is {seed}", whole.as_secs_f32()));
    let mut new = 0;
    for cut in 1..=cuts {
        // The first digits of a checksum are as good as dice.
        let dice = u32::from_str_radix(&sum::sha256(format!("{seed} {cut}").as_bytes())[..4], 16).unwrap();
        let moment = whole * dice / 0x10000;
        let mut flashing = flash(board, cut).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        std::thread::sleep(moment);
        board.cut();
        let mut words = String::new();
        flashing.stderr.take().unwrap().read_to_string(&mut words).unwrap();
        flashing.wait().unwrap();
        let doing = words.lines().rfind(|l| !l.starts_with("boards:")).unwrap_or("connecting");
        *board = Virtual::boot(state);
        let (next, runs) = (package(cut).0, board.runs());
        assert!(runs == now || runs == next, "cut at {moment:?} ({doing}): it runs {runs}");
        let up = within_reason(|| board.status()["service"] == "running");
        assert!(up, "cut at {moment:?} ({doing}): its service is not up");
        assert_eq!(board.runs(), runs, "it changed by itself");
        let which = if runs == next { "new" } else { "old" };
        say(&format!(
            "power cut {cut} after {:.1} s ({doing}): the {which} release runs",
            moment.as_secs_f32()
        ));
        new += usize::from(runs == next);
        now = runs;
    }
    say(&format!(
        "{cuts} power cuts: {new} times the new release, else the old; its service came up each time"
    ));
}
