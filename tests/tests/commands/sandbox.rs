//! A folder in which command lines from the documentation run: with our programs, files of the names that the
//! documentation uses, and nothing else on the path.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use foldnet_tests::{output, program, root};

/// Our programs.
pub const PROGRAMS: [&str; 3] = ["boards", "converter", "runtime"];

/// A command that takes longer than this hangs.
const PATIENCE: Duration = Duration::from_secs(120);

/// How a command ended.
#[derive(Debug)]
pub struct Outcome {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Outcome {
    /// Whether the command ended by itself, without a panic.
    pub fn sound(&self) -> bool {
        self.code.is_some()
            && !["panicked", "RUST_BACKTRACE", "internal error"].iter().any(|w| self.stderr.contains(w))
    }
}

/// The folder; made once for all tests of this program.
pub struct Sandbox {
    folder: tempfile::TempDir,
}

/// The sandbox of this process.
pub fn sandbox() -> &'static Sandbox {
    static ONE: OnceLock<Sandbox> = OnceLock::new();
    ONE.get_or_init(Sandbox::new)
}

impl Sandbox {
    fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("foldnet-commands-").tempdir().unwrap();
        let sandbox = Self { folder };
        let at = |name: &str| sandbox.path(name);
        for folder in ["bin", "home", "tests/pictures", "target/release", "run", "firmware"] {
            fs::create_dir_all(at(folder)).unwrap();
        }
        for name in PROGRAMS {
            // Outside of the checkout, so that `boards` neither builds nor finds what was built.
            fs::copy(program(name).get_program(), at("bin").join(name)).unwrap();
            std::os::unix::fs::symlink(at("bin").join(name), at("target/release").join(name)).unwrap();
        }
        // A network that reaches nobody.
        fs::write(at("bin/ssh"), "#!/bin/sh\necho 'ssh: no network in this sandbox' >&2\nexit 255\n")
            .unwrap();
        fs::set_permissions(at("bin/ssh"), fs::Permissions::from_mode(0o755)).unwrap();
        sandbox.images();
        let model = root().join("converter/assets/resnet20-v1-cifar10.onnx");
        for name in ["model.onnx", "run/model.onnx"] {
            fs::copy(&model, at(name)).unwrap();
        }
        output(sandbox.command("converter").args(["quantize", "-o", "model.nnef.tgz"]));
        fs::copy(at("model.nnef.tgz"), at("cifar.nnef.tgz")).unwrap();
        let mine = ["quantize", "model.onnx", "--images", "photos", "--effort", "low", "-o", "mine.nnef.tgz"];
        output(sandbox.command("converter").args(mine));
        let tflite = ["export", "--tflite", "model.nnef.tgz", "--images", "photos", "-o", "model.tflite"];
        output(sandbox.command("converter").args(tflite));
        output(sandbox.command("boards").args(["keygen", "fleet", "--no-password"]));
        fs::write(
            at("fleet.toml"),
            "board = \"rock-5b\"\n[[device]]\nname = \"door\"\nhost = \"door.invalid\"\n\
             [[device]]\nname = \"garden\"\nhost = \"garden.invalid\"\n",
        )
        .unwrap();
        fs::copy(root().join("boards/catalogue/boards/rock-5b.toml"), at("my-board.toml")).unwrap();
        sandbox
    }

    /// The repository's images by class, as `photos`, `test` and `tests/pictures`.
    fn images(&self) {
        let mut classes: Vec<String> = Vec::new();
        let mut entries: Vec<PathBuf> =
            fs::read_dir(root().join("tests/pictures")).unwrap().map(|e| e.unwrap().path()).collect();
        entries.sort();
        for path in entries.iter().filter(|p| p.extension().is_some_and(|e| e == "png")) {
            let name = path.file_name().unwrap().to_str().unwrap();
            let class = name.rsplit_once('_').unwrap().0;
            if classes.last().is_none_or(|last| last != class) {
                classes.push(class.into());
            }
            for folder in ["tests/pictures".into(), format!("photos/{class}"), format!("test/{class}")] {
                fs::create_dir_all(self.path(&folder)).unwrap();
                fs::copy(path, self.path(&folder).join(name)).unwrap();
            }
            for picture in ["picture.jpg", "photo.jpg", "cat.jpg"] {
                fs::copy(path, self.path(picture)).unwrap();
            }
        }
        for labels in ["labels.txt", "cifar.labels.txt", "model.labels.txt"] {
            fs::write(self.path(labels), classes.join("\n")).unwrap();
        }
    }

    /// A file in the sandbox.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// One of our programs, in the sandbox.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.path("bin").join(program));
        command.current_dir(self.folder.path()).env_clear();
        command.env("PATH", self.path("bin")).env("HOME", self.path("home")).env("COLUMNS", "100");
        command
    }

    /// Runs a program of ours to its end.
    pub fn run(&self, program: &str, arguments: &[&str], stdin: &[u8]) -> Outcome {
        let mut command = self.command(program);
        command.args(arguments);
        run(command, stdin)
    }
}

/// Runs a command to its end, which must come.
pub fn run(mut command: Command, stdin: &[u8]) -> Outcome {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut to = child.stdin.take().unwrap();
    let bytes = stdin.to_vec();
    // A program that does not read it all is none the worse.
    std::thread::spawn(move || to.write_all(&bytes));
    let read = |mut from: Box<dyn std::io::Read + Send>| {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let _ = from.read_to_end(&mut bytes);
            String::from_utf8_lossy(&bytes).into_owned()
        })
    };
    let stdout = read(Box::new(child.stdout.take().unwrap()));
    let stderr = read(Box::new(child.stderr.take().unwrap()));
    let begin = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if begin.elapsed() > PATIENCE {
            let _ = child.kill();
            let _ = child.wait();
            return Outcome { code: None, stdout: String::new(), stderr: format!("HANGS: {command:?}") };
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    Outcome { code: status.code(), stdout: stdout.join().unwrap(), stderr: stderr.join().unwrap() }
}

/// Markdown files of the documentation.
pub fn documents() -> Vec<PathBuf> {
    fn walk(folder: &Path, to: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, to);
            } else if path.extension().is_some_and(|e| e == "md") {
                to.push(path);
            }
        }
    }
    let mut all = Vec::new();
    for file in [
        "README.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "CHANGELOG.md",
        "ARCHITECTURE.md",
        "boards/README.md",
        "firmware/README.md",
        "converter/train/README.md",
    ] {
        all.push(root().join(file));
    }
    walk(&root().join("docs/src"), &mut all);
    all.sort();
    all
}
