//! The program `runtime`.
//!
//! Exit codes: 0 done, 1 a fault of ours, 2 bad input or usage, 3 a stated limit missed.

use std::process::ExitCode;

use clap::Parser;

mod cmd;

use cmd::{Failure, Voice};

#[derive(Parser)]
#[command(name = "runtime", version, about, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    voice: Voice,
}

#[derive(clap::Subcommand)]
enum Command {
    Classify(cmd::classify::Cmd),
    Camera(Box<cmd::camera::Cmd>),
    Devices(cmd::devices::Cmd),
    Bench(cmd::bench::Cmd),
    Inspect(cmd::inspect::Cmd),
    Kernels(cmd::kernels::Cmd),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    cli.voice.start();
    std::panic::set_hook(Box::new(|fault| {
        eprintln!("runtime: this should not have happened, please report it: {fault}");
    }));
    let run = || match cli.command {
        Command::Classify(cmd) => cmd.run(cli.voice),
        Command::Camera(cmd) => cmd.run(cli.voice),
        Command::Devices(cmd) => cmd.run(cli.voice),
        Command::Bench(cmd) => cmd.run(cli.voice),
        Command::Inspect(cmd) => cmd.run(cli.voice),
        Command::Kernels(cmd) => cmd.run(cli.voice),
    };
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(Failure { code, message })) => {
            if !message.is_empty() {
                eprintln!("runtime: {message}");
            }
            ExitCode::from(code)
        }
        Err(_) => ExitCode::from(cmd::OUR_FAULT),
    }
}
