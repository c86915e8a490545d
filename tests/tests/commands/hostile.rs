//! What an unlucky or hostile user does: files of the wrong kind under strange names, numbers out of range, pipes that
//! close, devices that are full, an interrupt at any moment, two runs at once.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::sandbox::{Outcome, run, sandbox};

/// Command lines that read FILE. Those that write a file write OUT.
const READERS: &[&str] = &[
    "boards fit FILE rp2350-pico2",
    "boards rollout FILE model.nnef.tgz --all",
    "boards show --board FILE",
    "converter compare FILE model.nnef.tgz --images test",
    "converter compare model.onnx FILE --images test",
    "converter compare model.onnx model.nnef.tgz --images FILE",
    "converter doctor model.nnef.tgz --images FILE",
    "converter eval FILE --images test",
    "converter eval model.nnef.tgz --images FILE",
    "converter eval model.nnef.tgz --images test --labels FILE",
    "converter export --board rp2350-pico2 FILE -o OUT",
    "converter export --qdq FILE -o OUT",
    "converter inspect FILE",
    "converter quantize FILE --images photos -o OUT",
    "converter quantize model.onnx --images FILE -o OUT",
    "converter quantize model.onnx --images photos --labels FILE -o OUT",
    "converter reproduce FILE",
    "converter sign model.nnef.tgz --key FILE",
    "runtime bench FILE --iterations 1",
    "runtime camera FILE --input photos --once",
    "runtime camera model.nnef.tgz --input FILE --once",
    "runtime classify FILE picture.jpg",
    "runtime classify model.nnef.tgz FILE",
    "runtime classify model.nnef.tgz picture.jpg --teach FILE",
    "runtime inspect FILE",
    "runtime teach FILE --class cat photos/cat -o OUT",
    "runtime teach model.nnef.tgz --class cat FILE -o OUT",
    "runtime teach model.nnef.tgz --from FILE -o OUT",
];

/// A folder of this test's own in the sandbox.
fn folder(name: &str) -> PathBuf {
    let folder = sandbox().path(name);
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// The words of a line, FILE and OUT replaced.
fn command(line: &str, file: &Path, out: &Path) -> Command {
    let mut words = line.split(' ');
    let mut command = sandbox().command(words.next().unwrap());
    for word in words {
        match word {
            "FILE" => command.arg(file),
            "OUT" => command.arg(out),
            word => command.arg(word),
        };
    }
    command
}

/// Whether a message names a file whose name has a line break before this; what follows a line break is indented or
/// escaped.
fn named(outcome: &Outcome, end: &str) -> bool {
    outcome.stderr.contains(end) && !outcome.stderr.lines().any(|line| line.starts_with(end))
}

/// The first half of a file.
fn half(name: &str) -> Vec<u8> {
    let bytes = fs::read(sandbox().path(name)).unwrap();
    bytes[..bytes.len() / 2].to_vec()
}

#[test]
fn files_of_the_wrong_kind_are_named_whatever_they_are_called() {
    let noise: Vec<u8> = (0..100_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let contents: &[(&str, Vec<u8>)] = &[
        ("empty", Vec::new()),
        ("zeros", vec![0; 5000]),
        ("noise", noise),
        ("text", b"hello\n".to_vec()),
        ("page", b"<!doctype html><title>404</title>".to_vec()),
        ("half an archive", half("model.nnef.tgz")),
        ("half a model", half("model.onnx")),
        ("half an image", half("tests/pictures/cat_1.png")),
    ];
    let folder = folder("hostile files");
    let (file, out) = (folder.join("odd \n→'\"$x"), folder.join("out.nnef.tgz"));
    let mut problems = Vec::new();
    for (kind, bytes) in contents {
        fs::write(&file, bytes).unwrap();
        for line in READERS {
            let outcome = run(command(line, &file, &out), &[]);
            let named = named(&outcome, "→'\"$x");
            if !outcome.sound() || outcome.code != Some(2) || !named || out.exists() {
                problems.push(format!("{line} on {kind}: {outcome:?}"));
                let _ = fs::remove_file(&out);
            }
        }
    }
    // The folder itself, which holds no image, and a name that is not there.
    let (absent, bare) = (folder.join("absent \n→"), self::folder("hostile files/bare \n→"));
    for (file, line) in READERS.iter().flat_map(|line| [(&absent, line), (&bare, line)]) {
        let outcome = run(command(line, file, &out), &[]);
        if !outcome.sound() || outcome.code != Some(2) || !named(&outcome, "→") || out.exists() {
            problems.push(format!("{line} on {}: {outcome:?}", file.display()));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn strange_names_work() {
    let folder = folder("hostile names/— \n'\"$x");
    let at = |name: &str| folder.join(name);
    fs::create_dir_all(at("photos 猫")).unwrap();
    for file in fs::read_dir(sandbox().path("tests/pictures")).unwrap().flatten() {
        fs::copy(file.path(), at("photos 猫").join(file.file_name())).unwrap();
    }
    fs::copy(sandbox().path("model.onnx"), at("-model ü.onnx")).unwrap();
    let run = |program: &str, words: &[&Path]| {
        let mut command = sandbox().command(program);
        command.args(words);
        let outcome = run(command, &[]);
        assert!(outcome.sound() && outcome.code == Some(0), "{outcome:?}");
        assert!(!outcome.stdout.contains("— \n"), "a line break reaches the output: {outcome:?}");
        outcome
    };
    let (model, photos, archive) = (at("-model ü.onnx"), at("photos 猫"), at("out \n.nnef.tgz"));
    let (report, word) = (at("report \n.html"), Path::new);
    run(
        "converter",
        &[
            word("quantize"),
            &model,
            word("--images"),
            &photos,
            word("-o"),
            &archive,
            word("--report"),
            &report,
        ],
    );
    assert!(fs::read_to_string(&report).unwrap().ends_with("</html>\n"));
    run("converter", &[word("inspect"), &archive]);
    run("converter", &[word("compare"), &model, &archive, word("--images"), &photos]);
    let shown = run("runtime", &[word("classify"), &archive, &photos]);
    assert_eq!(shown.stdout.lines().count(), 20, "one line for each image: {}", shown.stdout);
    run("runtime", &[word("camera"), &archive, word("--input"), &photos, word("--once")]);
    run("boards", &[word("fit"), &archive, word("rock-5b")]);
}

#[test]
fn numbers_out_of_range_are_refused() {
    let mut problems = Vec::new();
    for line in [
        "boards bench --port tcp:127.0.0.1:1 --size 0x0",
        "boards classify --port tcp:127.0.0.1:1 --size 99999999999x1 picture.jpg",
        "converter compare model.onnx model.nnef.tgz --images test --threshold nan",
        "converter eval model.nnef.tgz --images test --threshold nan",
        "converter quantize -o number.nnef.tgz --max-drop nan",
        "converter quantize -o number.nnef.tgz --max-images 0",
        "converter quantize -o number.nnef.tgz --threshold 2",
        "converter quantize model.onnx --images photos -o number.nnef.tgz --input-size 0x0",
        "converter quantize model.onnx --images photos -o number.nnef.tgz --input-size 99999999999x2",
        "converter quantize model.onnx --images photos -o number.nnef.tgz --preprocess nan/1",
        "converter quantize model.onnx --images photos -o number.nnef.tgz --preprocess 1/0",
        "converter quantize model.onnx --images photos -o number.nnef.tgz --resize crop:0",
        "runtime bench model.nnef.tgz --iterations 0",
        "runtime bench model.nnef.tgz --threads 18446744073709551615",
        "runtime camera model.nnef.tgz --input photos --every 0",
        "runtime camera model.nnef.tgz --input photos --fps nan",
        "runtime camera model.nnef.tgz --input photos --hysteresis nan",
        "runtime camera model.nnef.tgz --input photos --idle -1",
        "runtime camera model.nnef.tgz --input photos --keep-uncertain kept --keep-mb 0",
        "runtime camera model.nnef.tgz --input photos --listen 1.2.3.4:99999",
        "runtime camera model.nnef.tgz --input photos --roi 0,0,0,0",
        "runtime camera model.nnef.tgz --input photos --smooth inf",
        "runtime camera model.nnef.tgz --input photos --top 0",
        "runtime camera model.nnef.tgz --input - --format rgb --size 0x0",
        "runtime camera model.nnef.tgz --input - --format rgb --size 4294967296x4294967296",
        "runtime camera model.nnef.tgz --input - --format rgb --size 8x8 --stride 18446744073709551615",
        "runtime camera model.nnef.tgz --input - --format i420 --size 8x8 --stride 1",
        "runtime classify model.nnef.tgz picture.jpg --threads 18446744073709551615",
        "runtime classify model.nnef.tgz picture.jpg --top 0",
        "runtime teach model.nnef.tgz --class cat photos/cat -o number.nnef.tgz --false-alarms 51%",
        "runtime teach model.nnef.tgz --class cat photos/cat -o number.nnef.tgz --false-alarms nan",
    ] {
        let words: Vec<&str> = line.split(' ').collect();
        let outcome = sandbox().run(words[0], &words[1..], &[0; 100]);
        if !outcome.sound() || outcome.code != Some(2) || outcome.stderr.is_empty() {
            problems.push(format!("{line}: {outcome:?}"));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    assert!(!sandbox().path("number.nnef.tgz").exists());
}

/// Command lines that print results, and files that they write as OUT.
const WRITERS: &[&str] = &[
    "boards fit model.nnef.tgz",
    "boards list",
    "converter compare model.onnx model.nnef.tgz --images test",
    "converter doctor model.nnef.tgz --images test --csv OUT",
    "converter eval model.nnef.tgz --images test --logits OUT",
    "converter export --board rp2350-pico2 model.nnef.tgz -o OUT",
    "converter export --qdq model.nnef.tgz -o OUT",
    "converter inspect model.onnx",
    "converter quantize -o OUT",
    "runtime bench model.nnef.tgz --iterations 3",
    "runtime camera model.nnef.tgz --input photos --once --fps 1000",
    "runtime classify model.nnef.tgz photos",
    "runtime inspect model.nnef.tgz",
    "runtime classify model.nnef.tgz picture.jpg --explain OUT",
    "runtime teach model.nnef.tgz --class cat photos/cat -o OUT",
];

#[test]
fn a_reader_that_leaves_ends_nothing_badly() {
    let out = folder("hostile pipes").join("out.png");
    for line in WRITERS {
        for more in [&[][..], &["--json", "-vv"]] {
            let mut child = command(line, Path::new(""), &out)
                .args(more)
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            drop(child.stdout.take());
            let outcome = ended(child);
            assert!(outcome.sound() && outcome.code == Some(0), "{line} {more:?}: {outcome:?}");
        }
    }
}

#[test]
fn words_that_cannot_be_written_change_no_result() {
    let out = folder("hostile words").join("out.png");
    for line in WRITERS {
        let full = || File::options().write(true).open("/dev/full").unwrap();
        let output = command(line, Path::new(""), &out).arg("-vv").stderr(full()).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{line}: {output:?}");
    }
}

#[test]
fn files_that_cannot_be_written_are_named() {
    for line in WRITERS.iter().filter(|line| line.contains("OUT")) {
        for out in ["/dev/full", "/proc/out", "absent/out", "photos"] {
            let outcome = run(command(line, Path::new(""), Path::new(out)), &[]);
            let named = outcome.stderr.contains(out);
            assert!(outcome.sound() && outcome.code == Some(2) && named, "{line} to {out}: {outcome:?}");
        }
    }
}

#[test]
fn an_interrupt_leaves_no_half_written_file() {
    let mut interrupted = 0;
    for line in WRITERS.iter().filter(|line| line.contains("OUT")) {
        for after in [20, 60, 200, 600] {
            let place = tempfile::tempdir().unwrap();
            let out = place.path().join("out.png");
            let child = command(line, Path::new(""), &out)
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            std::thread::sleep(Duration::from_millis(after));
            // Not SIGINT, which a test run in the background has its children ignore.
            let signalled = Command::new("kill").args(["-TERM", &child.id().to_string()]).output().unwrap();
            let outcome = ended(child);
            interrupted += usize::from(signalled.status.success() && outcome.code != Some(0));
            // What was begun under another name may stay; what has the name is whole.
            if out.exists() && line.contains("quantize") {
                assert!(foldnet_archive::read(&out).is_ok(), "{line} after {after} ms: {outcome:?}");
            }
            assert!(!out.exists() || fs::metadata(&out).unwrap().len() > 0, "{line} after {after} ms");
        }
    }
    assert!(interrupted > 0, "every command had ended before");
}

#[test]
fn two_runs_may_write_one_file() {
    let place = tempfile::tempdir().unwrap();
    let out = place.path().join("out.nnef.tgz");
    let start = || {
        let mut command = command("converter quantize -o OUT --report", Path::new(""), &out);
        command.arg(place.path().join("r.html"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    for child in [start(), start(), start()] {
        let outcome = ended(child);
        assert!(outcome.sound() && outcome.code == Some(0), "{outcome:?}");
    }
    let mut left: Vec<_> = fs::read_dir(place.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["out.nnef.tgz", "r.html"], "only the results are left");
    let together = fs::read(&out).unwrap();
    let outcome = ended(start());
    assert!(outcome.code == Some(0), "{outcome:?}");
    assert!(together == fs::read(&out).unwrap(), "a run alone writes the same");
}

/// How a child has ended.
fn ended(child: Child) -> Outcome {
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Outcome { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}
