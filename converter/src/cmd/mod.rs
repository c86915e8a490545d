//! The program: one file per subcommand, each with `Cmd` and `run`.
//!
//! Human words go to standard error, JSON to standard output. Exit codes: 0 done, 1 a fault of ours,
//! 2 bad input or usage, 3 a stated limit missed.

mod compare;
mod date;
mod eval;
mod export;
mod export_ethos_u;
mod export_rknn;
mod files;
mod inspect;
mod model;
mod npu;
mod output;
mod pictures;
mod quantize;
mod sign;
mod talk;
mod values;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::prelude::*;

pub use talk::Talk;

/// Turns a trained ONNX ResNet into an int8 archive, and shows what it costs in accuracy.
#[derive(Parser)]
#[command(name = "converter", version, arg_required_else_help = true)]
struct Program {
    #[command(subcommand)]
    command: Command,
    /// Print one JSON object on standard output
    #[arg(long, global = true)]
    json: bool,
    /// Print no words, only errors
    #[arg(long, short, global = true)]
    quiet: bool,
    /// Print more
    #[arg(long, short, global = true)]
    verbose: bool,
}

#[derive(Subcommand)]
enum Command {
    Quantize(quantize::Cmd),
    Inspect(inspect::Cmd),
    Eval(eval::Cmd),
    Compare(compare::Cmd),
    Export(export::Cmd),
    Sign(sign::Cmd),
}

/// Why a command did not succeed.
#[derive(Debug)]
pub enum Failure {
    /// Bad input or usage: exit code 2.
    Input(anyhow::Error),
    /// A stated limit missed: exit code 3.
    Limit(String),
    /// A fault of ours: exit code 1.
    Fault(anyhow::Error),
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        let error = error.into();
        use crate::convert::ConvertError;
        use crate::quantize::QuantizeError as Q;
        use crate::run::RunError;
        let run = match error.downcast_ref::<ConvertError>() {
            Some(ConvertError::Run(run)) => Some(run),
            _ => error.downcast_ref::<RunError>(),
        };
        let quantize = match (error.downcast_ref::<ConvertError>(), run) {
            (Some(ConvertError::Quantize(quantize)), _) | (_, Some(RunError::Layout(quantize))) => {
                Some(quantize)
            }
            _ => error.downcast_ref::<Q>(),
        };
        let ours = matches!(run, Some(RunError::Session(_)))
            || matches!(quantize, Some(Q::Order { .. } | Q::Network(_) | Q::Session(_)));
        if ours { Self::Fault(error) } else { Self::Input(error) }
    }
}

/// Parses the arguments, runs, reports.
pub fn main() -> ExitCode {
    let program = match Program::try_parse() {
        Ok(program) => program,
        Err(error) => {
            // Help and version are no errors.
            let code = if error.use_stderr() { 2 } else { 0 };
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    let level = if program.verbose { Level::DEBUG } else { Level::ERROR };
    let asked = std::env::var("RUST_LOG").ok().and_then(|words| words.parse().ok());
    let filter = asked.unwrap_or_else(|| Targets::new().with_target("foldnet_converter", level));
    let logs = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    tracing_subscriber::registry().with(logs).with(filter).init();
    std::panic::set_hook(Box::new(|info| {
        if crate::import::panics_are_caught() {
            return;
        }
        eprintln!("converter: this is a fault of ours, not of your input: {info}");
    }));
    let talk = Talk::new(program.json, program.quiet, program.verbose);
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| match program.command {
        Command::Quantize(cmd) => cmd.run(&talk),
        Command::Inspect(cmd) => cmd.run(&talk),
        Command::Eval(cmd) => cmd.run(&talk),
        Command::Compare(cmd) => cmd.run(&talk),
        Command::Export(cmd) => cmd.run(&talk),
        Command::Sign(cmd) => cmd.run(&talk),
    }));
    talk.clear();
    match result {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(Failure::Input(error))) => {
            eprintln!("converter: {error:#}");
            ExitCode::from(2)
        }
        Ok(Err(Failure::Limit(words))) => {
            eprintln!("converter: {words}");
            ExitCode::from(3)
        }
        Ok(Err(Failure::Fault(error))) => {
            eprintln!("converter: this is a fault of ours, not of your input: {error:#}");
            ExitCode::from(1)
        }
        Err(_) => ExitCode::from(1),
    }
}
