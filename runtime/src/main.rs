//! The program `runtime`.
//!
//! Exit codes: 0 done, 1 internal error, 2 bad input or usage, 3 a stated limit missed.

use std::process::ExitCode;

use clap::Parser;
use foldnet_cli::complete::Complete;
use foldnet_cli::{Flags, Output, Program};

mod cmd;

/// Classify images and a live camera with quantized networks
#[derive(Parser)]
#[command(name = "runtime", version, max_term_width = 100, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    flags: Flags,
}

foldnet_cli::commands! {
    enum Command(Output) {
        Classify(cmd::classify::Cmd),
        Camera(Box<cmd::camera::Cmd>),
        Devices(cmd::devices::Cmd),
        Teach(cmd::teach::Cmd),
        Bench(cmd::bench::Cmd),
        Inspect(cmd::inspect::Cmd),
        Verify(cmd::verify::Cmd),
        Kernels(cmd::kernels::Cmd),
        #[command(after_help = "Example:\n  runtime complete target/package")]
        Complete(Complete<Cli>),
    }
}

const PROGRAM: Program = Program { name: "runtime", classify: cmd::classify_error };

fn main() -> ExitCode {
    foldnet_cli::run(&PROGRAM, |cli: &Cli| cli.flags, |cli, output| cli.command.run(output))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
        // The former checks nothing in a release build.
        assert_eq!(foldnet_cli::problems(&Cli::command()), [""; 0]);
    }
}
