//! A roll-out to fifty boards over real ssh, three of which fail.

mod common;

use std::fs;
use std::path::Path;
use std::process::Command;

use common::{Bench, Outcome, installed, programs};

const BOARDS: usize = 50;
/// They were flashed as another kind of board, and refuse.
const BAD: [usize; 3] = [7, 19, 31];

fn rollout(bench: &Bench, archive: &Path, arguments: &[&str]) -> Outcome {
    let mut boards = Command::new(env!("CARGO_BIN_EXE_boards"));
    boards.args(["--json", "rollout"]).arg(bench.at("fleet.toml")).arg(archive);
    boards.arg("--board").arg(bench.board("test")).arg("--ssh-config").arg(bench.at("ssh_config"));
    boards.arg("--binaries").arg(programs()).args(["--no-service", "--parallel", "4"]).args(arguments);
    Outcome::of(boards)
}

#[test]
fn fifty_boards_three_of_which_fail() {
    let Some(bench) = Bench::start() else { return };
    let root = |i: usize| bench.at(&format!("board-{i}"));
    let mut fleet = String::from("board = \"test\"\n");
    for i in 0..BOARDS {
        let root = root(i);
        fleet += &format!(
            "[[device]]\nname = \"board-{i}\"\nhost = \"board\"\nroot = {:?}\n",
            root.display().to_string()
        );
        // The agent is there already, as on boards that were flashed before: it need not travel fifty times.
        let agent = fs::read(programs().join("foldnet-agent")).unwrap();
        let agents = root.join("agents");
        fs::create_dir_all(&agents).unwrap();
        fs::hard_link(programs().join("foldnet-agent"), agents.join(foldnet_boards::sum::sha256(&agent)))
            .unwrap();
    }
    fs::write(bench.at("fleet.toml"), fleet).unwrap();
    for i in BAD {
        fs::write(root(i).join("board"), "another").unwrap();
    }
    let archive = bench.archive("good", 1);
    let tally = |out: &Outcome| out.json.last().unwrap().clone();
    let is = |tally: &serde_json::Value, key: &str, n: usize| assert_eq!(tally[key], n, "{key} of {tally}");

    // More than one failure stops it: the second bad board is the last straw. Those in progress finish.
    let out = rollout(&bench, &archive, &["--all", "--canary", "5%", "--max-failures", "1"]);
    assert_eq!(out.code, 3, "{}", out.words);
    let stopped = tally(&out);
    assert_eq!(stopped["stopped"], true);
    let count = |key: &str| stopped[key].as_u64().unwrap() as usize;
    assert_eq!(count("done") + count("failed") + count("untouched"), BOARDS);
    assert!((2..=3).contains(&count("failed")) && count("untouched") > 0, "{stopped}");
    let errors: Vec<_> =
        out.json.iter().filter(|l| l["outcome"] == "failed").map(|l| l["error"].clone()).collect();
    assert!(errors.iter().all(|e| e == "board"), "{errors:?}");

    // The same again with more allowed goes on, and does not repeat what is done.
    let out = rollout(&bench, &archive, &["--all", "--canary", "5%", "--max-failures", "3"]);
    assert_eq!(out.code, 4, "{}", out.words);
    let went_on = tally(&out);
    is(&went_on, "before", count("done"));
    is(&went_on, "failed", 3);
    is(&went_on, "untouched", 0);
    is(&went_on, "done", BOARDS - 3 - count("done"));
    for i in 0..BOARDS {
        assert_eq!(root(i).join("current").exists(), !BAD.contains(&i), "board {i}");
    }
    // The three are mended; only they are left.
    for i in BAD {
        fs::remove_file(root(i).join("board")).unwrap();
    }
    let out = rollout(&bench, &archive, &["--all"]);
    assert_eq!(out.code, 0, "{}", out.words);
    is(&tally(&out), "before", BOARDS - 3);
    is(&tally(&out), "done", 3);
    assert!((0..BOARDS).all(|i| installed(&root(i)) == "good variant 1 c d"));

    // The log is of that archive. With its own log, another archive's failing canary touches nothing else.
    let bad = bench.archive("crash", 1);
    assert_eq!(rollout(&bench, &bad, &["--all"]).code, 2);
    let log = bench.at("second.jsonl");
    let out = rollout(&bench, &bad, &["--all", "--canary", "1", "--log", log.to_str().unwrap()]);
    assert_eq!(out.code, 3);
    is(&tally(&out), "failed", 1);
    is(&tally(&out), "untouched", BOARDS - 1);
    assert_eq!(installed(&root(0)), "good variant 1 c d");
    // Some by name.
    let log = bench.at("third.jsonl");
    let some = ["--only", "board-3,board-4", "--log", log.to_str().unwrap()];
    let out = rollout(&bench, &bench.archive("good", 2), &some);
    is(&tally(&out), "done", 2);
    assert_eq!(rollout(&bench, &archive, &["--only", "board-99"]).code, 2);
}
