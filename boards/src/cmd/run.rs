//! `boards run`: boots a virtual board here.

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use super::{Failure, Talk, board};
use crate::source;
use crate::virtual_board::{Ports, VirtualBoard};

/// Boot a virtual board here, until Ctrl-C
///
/// The first start builds it from Debian's packages, about 70 MB. Then `boards flash NAME ARCHIVE` needs
/// no --host.
#[derive(clap::Args)]
pub struct Cmd {
    /// A board of the catalogue that QEMU emulates
    name: String,
    /// The folder that it lives in; by default ~/.local/state/foldnet/NAME
    #[arg(long, value_name = "FOLDER")]
    state: Option<PathBuf>,
    /// The processor to emulate: cortex-a53, cortex-a76 (with the dot product), max (with i8mm)
    #[arg(long, value_name = "NAME")]
    cpu: Option<String>,
    /// The host's port that leads to its ssh
    #[arg(long, value_name = "N", default_value_t = 10022)]
    ssh_port: u16,
    /// The host's port that leads to its port 8080
    #[arg(long, value_name = "N", default_value_t = 10080)]
    page_port: u16,
    /// The host's port that takes pictures for its camera, see `boards picture`
    #[arg(long, value_name = "N", default_value_t = 10081)]
    feed_port: u16,
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

impl Cmd {
    /// See the module.
    pub fn run(self, talk: &Talk) -> Result<(), Failure> {
        let board = board(Some(&self.name), talk)?;
        let (Some(qemu), Some(linux)) = (&board.qemu, &board.linux) else {
            return Err(Failure::Input(format!("{} is no virtual Linux board", board.name)));
        };
        let own = VirtualBoard::new(&board.id, self.state);
        talk.say("its programs …");
        let programs = source::programs(&board, linux.target.get_ref())?;
        talk.say("its kernel, disk and keys …");
        own.build(&programs.join("foldnet-feed"))?;
        let cpu = self.cpu.or_else(|| qemu.cpu.clone()).unwrap_or_else(|| "max".into());
        let ports = Ports { ssh: self.ssh_port, page: self.page_port, feed: self.feed_port };
        talk.say("starting …");
        let mut running = own.start(&cpu, ports, Duration::from_secs(self.wait))?;
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
