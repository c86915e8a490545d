//! Boards for tests: a real sshd of our own, and folders that each stand for a board.

#![allow(dead_code)]

use std::fs;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde_json::Value;

/// Everything that a test needs, below one temporary folder.
pub struct Bench {
    pub folder: tempfile::TempDir,
    pub port: u16,
    sshd: Child,
}

/// Folder with the programs that are flashed: the agent, and a runtime that behaves as its archive says.
pub fn programs() -> &'static Path {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    let make = || {
        let folder = tempfile::tempdir().unwrap();
        let mut rustc = Command::new("rustc");
        rustc.args(["--edition", "2024", "tests/bin/test_runtime.rs", "-o"]);
        rustc.arg(folder.path().join("runtime")).current_dir(env!("CARGO_MANIFEST_DIR"));
        assert!(rustc.status().unwrap().success(), "the test's runtime does not build");
        fs::copy(env!("CARGO_BIN_EXE_foldnet-agent"), folder.path().join("foldnet-agent")).unwrap();
        // As `boards build` does, where there is the tool: less to send.
        let _ = Command::new("strip").args(["runtime", "foldnet-agent"]).current_dir(folder.path()).status();
        // As large as a real one, so that a line can break in its middle; nobody reads behind the ELF's end.
        let runtime = fs::File::options().append(true).open(folder.path().join("runtime"));
        runtime.unwrap().write_all(&vec![0x5a; 4 << 20]).unwrap();
        folder
    };
    FOLDER.get_or_init(make).path()
}

/// Another program of the product, built as the README builds it.
pub fn built(program: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_BIN_EXE_boards")).parent().unwrap();
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--bin", program]);
    cargo.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."));
    if folder.ends_with("release") {
        cargo.arg("--release");
    }
    assert!(cargo.status().unwrap().success(), "{program} does not build");
    folder.join(program)
}

/// Whether there is an sshd; says loudly when not, and fails where it must be.
pub fn sshd() -> Option<PathBuf> {
    let places = ["/usr/sbin/sshd", "/usr/local/sbin/sshd", "/usr/lib/ssh/sshd"];
    let found = places.iter().map(PathBuf::from).find(|p| p.is_file());
    if found.is_none() {
        assert!(std::env::var_os("FOLDNET_REQUIRE_SSHD").is_none(), "no sshd");
        writeln!(std::io::stderr(), "SKIPPED: no sshd (Debian's openssh-server)").expect("standard error");
    }
    found
}

pub fn keygen(path: &Path) {
    let mut keygen = Command::new("ssh-keygen");
    keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(path);
    assert!(keygen.status().unwrap().success());
}

impl Bench {
    /// Starts an sshd; `None` where there is none.
    pub fn start() -> Option<Self> {
        let sshd = sshd()?;
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        keygen(&at("host"));
        keygen(&at("user"));
        keygen(&at("other"));
        // Where sshd separates privileges, it wants this folder.
        let _ = fs::create_dir_all("/run/sshd");
        let path = |name: &str| at(name).display().to_string();
        // A port that is free now may be taken when sshd wants it: then another.
        for _ in 0..20 {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let config = format!(
                "Port {port}\nListenAddress 127.0.0.1\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\n\
                 StrictModes no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nUsePAM no\n\
                 MaxStartups 200\nPerSourcePenalties no\nLogLevel ERROR\n",
                path("host"),
                path("user.pub")
            );
            // Older versions do not know penalties.
            let config =
                if knows_penalties(&sshd) { config } else { config.replace("PerSourcePenalties no\n", "") };
            fs::write(at("sshd_config"), config).unwrap();
            let mut child = Command::new(&sshd)
                .args(["-D", "-e", "-f"])
                .arg(at("sshd_config"))
                .stderr(fs::File::create(at("sshd.log")).unwrap())
                .spawn()
                .unwrap();
            for _ in 0..600 {
                if child.try_wait().unwrap().is_some() {
                    break;
                }
                if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                    let bench = Self { folder, port, sshd: child };
                    bench.ssh_config(port);
                    bench.know("host");
                    return Some(bench);
                }
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        panic!("sshd does not start: {}", fs::read_to_string(at("sshd.log")).unwrap());
    }

    pub fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes ssh's configuration: the board `board` behind this port.
    pub fn ssh_config(&self, port: u16) {
        let path = |name: &str| self.at(name).display().to_string();
        let config = format!(
            "Host board\n  HostName 127.0.0.1\n  Port {port}\n  HostKeyAlias board\n  IdentityFile {}\n  \
             IdentitiesOnly yes\n  UserKnownHostsFile {}\n  GlobalKnownHostsFile /dev/null\n",
            path("user"),
            path("known")
        );
        fs::write(self.at("ssh_config"), config).unwrap();
    }

    /// Makes a key the one that is known of `board`.
    pub fn know(&self, key: &str) {
        let key = fs::read_to_string(self.at(&format!("{key}.pub"))).unwrap();
        fs::write(self.at("known"), format!("board {key}")).unwrap();
    }

    /// A file that describes a board like this machine.
    pub fn board(&self, id: &str) -> PathBuf {
        let path = self.at(&format!("{id}.toml"));
        board_file(&path);
        path
    }

    /// An archive whose runtime behaves so; `variant` makes others of the same behaviour.
    pub fn archive(&self, behaviour: &str, variant: usize) -> PathBuf {
        archive_at(&self.at(&format!("{behaviour}-{variant}.nnef.tgz")), behaviour, variant)
    }

    /// `boards`, with JSON, for a board in the folder `root`.
    pub fn boards(&self, command: &str, root: &str, arguments: &[&str]) -> Command {
        let mut boards = Command::new(env!("CARGO_BIN_EXE_boards"));
        boards.env("XDG_CONFIG_HOME", self.at("no-config"));
        boards.args(["--json", command, "test"]).arg("--board").arg(self.board("test"));
        boards.args(["--host", "board", "--ssh-config"]).arg(self.at("ssh_config"));
        boards.arg("--binaries").arg(programs()).arg("--root").arg(self.at(root));
        boards.args(arguments);
        boards
    }

    /// `boards flash` without waiting longer than needed.
    pub fn flash(&self, root: &str, archive: &Path, arguments: &[&str]) -> Outcome {
        let archive = archive.to_str().unwrap();
        let arguments: Vec<&str> = [&[archive, "--settle-seconds", "1"], arguments].concat();
        Outcome::of(self.boards("flash", root, &arguments))
    }

    pub fn status(&self, root: &str) -> Outcome {
        Outcome::of(self.boards("status", root, &[]))
    }
}

fn knows_penalties(sshd: &Path) -> bool {
    let out = Command::new(sshd).args(["-T", "-f", "/dev/null", "-o", "PerSourcePenalties=no"]).output();
    !String::from_utf8_lossy(&out.unwrap().stderr).contains("Bad configuration option")
}

impl Drop for Bench {
    fn drop(&mut self) {
        // The services that tests left: their supervisors end when nothing is installed.
        for entry in fs::read_dir(self.folder.path()).into_iter().flatten().flatten() {
            let _ = fs::remove_file(entry.path().join("current"));
            if let Ok(text) = fs::read(entry.path().join("run/child.json"))
                && let Ok(child) = serde_json::from_slice::<Value>(&text)
                && let Some(pid) = child["pid"].as_i64()
                && fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|p| p.starts_with(self.folder.path()))
            {
                let _ = Command::new("kill").arg(pid.to_string()).status();
            }
        }
        let _ = self.sshd.kill();
        let _ = self.sshd.wait();
    }
}

/// How a command ended.
pub struct Outcome {
    pub code: i32,
    pub json: Vec<Value>,
    pub words: String,
}

impl Outcome {
    pub fn of(mut command: Command) -> Self {
        Self::from(command.stdin(Stdio::null()).output().unwrap())
    }

    /// The same of a command without JSON.
    pub fn of_words(command: &mut Command) -> Self {
        let out = command.stdin(Stdio::null()).output().unwrap();
        let words = String::from_utf8_lossy(&out.stderr).into_owned();
        Self { code: out.status.code().unwrap_or(-1), json: vec![], words }
    }

    pub fn from(out: Output) -> Self {
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        let json =
            text.lines().map(|l| serde_json::from_str(l).unwrap_or_else(|e| panic!("{l}: {e}"))).collect();
        Self {
            code: out.status.code().unwrap_or(-1),
            json,
            words: String::from_utf8_lossy(&out.stderr).into_owned(),
        }
    }

    /// The last result, after success.
    #[track_caller]
    pub fn done(&self) -> &Value {
        assert_eq!(self.code, 0, "{}", self.words);
        self.json.last().expect("a result")
    }

    /// The error's kind, after failure.
    #[track_caller]
    pub fn error(&self) -> &str {
        assert_ne!(self.code, 0, "{:?}", self.json);
        self.json.last().and_then(|j| j["error"].as_str()).unwrap_or_else(|| panic!("{}", self.words))
    }
}

/// Writes a file that describes a board like this machine.
pub fn board_file(path: &Path) {
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let text = format!(
        "name = \"Test\"\nsoc = \"this machine\"\n[[cores]]\ncore = \"x86-64\"\ncount = 1\n\
         [linux]\ntarget = \"{target}\"\n"
    );
    fs::write(path, text).unwrap();
}

/// Writes an archive whose runtime behaves so.
pub fn archive_at(path: &Path, behaviour: &str, variant: usize) -> PathBuf {
    let network = foldnet_archive::testing::every_step();
    let mut manifest = foldnet_archive::testing::manifest();
    manifest.labels = vec![behaviour.into(), format!("variant {variant}"), "c".into(), "d".into()];
    foldnet_archive::write(path, &network, &manifest).unwrap();
    // The test's runtime cannot decompress.
    let packed = fs::read(path).unwrap();
    let mut plain = GzEncoder::new(Vec::new(), Compression::none());
    std::io::copy(&mut GzDecoder::new(&packed[..]), &mut plain).unwrap();
    fs::write(path, plain.finish().unwrap()).unwrap();
    path.to_path_buf()
}

/// The label that is installed in a board's folder.
pub fn installed(root: &Path) -> String {
    let (_, manifest) = foldnet_archive::read(&root.join("current/model.nnef.tgz")).unwrap();
    manifest.labels.join(" ")
}
