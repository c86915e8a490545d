//! The program `converter`.

use std::process::ExitCode;

fn main() -> ExitCode {
    foldnet_converter::cmd::main()
}
