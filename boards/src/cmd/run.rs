//! `boards run`: boots an emulated board on this machine.

use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde::Serialize;

use super::flash_mcu::program;
use super::{Failure, Talk, board};
use crate::source;
use crate::virtual_board::{Ports, VirtualBoard, end_with_us};
use foldnet_catalogue::Board;

/// Boot an emulated board on this machine
///
/// The board runs in QEMU until you press Ctrl-C. A Linux board is built at its first start: its programs come from
/// this checkout (which needs `rustup target add aarch64-unknown-linux-musl`) and its system from Debian's packages
/// (about 70 MB). `boards flash BOARD ARCHIVE` then reaches it without --host. A microcontroller starts with the
/// archive in its firmware.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  boards run qemu-virt-camera\n  boards run qemu-mps2-an386 model.nnef.tgz"
)]
pub struct Cmd {
    /// Emulated board in the catalogue
    #[arg(value_name = "BOARD")]
    name: String,
    /// Microcontrollers only: archive, or plan from `converter export`
    archive: Option<PathBuf>,
    /// Folder for the board's disk and keys [default: ~/.local/state/foldnet/BOARD]
    #[arg(long, value_name = "FOLDER")]
    state: Option<PathBuf>,
    /// Processor: cortex-a53, cortex-a76 (dot product) or max (i8mm)
    #[arg(long, value_name = "NAME", help_heading = "Emulation")]
    cpu: Option<String>,
    /// Initial time of the board's clock: utc, or a date such as 1970-01-01
    #[arg(long, value_name = "DATE", default_value = "utc", help_heading = "Emulation")]
    clock: String,
    /// Local port for ssh
    #[arg(long, value_name = "PORT", default_value_t = 10022, help_heading = "Ports")]
    ssh_port: u16,
    /// Local port for the board's page
    #[arg(long, value_name = "PORT", default_value_t = 10080, help_heading = "Ports")]
    page_port: u16,
    /// Local port that takes images for the board's camera (`boards picture`)
    #[arg(long, value_name = "PORT", default_value_t = 10081, help_heading = "Ports")]
    feed_port: u16,
    /// Microcontrollers only: local port for the serial line
    #[arg(long, value_name = "PORT", default_value_t = 10085, help_heading = "Ports")]
    serial_port: u16,
    /// Time limit for the start
    #[arg(long, value_name = "SECONDS", default_value_t = 300, help_heading = "Emulation")]
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
            return Err(Failure::input(format!(
                "{} is a microcontroller, so its firmware contains the network. Name the archive: `boards run {} ARCHIVE`",
                board.name, board.id
            )));
        };
        let program = program(board, archive)?;
        let mut qemu = Command::new("qemu-system-arm");
        qemu.args(["-M", machine, "-display", "none", "-monitor", "none", "-icount", "shift=0,sleep=off"]);
        qemu.arg("-serial").arg(format!("tcp:127.0.0.1:{},server=on,wait=off", self.serial_port));
        qemu.arg("-kernel").arg(program);
        end_with_us(&mut qemu);
        let mut child = qemu.spawn().map_err(|e| {
            Failure::input(format!("qemu-system-arm: {e}. Debian: apt-get install qemu-system-arm"))
        })?;
        // Its line is open once someone gets through.
        while TcpStream::connect(("127.0.0.1", self.serial_port)).is_err() {
            if let Some(status) = child.try_wait().map_err(|e| Failure::internal(e.to_string()))? {
                return Err(Failure::input(format!(
                    "qemu-system-arm ended at once ({status}); its message is above"
                )));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let port = format!("tcp:127.0.0.1:{}", self.serial_port);
        let text = format!("started. boards classify --port {port} IMAGE");
        talk.result(&McuReady { board: board.id.clone(), port }, text)?;
        child.wait().map_err(|e| Failure::internal(e.to_string()))?;
        Ok(())
    }

    /// See the module.
    pub fn run(self, talk: &Talk) -> Result<(), Failure> {
        let board = board(Some(&self.name), talk)?;
        let Some(qemu) = &board.qemu else {
            return Err(Failure::input(format!(
                "{} cannot be emulated. `boards list` marks the boards that can",
                board.name
            )));
        };
        let Some(linux) = &board.linux else { return self.mcu(&board, &qemu.machine, talk) };
        let own = VirtualBoard::new(&board.id, self.state);
        talk.say("building the board's programs …");
        let programs = source::programs(linux.target.get_ref(), true)?;
        talk.say("preparing kernel, disk and keys …");
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
        talk.result(&ready, text)?;
        let status = running.child.wait().map_err(|e| Failure::internal(e.to_string()))?;
        talk.say(format!("the board has stopped: {status}"));
        Ok(())
    }
}
