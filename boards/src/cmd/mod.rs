//! The program: one file per subcommand, each with `Cmd` and `run`.
//!
//! Results go to standard output (with `--json` as JSON), messages to standard error. Exit codes: 0 done,
//! 1 internal error, 2 bad input or usage, 3 a stated limit missed, 4 a board refused a change and runs on as before.

mod bench;
mod build;
mod classify;
mod doctor;
mod fit;
mod flash;
mod flash_mcu;
mod image;
mod keygen;
mod list;
mod picture;
mod reach;
mod rollback;
mod rollout;
mod run;
mod show;
mod status;
mod talk;
mod time;
mod trust;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use foldnet_archive::{Input, Resize};
use foldnet_cli::complete::Complete;
use foldnet_cli::{Exit, Flags, GLOBAL};
use foldnet_image::{Image, fit as fit_picture};

pub use foldnet_cli::Failure;
pub use talk::Talk;

use foldnet_catalogue as catalogue;
use foldnet_catalogue::Board;

/// Build, flash, check and roll out quantized networks on boards
#[derive(Parser)]
#[command(name = "boards", version, arg_required_else_help = true)]
pub struct Program {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    flags: Flags,
    /// Add a board to the catalogue: a TOML file, named after the board
    #[arg(long, global = true, value_name = "FILE", help_heading = GLOBAL)]
    board: Option<PathBuf>,
}

foldnet_cli::commands! {
    enum Command(Talk) {
        List(list::Cmd),
        Show(show::Cmd),
        Fit(fit::Cmd),
        Build(build::Cmd),
        Run(run::Cmd),
        Classify(classify::Cmd),
        Bench(bench::Cmd),
        #[command(after_help = "Example:\n  boards complete target/package")]
        Complete(Complete<Program>),
        Picture(picture::Cmd),
        Flash(flash::Cmd),
        Image(image::Cmd),
        Rollout(rollout::Cmd),
        Status(status::Cmd),
        Rollback(rollback::Cmd),
        Doctor(doctor::Cmd),
        Keygen(keygen::Cmd),
        Trust(trust::Cmd),
    }
}

/// The board of this name, or the one that `--board` brings.
fn board(name: Option<&str>, talk: &Talk) -> Result<Board, Failure> {
    if let Some(file) = &talk.board {
        let board = catalogue::from_file(file)?;
        if name.is_none_or(|n| n == board.id) {
            return Ok(board);
        }
    }
    let name = name
        .ok_or_else(|| Failure::input("no board given. Name one of `boards list`, or a file with --board"))?;
    Ok(catalogue::find(name)?)
}

/// The RGB pixels of an image stretched to this size, as the runtime stretches images.
fn pixels(path: &Path, width: usize, height: usize) -> Result<Vec<u8>, Failure> {
    let picture = Image::open(path).map_err(|e| Failure::input(format!("{}: {e}", path.display())))?;
    let input = Input {
        height,
        width,
        channels: 3,
        resize: Resize::Stretch,
        preprocess: String::new(),
        mean: vec![],
        std: vec![],
    };
    Ok(fit_picture(&picture, &input))
}

/// Parses the arguments, runs, reports.
pub fn main() -> ExitCode {
    const PROGRAM: foldnet_cli::Program =
        foldnet_cli::Program { name: "boards", classify: |_| Exit::BadInput };
    foldnet_cli::run(
        &PROGRAM,
        |program: &Program| program.flags,
        |program, output| {
            let talk = Talk { output: output.clone(), board: program.board };
            program.command.run(&talk)
        },
    )
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Program::command().debug_assert();
        // The former checks nothing in a release build.
        assert_eq!(foldnet_cli::problems(&Program::command()), [""; 0]);
    }
}
