//! `boards flash`: an archive to a board.

use std::path::PathBuf;

use super::reach::{Reach, failure, tell};
use super::{Failure, Talk, board};
use crate::fit;
use crate::remote::flash::{Manner, Package, Parts, flash};

/// Bring an archive to a board
///
/// Over ssh: the runtime, the archive and its service go to the slot that is not in use; checksums are
/// verified there, the first classification must work, then the board switches, and goes back by itself
/// when the service does not hold. Needs no root, and touches nothing there beside its own folder and, where
/// systemd keeps it, its unit.
///
/// For a microcontroller the archive is compiled to a plan and the firmware is built around it, from the
/// sources that you stand in, unless a built program is given; it is written by probe-rs, or as a UF2 file
/// where its boot loader's drive is mounted.
#[derive(clap::Args)]
pub struct Cmd {
    /// The board's name in the catalogue
    name: String,
    /// The archive that `converter quantize` wrote; for a microcontroller also the plan of `converter export`, or
    /// a program that was built in firmware/
    archive: PathBuf,
    /// For a Pico 2: where the drive of its boot loader is mounted
    #[arg(long, value_name = "FOLDER")]
    drive: Option<PathBuf>,
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    load: Load,
}

/// What is brought, and how.
#[derive(clap::Args, Clone)]
pub struct Load {
    /// The archive's signature; by default ARCHIVE.minisig if it is there
    #[arg(long, value_name = "FILE")]
    signature: Option<PathBuf>,
    /// Fill and try the slot, but start no camera service
    #[arg(long)]
    no_service: bool,
    /// Flash even if the board says that it is another one
    #[arg(long)]
    any_board: bool,
    /// Do not read the archive here first; the board will find out
    #[arg(long)]
    unchecked: bool,
    /// Seconds for the first classification, and for the service to come up
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=3600))]
    health_seconds: u32,
    /// Seconds that the service must then stay up
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(0..=3600))]
    settle_seconds: u32,
    /// How often a broken connection is taken up again
    #[arg(long, value_name = "N", default_value_t = 5)]
    retries: u32,
    /// Arguments of `runtime camera` on the board, behind `--`
    #[arg(last = true, value_name = "ARGUMENT")]
    args: Vec<String>,
}

impl Load {
    /// What goes into a package for this board.
    pub fn package(
        &self,
        board: &crate::board::Board,
        archive: &std::path::Path,
        binaries: Option<&std::path::Path>,
    ) -> Result<Package, Failure> {
        if !self.unchecked {
            let why = fit::misfits(&fit::needs(archive, board)?, board);
            if !why.is_empty() {
                return Err(Failure::Limit(why.join("; ")));
            }
        }
        // A camera that is not plugged in yet is waited for, so that it does not count against a release.
        let mut args = vec!["--wait".to_owned()];
        args.extend(self.args.iter().filter(|a| *a != "--wait").cloned());
        Ok(Package::new(&Parts {
            board,
            archive,
            signature: self.signature.as_deref(),
            binaries,
            args: &args,
            service: !self.no_service,
            unchecked: self.unchecked,
        })?)
    }

    /// How it is brought.
    pub fn manner(&self) -> Manner {
        Manner {
            any_board: self.any_board,
            health_seconds: self.health_seconds,
            settle_seconds: self.settle_seconds,
            retries: self.retries,
        }
    }
}

impl Cmd {
    /// See the module.
    pub fn run(self, talk: &Talk) -> Result<(), Failure> {
        let board = board(Some(&self.name), talk)?;
        if board.mcu.is_some() {
            return super::flash_mcu::flash(&board, &self.archive, self.drive.as_deref(), talk);
        }
        let package = self.load.package(&board, &self.archive, self.reach.ssh.binaries.as_deref())?;
        let host = self.reach.host(&board)?;
        let mut say = |what: &str| talk.say(what);
        let status = flash(&host, &package, &self.load.manner(), &mut say)
            .map_err(|e| failure(&e, &host.name, talk))?;
        tell(&host.name, &status, talk);
        Ok(())
    }
}
