//! What is handed to larger fleets' tools works in those tools: a container image, an Ansible role, a RAUC
//! bundle. Where a tool is missing the test says so, or fails if `FOLDNET_REQUIRE_FLEET` is set.

mod common;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::{Bench, Outcome, archive_at, installed, programs};

/// Whether these programs are there; says which are not.
fn available(tools: &[&str]) -> bool {
    let there = |tool: &&&str| {
        let mut command = Command::new("sh");
        command.args(["-c", "command -v \"$0\"", tool]).stdout(Stdio::null());
        command.status().unwrap().success()
    };
    let missing: Vec<_> = tools.iter().filter(|t| !there(t)).collect();
    if missing.is_empty() {
        return true;
    }
    assert!(std::env::var_os("FOLDNET_REQUIRE_FLEET").is_none(), "missing: {missing:?}");
    writeln!(std::io::stderr(), "SKIPPED: no {missing:?}").expect("standard error");
    false
}

fn fleet() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fleet")
}

#[track_caller]
fn output(command: &mut Command) -> String {
    let out = command.stdin(Stdio::null()).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8_lossy(&out.stdout).into_owned()
}

#[test]
fn a_container_image_is_one() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let archive = archive_at(&at("model.nnef.tgz"), "good", 1);
    for (target, machine) in [("aarch64-unknown-linux-musl", 183), ("x86_64-unknown-linux-musl", 62)] {
        fs::create_dir(at(target)).unwrap();
        let mut program = b"\x7fELF".to_vec();
        program.resize(4096, 0);
        program[18] = machine;
        fs::write(at(target).join("runtime"), program).unwrap();
    }
    let image = |output: &Path| {
        let mut boards = Command::new(env!("CARGO_BIN_EXE_boards"));
        boards.args(["--json", "image"]).arg(&archive).arg("--binaries").arg(folder.path());
        boards.arg("-o").arg(output).args(["--tag", "v1", "--", "--wait"]);
        Outcome::of(boards)
    };
    assert_eq!(image(&at("image.tar")).done()["architectures"], serde_json::json!(["arm64", "amd64"]));
    // A program for another processor than its folder says.
    let arm = at("aarch64-unknown-linux-musl/runtime");
    fs::copy(at("x86_64-unknown-linux-musl/runtime"), arm).unwrap();
    assert_eq!(image(&at("wrong.tar")).code, 2);
    assert!(!at("wrong.tar").exists());

    if !available(&["skopeo"]) {
        return;
    }
    let name = format!("oci-archive:{}:v1", at("image.tar").display());
    for architecture in ["arm64", "amd64"] {
        let mut inspect = Command::new("skopeo");
        inspect.args(["inspect", "--config", "--override-os", "linux", "--override-arch", architecture]);
        let config: serde_json::Value = serde_json::from_str(&output(inspect.arg(&name))).unwrap();
        assert_eq!(config["architecture"], architecture);
        let entry = serde_json::json!(["/runtime", "camera", "/model.nnef.tgz", "--wait"]);
        assert_eq!(config["config"]["Entrypoint"], entry);
    }
    // Copying compares every digest.
    let mut copy = Command::new("skopeo");
    copy.args(["--insecure-policy", "copy", "--all", "--quiet", &name]);
    output(copy.arg(format!("dir:{}", at("copy").display())));
}

#[test]
fn the_ansible_role_flashes() {
    if !available(&["ansible-playbook"]) {
        return;
    }
    let Some(bench) = Bench::start() else { return };
    let path = |path: &Path| path.display().to_string();
    let play = |archive: &Path, more: &[&str]| {
        let board = bench.board("test");
        let arguments = [
            "--board",
            &path(&board),
            "--ssh-config",
            &path(&bench.at("ssh_config")),
            "--binaries",
            &path(programs()),
            "--root",
            &path(&bench.at("board")),
            "--no-service",
        ];
        // JSON is YAML.
        let play = serde_json::json!([{"hosts": "all", "gather_facts": false, "roles": ["foldnet"], "vars": {
            "foldnet_board": "test", "foldnet_archive": archive, "foldnet_arguments": arguments,
            "foldnet_program": env!("CARGO_BIN_EXE_boards"),
        }}]);
        fs::write(bench.at("play.yml"), play.to_string()).unwrap();
        fs::write(bench.at("inventory"), "board\n").unwrap();
        let mut ansible = Command::new("ansible-playbook");
        ansible.arg("-i").arg(bench.at("inventory")).arg(bench.at("play.yml")).args(more);
        ansible.env("ANSIBLE_ROLES_PATH", fleet().join("ansible")).env("ANSIBLE_NOCOLOR", "1");
        ansible.env("ANSIBLE_LOCAL_TEMP", bench.at("ansible")).env("LC_ALL", "C.UTF-8");
        let out = ansible.stdin(Stdio::null()).output().unwrap();
        (out.status.success(), String::from_utf8_lossy(&out.stdout).into_owned())
    };
    let good = bench.archive("good", 1);
    for (more, says) in [(&["--syntax-check"][..], "play.yml"), (&[], "changed=1"), (&[], "changed=0")] {
        let (done, words) = play(&good, more);
        assert!(done && words.contains(says), "{words}");
    }
    assert_eq!(installed(&bench.at("board")), "good variant 1 c d");
    let (done, words) = play(&bench.archive("crash", 1), &[]);
    assert!(!done && words.contains("failed=1") && words.contains("the first classification"), "{words}");
    assert_eq!(installed(&bench.at("board")), "good variant 1 c d");
}

#[test]
fn the_rauc_bundle_is_signed_and_its_hook_judges() {
    if !available(&["rauc", "mksquashfs", "openssl"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for name in ["ours", "other"] {
        let mut openssl = Command::new("openssl");
        openssl.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "7", "-subj", "/CN=test"]);
        openssl.arg("-keyout").arg(at(&format!("{name}.key"))).arg("-out").arg(at(&format!("{name}.pem")));
        output(&mut openssl);
    }
    fs::write(at("picture"), "BM, as the test's runtime wants it").unwrap();
    for (behaviour, works) in [("good", true), ("crash", false)] {
        let archive = archive_at(&at(&format!("{behaviour}.nnef.tgz")), behaviour, 1);
        let bundle = at(&format!("{behaviour}.raucb"));
        let mut script = Command::new(fleet().join("rauc/bundle.sh"));
        script.args(["test-board", "1"]).arg(programs().join("runtime")).arg(archive).arg(at("picture"));
        script.arg(at("ours.pem")).arg(at("ours.key")).arg(&bundle);
        output(&mut script);
        let rauc = |command: &str, keyring: &str| {
            let mut rauc = Command::new("rauc");
            rauc.arg(command).arg(format!("--keyring={}", at(keyring).display())).arg(&bundle);
            rauc
        };
        let info = output(&mut rauc("info", "ours.pem"));
        assert!(info.contains("test-board") && info.contains("foldnet.img"), "{info}");
        let stranger = rauc("info", "other.pem").output().unwrap();
        assert!(!stranger.status.success(), "signed by a stranger");
        let content = at(&format!("{behaviour}.content"));
        output(rauc("extract", "ours.pem").arg(&content));
        // RAUC's installer wants a board's boot loader; what it calls is tried on the image itself.
        let mut mount = Command::new("unshare");
        let may = mount.args(["--mount", "true"]).stderr(Stdio::null()).status().is_ok_and(|s| s.success());
        if !may {
            writeln!(std::io::stderr(), "SKIPPED: the hook, which mounts").expect("standard error");
            continue;
        }
        let mut hook = Command::new("unshare");
        hook.arg("--mount").arg(content.join("hook.sh")).arg("slot-post-install");
        let out = hook.env("RAUC_SLOT_DEVICE", content.join("foldnet.img")).output().unwrap();
        assert_eq!(out.status.success(), works, "{}", String::from_utf8_lossy(&out.stderr));
    }
}
