//! The camera's service: a systemd user unit where there is a user's systemd, else our own supervisor.
//!
//! Both call `foldnet-agent start`, which takes back a trial that was cut short, chooses the slot and
//! becomes `runtime camera`. Restarting is killing: systemd or the supervisor starts what is current.

use std::fs;
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::slots::system;
use super::{Device, files, lock};
use crate::protocol::{ARCHIVE, Kind, RUNTIME, Refusal, Release, Service};

const UNIT: &str = "foldnet.service";

/// Before a child that ended is started again.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// How often the supervisor looks for what it is asked.
const LOOK: Duration = Duration::from_millis(100);
/// How long a child may take to end when asked to, before it is ended.
const END: Duration = Duration::from_secs(15);

/// What the supervisor says of its child, in `run/child.json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Child {
    pid: i32,
    /// How many there were before it.
    starts: u64,
    /// Whether its supervisor looks for [`again`]; those of earlier versions do not.
    #[serde(default)]
    looks: bool,
}

/// A file that asks the supervisor to start what is current. It takes it away before it looks what that is,
/// so that no life that begins afterwards is one of before.
fn again(device: &Device) -> PathBuf {
    device.root.join("run/again")
}

/// The user's systemd, if it is the service's keeper here: there is one unit, and it belongs to the
/// folder at its usual place.
fn systemd(device: &Device) -> bool {
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    if device.root != home.join(".local/share/foldnet") {
        return false;
    }
    let out = Command::new("systemctl").args(["--user", "is-system-running"]).stderr(Stdio::null()).output();
    out.is_ok_and(|o| matches!(o.stdout.trim_ascii(), b"running" | b"degraded" | b"starting"))
}

fn systemctl(arguments: &[&str]) -> Result<String, Refusal> {
    let out = Command::new("systemctl").arg("--user").args(arguments).output();
    let out = out.map_err(system(Path::new("systemctl")))?;
    if out.status.success() {
        return Ok(String::from_utf8_lossy(&out.stdout).trim().to_owned());
    }
    let words = String::from_utf8_lossy(&out.stderr);
    let message = format!("systemctl --user {}: {}", arguments.join(" "), words.trim());
    Err(Refusal { kind: Kind::System, message })
}

fn unit_path() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let config = set("XDG_CONFIG_HOME").or_else(|| set("HOME").map(|h| h.join(".config")))?;
    Some(config.join("systemd/user").join(UNIT))
}

/// The unit: `%h` is the user's home. However often the runtime ends or hangs, it is started again.
const UNIT_TEXT: &str = "\
# Written by `boards flash`; it writes it anew.
[Unit]
Description=Foldnet: says what the camera sees
StartLimitIntervalSec=0

[Service]
Type=notify
ExecStart=%h/.local/share/foldnet/foldnet-agent start
WatchdogSec=30
Restart=always
RestartSec=2

[Install]
WantedBy=default.target
";

/// Starts the service, or starts it anew with what is current.
pub fn restart(device: &Device) -> Result<(), Refusal> {
    if systemd(device) {
        let path =
            unit_path().ok_or_else(|| Refusal { kind: Kind::System, message: "HOME is not set".into() })?;
        if fs::read_to_string(&path).ok().as_deref() != Some(UNIT_TEXT) {
            let folder = path.parent().expect("it has one");
            fs::create_dir_all(folder).map_err(system(folder))?;
            files::write(&path, UNIT_TEXT.as_bytes()).map_err(system(&path))?;
            systemctl(&["daemon-reload"])?;
        }
        systemctl(&["enable", UNIT])?;
        // So that it runs without anyone logged in; where that needs root, it is said.
        let _ = Command::new("loginctl").arg("enable-linger").stderr(Stdio::null()).status();
        systemctl(&["restart", UNIT])?;
        return Ok(());
    }
    let supervisor = device.root.join("run/supervisor");
    let held = lock::take_looked_at(&supervisor).map_err(system(&device.root))?;
    if held.is_none() {
        // Its child may be one that it has not written down yet, or it may pause before the next: it knows.
        let again = again(device);
        let child = child(device);
        let looks = child.is_none_or(|c| c.looks);
        let asked = if looks { fs::write(&again, "") } else { Ok(()) };
        if let Some(child) = child
            && (!looks || asked.is_err())
        {
            // On a full disk it is not asked either.
            end(device, child);
            return Ok(());
        }
        asked.map_err(system(&again))?;
        let begin = Instant::now();
        let there = || lock::is_taken(&supervisor).map_err(system(&device.root));
        while again.exists() && begin.elapsed() < 2 * END && there()? {
            std::thread::sleep(LOOK / 4);
        }
        if there()? {
            return Ok(());
        }
        // It was just ending.
    }
    drop(held);
    let log_path = device.root.join("run/log");
    let log = fs::File::create(&log_path).map_err(system(&log_path))?;
    let mut command = Command::new(device.root.join("foldnet-agent"));
    command.arg("supervise").arg("--root").arg(&device.root).current_dir("/");
    command.stdin(Stdio::null()).stdout(log.try_clone().map_err(system(&log_path))?).stderr(log);
    // SAFETY: setsid is safe to call between fork and exec.
    unsafe {
        command.pre_exec(|| {
            libc::setsid();
            Ok(())
        })
    };
    command.spawn().map_err(system(&device.root.join("foldnet-agent")))?;
    Ok(())
}

/// What to do so that the service runs without anyone logged in; nothing where it does.
pub fn needs_linger(device: &Device) -> Option<&'static str> {
    if !systemd(device) {
        return None;
    }
    // SAFETY: it only asks, and cannot fail. Without a user the manager's properties would be shown.
    let user = unsafe { libc::getuid() }.to_string();
    let mut loginctl = Command::new("loginctl");
    let out = loginctl.args(["show-user", &user, "--property=Linger", "--value"]).output().ok()?;
    (out.stdout.trim_ascii() == b"no")
        .then_some("the service ends when you log out: `sudo loginctl enable-linger $USER`")
}

/// Ends the service, when there is nothing to run.
pub fn stop(device: &Device) {
    if systemd(device) {
        let _ = systemctl(&["disable", "--now", UNIT]);
    } else if let Some(child) = child(device).filter(|_| supervised(device)) {
        // The supervisor ends by itself when it finds nothing to run.
        let asked = child.looks && fs::write(again(device), "").is_ok();
        if !asked {
            end(device, child);
        }
    }
}

/// Ends the supervisor's child, if that number is still a program of this folder's.
fn end(device: &Device, child: Child) {
    let program = fs::read_link(format!("/proc/{}/exe", child.pid));
    let ours = fs::canonicalize(&device.root).is_ok_and(|root| program.is_ok_and(|p| p.starts_with(root)));
    if ours {
        // SAFETY: sends a signal to the process that the supervisor says is its child.
        unsafe { libc::kill(child.pid, libc::SIGTERM) };
    }
}

fn child(device: &Device) -> Option<Child> {
    serde_json::from_slice(&fs::read(device.root.join("run/child.json")).ok()?).ok()
}

fn supervised(device: &Device) -> bool {
    matches!(lock::is_taken(&device.root.join("run/supervisor")), Ok(true))
}

/// Counts starts: a number that stays the same means that the service stayed up.
fn starts(device: &Device) -> Option<u64> {
    if systemd(device) {
        let show = systemctl(&["show", UNIT, "-p", "ActiveState,MainPID", "--value"]).ok()?;
        let mut lines = show.lines();
        let pid = lines.find_map(|l| l.parse().ok())?;
        return (show.lines().any(|l| l == "active") && pid != 0).then_some(pid);
    }
    let child = child(device).filter(|_| supervised(device))?;
    // The child is the service only once it has become the runtime.
    let name = fs::read_link(format!("/proc/{}/exe", child.pid)).ok()?;
    (name.file_name()? == RUNTIME).then_some(child.starts)
}

/// Waits for the service to come up within `limit`, and then for it to stay up for `settle`. `before`
/// is what [`mark`] said before the restart.
pub fn settles(
    device: &Device,
    before: Option<u64>,
    limit: Duration,
    settle: Duration,
) -> Result<(), Refusal> {
    let pause = Duration::from_millis(50);
    let no = |message| Refusal { kind: Kind::Health, message };
    let begin = Instant::now();
    let up = loop {
        match starts(device) {
            Some(n) if Some(n) != before => break n,
            _ if begin.elapsed() > limit => {
                return Err(no(format!(
                    "the camera's service is not up after {} s{}",
                    limit.as_secs(),
                    log(device)
                )));
            }
            _ => std::thread::sleep(pause),
        }
    };
    let begin = Instant::now();
    while begin.elapsed() < settle {
        if starts(device) != Some(up) {
            return Err(no(format!("the camera's service does not stay up{}", log(device))));
        }
        std::thread::sleep(pause);
    }
    Ok(())
}

/// Names the service's present life, for [`settles`].
pub fn mark(device: &Device) -> Option<u64> {
    starts(device)
}

fn log(device: &Device) -> String {
    let text = if systemd(device) {
        let out = Command::new("journalctl").args(["--user", "-u", UNIT, "-n", "1", "-o", "cat"]).output();
        out.map(|o| String::from_utf8_lossy(&o.stdout).into_owned()).unwrap_or_default()
    } else {
        String::from_utf8_lossy(&fs::read(device.root.join("run/log")).unwrap_or_default()).into_owned()
    };
    text.lines().rfind(|l| !l.trim().is_empty()).map_or(String::new(), |l| format!("; it said: {}", l.trim()))
}

/// Whether the service is up.
pub fn state(device: &Device) -> Service {
    let wanted = if systemd(device) {
        unit_path().is_some_and(|p| p.is_file()) && device.current_slot().is_some()
    } else {
        supervised(device)
    };
    match (wanted, starts(device)) {
        (false, _) => Service::None,
        (true, Some(_)) => Service::Running,
        (true, None) => Service::Failing,
    }
}

/// Takes back what was cut short and chooses the slot to start.
fn choose(device: &Device) -> Result<(String, Release), Refusal> {
    // A session that holds the lock is in the middle of its own trial.
    if let Some(lock) = device.try_lock()? {
        device.recover(&lock)?;
    }
    device.startable()
}

/// `foldnet-agent which`: the slot that [`start`] would start.
pub fn which(root: PathBuf) -> Result<String, Refusal> {
    Ok(choose(&Device::open(root)?)?.0)
}

/// `foldnet-agent start`: becomes the runtime. Returns only when it cannot.
pub fn start(device: &Device) -> Refusal {
    let (slot, release) = match choose(device) {
        Ok((_, release)) if !release.service => {
            let message = "the release was flashed without a service".into();
            return Refusal { kind: Kind::Nothing, message };
        }
        Ok(chosen) => chosen,
        Err(refusal) => return refusal,
    };
    let folder = device.slot(&slot);
    let mut command = Command::new(folder.join(RUNTIME));
    command.arg("camera").arg(folder.join(ARCHIVE)).args(&release.args);
    command.env("XDG_CACHE_HOME", device.root.join("cache")).stdin(Stdio::null());
    system(&folder.join(RUNTIME))(command.exec())
}

/// `foldnet-agent supervise`: keeps the service running, for boards without systemd.
///
/// Ends when another supervisor is there, or when nothing is installed. A child that dies young is
/// started again after a pause that grows to half a minute.
pub fn supervise(device: &Device) -> Result<(), Refusal> {
    let path = device.root.join("run/supervisor");
    let Some(_held) = lock::take_looked_at(&path).map_err(system(&path))? else { return Ok(()) };
    let record = device.root.join("run/child.json");
    // Counts on from the supervisor before, so that no two lives have one number.
    let mut starts = child(device).map_or(0, |c| c.starts);
    let mut pause = FIRST_PAUSE;
    let again = again(device);
    loop {
        let _ = fs::remove_file(&again);
        // A session that holds the lock is in the middle of its own trial.
        if let Some(lock) = device.try_lock()? {
            device.recover(&lock)?;
        }
        let wanted = device.startable().is_ok_and(|(_, release)| release.service);
        if !wanted {
            return Ok(());
        }
        let begin = Instant::now();
        let mut command = Command::new(device.root.join("foldnet-agent"));
        command.arg("start").arg("--root").arg(&device.root).stdin(Stdio::null());
        let mut child = command.spawn().map_err(system(&device.root.join("foldnet-agent")))?;
        starts += 1;
        let line = Child { pid: child.id() as i32, starts, looks: true };
        let line = serde_json::to_vec(&line).expect("plain data");
        // A full disk must not stop the service.
        let _: io::Result<()> = files::write(&record, &line);
        let asked = lives(&mut child, &again).is_ok_and(|s| s.success() || s.signal() == Some(libc::SIGTERM));
        if asked || begin.elapsed() > Duration::from_secs(60) {
            pause = FIRST_PAUSE;
        }
        let until = Instant::now() + pause;
        while Instant::now() < until && !again.exists() {
            std::thread::sleep(LOOK.min(until.saturating_duration_since(Instant::now())));
        }
        pause = if again.exists() { FIRST_PAUSE } else { (pause * 2).min(Duration::from_secs(30)) };
    }
}

/// Waits until a child has ended, and ends it when `again` asks for another.
fn lives(child: &mut std::process::Child, again: &Path) -> io::Result<ExitStatus> {
    let mut asked: Option<Instant> = None;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        match asked {
            None if again.exists() => {
                asked = Some(Instant::now());
                // SAFETY: a signal to our child, which nobody has waited for.
                unsafe { libc::kill(child.id() as i32, libc::SIGTERM) };
            }
            Some(at) if at.elapsed() > END => child.kill()?,
            _ => {}
        }
        std::thread::sleep(LOOK);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_is_ended_when_another_is_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let again = folder.path().join("again");
        let mut child = Command::new("true").spawn().unwrap();
        assert!(lives(&mut child, &again).unwrap().success());
        fs::write(&again, "").unwrap();
        let mut child = Command::new("sleep").arg("100000").spawn().unwrap();
        assert_eq!(lives(&mut child, &again).unwrap().signal(), Some(libc::SIGTERM));
    }

    #[test]
    fn systemd_understands_the_unit() {
        let home = tempfile::tempdir().unwrap();
        let root = home.path().join(".local/share/foldnet");
        fs::create_dir_all(&root).unwrap();
        // It looks whether there is a program.
        std::os::unix::fs::symlink("/bin/sh", root.join("foldnet-agent")).unwrap();
        let unit = home.path().join(UNIT);
        fs::write(&unit, UNIT_TEXT).unwrap();
        let mut analyze = Command::new("systemd-analyze");
        analyze.args(["--user", "verify"]).arg(&unit);
        let Ok(out) = analyze.env("HOME", home.path()).env("XDG_RUNTIME_DIR", home.path()).output() else {
            eprintln!("SKIPPED: no systemd-analyze");
            return;
        };
        let words = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success() && words.trim().is_empty(), "{words}");
    }
}
