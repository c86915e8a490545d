//! A session killed at any moment leaves a board that starts: the old release or the new, whole.

mod common;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{archive_at, installed, programs};
use foldnet_boards::protocol::{Event, File, Release, Request};
use foldnet_boards::sum;

/// How many moments are tried.
const MOMENTS: u64 = 20;

/// Flashes without ssh; kills the agent after `limit`. How long it took, and whether it was done.
fn flash(root: &Path, archive: &Path, limit: Option<Duration>) -> (Duration, bool) {
    let files = [("runtime", programs().join("runtime")), ("model.nnef.tgz", archive.to_path_buf())];
    let file = |(name, path): &(&str, PathBuf)| File {
        name: (*name).into(),
        sha256: sum::of_file(path).unwrap(),
        bytes: fs::metadata(path).unwrap().len(),
    };
    let release = Release {
        board: "test".into(),
        compatible: vec![],
        machine: std::env::consts::ARCH.into(),
        files: files.iter().map(file).collect(),
        args: vec![],
        service: false,
    };
    let begin = Instant::now();
    let mut agent = Command::new(programs().join("foldnet-agent"))
        .args(["session", "--root"])
        .arg(root)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut to, from) = (agent.stdin.take().unwrap(), agent.stdout.take().unwrap());
    let talk = std::thread::spawn(move || {
        let request = Request::Flash {
            release: release.clone(),
            any_board: false,
            health_seconds: 60,
            settle_seconds: 0,
        };
        let _ = writeln!(to, "{}", serde_json::to_string(&request).unwrap());
        let mut done = false;
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            match serde_json::from_str(&line).unwrap() {
                Event::Want(wanted) => {
                    for want in wanted {
                        let at = release.files.iter().position(|f| f.sha256 == want.sha256).unwrap();
                        // The agent may be dead already.
                        let _ = to.write_all(&fs::read(&files[at].1).unwrap()[want.from as usize..]);
                    }
                }
                Event::Done(_) => done = true,
                Event::Refused { refusal, .. } => panic!("{refusal}"),
                _ => {}
            }
        }
        done
    });
    if let Some(limit) = limit {
        std::thread::sleep(limit);
        let _ = agent.kill();
    }
    agent.wait().unwrap();
    (begin.elapsed(), talk.join().unwrap())
}

/// The slot that would start now.
fn which(root: &Path) -> String {
    let out =
        Command::new(programs().join("foldnet-agent")).args(["which", "--root"]).arg(root).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap().trim().to_owned()
}

#[test]
fn a_board_whose_flash_is_cut_short_starts() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("board");
    let archive = |i: u64| archive_at(&folder.path().join(format!("{i}.nnef.tgz")), "good", i as usize);
    let label = |i: u64| format!("good variant {i} c d");
    assert!(flash(&root, &archive(0), None).1);
    let (whole, done) = flash(&root, &archive(1), None);
    assert!(done);
    let (mut now, mut new) = (1, 0);
    for moment in 2..2 + MOMENTS {
        // Moments spread over a flash's length in an order without pattern.
        let limit = whole * (moment as u32 * 7 % 20) / 18;
        let (_, done) = flash(&root, &archive(moment), Some(limit));
        let slot = which(&root);
        let runs = installed(&root);
        assert_eq!(fs::read_link(root.join("current")).unwrap().file_name().unwrap(), slot.as_str());
        assert!(runs == label(now) || runs == label(moment), "{runs} after {moment}");
        assert!(!done || runs == label(moment), "it was done, and is not there");
        if runs == label(moment) {
            (now, new) = (moment, new + 1);
        }
        // Nothing of it is left lying about.
        let slots: Vec<_> =
            fs::read_dir(root.join("slots")).unwrap().flatten().map(|e| e.file_name()).collect();
        assert!(slots.iter().all(|s| s == "a" || s == "b"), "{slots:?}");
    }
    writeln!(std::io::stderr(), "{MOMENTS} moments: {new} times the new release, else the old")
        .expect("standard error");
    assert!(flash(&root, &archive(1000), None).1, "the next flash works");
    assert_eq!(installed(&root), label(1000));
}

#[test]
fn a_slot_that_rots_gives_way_to_the_other() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("board");
    let archive = |i: usize| archive_at(&folder.path().join(format!("{i}.nnef.tgz")), "good", i);
    assert!(flash(&root, &archive(0), None).1 && flash(&root, &archive(1), None).1);
    let model = root.join("current/model.nnef.tgz");
    let mut bytes = fs::read(&model).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&model, bytes).unwrap();
    which(&root);
    assert_eq!(installed(&root), "good variant 0 c d");
    // The other rots, too: nothing is started rather than something else.
    fs::write(root.join("current/runtime"), "rot").unwrap();
    let out =
        Command::new(programs().join("foldnet-agent")).args(["which", "--root"]).arg(&root).output().unwrap();
    assert!(!out.status.success());
    assert!(flash(&root, &archive(2), None).1, "the next flash mends it");
    assert_eq!(installed(&root), "good variant 2 c d");
}
