//! `foldnet-agent session`: what `boards` talks to over ssh.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::install::{self, Patience};
use super::slots::{check_files, system};
use super::{Device, doctor, files, receive, signature};
use crate::protocol::{Event, Kind, LINE_MAX, Refusal, Release, Request, Service, VERSION};
use crate::sum;

/// A host that says nothing for this long is gone.
const SILENCE: Duration = Duration::from_secs(60);

/// Standard input that does not wait for ever.
struct Line(io::StdinLock<'static>);

impl Read for Line {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let mut poll = libc::pollfd { fd: self.0.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one structure that lives through the call.
        match unsafe { libc::poll(&mut poll, 1, SILENCE.as_millis() as i32) } {
            // A stopped process that goes on is no broken line, which a reader of pieces would make of it.
            n if n < 0 && io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => self.read(to),
            0 => Err(io::ErrorKind::TimedOut.into()),
            n if n < 0 => Err(io::Error::last_os_error()),
            _ => {
                // SAFETY: reads into a slice at most its length; below the lock's own buffer, which
                // stays unused because nothing else reads through it.
                let n = unsafe { libc::read(poll.fd, to.as_mut_ptr().cast(), to.len()) };
                if n < 0 { Err(io::Error::last_os_error()) } else { Ok(n as usize) }
            }
        }
    }
}

fn tell(event: &Event) {
    let mut out = io::stdout().lock();
    // The host may be gone; the work goes on.
    let _ = writeln!(out, "{}", serde_json::to_string(event).expect("plain data"));
    let _ = out.flush();
}

/// One session: a request, its answer.
pub fn run(root: PathBuf) -> io::Result<()> {
    // SAFETY: a session that has all bytes ends its work when the line is cut.
    unsafe { libc::signal(libc::SIGHUP, libc::SIG_IGN) };
    let agent = sum::of_file(Path::new("/proc/self/exe"))?;
    tell(&Event::Hello { version: VERSION, agent });
    let mut line = BufReader::with_capacity(1 << 16, Line(io::stdin().lock()));
    let mut text = Vec::new();
    line.by_ref().take(LINE_MAX).read_until(b'\n', &mut text)?;
    let done = Device::open(root.clone()).and_then(|device| {
        let request: Request = serde_json::from_slice(&text)
            .map_err(|e| Refusal { kind: Kind::Request, message: format!("not a request: {e}") })?;
        answer(&device, request, &mut line)
    });
    match done {
        Ok(event) => tell(&event),
        Err(refusal) => {
            let status = Device { root }.status();
            tell(&Event::Refused { refusal, status });
        }
    }
    Ok(())
}

fn answer(device: &Device, request: Request, line: &mut impl BufRead) -> Result<Event, Refusal> {
    let patience = |health: u32, settle: u32| Patience {
        health: Duration::from_secs(health.into()),
        settle: Duration::from_secs(settle.into()),
    };
    let mut step = |what: &str| tell(&Event::Step(what.into()));
    match request {
        Request::Status => {}
        Request::Doctor => return Ok(Event::Findings(doctor::look(device))),
        Request::Trust { key } => {
            let _lock = device.lock()?;
            signature::trust(device, &key)?;
        }
        Request::Rollback { health_seconds, settle_seconds } => {
            let lock = device.lock()?;
            device.recover(&lock)?;
            install::rollback(device, patience(health_seconds, settle_seconds), &mut step)?;
        }
        Request::Flash { release, any_board, health_seconds, settle_seconds } => {
            check_files(&release)?;
            let lock = device.lock()?;
            device.recover(&lock)?;
            is_this_board(device, &release, any_board, Path::new("/proc/device-tree/compatible"))?;
            if runs_already(device, &release) {
                // The Ansible role in boards/fleet looks for these words.
                step("this release already runs");
                tell(&Event::Want(vec![]));
                return Ok(Event::Done(device.status()));
            }
            let wanted = receive::wanted(device, &release)?;
            receive::room(device, &release, &wanted)?;
            tell(&Event::Want(wanted.clone()));
            for want in &wanted {
                let file = release.files.iter().find(|f| f.sha256 == want.sha256).expect("it is of these");
                receive::receive(device, file, want.from, line)?;
            }
            keep_agent(device)?;
            let board = device.root.join("board");
            files::write(&board, release.board.as_bytes()).map_err(system(&board))?;
            install::install(device, &lock, &release, patience(health_seconds, settle_seconds), &mut step)?;
        }
    }
    Ok(Event::Done(device.status()))
}

/// Whether the release is current and whole, so that a flash repeated after a lost connection does not
/// cost the release before it.
fn runs_already(device: &Device, release: &Release) -> bool {
    let status = device.status();
    let kept = if release.service { status.service == Service::Running } else { true };
    kept && status
        .current
        .is_some_and(|slot| slot.release == release.id() && device.check_slot(&slot.slot).is_ok())
}

/// Refuses a release for another processor, or for another board than the device tree or an earlier
/// release says.
fn is_this_board(device: &Device, release: &Release, any: bool, tree: &Path) -> Result<(), Refusal> {
    let here = std::env::consts::ARCH;
    if here != release.machine {
        let message =
            format!("the release is for a {} processor, but this board has {here}", release.machine);
        return Err(Refusal { kind: Kind::Machine, message });
    }
    if any {
        return Ok(());
    }
    let no = |says: String| Refusal {
        kind: Kind::Board,
        message: format!("the release is for {}, but {says}. --any-board flashes it anyway", release.board),
    };
    if let Ok(tree) = fs::read(tree)
        && !release.compatible.is_empty()
    {
        let names: Vec<_> = tree.split(|&b| b == 0).map(String::from_utf8_lossy).collect();
        if !names.iter().any(|n| release.compatible.iter().any(|c| c == n)) {
            return Err(no(format!("this board calls itself {}", names[0])));
        }
        return Ok(());
    }
    match fs::read_to_string(device.root.join("board")) {
        Ok(board) if board != release.board => Err(no(format!("this board was flashed as {board}"))),
        _ => Ok(()),
    }
}

/// Puts this program where the service finds it. It has just proved that it runs here.
fn keep_agent(device: &Device) -> Result<(), Refusal> {
    let (own, to) = (Path::new("/proc/self/exe"), device.root.join("foldnet-agent"));
    if sum::of_file(&to).ok() != sum::of_file(own).ok() {
        let new = to.with_added_extension("new");
        files::copy(own, &new, true).map_err(system(&new))?;
        fs::rename(&new, &to).map_err(system(&to))?;
    }
    // The agents of earlier versions.
    let own = fs::read_link(own).map_err(system(own))?;
    for entry in fs::read_dir(device.root.join("agents")).into_iter().flatten().flatten() {
        if entry.path() != own {
            let _ = fs::remove_file(entry.path());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_board_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let device = Device::open(folder.path().join("root")).unwrap();
        let tree = folder.path().join("compatible");
        let release = Release {
            board: "rock-5b".into(),
            compatible: vec!["radxa,rock-5b".into()],
            machine: std::env::consts::ARCH.into(),
            files: vec![],
            args: vec![],
            service: false,
        };
        let check = |release: &Release, any| is_this_board(&device, release, any, &tree).map_err(|r| r.kind);
        assert_eq!(check(&release, false), Ok(()));
        fs::write(device.root.join("board"), "beagleplay").unwrap();
        assert_eq!(check(&release, false), Err(Kind::Board));
        fs::write(&tree, b"radxa,rock-5b\0rockchip,rk3588\0").unwrap();
        assert_eq!(check(&release, false), Ok(()));
        fs::write(&tree, b"beagle,am625-beagleplay\0ti,am625\0").unwrap();
        assert_eq!(check(&release, false), Err(Kind::Board));
        assert_eq!(check(&release, true), Ok(()));
        let other = Release { machine: "riscv64".into(), ..release };
        assert_eq!(check(&other, true), Err(Kind::Machine));
    }
}
