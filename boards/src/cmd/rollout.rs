//! `boards rollout`: an archive to a fleet.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Mutex;

use super::flash::Load;
use super::reach::Ssh;
use super::{Failure, Talk, board};
use crate::fleet::inventory::{self, Device};
use crate::fleet::log::{Line, Log, LogError};
use crate::fleet::rollout::{Limits, run, share};
use crate::remote::flash::{Package, flash};

/// Bring an archive to many boards
///
/// Each is flashed as `boards flash` does it, and takes back what does not work. Exit code 0: all are
/// done; 4: some failed, no more than allowed; 3: it stopped because of failures. The same command again
/// goes on where it stopped.
#[derive(clap::Args)]
#[command(group(clap::ArgGroup::new("which").required(true)))]
pub struct Cmd {
    /// The inventory: a file that names the boards
    inventory: PathBuf,
    /// The archive that `converter quantize` wrote
    archive: PathBuf,
    /// Every board of the inventory
    #[arg(long, group = "which")]
    all: bool,
    /// Only these, by name
    #[arg(long, group = "which", value_name = "NAME,…", value_delimiter = ',')]
    only: Option<Vec<String>>,
    /// Boards at a time
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=256))]
    parallel: u16,
    /// Boards that go first, a share or a number; all of them must succeed
    #[arg(long, value_name = "N%", default_value = "5%")]
    canary: String,
    /// Stop when more boards than this have failed
    #[arg(long, value_name = "N", default_value_t = 0)]
    max_failures: usize,
    /// What is done is written here; by default beside the inventory
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    #[command(flatten)]
    ssh: Ssh,
    #[command(flatten)]
    load: Load,
}

impl Cmd {
    /// See the module.
    pub fn run(self, talk: &Talk) -> Result<(), Failure> {
        let devices = inventory::read(&self.inventory, self.only.as_deref())?;
        let mut packages: HashMap<&str, Package> = HashMap::new();
        for device in &devices {
            if !packages.contains_key(device.board.as_str()) {
                let board = board(Some(&device.board), talk)?;
                let package = self.load.package(&board, &self.archive, self.ssh.binaries.as_deref())?;
                packages.insert(&device.board, package);
            }
        }
        let releases: BTreeMap<String, String> =
            packages.iter().map(|(board, p)| ((*board).to_owned(), p.release.id())).collect();
        let log = self.log.clone().unwrap_or_else(|| self.inventory.with_extension("log.jsonl"));
        let (log, before) = Log::open(&log, releases)?;
        let left: Vec<Device> = devices.iter().filter(|d| !before.contains(&d.name)).cloned().collect();
        let canaries = share(&self.canary, devices.len())
            .ok_or_else(|| Failure::Input(format!("--canary {}: a share as 5% or a number", self.canary)))?;
        let limits = Limits {
            parallel: self.parallel.into(),
            // Those that are done have shown what canaries show.
            canaries: canaries.saturating_sub(before.len()),
            max_failures: self.max_failures,
        };
        let log = Mutex::new(log);
        let mut tally = run(&left, limits, |device| self.one(device, &packages, &log, talk))?;
        (tally.devices, tally.before) = (devices.len(), devices.len() - left.len());
        let text = format!(
            "{} boards: {} done before, {} done, {} failed, {} not touched",
            tally.devices, tally.before, tally.done, tally.failed, tally.untouched
        );
        talk.result(&tally, &text);
        match (tally.stopped, tally.failed) {
            (true, _) => Err(Failure::Limit(format!("stopped: {text}"))),
            (false, 0) => Ok(()),
            (false, _) => Err(Failure::Board(text)),
        }
    }

    /// Flashes one board and writes down how it went.
    fn one(
        &self,
        device: &Device,
        packages: &HashMap<&str, Package>,
        log: &Mutex<Log>,
        talk: &Talk,
    ) -> Result<bool, LogError> {
        let package = &packages[device.board.as_str()];
        let host = self.ssh.host(device.host.clone(), device.port, device.root.clone());
        let done = flash(&host, package, &self.load.manner(), &mut |_| {});
        let line = Line {
            device: device.name.clone(),
            outcome: if done.is_ok() { "done" } else { "failed" }.into(),
            release: package.release.id(),
            error: done.as_ref().err().map(|e| e.kind()),
            message: done.as_ref().err().map(ToString::to_string),
        };
        log.lock().expect("no thread panics with it").add(&line)?;
        let words = line.message.as_deref().unwrap_or_default();
        talk.result(&line, format!("{:<24} {} {words}", line.device, line.outcome));
        Ok(done.is_ok())
    }
}
