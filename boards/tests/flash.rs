//! `boards flash` and what can happen to it, against a real sshd.

mod common;

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Command, Stdio};

use common::{Bench, Outcome, installed, programs};

#[test]
fn flash_flash_again_and_back() {
    let Some(bench) = Bench::start() else { return };
    let nothing = bench.status("board");
    assert_eq!(nothing.done()["current"], serde_json::Value::Null);
    let first = bench.flash("board", &bench.archive("good", 1), &["--", "--fps-max", "5"]);
    let first = first.done();
    assert_eq!((&first["current"]["serial"], &first["service"]), (&1.into(), &"running".into()));
    assert_eq!(first["previous"], serde_json::Value::Null);
    let second = bench.flash("board", &bench.archive("good", 2), &[]);
    // The runtime is there already.
    assert!(second.words.contains("sending model.nnef.tgz"), "{}", second.words);
    assert!(!second.words.contains("sending runtime"), "{}", second.words);
    let second = second.done();
    assert_eq!(second["previous"], first["current"]);
    assert_eq!(installed(&bench.at("board")), "good variant 2 c d");
    // The same again is done already, and keeps the release before.
    let same = bench.flash("board", &bench.archive("good", 2), &[]);
    assert_eq!(
        (&same.done()["current"], &same.done()["previous"]),
        (&second["current"], &second["previous"])
    );
    let back = Outcome::of(bench.boards("rollback", "board", &["--settle-seconds", "1"]));
    assert_eq!((&back.done()["current"], &back.done()["previous"]), (&first["current"], &second["current"]));
    assert_eq!(installed(&bench.at("board")), "good variant 1 c d");
    assert_eq!(bench.status("board").done()["service"], "running");
    let forward = Outcome::of(bench.boards("rollback", "board", &["--settle-seconds", "0"]));
    assert_eq!(forward.done()["current"], second["current"]);
    // One that does not classify costs neither release.
    assert_eq!(bench.flash("board", &bench.archive("crash", 1), &[]).error(), "health");
    let status = bench.status("board");
    assert_eq!(
        [&status.done()["current"], &status.done()["previous"]],
        [&second["current"], &first["current"]]
    );
}

#[test]
fn a_release_that_does_not_work_is_taken_back() {
    let Some(bench) = Bench::start() else { return };
    assert_eq!(bench.flash("board", &bench.archive("crash", 1), &[]).error(), "health");
    assert_eq!(bench.status("board").done()["current"], serde_json::Value::Null, "nothing to go back to");
    assert!(Outcome::of(bench.boards("rollback", "board", &[])).error() == "nothing");
    bench.flash("board", &bench.archive("early", 1), &["--no-service"]).done();
    let good = bench.flash("board", &bench.archive("good", 1), &[]);
    for (archive, patience, why) in [
        ("crash", "60", "the first classification"),
        ("hang", "2", "no answer within 2 s"),
        ("other-bits", "60", "computes other bits"),
        ("no-camera", "10", "the camera is on fire"),
    ] {
        let out = bench.flash("board", &bench.archive(archive, 1), &["--health-seconds", patience]);
        assert_eq!((out.code, out.error()), (4, "health"), "{archive}: {}", out.words);
        assert!(out.words.contains(why), "{archive}: {}", out.words);
        assert_eq!(installed(&bench.at("board")), "good variant 1 c d");
    }
    let status = bench.status("board");
    assert_eq!(status.done()["current"], good.done()["current"]);
    assert!(status.done()["last"].as_str().unwrap().contains("taken back"), "{:?}", status.json);
    // An archive that is none: told here, or, unchecked, found out there.
    let broken = bench.at("broken.nnef.tgz");
    fs::write(&broken, &fs::read(bench.archive("good", 1)).unwrap()[..500]).unwrap();
    assert_eq!(bench.flash("board", &broken, &[]).code, 2);
    assert_eq!(bench.flash("board", &broken, &["--unchecked"]).error(), "health");
    assert_eq!(installed(&bench.at("board")), "good variant 1 c d");
}

#[test]
fn the_wrong_board_is_refused() {
    let Some(bench) = Bench::start() else { return };
    let archive = bench.archive("good", 1);
    bench.flash("board", &archive, &["--no-service"]).done();
    let other = |arguments: &[&str]| {
        let mut boards = Command::new(env!("CARGO_BIN_EXE_boards"));
        boards.args(["--json", "flash", "other"]).arg(bench.archive("good", 2));
        boards.arg("--board").arg(bench.board("other")).args(["--host", "board", "--no-service"]);
        boards.arg("--ssh-config").arg(bench.at("ssh_config")).arg("--binaries").arg(programs());
        boards.arg("--root").arg(bench.at("board")).args(arguments);
        Outcome::of(boards)
    };
    let refused = other(&[]);
    assert_eq!((refused.code, refused.error()), (4, "board"));
    assert!(refused.words.contains("was flashed as test"), "{}", refused.words);
    assert_eq!(installed(&bench.at("board")), "good variant 1 c d");
    other(&["--any-board"]).done();

    // Another processor: the programs are for it, the board is not.
    let folder = bench.at("foreign");
    fs::create_dir(&folder).unwrap();
    let foreign = if cfg!(target_arch = "x86_64") { ("aarch64", 183u8) } else { ("x86_64", 62) };
    for name in ["runtime", "foldnet-agent"] {
        let mut program = fs::read(programs().join(name)).unwrap();
        program[18] = foreign.1;
        fs::write(folder.join(name), program).unwrap();
    }
    let text = fs::read_to_string(bench.board("foreign")).unwrap();
    let text = text.replace(std::env::consts::ARCH, foreign.0).replace("x86-64", "cortex-a53");
    fs::write(bench.at("foreign.toml"), text).unwrap();
    let flash = |binaries: &std::path::Path| {
        let mut boards = Command::new(env!("CARGO_BIN_EXE_boards"));
        boards
            .args(["--json", "flash", "foreign"])
            .arg(&archive)
            .arg("--board")
            .arg(bench.at("foreign.toml"));
        boards.args(["--host", "board", "--ssh-config"]).arg(bench.at("ssh_config"));
        boards.arg("--root").arg(bench.at("fresh")).arg("--binaries").arg(binaries);
        Outcome::of(boards)
    };
    assert_eq!(flash(&folder).error(), "machine");
    assert!(!bench.at("fresh/slots").exists(), "nothing is changed");
    // The programs are for this machine, the board is not.
    let out = flash(programs());
    assert!(out.code == 2 && out.words.contains("is not a program for"), "{}", out.words);
}

#[test]
fn a_changed_host_key_is_refused() {
    let Some(bench) = Bench::start() else { return };
    let archive = bench.archive("good", 1);
    let flash = |arguments: &[&str]| bench.flash("board", &archive, &[&["--no-service"], arguments].concat());
    bench.know("other");
    assert_eq!(flash(&[]).error(), "key-changed");
    assert_eq!(flash(&["--accept-new-host-key"]).error(), "key-changed");
    fs::remove_file(bench.at("known")).unwrap();
    assert_eq!(flash(&[]).error(), "key-unknown");
    assert!(!bench.at("board").exists(), "nothing is changed");
    flash(&["--accept-new-host-key"]).done();
    flash(&[]).done();
    // A user it does not know; a host that is not there.
    fs::rename(bench.at("other"), bench.at("user")).unwrap();
    assert_eq!(flash(&[]).error(), "login");
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    bench.ssh_config(closed);
    assert_eq!(flash(&[]).error(), "unreachable");
}

/// Passes a connection on, and cuts each after so many bytes towards the board; then no more.
fn cutter(to: u16, cuts: Vec<usize>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let mut cuts = cuts.into_iter();
        for client in listener.incoming().map_while(Result::ok) {
            let mut left = cuts.next().unwrap_or(usize::MAX);
            let server = TcpStream::connect(("127.0.0.1", to)).unwrap();
            let (mut up, mut down) = (server.try_clone().unwrap(), client.try_clone().unwrap());
            std::thread::spawn(move || std::io::copy(&mut &server, &mut down));
            let mut client = client;
            std::thread::spawn(move || {
                let mut buffer = [0; 4096];
                while let Ok(n) = client.read(&mut buffer) {
                    if n == 0 || n > left || up.write_all(&buffer[..n]).is_err() {
                        break;
                    }
                    left -= n;
                }
                let _ = up.shutdown(Shutdown::Both);
                let _ = client.shutdown(Shutdown::Both);
            });
        }
    });
    port
}

#[test]
fn a_broken_connection_is_taken_up_where_it_broke() {
    let Some(bench) = Bench::start() else { return };
    let archive = bench.archive("good", 1);
    let size = |name: &str| fs::metadata(programs().join(name)).unwrap().len() as usize;
    // In the agent, in the runtime, in the runtime again.
    let cuts =
        vec![size("foldnet-agent") / 2, size("foldnet-agent") + size("runtime") / 3, size("runtime") / 3];
    bench.ssh_config(cutter(bench.port, cuts));
    let out = bench.flash("board", &archive, &["--no-service", "--retries", "20"]);
    out.done();
    // Where the board is still at work on what came before a cut, it is asked once more.
    let again = out.words.lines().filter(|l| l.contains("trying again") && !l.contains("another session"));
    assert_eq!(again.count(), 3, "{}", out.words);
    assert_eq!(out.words.matches("kB are there").count(), 2, "{}", out.words);
    assert_eq!(installed(&bench.at("board")), "good variant 1 c d");
    // Without a second try it is an error, and what came is kept.
    bench.ssh_config(cutter(bench.port, vec![size("foldnet-agent") + size("runtime") / 2]));
    let lost = bench.flash("second", &archive, &["--no-service", "--retries", "0"]);
    assert!(["lost", "line"].contains(&lost.error()), "{}", lost.words);
    let parts = fs::read_dir(bench.at("second/incoming")).unwrap();
    let sizes: Vec<u64> = parts.map(|p| p.unwrap().metadata().unwrap().len()).collect();
    // What was on its way when the line went is lost.
    assert!(sizes.iter().any(|&n| n > 0), "{sizes:?}");
}

#[test]
fn two_at_once_is_one_too_many() {
    let Some(bench) = Bench::start() else { return };
    let archive = bench.archive("good", 1);
    bench.flash("board", &archive, &["--no-service"]).done();
    // A session that has asked for files and gets none.
    let mut agent = Command::new(programs().join("foldnet-agent"))
        .args(["session", "--root"])
        .arg(bench.at("board"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let sum = "0".repeat(64);
    let release = serde_json::json!({
        "board": "test", "compatible": [], "machine": std::env::consts::ARCH, "args": [], "service": false,
        "files": [{"name": "runtime", "sha256": sum, "bytes": 9}, {"name": "model.nnef.tgz", "sha256": sum, "bytes": 9}],
    });
    let request = serde_json::json!({"flash": {
        "release": release, "any_board": false, "health_seconds": 1, "settle_seconds": 0}});
    writeln!(agent.stdin.as_ref().unwrap(), "{request}").unwrap();
    let mut said = [0; 4096];
    while !String::from_utf8_lossy(&said).contains("want") {
        assert_ne!(agent.stdout.as_mut().unwrap().read(&mut said).unwrap(), 0);
    }
    let second = bench.flash("board", &bench.archive("good", 2), &["--no-service"]);
    assert_eq!((second.code, second.error()), (4, "busy"));
    // Asking is no change.
    bench.status("board").done();
    drop(agent.stdin.take());
    agent.wait().unwrap();
    bench.flash("board", &bench.archive("good", 2), &["--no-service"]).done();
}

#[test]
fn a_full_disk_is_refused() {
    let Some(bench) = Bench::start() else { return };
    let disk = bench.at("disk");
    fs::create_dir(&disk).unwrap();
    let mount = |size: &str| {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", size, "tmpfs"]).arg(&disk).stderr(Stdio::null());
        mount.status().is_ok_and(|s| s.success())
    };
    let size = |name: &str| fs::metadata(programs().join(name)).unwrap().len() >> 10;
    let (agent, runtime) = (size("foldnet-agent"), size("runtime"));
    if !mount(&format!("size={}k", agent / 2)) {
        writeln!(std::io::stderr(), "SKIPPED: a small disk cannot be mounted here (needs root)").unwrap();
        return;
    }
    struct Unmount<'a>(&'a std::path::Path);
    impl Drop for Unmount<'_> {
        fn drop(&mut self) {
            let _ = Command::new("umount").arg("-l").arg(self.0).status();
        }
    }
    let _unmount = Unmount(&disk);
    let archive = bench.archive("good", 1);
    // Not even the agent.
    let out = bench.flash("disk/board", &archive, &["--no-service"]);
    assert_eq!(out.error(), "shell");
    assert!(out.words.contains("No space left"), "{}", out.words);
    // The agent, and no release.
    let resize = |kb: u64| {
        assert!(
            mount(&format!("remount,size={kb}k")) || {
                let mut mount = Command::new("mount");
                mount.args(["-o", &format!("remount,size={kb}k")]).arg(&disk);
                mount.status().unwrap().success()
            }
        )
    };
    resize(agent + runtime);
    let out = bench.flash("disk/board", &archive, &["--no-service"]);
    assert_eq!((out.code, out.error()), (4, "space"));
    assert!(out.words.contains("kB free"), "{}", out.words);
    // One release, and no second runtime.
    resize(2 * agent + 2 * runtime + 4096);
    bench.flash("disk/board", &archive, &["--no-service"]).done();
    resize(2 * agent + runtime + 1024);
    let out = bench.flash("disk/board", &bench.archive("good", 2), &["--no-service"]);
    assert_eq!(out.error(), "space");
    assert_eq!(installed(&bench.at("disk/board")), "good variant 1 c d");
}
