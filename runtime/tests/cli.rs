//! The program as its users meet it: answers, exit codes, and one clear message for each bad input.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use foldnet_archive::testing::{every_step, manifest};
use foldnet_archive::{Activation, Manifest, Network, OutputKind, Proof};
use serde_json::Value;

/// A folder with an archive, images, and things that are neither.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        place.archive("net.nnef.tgz", &every_step(), &manifest());
        fs::create_dir_all(place.path("photos/deep")).unwrap();
        for (name, value) in [("photos/a.png", 10), ("photos/deep/b.bmp", 200), ("photos/c.jpg", 90)] {
            image::RgbImage::from_pixel(20, 30, image::Rgb([value, 0, 255 - value]))
                .save(place.path(name))
                .unwrap();
        }
        fs::create_dir(place.path("mixed")).unwrap();
        fs::copy(place.path("photos/a.png"), place.path("mixed/good.png")).unwrap();
        fs::write(place.path("mixed/broken.jpg"), b"no picture").unwrap();
        fs::create_dir(place.path("empty")).unwrap();
        fs::write(place.path("notes.txt"), "hello").unwrap();
        fs::write(place.path("nothing"), "").unwrap();
        let whole = fs::read(place.path("net.nnef.tgz")).unwrap();
        fs::write(place.path("cut.nnef.tgz"), &whole[..whole.len() / 2]).unwrap();
        let newer = Manifest { format: 7, ..manifest() };
        place.archive("newer.nnef.tgz", &every_step(), &newer);
        fs::write(place.path("odd.bin"), [0; 3000]).unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn archive(&self, name: &str, network: &Network, manifest: &Manifest) {
        foldnet_archive::write(&self.path(name), network, manifest).unwrap();
    }

    fn command(&self, words: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_runtime"));
        command.args(words.split_whitespace()).current_dir(self.0.path()).stdin(Stdio::null());
        // Not the plans of whoever runs the tests.
        command.env("XDG_CACHE_HOME", self.path("cache"));
        command
    }

    fn run(&self, words: &str) -> Output {
        self.command(words).output().unwrap()
    }

    /// Runs what must succeed; its standard output.
    fn stdout(&self, words: &str) -> String {
        let output = self.run(words);
        assert!(output.status.success(), "{words}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn json(&self, words: &str) -> Value {
        serde_json::from_str(&self.stdout(words)).unwrap()
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn bad_input_is_named_with_exit_code_2() {
    let place = Place::new();
    // words; what standard error must say
    let cases: &[(&str, &[&str])] = &[
        ("", &["Usage"]),
        ("classify", &["ARCHIVE"]),
        ("classify net.nnef.tgz", &["IMAGE"]),
        ("classify net.nnef.tgz photos --top 0", &["--top"]),
        ("classify net.nnef.tgz photos --threads many", &["--threads"]),
        ("classify net.nnef.tgz photos --threads 100000", &["--threads", "100000"]),
        ("classify net.nnef.tgz photos --kernels sparc", &["--kernels", "no kernel set", "portable"]),
        ("classify net.nnef.tgz photos --quiet -v", &["--quiet"]),
        ("classify absent.nnef.tgz photos", &["absent.nnef.tgz", "No such file"]),
        ("classify nothing photos", &["nothing", "not a Foldnet archive", "converter quantize"]),
        ("classify notes.txt photos", &["notes.txt", "not a Foldnet archive"]),
        ("classify photos photos", &["photos", "folder"]),
        ("classify photos/a.png photos", &["a.png", "not a Foldnet archive"]),
        ("classify cut.nnef.tgz photos", &["cut.nnef.tgz", "not a Foldnet archive"]),
        ("classify newer.nnef.tgz photos", &["newer.nnef.tgz", "format 7", "this build reads formats"]),
        ("classify net.nnef.tgz absent.png", &["absent.png", "No such file", "0 images"]),
        ("classify net.nnef.tgz empty", &["empty", "no images"]),
        ("classify net.nnef.tgz notes.txt", &["notes.txt", "not an image"]),
        ("classify net.nnef.tgz nothing", &["nothing", "empty"]),
        ("classify net.nnef.tgz odd.bin", &["odd.bin", "3000 bytes"]),
        ("classify net.nnef.tgz -", &["-: the file is empty"]),
        ("classify net.nnef.tgz mixed --strict", &["mixed/broken.jpg", "1 image classified", "1 skipped"]),
        ("bench absent.nnef.tgz", &["absent.nnef.tgz"]),
        ("bench net.nnef.tgz --iterations 0", &["--iterations"]),
        ("inspect cut.nnef.tgz", &["cut.nnef.tgz"]),
        ("inspect net.nnef.tgz extra", &["extra"]),
        ("fly", &["fly"]),
    ];
    for (words, expected) in cases {
        let output = place.run(words);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{words}: {said}");
        assert!(!said.contains("panicked"), "{words}: {said}");
        for word in *expected {
            assert!(said.contains(word), "`runtime {words}` does not say {word:?}:\n{said}");
        }
    }
}

#[test]
fn no_damaged_archive_panics() {
    let place = Place::new();
    let whole = fs::read(place.path("net.nnef.tgz")).unwrap();
    for step in 1..24 {
        let mut bytes = whole.clone();
        let at = whole.len() * step / 24;
        bytes[at] ^= 0x55;
        fs::write(place.path("damaged.nnef.tgz"), &bytes).unwrap();
        let output = place.run("classify damaged.nnef.tgz photos/a.png");
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "byte {at}: {said}");
        assert!(said.contains("damaged.nnef.tgz"), "byte {at}: {said}");
    }
}

#[test]
fn json_lines_have_exactly_the_promised_keys() {
    let place = Place::new();
    let lines = place.stdout("classify net.nnef.tgz photos --json --top 2");
    let lines: Vec<Value> = lines.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let images: Vec<&str> = lines.iter().map(|l| l["image"].as_str().unwrap()).collect();
    assert_eq!(images, ["photos/a.png", "photos/c.jpg", "photos/deep/b.bmp"]);
    for line in &lines {
        assert_eq!(keys(line), ["image", "labels", "ms"]);
        let labels = line["labels"].as_array().unwrap();
        assert_eq!(labels.len(), 2);
        for label in labels {
            assert_eq!(keys(label), ["index", "label", "score"]);
            assert_eq!(label["label"], manifest().labels[label["index"].as_u64().unwrap() as usize]);
        }
        assert!(labels[0]["score"].as_f64() >= labels[1]["score"].as_f64());
    }
}

#[test]
fn all_numbers_of_a_network_without_classes_are_printed() {
    let place = Place::new();
    let network = Network { activation: Activation::None, ..every_step() };
    for kind in [OutputKind::Numbers, OutputKind::Embedding] {
        let manifest = Manifest { labels: Vec::new(), output: Some(kind), ..manifest() };
        place.archive("numbers.nnef.tgz", &network, &manifest);
        let line = place.json("classify numbers.nnef.tgz photos/a.png --json --top 1");
        let labels = line["labels"].as_array().unwrap();
        let names: Vec<&str> = labels.iter().map(|l| l["label"].as_str().unwrap()).collect();
        assert_eq!(names, ["output 0", "output 1", "output 2", "output 3"]);
    }
}

#[test]
fn scores_add_up_to_one_also_for_a_network_that_ends_in_logits() {
    let place = Place::new();
    let network = Network { activation: Activation::None, ..every_step() };
    place.archive("logits.nnef.tgz", &network, &Manifest { labels: Vec::new(), ..manifest() });
    let line = place.json("classify logits.nnef.tgz photos/a.png --json --top 99");
    let labels = line["labels"].as_array().unwrap();
    let sum: f64 = labels.iter().map(|l| l["score"].as_f64().unwrap()).sum();
    assert!((sum - 1.0).abs() < 1e-5, "{sum}");
    assert_eq!(labels.len(), 4);
    let index = labels[0]["index"].as_u64().unwrap();
    assert_eq!(labels[0]["label"], format!("class {index}"));
}

#[test]
fn a_picture_may_come_on_standard_input() {
    let place = Place::new();
    let mut command = place.command("classify net.nnef.tgz - --json --quiet");
    command.stdin(File::open(place.path("photos/a.png")).unwrap());
    let output = command.output().unwrap();
    let line: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(line["image"], "-");
    assert_eq!(stderr(&output), "");
    assert_eq!(line["labels"], place.json("classify net.nnef.tgz photos/a.png --json")["labels"]);
}

#[test]
fn a_broken_picture_among_good_ones_is_skipped() {
    let place = Place::new();
    let output = place.run("classify net.nnef.tgz mixed absent.png photos/a.png");
    assert!(output.status.success());
    assert_eq!(String::from_utf8_lossy(&output.stdout).lines().count(), 2);
    let said = stderr(&output);
    assert!(said.contains("mixed/broken.jpg: not an image") && said.contains("2 skipped"), "{said}");
}

#[test]
fn every_backend_kernel_set_and_number_of_threads_says_the_same() {
    let place = Place::new();
    let labels = |options: &str| {
        place.json(&format!("classify net.nnef.tgz photos/a.png --json --top 4 {options}"))["labels"].clone()
    };
    let expected = labels("");
    for options in ["--threads 1", "--threads 5", "--kernels portable"] {
        assert_eq!(labels(options), expected, "{options}");
    }
    for set in place.json("kernels --json")["sets"].as_array().unwrap() {
        let options = format!("--kernels {}", set["name"].as_str().unwrap());
        if set["runs"] == true {
            assert_eq!(labels(&options), expected, "{options}");
        } else {
            let output = place.run(&format!("classify net.nnef.tgz photos/a.png {options}"));
            assert_eq!(output.status.code(), Some(2));
            let expected = format!("{} needs", set["name"].as_str().unwrap());
            let said = stderr(&output);
            assert!(said.contains(&expected) && said.contains("this CPU lacks some of it"), "{said}");
        }
    }
}

#[test]
fn bench_prints_the_promised_keys() {
    let place = Place::new();
    let figures = place.json("bench net.nnef.tgz --threads 2 --iterations 7 --warmup 0 --json");
    for key in [
        "median_ms",
        "p90_ms",
        "p99_ms",
        "min_ms",
        "arena_bytes",
        "weight_bytes",
        "first_result_ms",
        "fit_ms",
    ] {
        assert!(figures[key].as_f64().unwrap() > 0.0, "{key}");
    }
    assert_eq!(figures["float_median_ms"], Value::Null);
    assert_eq!((&figures["iterations"], &figures["threads"]), (&Value::from(7), &Value::from(2)));
    let layers = figures["layers"].as_array().unwrap();
    assert_eq!(layers.len(), every_step().steps.len());
    let shares: f64 = layers.iter().map(|l| l["share"].as_f64().unwrap()).sum();
    assert!((shares - 1.0).abs() < 1e-9);
}

#[test]
fn bench_prints_what_is_expected_and_writes_what_was_measured() {
    let place = Place::new();
    let network = foldnet_archive::testing::resnet8();
    place.archive("small.nnef.tgz", &network, &foldnet_archive::testing::manifest_stretched(&network));
    let few = "--iterations 3 --warmup 0";
    let table = place.stdout(&format!("bench small.nnef.tgz {few} --board raspberry-pi-4"));
    assert!(table.contains("expected of one thread on Raspberry Pi 4 Model B: "), "{table}");
    let words = format!("bench small.nnef.tgz {few} --board raspberry-pi-4 --submit-file times.json --json");
    let figures = place.json(&words);
    let expected = figures["expectation"]["expected"]["ms"].as_f64().unwrap();
    assert!(expected > 0.0 && figures["expectation"]["board"] == "raspberry-pi-4");
    let text = std::fs::read_to_string(place.path("times.json")).unwrap();
    let told: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(told["bench"], figures);
    assert_eq!(told["machine"]["arch"], std::env::consts::ARCH);
    assert_eq!(told["archive_sha256"].as_str().map(str::len), Some(64));
    assert!(!text.contains("small.nnef.tgz") && text.len() < 20_000, "{text}");

    // Nothing is measured before a mistake is found, and no input is overwritten.
    for (words, why) in [
        ("bench small.nnef.tgz --board toaster", "unknown board `toaster`"),
        ("bench small.nnef.tgz --submit-file small.nnef.tgz", "would overwrite an input"),
        ("bench small.nnef.tgz --submit-file absent/times.json", "absent"),
        ("bench small.nnef.tgz --submit-file times.json --serve-stdin", "cannot be used with"),
    ] {
        let output = place.run(words);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(2) && said.contains(why), "{words}: {said}");
    }
}

#[test]
fn bench_times_streams() {
    let place = Place::new();
    let figures = place.json("bench net.nnef.tgz --streams 3 --iterations 20 --json");
    let throughput = &figures["throughput"];
    assert_eq!((&throughput["streams"], &throughput["images"]), (&Value::from(3), &Value::from(20)));
    assert!(throughput["images_s"].as_f64().unwrap() > 0.0);
    assert!(
        place.stdout("bench net.nnef.tgz --streams 2 --iterations 5").contains("2 streams of one thread: ")
    );
    let many = place.run("bench net.nnef.tgz --streams 257 --iterations 5");
    assert_eq!(many.status.code(), Some(2));
    assert!(stderr(&many).contains("--streams: 257 threads"), "{}", stderr(&many));
}

#[test]
fn bench_answers_requests() {
    let place = Place::new();
    let serve = |input: &str| {
        let mut child = place
            .command("bench net.nnef.tgz --serve-stdin --json")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    };
    let output = serve("run 3\n\nrun 1\n");
    assert!(output.status.success());
    let counts: Vec<usize> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(|l| serde_json::from_str::<Value>(l).unwrap()["ms"].as_array().unwrap().len())
        .collect();
    assert_eq!(counts, [3, 1]);
    for bad in ["walk 3\n", "run\n", "run 0\n", "run -1\n", "run 99999999999999999999\n"] {
        let output = serve(bad);
        assert_eq!(output.status.code(), Some(2), "{bad}");
        assert!(stderr(&output).contains("is not `run K`"), "{}", stderr(&output));
    }
}

#[test]
fn inspect_and_kernels_show_what_is_chosen() {
    let place = Place::new();
    let shown = place.stdout("inspect net.nnef.tgz");
    for word in ["in/conv:0", "conv 3×3 +skip +affine", "max 3×3 /2", "arena", "x.onnx", "9×8×3"] {
        assert!(shown.contains(word), "no {word:?} in\n{shown}");
    }
    let plan = place.json("inspect net.nnef.tgz --json");
    assert_eq!(plan["steps"].as_array().unwrap().len(), every_step().steps.len());
    let kernels = place.json("kernels --json");
    let picked: Vec<_> = kernels["sets"].as_array().unwrap().iter().filter(|s| s["picked"] == true).collect();
    assert_eq!(picked.len(), 1);
    assert_eq!(plan["kernels"], picked[0]["name"]);
    assert!(place.stdout("kernels").contains("chosen"));
}

#[cfg(target_os = "linux")]
#[test]
fn verify_compares_with_the_converter() {
    let place = Place::new();
    let network = every_step();
    let set = foldnet_kernels::dispatch::best();
    let proof = foldnet::proof::prove(&mut foldnet::Session::new(&network, set, 1).unwrap(), 3);
    let with = |proof: Proof| Manifest { proof: Some(proof), ..manifest() };
    place.archive("proved.nnef.tgz", &network, &with(proof.clone()));
    let text = place.stdout("verify proved.nnef.tgz");
    assert!(text.contains(set.name()) && text.contains("the same bits on 3 images"), "{text}");
    let all = place.stdout("verify proved.nnef.tgz --all-kernels --json");
    let lines: Vec<Value> = all.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(
        lines.iter().any(|line| line["kernels"] == "portable")
            && lines.iter().all(|line| line["same"] == true)
    );

    let other = Proof { logits: proof.logits.chars().rev().collect(), ..proof.clone() };
    place.archive("other.nnef.tgz", &network, &with(other));
    let differs = place.run("verify other.nnef.tgz --kernels portable");
    assert_eq!(differs.status.code(), Some(3));
    assert!(stderr(&differs).contains("portable computes other bits"), "{}", stderr(&differs));
    assert!(String::from_utf8_lossy(&differs.stdout).contains("OTHER BITS"));
    let missing = place.run("verify net.nnef.tgz");
    assert_eq!(missing.status.code(), Some(2));
    assert!(stderr(&missing).contains("convert the model again"), "{}", stderr(&missing));
    assert!(place.stdout("verify net.nnef.tgz --allow-missing").contains("no checksum to compare with"));
    place.archive("many.nnef.tgz", &network, &with(Proof { images: 65, ..proof }));
    assert!(stderr(&place.run("verify many.nnef.tgz --allow-missing")).contains("asks for 65 images"));
}

#[test]
fn a_full_disk_is_an_error_and_a_closed_pipe_is_none() {
    let place = Place::new();
    let mut command = place.command("classify net.nnef.tgz photos");
    let output = command.stdout(File::options().write(true).open(Path::new("/dev/full")).unwrap()).output();
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("standard output: No space left"), "{}", stderr(&output));
    let mut child = place.command("classify net.nnef.tgz photos").stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn output_that_cannot_be_written_is_a_failure() {
    let place = Place::new();
    let commands = [
        "--help",
        "--version",
        "classify net.nnef.tgz photos",
        "classify net.nnef.tgz photos --json --quiet",
        "camera net.nnef.tgz --input photos --once",
        "camera net.nnef.tgz --input photos --once --json",
        "inspect net.nnef.tgz",
        "inspect net.nnef.tgz --json",
        "bench net.nnef.tgz --iterations 1",
        "bench net.nnef.tgz --iterations 1 --json",
        "kernels",
        "kernels --json",
    ];
    for words in commands {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let output = place.command(words).stdout(full).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{words}: {}", stderr(&output));
        if !words.starts_with("--") {
            let said = stderr(&output);
            assert!(said.contains("standard output: ") && !said.contains("skipped"), "{words}: {said}");
        }
    }
}

#[test]
fn labels_and_file_names_cannot_control_the_terminal() {
    let place = Place::new();
    let evil = "cat\u{1b}[2J\nruntime: all is well\u{202e}";
    let labels = (0..4).map(|i| format!("{i} {evil}")).collect();
    place.archive("evil.nnef.tgz", &every_step(), &Manifest { labels, ..manifest() });
    fs::create_dir(place.path("evil")).unwrap();
    fs::copy(place.path("photos/a.png"), place.path(&format!("evil/{evil}.png"))).unwrap();
    fs::write(place.path(&format!("evil/{evil}.jpg")), "no image").unwrap();
    for words in [
        "classify evil.nnef.tgz evil --top 4",
        "camera evil.nnef.tgz --input evil --once",
        "inspect evil.nnef.tgz",
    ] {
        let output = place.run(words);
        assert!(output.status.success(), "{words}: {}", stderr(&output));
        for text in [String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap()] {
            assert!(!text.contains(['\u{1b}', '\u{202e}']), "{words}: {text:?}");
            assert!(!text.lines().any(|line| line.starts_with("runtime: all")), "{words}: {text}");
        }
    }
    let output = place.stdout("classify evil.nnef.tgz evil --top 1 --json");
    let line: Value = serde_json::from_str(&output).unwrap();
    assert!(line["labels"][0]["label"].as_str().unwrap().ends_with(evil), "JSON keeps the label as it is");
    assert!(!output.contains('\u{202e}'));
}

#[test]
fn completions_and_manuals_are_written() {
    let place = Place::new();
    place.stdout("complete shell");
    for file in ["runtime.bash", "_runtime", "runtime.fish", "runtime.1", "runtime-classify.1"] {
        assert!(place.path("shell").join(file).is_file(), "{file}");
    }
}
