//! `boards flash` for microcontrollers: firmware around a plan, or a program as it is, by probe-rs or as a UF2
//! file.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Serialize;

use super::{Failure, Talk};
use crate::{fit, source, uf2};
use foldnet_catalogue::Board;

#[derive(Serialize)]
struct Outcome {
    board: String,
    program: PathBuf,
    by: &'static str,
}

/// Builds a microcontroller's firmware around a plan, or around what an archive compiles to, if it fits.
pub fn program(board: &Board, file: &Path) -> Result<PathBuf, Failure> {
    let plan = fit::plan_for(board, file)?;
    let why = foldnet_catalogue::misfits(&fit::plan_needs(&plan, file)?, board);
    if !why.is_empty() {
        return Err(Failure::limit(why.join("; ")));
    }
    Ok(source::firmware(board, &plan)?)
}

/// The program that the file is, built for a microcontroller already, or what [`program`] builds of it.
fn built(board: &Board, file: &Path) -> Result<PathBuf, Failure> {
    let mut magic = Vec::new();
    let read = foldnet_archive::open_file(file).and_then(|f| f.take(4).read_to_end(&mut magic));
    read.map_err(|e| Failure::input(format!("{}: {e}", file.display())))?;
    if magic == *b"\x7fELF" { Ok(file.to_path_buf()) } else { program(board, file) }
}

/// Builds the firmware, unless it is given, and puts it on the board: as a UF2 file into `drive`, where the
/// boot loader's drive is mounted, else by probe-rs.
pub fn flash(board: &Board, file: &Path, drive: Option<&Path>, talk: &Talk) -> Result<(), Failure> {
    let program = built(board, file)?;
    let mcu = board.mcu.as_ref().expect("it is one");
    let io = |path: &Path, e: std::io::Error| Failure::input(format!("{}: {e}", path.display()));
    let by = match (drive, mcu.uf2_family, &mcu.probe_rs) {
        (Some(drive), Some(family), _) => {
            // Every UF2 boot loader says what it is in this file.
            let says = drive.join("INFO_UF2.TXT");
            if !std::fs::read(&says).map_err(|e| io(&says, e))?.starts_with(b"UF2 Bootloader") {
                let words = format!(
                    "--drive {}: not the drive of a UF2 boot loader. Hold BOOTSEL while you plug the board in, and name the \
                     folder that contains INFO_UF2.TXT",
                    drive.display()
                );
                return Err(Failure::input(words));
            }
            let elf = std::fs::read(&program).map_err(|e| io(&program, e))?;
            let path = drive.join("foldnet.uf2");
            // Written straight: the drive knows no renaming, and takes whole blocks as they come.
            let mut file = File::create(&path).map_err(|e| io(&path, e))?;
            file.write_all(&uf2::uf2(&elf, family)?).map_err(|e| io(&path, e))?;
            // With the last block the chip starts and the drive is gone, perhaps before it answers.
            let _ = file.sync_all();
            "uf2"
        }
        (Some(_), None, _) => {
            return Err(Failure::input(format!(
                "{} has no UF2 boot loader; leave out --drive to flash it with probe-rs",
                board.name
            )));
        }
        (None, _, Some(chip)) => {
            // probe-rs reads the program itself, but not what it is for.
            uf2::segments(&std::fs::read(&program).map_err(|e| io(&program, e))?)?;
            for action in ["download", "reset"] {
                let mut probe = Command::new("probe-rs");
                probe.args([action, "--chip", chip]);
                if action == "download" {
                    probe.arg(&program);
                }
                match probe.status() {
                    Ok(status) if status.success() => {}
                    Ok(status) => {
                        return Err(Failure::board(format!(
                            "probe-rs {action} failed ({status}); its message is above"
                        )));
                    }
                    Err(e) => {
                        return Err(Failure::input(format!(
                            "cannot start probe-rs: {e}. Install it with `cargo install probe-rs-tools`, or use --drive for a \
                             board with a UF2 boot loader"
                        )));
                    }
                }
            }
            "probe-rs"
        }
        (None, _, None) => {
            return Err(Failure::input(format!("the catalogue knows no way to flash {}", board.name)));
        }
    };
    let text = format!("flashed {} to {} ({by})", program.display(), board.name);
    talk.result(&Outcome { board: board.id.clone(), program, by }, text)?;
    Ok(())
}
