//! The virtual Linux board: QEMU with Debian's kernel, an ssh server, and a camera that sees what it is
//! shown.
//!
//! All of it lies in one folder of the user's: kernel and first file system, which are built once, a disk
//! that stays, the keys to log in with, and the configuration with which ssh finds it.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::protocol::feed_bytes;

const BUILD: &str = include_str!("../virtual/build.sh");
const INIT: &str = include_str!("../virtual/init");
/// The disk's size: two slots and what is on its way.
const DISK_BYTES: u64 = 128 << 20;

/// Why there is no virtual board.
#[derive(Debug, thiserror::Error)]
pub enum VirtualError {
    /// A file or program of ours.
    #[error("{0}: {1}")]
    Io(PathBuf, std::io::Error),
    /// A program that it needs failed, or is not there.
    #[error("{0}. Required Debian packages: qemu-system-arm e2fsprogs cpio xz-utils openssh-client")]
    Program(String),
    /// It does not start.
    #[error("the emulated board did not start: {0}")]
    Start(String),
    /// The camera, at this local port, takes no image.
    #[error("cannot reach the board's camera on port {1}: {0}. Start the board first with `boards run`")]
    Feed(std::io::Error, u16),
}

/// The folder of a virtual board.
pub struct VirtualBoard {
    /// It.
    pub folder: PathBuf,
    /// Its name, which ssh knows it by.
    pub name: String,
}

/// The host's ports that lead to it.
#[derive(Clone, Copy, Debug)]
pub struct Ports {
    /// ssh.
    pub ssh: u16,
    /// The runtime's page, 8080 on the board.
    pub page: u16,
    /// Pictures for its camera.
    pub feed: u16,
}

/// A running one. Ends with this, and with the process that started it.
pub struct Running {
    /// QEMU.
    pub child: Child,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn io(path: &Path) -> impl FnOnce(std::io::Error) -> VirtualError + '_ {
    move |e| VirtualError::Io(path.into(), e)
}

fn run(command: &mut Command) -> Result<(), VirtualError> {
    let name = command.get_program().to_string_lossy().into_owned();
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(VirtualError::Program(format!("{name}: {status}"))),
        Err(e) => Err(VirtualError::Program(format!("{name}: {e}"))),
    }
}

/// A program that is killed when its starter is gone, however that ended.
pub fn end_with_us(command: &mut Command) {
    // SAFETY: prctl is safe to call between fork and exec.
    unsafe {
        command.pre_exec(|| {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            Ok(())
        })
    };
}

impl VirtualBoard {
    /// The user's, of this name; `$XDG_STATE_HOME/foldnet` or `~/.local/state/foldnet`, unless a folder
    /// is given.
    pub fn new(name: &str, folder: Option<PathBuf>) -> Self {
        let set = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        let state = || {
            let home = || set("HOME").unwrap_or_default().join(".local/state");
            set("XDG_STATE_HOME").unwrap_or_else(home).join("foldnet").join(name)
        };
        Self { folder: folder.unwrap_or_else(state), name: name.into() }
    }

    /// ssh's configuration for it.
    pub fn ssh_config(&self) -> PathBuf {
        self.folder.join("ssh_config")
    }

    /// Makes what is not there: kernel and first file system, disk, keys. `feed` is the board's program
    /// `foldnet-feed`.
    pub fn build(&self, feed: &Path) -> Result<(), VirtualError> {
        fs::create_dir_all(&self.folder).map_err(io(&self.folder))?;
        // The script goes into the folder.
        let folder = fs::canonicalize(&self.folder).map_err(io(&self.folder))?;
        let feed = &fs::canonicalize(feed).map_err(io(feed))?;
        let at = |name: &str| folder.join(name);
        let (build, init) = (at("build.sh"), at("init"));
        // Built anew when what it is built from has changed.
        let sum = crate::sum::of_file(feed).map_err(io(feed))?;
        let stamp = crate::sum::sha256(format!("{BUILD}{INIT}{sum}").as_bytes());
        if fs::read_to_string(at("built")).ok().as_ref() != Some(&stamp) {
            fs::write(&build, BUILD).map_err(io(&build))?;
            fs::write(&init, INIT).map_err(io(&init))?;
            let log = at("build.log");
            let out = fs::File::create(&log).map_err(io(&log))?;
            let mut script = Command::new("sh");
            script.arg(&build).arg(&folder).arg(&init).arg(feed);
            script.stdout(out.try_clone().map_err(io(&log))?).stderr(out).stdin(Stdio::null());
            if let Err(error) = run(&mut script) {
                let said = fs::read_to_string(&log).unwrap_or_default();
                return Err(VirtualError::Program(format!("{error}: {}", said.trim())));
            }
            fs::write(at("built"), &stamp).map_err(io(&self.folder))?;
        }
        let key = at("user");
        if !key.exists() {
            run(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key))?;
        }
        let disk = at("disk");
        if !disk.exists() {
            self.disk(&disk)?;
        }
        Ok(())
    }

    /// An empty disk on which the user's key can log in.
    fn disk(&self, disk: &Path) -> Result<(), VirtualError> {
        let (part, files) = (disk.with_extension("part"), self.folder.join("disk.files"));
        let ssh = files.join(".ssh");
        fs::create_dir_all(&ssh).map_err(io(&ssh))?;
        fs::copy(self.folder.join("user.pub"), ssh.join("authorized_keys")).map_err(io(&ssh))?;
        let file = fs::File::create(&part).map_err(io(&part))?;
        file.set_len(DISK_BYTES).map_err(io(&part))?;
        let mke2fs = ["/usr/sbin/mke2fs", "/sbin/mke2fs"].into_iter().find(|p| Path::new(p).exists());
        let mut mke2fs = Command::new(mke2fs.unwrap_or("mke2fs"));
        mke2fs.args(["-q", "-t", "ext4", "-E", "root_owner=0:0", "-d"]).arg(&files).arg(&part);
        run(&mut mke2fs)?;
        fs::rename(&part, disk).map_err(io(disk))
    }

    /// Starts it and waits until it is ready; `patience` bounds a start that hangs. `clock` is QEMU's
    /// `-rtc base`.
    pub fn start(
        &self,
        cpu: &str,
        clock: &str,
        ports: Ports,
        patience: Duration,
    ) -> Result<Running, VirtualError> {
        let at = |name: &str| self.folder.join(name);
        let mut qemu = Command::new("qemu-system-aarch64");
        qemu.args(["-M", "virt,gic-version=3", "-cpu", cpu, "-smp", "2", "-m", "512"]);
        qemu.args(["-accel", "tcg,thread=multi", "-display", "none", "-monitor", "none", "-nodefaults"]);
        qemu.args(["-no-reboot", "-serial", "stdio"]).arg("-rtc").arg(format!("base={clock}"));
        qemu.arg("-kernel").arg(at("Image")).arg("-initrd").arg(at("initrd"));
        qemu.args(["-append", "console=ttyAMA0 quiet loglevel=3 panic=-1 rdinit=/init"]);
        qemu.args(["-device", "virtio-rng-pci"]);
        let disk = at("disk").display().to_string().replace(',', ",,");
        qemu.arg("-drive").arg(format!("file={disk},if=none,id=disk,format=raw"));
        qemu.args(["-device", "virtio-blk-pci,drive=disk"]);
        let forward = [(ports.ssh, 22), (ports.page, 8080), (ports.feed, crate::protocol::FEED_PORT)]
            .map(|(host, board)| format!("hostfwd=tcp:127.0.0.1:{host}-:{board}"));
        qemu.arg("-netdev").arg(format!("user,id=net,{}", forward.join(",")));
        qemu.args(["-device", "virtio-net-pci,netdev=net,romfile="]);
        let errors = at("qemu.log");
        qemu.stdin(Stdio::null()).stdout(Stdio::piped());
        qemu.stderr(fs::File::create(&errors).map_err(io(&errors))?);
        end_with_us(&mut qemu);
        let mut child =
            qemu.spawn().map_err(|e| VirtualError::Program(format!("qemu-system-aarch64: {e}")))?;
        let console = child.stdout.take().expect("it is piped");
        let mut running = Running { child };
        let (send, lines) = std::sync::mpsc::channel();
        let log = at("console.log");
        let mut log = fs::File::create(&log).map_err(io(&log))?;
        std::thread::spawn(move || {
            let mut console = BufReader::new(console);
            let mut line = Vec::new();
            while console.by_ref().take(1 << 16).read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
                let _ = log.write_all(&line);
                let _ = send.send(String::from_utf8_lossy(&line).trim().to_owned());
                line.clear();
            }
        });
        let begin = Instant::now();
        let mut last = String::new();
        loop {
            let left = patience.saturating_sub(begin.elapsed());
            match lines.recv_timeout(left.min(Duration::from_secs(1))) {
                Ok(line) if line == "BOARD ready" => return Ok(running),
                Ok(line) => {
                    if let Some(key) = line.strip_prefix("BOARD key ") {
                        self.know(key, ports.ssh)?;
                    }
                    last = line;
                }
                Err(std::sync::mpsc::RecvTimeoutError::Timeout) if !left.is_zero() => {}
                Err(_) => {
                    let _ = running.child.kill();
                    let said = fs::read_to_string(&errors).unwrap_or_default();
                    return Err(VirtualError::Start(format!("{last} {}", said.trim())));
                }
            }
        }
    }

    /// Writes down the key that it said on its console, so that ssh can check it.
    fn know(&self, key: &str, port: u16) -> Result<(), VirtualError> {
        let (name, at) = (&self.name, |name: &str| self.folder.join(name));
        let known = at("known_hosts");
        fs::write(&known, format!("{name} {key}\n")).map_err(io(&known))?;
        let text = format!(
            "Host {name}\n  HostName 127.0.0.1\n  Port {port}\n  User root\n  HostKeyAlias {name}\n  \
             IdentityFile \"{}\"\n  IdentitiesOnly yes\n  UserKnownHostsFile \"{}\"\n  \
             GlobalKnownHostsFile /dev/null\n",
            at("user").display(),
            known.display()
        );
        let path = self.ssh_config();
        fs::write(&path, text).map_err(io(&path))
    }
}

/// Holds a picture before the camera: returns when it is seen. `rgb` is 640 × 480.
pub fn show(port: u16, rgb: &[u8]) -> Result<(), VirtualError> {
    let frame = yuyv(rgb);
    debug_assert_eq!(frame.len(), feed_bytes());
    let send = || {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        stream.write_all(&frame)?;
        let mut answer = [0; 6];
        stream.read_exact(&mut answer)
    };
    send().map_err(|e| VirtualError::Feed(e, port))
}

/// RGB as YUYV: ITU-R BT.601, limited range, two pixels to a sample of colour.
fn yuyv(rgb: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(rgb.len() / 3 * 2);
    for two in rgb.chunks_exact(6) {
        let luma = |p: &[u8]| {
            let [r, g, b] = [0, 1, 2].map(|i| f32::from(p[i]));
            (16.0 + (65.481 * r + 128.553 * g + 24.966 * b) / 255.0).round() as u8
        };
        let [r, g, b] = [0, 1, 2].map(|i| (f32::from(two[i]) + f32::from(two[i + 3])) / 2.0);
        let u = (128.0 + (-37.797 * r - 74.203 * g + 112.0 * b) / 255.0).round() as u8;
        let v = (128.0 + (112.0 * r - 93.786 * g - 18.214 * b) / 255.0).round() as u8;
        frame.extend([luma(&two[..3]), u, luma(&two[3..]), v]);
    }
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_those_of_the_standard() {
        assert_eq!(yuyv(&[255, 255, 255, 0, 0, 0]), [235, 128, 16, 128]);
        assert_eq!(yuyv(&[255, 0, 0, 255, 0, 0]), [81, 90, 81, 240]);
        assert_eq!(yuyv(&[0, 0, 255, 0, 0, 255]), [41, 240, 41, 110]);
    }
}
