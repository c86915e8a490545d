//! Everything end to end on the virtual board: flash, camera, a broken archive, rollback, power cuts.
//!
//! Downloads some 70 MB of Debian's packages, cross-builds and boots an emulated machine a dozen times, so
//! it runs only where `FOLDNET_VIRTUAL_BOARD` names a folder for all that (which may be kept).

mod common;

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use common::{Outcome, archive_at};

const NAME: &str = "qemu-virt-camera";

struct Virtual {
    state: PathBuf,
    child: Child,
}

impl Virtual {
    /// Boots it and waits until it is ready.
    fn boot(state: &std::path::Path) -> Self {
        let port = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
        let mut child = Command::new(env!("CARGO_BIN_EXE_boards"))
            .args(["--json", "run", NAME, "--state"])
            .arg(state)
            .args([
                "--clock",
                "1970-01-01",
                "--ssh-port",
                &port(),
                "--page-port",
                &port(),
                "--feed-port",
                &port(),
            ])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(line.contains("\"ssh_config\""), "it does not start: {line}");
        Self { state: state.into(), child }
    }

    /// Takes its power away: QEMU dies with its starter.
    fn cut(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn command(&self, command: &str, arguments: &[&str]) -> Command {
        let mut boards = Command::new(env!("CARGO_BIN_EXE_boards"));
        boards.args(["--json", command, NAME]).args(arguments).arg("--state").arg(&self.state);
        boards
    }

    fn boards(&self, command: &str, arguments: &[&str]) -> Outcome {
        Outcome::of(self.command(command, arguments))
    }

    /// The archive's checksum that runs.
    fn runs(&self) -> String {
        self.boards("status", &[]).done()["current"]["archive"].as_str().unwrap_or_default().to_owned()
    }

    fn ssh(&self, command: &str) -> String {
        let mut ssh = Command::new("ssh");
        ssh.args(["-o", "BatchMode=yes", "-F"]).arg(self.state.join("ssh_config")).args([NAME, command]);
        String::from_utf8_lossy(&ssh.output().unwrap().stdout).into_owned()
    }
}

impl Drop for Virtual {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_virtual_board_from_first_boot_to_tenth_power_cut() {
    let Some(folder) = std::env::var_os("FOLDNET_VIRTUAL_BOARD").map(PathBuf::from) else {
        writeln!(std::io::stderr(), "SKIPPED: the virtual board; FOLDNET_VIRTUAL_BOARD=FOLDER runs it")
            .expect("standard error");
        return;
    };
    let say = |words: &str| writeln!(std::io::stderr(), "virtual board: {words}").expect("standard error");
    let state = folder.join("state");
    let _ = std::fs::remove_file(state.join("disk"));
    let archives: Vec<PathBuf> =
        (0..3).map(|i| archive_at(&folder.join(format!("{i}.nnef.tgz")), "good", i)).collect();
    let sums: Vec<String> = archives.iter().map(|a| foldnet_boards::sum::of_file(a).unwrap()).collect();
    let path = |i: usize| archives[i].to_str().unwrap();
    let patient = ["--health-seconds", "300", "--settle-seconds", "2"];
    let flash = |board: &Virtual, i: usize| board.boards("flash", &[&[path(i)], &patient[..]].concat());

    let mut board = Virtual::boot(&state);
    say("booted");
    assert_eq!(flash(&board, 0).done()["service"], "running");
    // Its clock stands at 1970, which nothing minded.
    let doctor = board.boards("doctor", &[]);
    assert_eq!(doctor.code, 3, "{}", doctor.words);
    let clock = doctor.json.iter().find(|f| f["what"] == "clock").unwrap();
    assert!(clock["fix"].is_string(), "{clock}");
    say(&format!("flashed; clock: {}", clock["found"]));
    // Labels of what the camera sees.
    let labelled = (0..600).any(|_| {
        std::thread::sleep(Duration::from_millis(500));
        board.ssh("cat .local/share/foldnet/run/log").contains('%')
    });
    assert!(labelled, "no labels: {}", board.ssh("cat .local/share/foldnet/run/log"));
    say("labels from its camera");

    let broken = folder.join("broken.nnef.tgz");
    std::fs::write(&broken, &std::fs::read(&archives[1]).unwrap()[..700]).unwrap();
    let out = board.boards("flash", &[&[broken.to_str().unwrap(), "--unchecked"], &patient[..]].concat());
    assert_eq!((out.code, out.error()), (4, "health"), "{}", out.words);
    assert_eq!(board.runs(), sums[0]);
    flash(&board, 1).done();
    board.boards("rollback", &patient).done();
    assert_eq!(board.runs(), sums[0]);
    say("a broken archive was taken back; rolled back");

    // Ten power cuts in the middle of a flash, at moments without pattern.
    let (mut now, mut new) = (0, 0);
    for cut in 0..10u64 {
        let next = (now + 1) % 3;
        let mut flashing = board.command("flash", &[&[path(next), "--retries", "0"], &patient[..]].concat());
        let mut flashing = flashing.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(300 + cut * 1_700 % 7_000));
        board.cut();
        flashing.wait().unwrap();
        board = Virtual::boot(&state);
        let runs = board.runs();
        assert!(runs == sums[now] || runs == sums[next], "after cut {cut} it runs {runs}");
        if runs == sums[next] {
            (now, new) = (next, new + 1);
        }
        let up = (0..600).any(|_| {
            std::thread::sleep(Duration::from_millis(500));
            board.boards("status", &[]).done()["service"] == "running"
        });
        assert!(up, "after cut {cut} its service is not up");
    }
    say(&format!("10 power cuts: {new} times the new release, else the old; its service came up each time"));
}
