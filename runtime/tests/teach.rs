//! Teaching, recognizing and explaining, as users meet them.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use foldnet_archive::testing::{every_step_without_a_dense_layer, manifest_of, manifest_stretched, resnet8};
use serde_json::Value;

/// A folder with an archive and images of some kinds.
struct Place(tempfile::TempDir);

/// Kinds of images: bars across, bars down, and checks.
const KINDS: [&str; 3] = ["across", "down", "checks"];

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        let network = resnet8();
        foldnet_archive::write(&place.path("net.nnef.tgz"), &network, &manifest_stretched(&network)).unwrap();
        for (kind, name) in KINDS.iter().enumerate() {
            fs::create_dir(place.path(name)).unwrap();
            (0..12).for_each(|n| place.image(&format!("{name}/{n:02}.png"), kind, n));
        }
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn image(&self, name: &str, kind: usize, n: usize) {
        let pixel = |x: u32, y: u32| {
            let bar = [y / 4 % 2, x / 4 % 2, (x / 8 + y / 8) % 2][kind];
            let noise = (x * 31 + y * 17 + n as u32 * 101).wrapping_mul(2_654_435_761) >> 27;
            let level = 40 + 150 * bar + noise;
            image::Rgb([level as u8, (level + n as u32 % 12) as u8, 90])
        };
        image::RgbImage::from_fn(32, 32, pixel).save(self.path(name)).unwrap();
    }

    fn run(&self, words: &str) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_runtime"));
        command.args(words.split_whitespace()).current_dir(self.0.path()).stdin(Stdio::null());
        command.env("XDG_CACHE_HOME", self.path("cache")).output().unwrap()
    }

    /// Runs what must succeed; its standard output.
    fn stdout(&self, words: &str) -> String {
        let output = self.run(words);
        assert!(output.status.success(), "{words}: {}", stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    fn json(&self, words: &str) -> Vec<Value> {
        let text = self.stdout(&format!("{words} --json"));
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Runs what must fail, and must say these words.
    fn refuses(&self, words: &str, says: &[&str]) {
        let output = self.run(words);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{words}: {said}");
        assert!(!said.contains("panicked"), "{words}: {said}");
        for word in says {
            assert!(said.contains(word), "`runtime {words}` does not say {word:?}:\n{said}");
        }
    }

    fn teach_two(&self) -> Value {
        let line = "teach net.nnef.tgz --class across across --class down down --false-alarms 10% -o a.teach";
        self.json(line).remove(0)
    }

    fn names(&self) -> Vec<String> {
        let shown = self.json("teach net.nnef.tgz --from a.teach").remove(0);
        let classes = shown["classes"].as_array().unwrap();
        classes.iter().map(|class| class["class"].as_str().unwrap().to_owned()).collect()
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn best(line: &Value) -> &str {
    line["labels"][0]["label"].as_str().unwrap()
}

#[test]
fn what_is_taught_is_recognized_and_the_rest_is_unknown() {
    let place = Place::new();
    let told = place.teach_two();
    assert_eq!(told["classes"][0]["class"], "across");
    assert_eq!((&told["classes"][0]["images"], &told["classes"][1]["recognized"]), (&12.into(), &12.into()));
    assert_eq!((&told["unknown"]["label"], &told["unknown"]["images"]), (&"unknown".into(), &24.into()));
    assert_eq!((&told["unknown"]["expected"], &told["written"]), (&0.08.into(), &"a.teach".into()));
    assert!(told["unknown"]["low"].as_f64() < told["unknown"]["high"].as_f64());
    fs::create_dir(place.path("new")).unwrap();
    for (kind, name) in KINDS.iter().enumerate() {
        (20..25).for_each(|n| place.image(&format!("new/{name}{n}.png"), kind, n));
    }
    let lines = place.json("classify net.nnef.tgz new --teach a.teach");
    let mut known = 0;
    for line in &lines {
        let image = line["image"].as_str().unwrap();
        match best(line) {
            "unknown" => known += usize::from(image.contains("checks")),
            label => {
                assert!(image.contains(label), "{line}");
                known += 1;
            }
        }
        let labels = line["labels"].as_array().unwrap();
        let sum: f64 = labels.iter().map(|l| l["score"].as_f64().unwrap()).sum();
        assert!(labels.len() == 3 && (sum - 1.0).abs() < 1e-5, "{line}");
    }
    assert!(lines.len() == 15 && known >= 13, "{lines:?}");
    // For people, and through the camera.
    let text = place.stdout("classify net.nnef.tgz checks/00.png --teach a.teach --top 1");
    assert!(text.contains("unknown") && text.contains('%'), "{text}");
    let frames = place.json("camera net.nnef.tgz --teach a.teach --input new --once --all");
    let labels: Vec<&str> = frames.iter().map(best).collect();
    assert_eq!(labels, lines.iter().map(best).collect::<Vec<_>>());
    // Without `unknown` every image gets a class.
    place.stdout("teach net.nnef.tgz --from a.teach --false-alarms 0 -o never.teach");
    let never = place.json("classify net.nnef.tgz new --teach never.teach");
    assert!(never.iter().all(|line| best(line) != "unknown"), "{never:?}");
    assert!(place.stdout("teach net.nnef.tgz --from never.teach").contains("never unknown"));
}

#[test]
fn classes_are_shown_renamed_removed_and_added() {
    let place = Place::new();
    place.teach_two();
    let before = fs::read(place.path("a.teach")).unwrap();
    let text = place.stdout("teach net.nnef.tgz --from a.teach");
    assert!(
        text.contains("across") && text.contains("12 of 12") && text.contains("called unknown"),
        "{text}"
    );
    assert_eq!(fs::read(place.path("a.teach")).unwrap(), before, "only shown");
    place.stdout("teach net.nnef.tgz --from a.teach --class checks checks --rename down upright");
    assert_eq!(place.names(), ["across", "upright", "checks"]);
    place.stdout("teach net.nnef.tgz --from a.teach --remove checks --rename upright down");
    assert_eq!(fs::read(place.path("a.teach")).unwrap(), before, "as it was");
    place.stdout("teach net.nnef.tgz --from a.teach --remove down -o b.teach");
    assert_eq!(fs::read(place.path("a.teach")).unwrap(), before, "another file was written");
    assert_eq!(place.json("teach net.nnef.tgz --from b.teach")[0]["classes"].as_array().unwrap().len(), 1);
    for (words, says) in [
        ("--remove nobody", "no class \"nobody\""),
        ("--rename nobody x", "no class \"nobody\""),
        ("--rename across down", "already is a class \"down\""),
        ("--rename across unknown", "cannot be the name"),
        ("--remove across --remove down", "nothing is taught"),
    ] {
        place.refuses(&format!("teach net.nnef.tgz --from a.teach {words}"), &[says]);
        assert_eq!(fs::read(place.path("a.teach")).unwrap(), before, "{words}");
    }
}

#[test]
fn the_networks_own_classes_are_mixed_in() {
    let place = Place::new();
    place.teach_two();
    let before = fs::read(place.path("a.teach")).unwrap();
    let told = place.json("teach net.nnef.tgz --from a.teach --mix checks -o mixed.teach").remove(0);
    assert_eq!((&told["mixed"], &told["own_images"]), (&true.into(), &12.into()));
    let lines = place.json("classify net.nnef.tgz across checks --teach mixed.teach --top 20");
    // Two that are taught, ten of the network, and unknown.
    assert!(lines.iter().all(|line| line["labels"].as_array().unwrap().len() == 13), "{}", lines[0]);
    let own = lines[12..].iter().filter(|line| best(line).starts_with("class ")).count();
    assert!(own >= 6, "{own} of 12 images of the network's own classes");
    let same =
        place.json("classify net.nnef.tgz across checks --teach mixed.teach --top 20 --kernels portable");
    for (a, b) in lines.iter().zip(&same) {
        assert_eq!(a["labels"], b["labels"], "the same bits");
    }
    let text = place.stdout("teach net.nnef.tgz --from mixed.teach");
    assert!(
        text.contains("own classes: answered, too; 12 images") && text.contains("at most about"),
        "{text}"
    );
    // The switch keeps the images.
    place.stdout("teach net.nnef.tgz --from mixed.teach --replace");
    let lines = place.json("classify net.nnef.tgz checks --teach mixed.teach --top 20");
    assert_eq!(lines[0]["labels"].as_array().unwrap().len(), 3);
    assert_eq!(place.json("teach net.nnef.tgz --from mixed.teach --mix").remove(0)["mixed"], true);
    for (words, says) in [
        ("--mix", "images of them are needed"),
        ("--mix across", "both \"across\" and \"the network's own classes\""),
        ("--mix checks --replace", "--replace"),
        ("--mix absent", "absent"),
    ] {
        place.refuses(&format!("teach net.nnef.tgz --from a.teach {words}"), &[says]);
        assert_eq!(fs::read(place.path("a.teach")).unwrap(), before, "{words}");
    }
}

#[test]
fn what_is_not_normal_is_an_anomaly() {
    let place = Place::new();
    let told = place.json("teach net.nnef.tgz --normal across -o n.teach --false-alarms 10%").remove(0);
    assert_eq!(
        (&told["classes"][0]["class"], &told["unknown"]["label"]),
        (&"normal".into(), &"anomaly".into())
    );
    let lines = place.json("classify net.nnef.tgz across down checks --teach n.teach");
    let of = |kind: &str, label: &str| {
        let ours = lines.iter().filter(|line| line["image"].as_str().unwrap().starts_with(kind));
        ours.filter(|line| best(line) == label).count()
    };
    assert!(of("across", "normal") >= 10 && of("down", "anomaly") == 12 && of("checks", "anomaly") == 12);
}

#[test]
fn a_rule_may_speak_of_unknown() {
    let place = Place::new();
    place.teach_two();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let hook = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let (mut text, mut piece) = (Vec::new(), [0; 4096]);
        // The body is one JSON object.
        while !text.ends_with(b"}") {
            match stream.read(&mut piece).unwrap() {
                0 => break,
                n => text.extend(&piece[..n]),
            }
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
        String::from_utf8(text).unwrap()
    });
    let mut command = Command::new(env!("CARGO_BIN_EXE_runtime"));
    let words = "camera net.nnef.tgz --teach a.teach --input checks --once --all -q --when";
    command
        .args(words.split(' '))
        .arg("unknown for 10 frames")
        .args(["--webhook", &format!("http://{address}/")]);
    command.env("XDG_CACHE_HOME", place.path("cache"));
    let output = command.current_dir(place.0.path()).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    // So that the other thread ends also if nobody called.
    let _ = TcpStream::connect(address);
    let said = hook.join().unwrap();
    let body: Value = serde_json::from_str(said.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    assert_eq!((&body["rule"], &body["label"]), (&"unknown for 10 frames".into(), &"unknown".into()));
}

#[test]
fn bad_input_is_named_and_nothing_is_written() {
    let place = Place::new();
    let network = every_step_without_a_dense_layer();
    foldnet_archive::write(&place.path("flat.nnef.tgz"), &network, &manifest_of(&network)).unwrap();
    let mut network = resnet8();
    network.tensors[1].scale = 0.06;
    foldnet_archive::write(&place.path("other.nnef.tgz"), &network, &manifest_stretched(&network)).unwrap();
    place.teach_two();
    let whole = fs::read(place.path("a.teach")).unwrap();
    fs::write(place.path("cut.teach"), &whole[..whole.len() / 2]).unwrap();
    let mut newer = whole.clone();
    newer[8] = 9;
    fs::write(place.path("newer.teach"), &newer).unwrap();
    fs::create_dir(place.path("empty")).unwrap();
    fs::create_dir(place.path("broken")).unwrap();
    fs::write(place.path("broken/a.jpg"), b"no image").unwrap();
    fs::create_dir(place.path("same")).unwrap();
    for n in 0..4 {
        fs::copy(place.path("across/00.png"), place.path(&format!("same/{n}.png"))).unwrap();
    }
    fs::create_dir(place.path("mixed")).unwrap();
    fs::copy(place.path("across/03.png"), place.path("mixed/x.png")).unwrap();
    fs::copy(place.path("down/03.png"), place.path("mixed/y.png")).unwrap();
    let across = "teach net.nnef.tgz -o x.teach --class across across";
    let cases: &[(&str, &[&str])] = &[
        ("teach net.nnef.tgz", &["--out"]),
        ("teach net.nnef.tgz -o x.teach", &["nothing is taught"]),
        ("teach net.nnef.tgz -o x.teach --class across", &["--class"]),
        ("teach net.nnef.tgz -o x.teach --class across empty", &["empty", "no images"]),
        ("teach net.nnef.tgz -o x.teach --class across absent", &["absent", "No such file"]),
        (
            "teach net.nnef.tgz -o x.teach --class across broken",
            &["broken/a.jpg", "no image of class \"across\""],
        ),
        (
            "teach net.nnef.tgz -o x.teach --class one across/00.png",
            &["\"one\"", "one example", "at least 2"],
        ),
        ("teach net.nnef.tgz -o x.teach --class same same", &["3 images of the same content", "one example"]),
        ("teach net.nnef.tgz -o x.teach --class unknown across", &["\"unknown\"", "cannot be the name"]),
        ("teach net.nnef.tgz -o x.teach --normal across --class down down", &["--normal", "--class"]),
        ("teach flat.nnef.tgz -o x.teach --class across across", &["flat.nnef.tgz", "dense layer"]),
        ("teach absent.nnef.tgz -o x.teach --class across across", &["absent.nnef.tgz"]),
        ("teach net.nnef.tgz --from absent.teach", &["absent.teach", "No such file"]),
        ("teach net.nnef.tgz --from net.nnef.tgz", &["not a teaching file"]),
        ("teach net.nnef.tgz --from cut.teach", &["cut.teach", "damaged", "checksum"]),
        ("teach net.nnef.tgz --from newer.teach", &["newer.teach", "format 9", "reads formats 1 to 2"]),
        ("teach other.nnef.tgz --from a.teach", &["a.teach", "another archive"]),
        ("classify other.nnef.tgz across --teach a.teach", &["a.teach", "another archive", "teach again"]),
        ("classify net.nnef.tgz across --teach cut.teach", &["cut.teach", "damaged"]),
        ("camera net.nnef.tgz --input across --once --teach cut.teach", &["cut.teach", "damaged"]),
        ("classify net.nnef.tgz across --teach a.teach --backend rknn", &["--teach", "--backend cpu"]),
    ];
    for (words, says) in cases {
        place.refuses(words, says);
    }
    place.refuses(
        &format!("{across} --class down mixed"),
        &["mixed/x.png", "across/03.png", "\"across\"", "\"down\""],
    );
    place.refuses("teach net.nnef.tgz --from a.teach --class checks mixed", &["mixed/x.png", "\"across\""]);
    place.refuses(&format!("{across} --class down broken/a.jpg"), &["no image of class \"down\""]);
    place.refuses(&format!("{across} --class down mixed/y.png --false-alarms 60%"), &["0% to 50%"]);
    fs::copy(place.path("down/05.png"), place.path("broken/b.png")).unwrap();
    fs::copy(place.path("down/06.png"), place.path("broken/c.png")).unwrap();
    place.refuses(&format!("{across} --class down broken --strict"), &["broken/a.jpg"]);
    assert!(!place.path("x.teach").exists());
    place.stdout(&format!("{across} --class down broken"));
    if cfg!(target_os = "linux") {
        let full = "teach net.nnef.tgz --from a.teach --class checks checks -o /dev/full";
        place.refuses(full, &["/dev/full", "No space left"]);
    }
    assert_eq!(fs::read(place.path("a.teach")).unwrap(), whole);
}

#[test]
fn few_images_are_enough_and_what_they_cannot_know_is_told() {
    let place = Place::new();
    let images = "--class across across/00.png --class across across/01.png --class down down/00.png";
    let words = format!("teach net.nnef.tgz {images} --class down down/01.png -o x.teach");
    let output = place.run(&words);
    assert!(output.status.success(), "{}", stderr(&output));
    let said = stderr(&output);
    assert!(said.contains("4 images cannot keep a false-alarm rate of 5 %; 19 can"), "{said}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("about 20.0 %"), "{text}");
    // One image is enough where nothing is unknown.
    place.stdout(
        "teach net.nnef.tgz --class a across/00.png --class b down/00.png --false-alarms 0 -o y.teach",
    );
    assert_eq!(best(&place.json("classify net.nnef.tgz down/00.png --teach y.teach")[0]), "b");
}

#[test]
fn a_heat_map_is_drawn_or_it_is_told_why_not() {
    let place = Place::new();
    let plain = place.stdout("classify net.nnef.tgz checks/00.png --json");
    let explained = place.run("classify net.nnef.tgz checks/00.png --json --explain heat.png");
    assert!(explained.status.success(), "{}", stderr(&explained));
    let labels = |text: &[u8]| serde_json::from_slice::<Value>(text).unwrap()["labels"].clone();
    let label = labels(plain.as_bytes())[0]["label"].as_str().unwrap().to_owned();
    assert_eq!(labels(&explained.stdout), labels(plain.as_bytes()));
    assert!(
        stderr(&explained).contains(&format!("heat.png: what speaks for {label}")),
        "{}",
        stderr(&explained)
    );
    let drawn = image::open(place.path("heat.png")).unwrap().to_rgb8();
    assert_eq!(drawn.dimensions(), (256, 256));
    let shown = image::open(place.path("checks/00.png")).unwrap().to_rgb8();
    let differs = drawn.enumerate_pixels().any(|(x, y, pixel)| pixel != shown.get_pixel(x / 8, y / 8));
    assert!(differs, "nothing is drawn");

    let network = every_step_without_a_dense_layer();
    foldnet_archive::write(&place.path("flat.nnef.tgz"), &network, &manifest_of(&network)).unwrap();
    place.refuses("classify flat.nnef.tgz checks/00.png --explain x.png", &["flat.nnef.tgz", "no heat map"]);
    place.refuses("classify net.nnef.tgz checks --explain x.png", &["one image, not 12"]);
    place.refuses("classify net.nnef.tgz checks/00.png checks/01.png --explain x.png", &["one image, not 2"]);
    place.refuses("classify net.nnef.tgz notes.txt --explain x.png", &["notes.txt"]);
    place.refuses("classify net.nnef.tgz checks/00.png --explain absent/x.png", &["absent/x.png"]);
    place.refuses(
        "classify net.nnef.tgz checks/00.png --explain x.png --teach a.teach",
        &["--explain", "--teach"],
    );
    assert!(!place.path("x.png").exists());
}

#[test]
fn inputs_are_not_overwritten() {
    let place = Place::new();
    fs::hard_link(place.path("net.nnef.tgz"), place.path("hard.png")).unwrap();
    let names = ["net.nnef.tgz", "across/00.png", "across/01.png", "hard.png"];
    let contents = || names.map(|name| fs::read(place.path(name)).unwrap());
    let before = contents();
    let explain = "classify net.nnef.tgz across/00.png --explain";
    for name in ["across/00.png", "net.nnef.tgz", "hard.png", "down/../across/00.png"] {
        place.refuses(&format!("{explain} {name}"), &["overwrite"]);
    }
    let teach = "teach net.nnef.tgz --class across across --class down down -o";
    for name in ["net.nnef.tgz", "hard.png", "across/01.png", "down/01.png"] {
        place.refuses(&format!("{teach} {name}"), &["overwrite"]);
    }
    place.refuses("teach net.nnef.tgz --normal across -o across/01.png", &["overwrite"]);
    assert!(before == contents());

    place.refuses(&format!("{explain} heat.jpg"), &["heat.jpg", "PNG", ".png"]);
    place.refuses(&format!("{explain} nodir/x.png"), &["nodir/x.png", "the folder nodir does not exist"]);
    assert!(!place.path("heat.jpg").exists());
    #[cfg(unix)]
    for name in ["pipe", "pipe.png"] {
        let path = std::ffi::CString::new(place.path(name).to_str().unwrap()).unwrap();
        // SAFETY: the path is a C string that outlives the call.
        assert_eq!(unsafe { libc::mkfifo(path.as_ptr(), 0o600) }, 0);
        place.refuses(&format!("{explain} {name}"), &[name, "nobody reads"]);
    }
}
