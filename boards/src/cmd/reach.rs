//! What the commands for Linux boards share: where the board is, and what it said.

use std::path::PathBuf;

use serde::Serialize;

use super::{Failure, Talk};
use crate::board::Board;
use crate::protocol::{Event, Request, Service, Slot, Status};
use crate::remote::flash::{agent, ask};
use crate::remote::ssh::{ErrorLine, Host, RemoteError};
use crate::virtual_board::VirtualBoard;

/// Where a board is.
#[derive(clap::Args, Clone)]
pub struct Reach {
    /// Where it is: [user@]host, or a name in ssh's configuration
    #[arg(long, value_name = "HOST")]
    pub host: Option<String>,
    /// ssh's port
    #[arg(long, value_name = "N")]
    pub port: Option<u16>,
    #[command(flatten)]
    pub ssh: Ssh,
    /// The folder on the board, below the home folder unless absolute
    #[arg(long, value_name = "FOLDER")]
    pub root: Option<String>,
    /// For a virtual board: the folder that it lives in, as for `boards run`
    #[arg(long, value_name = "FOLDER")]
    pub state: Option<PathBuf>,
}

/// How ssh is called, and what it brings.
#[derive(clap::Args, Clone)]
pub struct Ssh {
    /// Private key
    #[arg(long, value_name = "FILE")]
    pub identity: Option<PathBuf>,
    /// ssh's configuration, in place of yours
    #[arg(long, value_name = "FILE")]
    pub ssh_config: Option<PathBuf>,
    /// Believe the key of a host that was never seen before; a changed key is always refused
    #[arg(long)]
    pub accept_new_host_key: bool,
    /// Folder with `runtime` and `foldnet-agent` for the board; by default where `boards build` puts them
    #[arg(long, value_name = "FOLDER")]
    pub binaries: Option<PathBuf>,
}

impl Reach {
    /// The host to talk to: as the flags say, or the virtual board that `boards run` keeps.
    pub fn host(&self, board: &Board) -> Result<Host, Failure> {
        let host = |name: String| self.ssh.host(name, self.port, self.root.clone());
        match (&self.host, &board.qemu) {
            (Some(name), _) => Ok(host(name.clone())),
            (None, Some(_)) => {
                let own = VirtualBoard::new(&board.id, self.state.clone()).ssh_config();
                let mut host = host(board.id.clone());
                if host.config.is_none() && !own.is_file() {
                    let words = format!("{} was never started; `boards run {}` does", board.name, board.id);
                    return Err(Failure::Input(words));
                }
                host.config.get_or_insert(own);
                Ok(host)
            }
            (None, None) => Err(Failure::Input("say where it is: --host [user@]host".into())),
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
    talk.result(&line, "");
    match error {
        RemoteError::Refused { status, .. } => {
            let runs = status.current.as_ref().map_or("nothing".into(), name);
            Failure::Board(format!("{error}. What runs there: {runs}"))
        }
        RemoteError::Protocol { .. } => Failure::Fault(error.to_string()),
        _ => Failure::Input(error.to_string()),
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
pub fn tell(host: &str, status: &Status, talk: &Talk) {
    let service = match status.service {
        Service::None => "no service",
        Service::Running => "its camera service is up",
        Service::Failing => "its camera service is NOT up",
    };
    let current =
        status.current.as_ref().map_or("nothing is installed".into(), |c| format!("{} runs", name(c)));
    let mut text = format!("{host}: {current}; {service}");
    if let Some(previous) = &status.previous {
        text += &format!("\nbefore it: {}", name(previous));
    }
    if let Some(last) = &status.last {
        text += &format!("\nlast change: {last}");
    }
    if status.signed_only {
        text += "\nonly signed archives are taken";
    }
    talk.result(&StatusLine { host, status }, text);
}
