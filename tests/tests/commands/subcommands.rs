//! Every subcommand of every program, once with good and a few times with bad arguments.

use std::fs::File;
use std::path::PathBuf;
use std::process::Command;

use super::help::subcommands;
use super::sandbox::{PROGRAMS, sandbox};

/// A command line for each subcommand, how it ends here, and what it says then, on either output.
const ONCE: &[(&str, i32, &str)] = &[
    ("boards bench --port tcp:127.0.0.1:1 --runs 1", 2, "127.0.0.1:1"),
    ("boards build rock-5b", 2, "no checkout"),
    ("boards classify --port tcp:127.0.0.1:1 --size 32x32 picture.jpg", 2, "127.0.0.1:1"),
    ("boards complete once/boards", 0, ""),
    ("boards doctor rock-5b --host user@board", 2, "no programs for"),
    ("boards fit model.nnef.tgz rp2350-pico2", 0, "time not estimated: microcontrollers"),
    ("boards fit model.nnef.tgz raspberry-pi-4", 0, "estimated in a model of the core, not measured"),
    ("boards fit model.nnef.tgz raspberry-pi-4 --json", 0, "\"streams_weights\":"),
    ("boards fit model.nnef.tgz khadas-vim3 --json", 0, "\"not_estimated\":\"there is no table of costs for"),
    ("boards fit model.nnef.tgz raspberry-pi-4 --fps 1", 0, "images/s"),
    ("boards fit model.nnef.tgz raspberry-pi-4 --fps 1e6", 3, "does not reach 1000000 images/s"),
    ("boards fit model.nnef.tgz rp2350-pico2 --fps 1", 3, "has no expected time"),
    ("boards fit model.nnef.tgz --fps 1", 0, "reach 1 images/s on one thread: raspberry-pi-zero-2-w"),
    ("boards fit model.nnef.tgz raspberry-pi-4 --fps 0", 2, "a rate is more than 0"),
    ("boards fit model.nnef.tgz --fps ten", 2, "not a number"),
    ("boards flash rock-5b model.nnef.tgz --host user@board", 2, "no programs for"),
    ("boards image model.nnef.tgz -o once.tar", 2, "no programs for"),
    ("boards keygen once --no-password", 0, "once.pub"),
    ("boards list", 0, "rock-5b"),
    ("boards picture picture.jpg --feed-port 1", 2, "boards run"),
    ("boards rollback rock-5b --host user@board", 2, "no programs for"),
    ("boards rollout fleet.toml model.nnef.tgz --all", 2, "no programs for"),
    ("boards run qemu-mps2-an386 model.nnef.tgz", 2, "no checkout"),
    ("boards show rock-5b", 0, "RK3588"),
    ("boards status rock-5b --host user@board", 2, "no programs for"),
    ("boards trust rock-5b fleet.pub --host user@board", 2, "no programs for"),
    ("converter compare model.onnx model.nnef.tgz --images test", 0, "20"),
    ("converter complete once/converter", 0, ""),
    ("converter doctor model.nnef.tgz --images test", 0, "compared by"),
    ("converter eval model.nnef.tgz --images test", 0, "%"),
    ("converter export --board rp2350-pico2 model.nnef.tgz -o once.plan", 0, ""),
    ("converter inspect model.onnx", 0, "conv"),
    ("converter quantize -o once.nnef.tgz", 0, ""),
    (
        "converter quantize -o late.nnef.tgz --effort low --board raspberry-pi-4 --ms 0.01",
        3,
        "Nothing was written",
    ),
    (
        "converter quantize -o late.nnef.tgz --board rp2350-pico2 --ms 30",
        2,
        "has no expected time: microcontrollers",
    ),
    ("converter quantize -o late.nnef.tgz --board toaster --ms 30", 2, "unknown board"),
    ("converter quantize -o late.nnef.tgz --ms 30", 2, "--board"),
    ("converter quantize -o late.nnef.tgz --board raspberry-pi-4 --ms 0", 2, "a time is more than 0"),
    ("converter reproduce mine.nnef.tgz --model model.onnx --images photos", 0, "made again, the same bytes"),
    ("converter sign model.nnef.tgz --key fleet.key", 0, "minisig"),
    ("runtime bench model.nnef.tgz --iterations 3 --warmup 0", 0, "median"),
    (
        "runtime bench model.nnef.tgz --iterations 3 --board raspberry-pi-4 --submit-file once.json",
        0,
        "nothing is compared",
    ),
    ("runtime bench model.nnef.tgz --board toaster", 2, "unknown board"),
    ("runtime camera model.nnef.tgz --input photos --once", 0, ""),
    ("runtime classify model.nnef.tgz picture.jpg", 0, "%"),
    ("runtime complete once/runtime", 0, ""),
    ("runtime devices", 0, ""),
    ("runtime inspect model.nnef.tgz", 0, "conv"),
    ("runtime verify model.nnef.tgz --all-kernels", 0, "the same bits"),
    ("runtime kernels", 0, "portable"),
    ("runtime teach model.nnef.tgz --class cat photos/cat --class dog photos/dog -o once.teach", 0, "cat"),
];

#[test]
fn every_subcommand_runs() {
    let mut problems = Vec::new();
    for program in PROGRAMS {
        for subcommand in subcommands(program) {
            let begins = format!("{program} {subcommand}");
            let known = |line: &str| line == begins || line.starts_with(&format!("{begins} "));
            if !ONCE.iter().any(|(line, ..)| known(line)) {
                problems.push(format!("add `{begins}` to the list of this test"));
            }
        }
    }
    for (line, code, says) in ONCE {
        let words: Vec<&str> = line.split(' ').collect();
        let outcome = sandbox().run(words[0], &words[1..], &[]);
        let said = format!("{}{}", outcome.stdout, outcome.stderr);
        if !outcome.sound() || outcome.code != Some(*code) || !said.contains(says) {
            problems.push(format!("{line}: {outcome:?}"));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn bad_arguments_are_explained() {
    let mut problems = Vec::new();
    for program in PROGRAMS {
        for subcommand in subcommands(program) {
            for bad in [&["--no-such-option"][..], &["a", "b", "c", "d", "e", "--quiet"], &["\u{1b}[31m"]] {
                let arguments = [&[subcommand.as_str()], bad].concat();
                let outcome = sandbox().run(program, &arguments, &[]);
                // `complete` takes any name for its folder.
                let folder = subcommand == "complete" && outcome.code == Some(0);
                let explained = outcome.code == Some(2) && !outcome.stderr.trim().is_empty();
                if !outcome.sound() || !(folder || explained) || outcome.stderr.contains('\u{1b}') {
                    problems.push(format!("{program} {arguments:?}: {outcome:?}"));
                }
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

/// A folder with one pipe in it, which nobody writes to.
fn pipe(name: &str) -> PathBuf {
    let folder = sandbox().path("pipes");
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join(name);
    if !path.exists() {
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    }
    path
}

#[test]
fn pipes_are_refused_instead_of_waited_for() {
    let [model, archive, image, labels] =
        ["model.onnx", "model.nnef.tgz", "a.png", "labels.txt"].map(|name| pipe(name).display().to_string());
    let photos = sandbox().path("pipes").display().to_string();
    let lines: &[&[&str]] = &[
        &["converter", "quantize", &model, "--synthetic", "-o", "piped.nnef.tgz"],
        &["converter", "quantize", "model.onnx", "--images", &photos, "-o", "piped.nnef.tgz"],
        &[
            "converter",
            "quantize",
            "model.onnx",
            "--labels",
            &labels,
            "--images",
            "photos",
            "-o",
            "piped.nnef.tgz",
        ],
        &["converter", "inspect", &model],
        &["converter", "inspect", &archive],
        &["runtime", "classify", &archive, "picture.jpg"],
        &["runtime", "classify", "model.nnef.tgz", &image],
        &["runtime", "classify", "model.nnef.tgz", &photos],
        &["runtime", "camera", "model.nnef.tgz", "--input", &photos, "--once"],
        &["boards", "fit", &archive, "rp2350-pico2"],
        &["boards", "show", "--board", &model],
    ];
    let mut problems = Vec::new();
    for line in lines {
        let outcome = sandbox().run(line[0], &line[1..], &[]);
        // The file is named.
        if !outcome.sound() || outcome.code != Some(2) || !outcome.stderr.contains("pipes") {
            problems.push(format!("{}: {outcome:?}", line.join(" ")));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    assert!(!sandbox().path("piped.nnef.tgz").exists());
}

#[test]
fn results_that_cannot_be_written_are_failures() {
    let lines = [
        "boards list",
        "boards show rock-5b",
        "boards fit model.nnef.tgz",
        "converter quantize -o full.nnef.tgz",
        "converter inspect model.onnx",
        "converter eval model.nnef.tgz --images test",
        "converter compare model.onnx model.nnef.tgz --images test",
        "runtime classify model.nnef.tgz picture.jpg",
        "runtime kernels",
        "runtime inspect model.nnef.tgz",
        "runtime bench model.nnef.tgz --iterations 3",
    ];
    let mut problems = Vec::new();
    for line in lines {
        let words: Vec<&str> = line.split(' ').collect();
        for json in [&[][..], &["--json"]] {
            let mut command = sandbox().command(words[0]);
            command
                .args(&words[1..])
                .args(json)
                .stdout(File::options().write(true).open("/dev/full").unwrap());
            let output = command.output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            if output.status.code() != Some(2) || !said.contains("No space left") {
                problems.push(format!("{line} {json:?}: {output:?}"));
            }
        }
        if sandbox().run(words[0], &words[1..], &[]).stdout.trim().is_empty() {
            problems.push(format!("{line} prints no results on standard output"));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn messages_are_not_doubled_and_name_their_file() {
    let mut problems = Vec::new();
    for line in [
        "boards picture absent.png",
        "boards classify --port tcp:127.0.0.1:1 absent.png",
        "boards fit absent.nnef.tgz",
        "boards show --board absent.toml",
        "boards rollout absent.toml model.nnef.tgz --all",
        "boards trust rock-5b absent.pub --host board",
        "converter quantize absent.onnx --images photos -o a.nnef.tgz",
        "converter quantize model.onnx --images absent -o a.nnef.tgz",
        "converter quantize model.onnx --images photos --labels absent.txt -o a.nnef.tgz",
        "converter inspect absent.onnx",
        "converter doctor absent.nnef.tgz --images test",
        "converter doctor model.nnef.tgz --images absent",
        "converter doctor model.nnef.tgz --images test --test absent",
        "converter eval absent.nnef.tgz --images test",
        "converter eval model.nnef.tgz --images absent",
        "converter compare absent.onnx model.nnef.tgz --images test",
        "converter export --board rp2350-pico2 absent.nnef.tgz -o a.plan",
        "converter sign absent.nnef.tgz --key fleet.key",
        "converter sign model.nnef.tgz --key absent.key",
        "runtime classify absent.nnef.tgz picture.jpg",
        "runtime classify model.nnef.tgz absent.png",
        "runtime camera absent.nnef.tgz",
        "runtime camera model.nnef.tgz --input absent.png",
        "runtime bench absent.nnef.tgz",
        "runtime inspect absent.nnef.tgz",
        "runtime classify model.nnef.tgz picture.jpg --teach absent.teach",
        "runtime teach absent.nnef.tgz --class cat photos/cat -o absence.teach",
        "runtime teach model.nnef.tgz --class cat absent -o absence.teach",
        "runtime teach model.nnef.tgz --from absent.teach",
        "runtime verify absent.nnef.tgz",
    ] {
        let words: Vec<&str> = line.split(' ').collect();
        let outcome = sandbox().run(words[0], &words[1..], &[]);
        let said = &outcome.stderr;
        let absent = words.iter().find(|w| w.contains("absent")).unwrap();
        // The serial line is opened before the image.
        let named = said.contains(absent) || said.contains("127.0.0.1:1");
        let doubled = ["No such file or directory", "os error 2"].iter().any(|w| said.matches(w).count() > 1);
        if !outcome.sound() || outcome.code != Some(2) || !named || doubled {
            problems.push(format!("{line}: {outcome:?}"));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}
