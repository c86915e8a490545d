//! `boards rollout`: brings an archive to a fleet.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Mutex;

use foldnet_cli::printable;

use super::flash::Load;
use super::reach::Ssh;
use super::{Failure, Talk, board};
use crate::fleet::inventory::{self, Device};
use crate::fleet::log::{Line, Log, LogError};
use crate::fleet::rollout::{Limits, run, share};
use crate::remote::flash::{Package, flash};

/// Flash an archive to many boards
///
/// Each board is flashed as by `boards flash` and returns to its old release if the new one fails there. Run the same
/// command again to continue after an interruption. Exit codes: 0 all boards are done; 3 stopped after too many
/// failures; 4 some boards failed, no more than allowed.
#[derive(clap::Args)]
#[command(group(clap::ArgGroup::new("which").required(true)))]
#[command(
    after_help = "Examples:\n  boards rollout fleet.toml model.nnef.tgz --all --canary 5% --max-failures 2\n  \
                        boards rollout fleet.toml model.nnef.tgz --only door,garden"
)]
pub struct Cmd {
    /// Inventory: a TOML file that lists the boards
    inventory: PathBuf,
    /// Archive from `converter quantize`
    archive: PathBuf,
    /// Flash every board of the inventory
    #[arg(long, group = "which")]
    all: bool,
    /// Flash only these boards
    #[arg(long, group = "which", value_name = "NAME,…", value_delimiter = ',')]
    only: Option<Vec<String>>,
    /// Number of boards to flash at the same time
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=256))]
    parallel: u16,
    /// Number or share of boards that go first; all of them must succeed
    #[arg(long, value_name = "N%", default_value = "5%")]
    canary: String,
    /// Stop after more failures than this
    #[arg(long, value_name = "N", default_value_t = 0)]
    max_failures: usize,
    /// File that records which boards are done [default: INVENTORY with the ending .log.jsonl]
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
        let canaries = share(&self.canary, devices.len()).ok_or_else(|| {
            Failure::input(format!("--canary {}: expected a share (5%) or a number (2)", self.canary))
        })?;
        let limits = Limits {
            parallel: self.parallel.into(),
            // Those that are done have shown what canaries show.
            canaries: canaries.saturating_sub(before.len()),
            max_failures: self.max_failures,
        };
        let log = Mutex::new(log);
        let unwritten = Mutex::new(None);
        let mut tally = run(&left, limits, |device| {
            let (done, told) = self.one(device, &packages, &log, talk)?;
            // A roll-out goes on when nobody reads its results any more.
            if let Err(failure) = told {
                unwritten.lock().expect("no thread panics with it").get_or_insert(failure);
            }
            Ok::<_, LogError>(done)
        })?;
        (tally.devices, tally.before) = (devices.len(), devices.len() - left.len());
        let text = format!(
            "{} boards: {} already done, {} done, {} failed, {} untouched",
            tally.devices, tally.before, tally.done, tally.failed, tally.untouched
        );
        talk.result(&tally, &text)?;
        if let Some(failure) = unwritten.into_inner().expect("no thread panics with it") {
            return Err(failure);
        }
        match (tally.stopped, tally.failed) {
            (true, _) => Err(Failure::limit(format!("stopped: {text}"))),
            (false, 0) => Ok(()),
            (false, _) => Err(Failure::board(text)),
        }
    }

    /// Flashes one board and writes down how it went; whether it is done, and whether that could be printed.
    fn one(
        &self,
        device: &Device,
        packages: &HashMap<&str, Package>,
        log: &Mutex<Log>,
        talk: &Talk,
    ) -> Result<(bool, Result<(), Failure>), LogError> {
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
        let text = format!("{:<24} {} {}", printable(&line.device), line.outcome, printable(words));
        Ok((done.is_ok(), talk.result(&line, text).and_then(|()| talk.flush())))
    }
}
