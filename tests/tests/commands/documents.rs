//! Every command line in the documentation and in help texts is executed as printed.
//!
//! What our programs cannot do here, because it needs hardware, a network or a checkout, is run as far as it goes and
//! must fail with the words that [`STOPS`] lists. Programs of others are listed in [`OTHERS`]. A line that is in neither
//! list must succeed.

use std::fs;
use std::path::Path;

use foldnet_tests::{output, root};

use super::help::{examples, subcommands, text};
use super::sandbox::{PROGRAMS, documents, sandbox};
use super::shell::{Simple, split};

/// Programs that are not ours, and who runs these lines.
const OTHERS: &[(&str, &str)] = &[
    (".ci/fuzz", "run by hand and by the weekly workflow"),
    (".ci/miri", "run by hand and by the weekly workflow"),
    (".ci/nightly", "run by hand and by the weekly workflow"),
    ("apt-get", "changes the system"),
    ("cargo", "CI builds, tests and packages"),
    ("cc", ".ci/c compiles programs so"),
    ("cd", "changes the folder"),
    ("docker", "needs a registry"),
    ("export", "sets variables"),
    ("ffmpeg", "its half of a pipe is replaced by a stream of the same format"),
    ("foldnet-train", ".ci/train runs these"),
    ("git", "needs a network"),
    ("gst-launch-1.0", ".ci/gstreamer runs the element"),
    ("import", "a line of Python; .ci/python runs these blocks"),
    ("k3s", "needs a cluster"),
    ("lsblk", "shows the machine's drives"),
    ("mdbook", "CI builds the site"),
    ("pip", "needs a network; .ci/train and .ci/python install the packages"),
    ("probe-rs", "needs a debug probe"),
    ("python", "needs TensorFlow or PyTorch"),
    ("qemu-system-arm", ".ci/firmware starts it"),
    ("rpicam-vid", "its half of a pipe is replaced by a stream of the same format"),
    ("runtime/capi/install.sh", ".ci/c runs it"),
    ("rustup", "needs a network"),
    ("screen", "needs a serial line"),
    ("skopeo", ".ci/boards runs it where it is installed"),
    ("sudo", "changes the system"),
    ("uv", "needs a network"),
];

/// A command of ours that cannot end well here.
struct Stop {
    /// Words that the command contains, in this order.
    words: &'static [&'static str],
    /// Exit code.
    code: i32,
    /// What it says on standard error.
    says: &'static str,
    /// Why, and who runs it.
    reason: &'static str,
}

const fn stop(words: &'static [&'static str], code: i32, says: &'static str, reason: &'static str) -> Stop {
    Stop { words, code, says, reason }
}

const STOPS: &[Stop] = &[
    stop(&["boards", "build"], 2, "no checkout", "builds programs; .ci/boards does"),
    stop(&["boards", "run"], 2, "no checkout", "builds programs and starts QEMU; .ci/boards does"),
    stop(&["boards", "flash", "thumbv8m"], 2, "No such file", "a program that the line before it builds"),
    stop(
        &["boards", "flash", "--drive"],
        2,
        "no checkout",
        "builds firmware; boards/tests/microcontroller.rs does",
    ),
    stop(
        &["boards", "flash"],
        2,
        "no programs for",
        "needs a board; boards/tests and .ci/boards flash folders",
    ),
    stop(&["boards", "status"], 2, "no programs for", "needs a board; boards/tests/flash.rs"),
    stop(&["boards", "doctor"], 2, "no programs for", "needs a board; boards/tests/flash.rs"),
    stop(&["boards", "rollback"], 2, "no programs for", "needs a board; boards/tests/flash.rs"),
    stop(&["boards", "trust"], 2, "no programs for", "needs a board; boards/tests/signed.rs"),
    stop(&["boards", "rollout"], 2, "no programs for", "needs a fleet; boards/tests/fleet.rs"),
    stop(&["boards", "image"], 2, "no programs for", "needs built programs; boards/tests/handover.rs"),
    stop(&["boards", "picture"], 2, "boards run", "needs an emulated board; boards/tests/virtual_board.rs"),
    stop(&["boards", "classify", "--port"], 2, "", "needs a board; boards/tests/microcontroller.rs"),
    stop(&["boards", "bench", "--port"], 2, "", "needs a board; boards/tests/microcontroller.rs"),
    stop(
        &["boards", "keygen", "fleet"],
        2,
        "fleet.key",
        "the sandbox has these keys, which are not overwritten",
    ),
    stop(&["converter", "export", "--rknn"], 2, "python", "needs the vendor's toolkit; .ci/run has a fake"),
    stop(&["converter", "export", "--ethos-u"], 2, "python", "needs LiteRT and Vela; .ci/ethos"),
    stop(&["runtime", "camera", "--input", "http://"], 2, "camera", "needs a camera; runtime/camera/tests"),
    stop(&["runtime", "camera", "--input", "-"], 0, "", "reads the stream that stands for the other program"),
    stop(&["runtime", "camera", "--input"], 0, "", "reads files"),
    stop(&["runtime", "camera"], 2, "video0", "needs a camera; runtime/camera/tests and .ci/qboard"),
    stop(&["runtime", "--backend", "rknn"], 2, "", "needs an NPU; tests/fake-rknn"),
];

/// A command line, and where it stands.
struct Line {
    at: String,
    text: String,
}

/// The lines of the code blocks of a Markdown text: indented after an empty line, or fenced.
fn code(path: &Path) -> Vec<Line> {
    let text = fs::read_to_string(path).unwrap();
    let (mut lines, mut fenced, mut block, mut blank) = (Vec::new(), false, false, true);
    let mut joined: Option<String> = None;
    for (number, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
            continue;
        }
        block = !fenced && line.starts_with("    ") && (block || blank);
        blank = line.trim().is_empty();
        if !fenced && !block {
            continue;
        }
        let whole = joined.take().unwrap_or_default() + line.trim();
        match whole.strip_suffix('\\') {
            Some(begin) => joined = Some(begin.to_owned()),
            None => lines.push(Line { at: format!("{}:{}", path.display(), number + 1), text: whole }),
        }
    }
    lines
}

/// What the documentation leaves to the reader, with what it is here.
fn filled(text: &str) -> String {
    let replaced = [
        ("quantize … ", "quantize model.onnx --images photos/ -o filled.nnef.tgz "),
        ("$PWD", "."),
        ("$USER", "user"),
        ("PICTURE", "picture.jpg"),
        ("IMAGE", "picture.jpg"),
        ("ARCHIVE", "model.nnef.tgz"),
    ];
    replaced.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

/// The program of ours that a command calls, and its arguments.
fn ours(words: &[String]) -> Option<(&str, Vec<&str>)> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    if words.first() == Some(&"cargo") && words.get(1) == Some(&"run") {
        let at = words.iter().position(|w| *w == "--bin")?;
        let end = words.iter().position(|w| *w == "--")?;
        return Some((words.get(at + 1)?, words[end + 1..].to_vec()));
    }
    let name = words.first()?.rsplit('/').next()?;
    PROGRAMS.contains(&name).then(|| (name, words[1..].to_vec()))
}

/// Bytes as the program before the pipe would send them.
fn stream(words: &[&str], before: Option<&Simple>) -> Vec<u8> {
    let option = |name: &str| words.iter().position(|w| *w == name).map(|at| words[at + 1]);
    if option("--format").is_some_and(|f| f != "mjpeg") {
        let (w, h) = option("--size").and_then(|s| s.split_once('x')).expect("raw video has a size");
        let (w, h): (usize, usize) = (w.parse().unwrap(), h.parse().unwrap());
        return vec![128; 3 * (w * h * 3 / 2)];
    }
    if before.is_some_and(|b| b.words.iter().any(|w| w == "mjpeg")) {
        let mut jpeg = Vec::new();
        let pixels = image::RgbImage::from_pixel(64, 48, image::Rgb([200, 30, 30]));
        pixels.write_to(&mut std::io::Cursor::new(&mut jpeg), image::ImageFormat::Jpeg).unwrap();
        return jpeg.repeat(3);
    }
    let mut y4m = b"YUV4MPEG2 W32 H32 F25:1 Ip A1:1 C420jpeg\n".to_vec();
    for _ in 0..3 {
        y4m.extend(b"FRAME\n");
        y4m.extend([128; 32 * 32 * 3 / 2]);
    }
    y4m
}

/// Whether a command contains the words of an exception, in this order. An exception's `http://` and `thumb…` are part
/// of a word.
fn matches(stop: &Stop, program: &str, arguments: &[&str]) -> bool {
    let part = |wanted: &str| wanted.contains("//") || wanted.starts_with("thumb");
    let mut words = std::iter::once(program).chain(arguments.iter().copied());
    stop.words
        .iter()
        .all(|wanted| words.any(|word| word == *wanted || (part(wanted) && word.contains(wanted))))
}

/// The files that a word with a `*` means, or the word.
fn expanded(word: &str) -> Vec<String> {
    let Some((before, after)) = word.split_once('*') else { return vec![word.into()] };
    let (folder, begin) = before.rsplit_once('/').unwrap_or((".", before));
    let entries = fs::read_dir(sandbox().path(folder)).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut found: Vec<String> = names
        .filter(|name| name.starts_with(begin) && name.ends_with(after))
        .map(|name| format!("{folder}/{name}"))
        .collect();
    found.sort();
    found
}

/// A teaching file belongs to one archive, and other lines write the archive anew: before a line answers with taught
/// classes, they are taught again.
fn teach_again(arguments: &[&str]) {
    let Some(pair) = arguments.windows(2).find(|pair| pair[0] == "--teach") else { return };
    let archive =
        arguments.iter().find(|word| word.ends_with(".nnef.tgz")).expect("classes belong to an archive");
    let mut teach = sandbox().command("runtime");
    teach.args([
        "teach",
        archive,
        "--class",
        "cat",
        "photos/cat",
        "--class",
        "dog",
        "photos/dog",
        "-o",
        pair[1],
    ]);
    output(&mut teach);
}

/// What is wrong with a command that does not end as it should.
fn problem(line: &Line, command: &Simple, before: Option<&Simple>, used: &mut [bool]) -> Option<String> {
    let words: Vec<String> = command.words.iter().flat_map(|word| expanded(word)).collect();
    let (program, arguments) = ours(&words)?;
    teach_again(&arguments);
    let stdin = if arguments.contains(&"-") { stream(&arguments, before) } else { Vec::new() };
    let mut run = sandbox().command(program);
    run.args(&arguments).envs(command.variables.iter().map(|(k, v)| (k, v)));
    let outcome = super::sandbox::run(run, &stdin);
    let stop = STOPS.iter().position(|stop| matches(stop, program, &arguments));
    let (code, says, reason) = stop.map_or((0, "", ""), |at| {
        used[at] = true;
        (STOPS[at].code, STOPS[at].says, STOPS[at].reason)
    });
    // An error of the command line itself is none of those that are expected.
    let usage = outcome.stderr.contains("Usage:") || outcome.stderr.starts_with("error:");
    let expected = outcome.sound() && outcome.code == Some(code) && outcome.stderr.contains(says) && !usage;
    let shown = format!("{}: {}", line.at, words.join(" "));
    (!expected).then(|| format!("{shown}\n  expected code {code} and {says:?} ({reason}): {outcome:?}"))
}

#[test]
fn every_command_line_runs_as_printed() {
    let mut lines: Vec<Line> = documents().iter().flat_map(|path| code(path)).collect();
    for program in PROGRAMS {
        for subcommand in subcommands(program) {
            for example in examples(&text(program, &[&subcommand])) {
                lines.push(Line { at: format!("{program} {subcommand} --help"), text: example });
            }
        }
    }
    let (mut used, mut problems, mut count) = (vec![false; STOPS.len()], Vec::new(), 0);
    for line in &lines {
        let commands = split(&filled(&line.text));
        for (i, command) in commands.iter().enumerate().filter(|(_, command)| ours(&command.words).is_some())
        {
            let before = i.checked_sub(1).map(|b| &commands[b]).filter(|_| command.piped);
            problems.extend(problem(line, command, before, &mut used));
            count += 1;
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    assert!(count > 60, "only {count} command lines were found");
    let unused: Vec<_> =
        STOPS.iter().zip(used).filter(|(_, used)| !used).map(|(stop, _)| stop.words).collect();
    assert!(unused.is_empty(), "no line needs these exceptions any more: {unused:?}");
}

#[test]
fn lines_of_other_programs_are_known() {
    for path in documents() {
        for line in code(&path) {
            for command in split(&line.text) {
                // Output, settings and code begin with other things than a command.
                let looks_like_one = command.words.len() > 1
                    && command.words[0].bytes().all(|b| b.is_ascii_lowercase() || b"-./_".contains(&b))
                    && which(&command.words[0]);
                let known = ours(&command.words).is_some()
                    || OTHERS.iter().any(|(name, _)| *name == command.words[0]);
                assert!(!looks_like_one || known, "{}: who runs `{}`?", line.at, command.words.join(" "));
            }
        }
    }
}

/// Whether there is a program of this name, here or in the repository.
fn which(name: &str) -> bool {
    if name.contains('/') {
        return root().join(name).is_file();
    }
    std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
        .any(|folder| folder.join(name).is_file())
}

#[test]
fn commands_in_running_text_exist() {
    let (mut checked, mut problems) = (0, Vec::new());
    for path in documents() {
        let text = fs::read_to_string(&path).unwrap();
        for (number, line) in text.lines().enumerate().filter(|(_, l)| !l.starts_with("    ")) {
            for span in line.split('`').skip(1).step_by(2) {
                let words: Vec<String> = span.split_whitespace().map(Into::into).collect();
                let Some((program, arguments)) = ours(&words) else { continue };
                let Some(subcommand) = arguments.first().filter(|w| !w.starts_with('-')) else { continue };
                let at = format!("{}:{}: `{span}`", path.display(), number + 1);
                checked += 1;
                if !subcommands(program).iter().any(|s| s == subcommand) {
                    problems.push(format!("{at}: no such subcommand"));
                    continue;
                }
                let help = super::help::text(program, &[subcommand]);
                for option in arguments.iter().filter(|w| w.starts_with("--") && w.len() > 2) {
                    let option = option.split('=').next().unwrap().trim_end_matches([',', '.']);
                    if !help.contains(option) {
                        problems.push(format!("{at}: no such option"));
                    }
                }
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    assert!(checked > 20, "only {checked} were found");
}
