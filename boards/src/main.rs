//! The program `boards`.

use std::process::ExitCode;

fn main() -> ExitCode {
    foldnet_boards::cmd::main()
}
