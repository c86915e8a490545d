//! What the commands for Linux boards share: how a board is reached, and its status.

use std::path::PathBuf;

use serde::Serialize;

use super::{Failure, Talk};
use crate::protocol::{Event, Request, Service, Slot, Status};
use crate::remote::flash::{agent, ask};
use crate::remote::ssh::{ErrorLine, Host, RemoteError};
use crate::virtual_board::VirtualBoard;
use foldnet_catalogue::Board;

/// Where a board is.
#[derive(clap::Args, Clone)]
#[command(next_help_heading = "Connection")]
pub struct Reach {
    /// Address of the board: [user@]host, or a name from ssh's configuration
    #[arg(long, value_name = "HOST")]
    pub host: Option<String>,
    /// Port of the ssh server
    #[arg(long, value_name = "N")]
    pub port: Option<u16>,
    #[command(flatten)]
    pub ssh: Ssh,
    /// Folder on the board, relative to the home folder [default: .local/share/foldnet]
    #[arg(long, value_name = "FOLDER")]
    pub root: Option<String>,
    /// Virtual boards only: the folder given to `boards run`
    #[arg(long, value_name = "FOLDER")]
    pub state: Option<PathBuf>,
}

/// How ssh is called, and where the board's programs are.
#[derive(clap::Args, Clone)]
#[command(next_help_heading = "Connection")]
pub struct Ssh {
    /// Private key for ssh
    #[arg(long, value_name = "FILE")]
    pub identity: Option<PathBuf>,
    /// Configuration file for ssh, instead of yours
    #[arg(long, value_name = "FILE")]
    pub ssh_config: Option<PathBuf>,
    /// Accept the key of an unknown host (a changed key is always refused)
    #[arg(long)]
    pub accept_new_host_key: bool,
    /// Folder that contains the board's programs [default: where `boards build` puts them]
    #[arg(long, value_name = "FOLDER")]
    pub binaries: Option<PathBuf>,
}

impl Reach {
    /// The host to talk to: as given by the options, or the virtual board of `boards run`.
    pub fn host(&self, board: &Board) -> Result<Host, Failure> {
        let host = |name: String| self.ssh.host(name, self.port, self.root.clone());
        match (&self.host, &board.qemu) {
            (Some(name), _) => Ok(host(name.clone())),
            (None, Some(_)) => {
                let own = VirtualBoard::new(&board.id, self.state.clone()).ssh_config();
                let mut host = host(board.id.clone());
                if host.config.is_none() && !own.is_file() {
                    let words = format!(
                        "{} has not been started yet. Start it with `boards run {}`",
                        board.name, board.id
                    );
                    return Err(Failure::input(words));
                }
                host.config.get_or_insert(own);
                Ok(host)
            }
            (None, None) => {
                Err(Failure::input(format!("no address given for {}. Add --host [user@]host", board.name)))
            }
        }
    }

    /// Asks a board something.
    pub fn ask(&self, board: &Board, request: &Request, talk: &Talk) -> Result<Event, Failure> {
        let agent = agent(board, self.ssh.binaries.as_deref())?;
        let host = self.host(board)?;
        let mut say = |what: &str| talk.say(what);
        ask(&host, &agent, request, &mut say).map_err(|e| failure(&e, &host.name, talk))
    }
}

impl Ssh {
    /// A host reached this way.
    pub fn host(&self, name: String, port: Option<u16>, root: Option<String>) -> Host {
        Host {
            name,
            port,
            identity: self.identity.clone(),
            config: self.ssh_config.clone(),
            accept_new: self.accept_new_host_key,
            root,
        }
    }
}

/// An error as the program ends with it.
pub fn failure(error: &RemoteError, host: &str, talk: &Talk) -> Failure {
    let line = ErrorLine { host, error: error.kind(), message: error.to_string() };
    if let Err(unwritten) = talk.result(&line, "") {
        return unwritten;
    }
    match error {
        RemoteError::Refused { status, .. } => {
            let runs = status.current.as_ref().map_or("nothing".into(), name);
            Failure::board(format!("{host} refused the change: {error}. It still runs {runs}"))
        }
        RemoteError::Protocol { .. } => Failure::internal(error.to_string()),
        _ => Failure::input(error.to_string()),
    }
}

fn name(slot: &Slot) -> String {
    format!("release {} (number {}, slot {})", slot.release, slot.serial, slot.slot)
}

#[derive(Serialize)]
struct StatusLine<'a> {
    host: &'a str,
    #[serde(flatten)]
    status: &'a Status,
}

/// Tells what runs on a board.
pub fn tell(host: &str, status: &Status, talk: &Talk) -> Result<(), Failure> {
    let service = match status.service {
        Service::None => "no service",
        Service::Running => "camera service running",
        Service::Failing => "camera service NOT running",
    };
    let current =
        status.current.as_ref().map_or("nothing is installed".into(), |c| format!("runs {}", name(c)));
    let mut text = format!("{host}: {current}; {service}");
    if let Some(previous) = &status.previous {
        text += &format!("\nprevious: {}", name(previous));
    }
    if let Some(last) = &status.last {
        text += &format!("\nlast change: {last}");
    }
    if status.signed_only {
        text += "\naccepts only signed archives";
    }
    talk.result(&StatusLine { host, status }, text)
}
