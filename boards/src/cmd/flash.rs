//! `boards flash`: brings an archive to a board.

use std::path::PathBuf;

use super::reach::{Reach, failure, tell};
use super::{Failure, Talk, board};
use crate::fit;
use crate::remote::flash::{Manner, Package, Parts, flash};

/// Flash an archive to a board
///
/// Linux boards: copies `runtime` and the archive over ssh to the slot that is not in use, verifies their checksums,
/// classifies a first image, runs `runtime verify` and only then switches to the new slot. If the camera service does
/// not stay up, the board returns to the old slot by itself. This needs no root, and changes only Foldnet's own folder
/// and its systemd unit.
///
/// Microcontrollers: compiles the archive, builds the firmware around it from the checkout (or takes a program that is
/// built already), and writes it with probe-rs, or as a UF2 file to the drive of the boot loader.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  boards flash rock-5b model.nnef.tgz --host user@board\n  \
                        boards flash qemu-virt-camera model.nnef.tgz -- --listen 0.0.0.0:8080 --token a-long-secret\n  \
                        boards flash rp2350-pico2 model.nnef.tgz --drive /media/$USER/RP2350")]
pub struct Cmd {
    /// Board in the catalogue
    #[arg(value_name = "BOARD")]
    name: String,
    /// Archive from `converter quantize`; for microcontrollers also a plan or a built program
    archive: PathBuf,
    /// Pico 2 only: folder where the drive of its boot loader is mounted
    #[arg(long, value_name = "FOLDER")]
    drive: Option<PathBuf>,
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    load: Load,
}

/// What is flashed, and how.
#[derive(clap::Args, Clone)]
#[command(next_help_heading = "Release")]
pub struct Load {
    /// Signature of the archive [default: ARCHIVE.minisig, if it exists]
    #[arg(long, value_name = "FILE")]
    signature: Option<PathBuf>,
    /// Test the release, but do not start the camera service
    #[arg(long)]
    no_service: bool,
    /// Flash even if the board reports another model
    #[arg(long)]
    any_board: bool,
    /// Do not check the archive before sending it
    #[arg(long)]
    unchecked: bool,
    /// Time limit for the first classification and for the start of the service
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=3600))]
    health_seconds: u32,
    /// Time that the service must then stay up
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u32).range(0..=3600))]
    settle_seconds: u32,
    /// Number of times to resume a broken connection
    #[arg(long, value_name = "N", default_value_t = 5)]
    retries: u32,
    /// Arguments for `runtime camera` on the board, after `--`
    #[arg(last = true, value_name = "ARGUMENT", help_heading = "Arguments")]
    args: Vec<String>,
}

impl Load {
    /// Gathers the package for this board.
    pub fn package(
        &self,
        board: &foldnet_catalogue::Board,
        archive: &std::path::Path,
        binaries: Option<&std::path::Path>,
    ) -> Result<Package, Failure> {
        if !self.unchecked {
            let why = foldnet_catalogue::misfits(&fit::needs(archive, board)?, board);
            if !why.is_empty() {
                return Err(Failure::limit(why.join("; ")));
            }
        }
        // With --wait, a camera that is not plugged in yet does not make the release fail.
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

    /// How the package is flashed.
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
        tell(&host.name, &status, talk)?;
        Ok(())
    }
}
