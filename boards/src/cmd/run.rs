//! `boards run`: boots a virtual board here.

use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde::Serialize;

use super::flash_mcu::program;
use super::{Failure, Talk, board};
use crate::board::Board;
use crate::source;
use crate::virtual_board::{Ports, VirtualBoard, end_with_us};

/// Boot a virtual board here, until Ctrl-C
///
/// A Linux board is built from Debian's packages at its first start, about 70 MB; then
/// `boards flash NAME ARCHIVE` needs no --host. A microcontroller starts with an archive in it; then
/// `boards classify --port tcp:127.0.0.1:10085 IMAGE`.
#[derive(clap::Args)]
pub struct Cmd {
    /// A board of the catalogue that QEMU emulates
    name: String,
    /// For a microcontroller: the archive, or the plan that `converter export --plan` wrote
    archive: Option<PathBuf>,
    /// The folder that it lives in; by default ~/.local/state/foldnet/NAME
    #[arg(long, value_name = "FOLDER")]
    state: Option<PathBuf>,
    /// The processor to emulate: cortex-a53, cortex-a76 (with the dot product), max (with i8mm)
    #[arg(long, value_name = "NAME")]
    cpu: Option<String>,
    /// What its clock says at the start, as 1970-01-01; by default what the host's says
    #[arg(long, value_name = "DATE", default_value = "utc")]
    clock: String,
    /// The host's port that leads to its ssh
    #[arg(long, value_name = "N", default_value_t = 10022)]
    ssh_port: u16,
    /// The host's port that leads to its port 8080
    #[arg(long, value_name = "N", default_value_t = 10080)]
    page_port: u16,
    /// The host's port that takes pictures for its camera, see `boards picture`
    #[arg(long, value_name = "N", default_value_t = 10081)]
    feed_port: u16,
    /// For a microcontroller: the host's port that leads to its serial line
    #[arg(long, value_name = "N", default_value_t = 10085)]
    serial_port: u16,
    /// Seconds to wait for it to be ready
    #[arg(long, value_name = "N", default_value_t = 300)]
    wait: u64,
}

#[derive(Serialize)]
struct Ready {
    board: String,
    ssh_config: PathBuf,
    page: String,
    feed_port: u16,
}

#[derive(Serialize)]
struct McuReady {
    board: String,
    port: String,
}

impl Cmd {
    /// A microcontroller's machine, with its serial line on a port of the host's.
    fn mcu(&self, board: &Board, machine: &str, talk: &Talk) -> Result<(), Failure> {
        let Some(archive) = &self.archive else {
            return Err(Failure::Input(format!("{} needs an archive, or its plan", board.name)));
        };
        let program = program(board, archive)?;
        let mut qemu = Command::new("qemu-system-arm");
        qemu.args(["-M", machine, "-display", "none", "-monitor", "none", "-icount", "shift=0,sleep=off"]);
        qemu.arg("-serial").arg(format!("tcp:127.0.0.1:{},server=on,wait=off", self.serial_port));
        qemu.arg("-kernel").arg(program);
        end_with_us(&mut qemu);
        let mut child = qemu.spawn().map_err(|e| {
            Failure::Input(format!("qemu-system-arm: {e}. Debian: apt-get install qemu-system-arm"))
        })?;
        // Its line is open once someone gets through.
        while TcpStream::connect(("127.0.0.1", self.serial_port)).is_err() {
            if let Some(status) = child.try_wait().map_err(|e| Failure::Fault(e.to_string()))? {
                return Err(Failure::Input(format!("qemu-system-arm has ended: {status}")));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let port = format!("tcp:127.0.0.1:{}", self.serial_port);
        let text = format!("started. boards classify --port {port} IMAGE");
        talk.result(&McuReady { board: board.id.clone(), port }, text);
        child.wait().map_err(|e| Failure::Fault(e.to_string()))?;
        Ok(())
    }

    /// See the module.
    pub fn run(self, talk: &Talk) -> Result<(), Failure> {
        let board = board(Some(&self.name), talk)?;
        let Some(qemu) = &board.qemu else {
            return Err(Failure::Input(format!("{} is no virtual board", board.name)));
        };
        let Some(linux) = &board.linux else { return self.mcu(&board, &qemu.machine, talk) };
        let own = VirtualBoard::new(&board.id, self.state);
        talk.say("its programs …");
        let programs = source::programs(linux.target.get_ref(), true)?;
        talk.say("its kernel, disk and keys …");
        own.build(&programs.join("foldnet-feed"))?;
        let cpu = self.cpu.or_else(|| qemu.cpu.clone()).unwrap_or_else(|| "max".into());
        let ports = Ports { ssh: self.ssh_port, page: self.page_port, feed: self.feed_port };
        talk.say("starting …");
        let mut running = own.start(&cpu, &self.clock, ports, Duration::from_secs(self.wait))?;
        let ready = Ready {
            board: board.id.clone(),
            ssh_config: own.ssh_config(),
            page: format!("http://127.0.0.1:{}/", ports.page),
            feed_port: ports.feed,
        };
        let text = format!(
            "ready. ssh -F {} {}; boards flash {} ARCHIVE; page: {}",
            ready.ssh_config.display(),
            board.id,
            board.id,
            ready.page
        );
        talk.result(&ready, text);
        let status = running.child.wait().map_err(|e| Failure::Fault(e.to_string()))?;
        talk.say(format!("it has ended: {status}"));
        Ok(())
    }
}
