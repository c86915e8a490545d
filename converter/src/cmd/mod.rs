//! The program: one file per subcommand, each with `Cmd` and `run`.
//!
//! Results go to standard output, messages to standard error. Exit codes: 0 done, 1 internal error,
//! 2 bad input or usage, 3 a stated limit missed.

mod compare;
mod date;
mod doctor;
mod eval;
mod export;
mod export_ethos_u;
mod export_rknn;
mod export_tflite;
mod files;
mod images;
mod inspect;
mod labels;
mod limit;
mod load;
mod model;
mod npu;
mod output;
mod quantize;
mod reproduce;
mod sign;
mod talk;
mod values;

use std::process::ExitCode;

use clap::Parser;
use foldnet_cli::complete::Complete;
use foldnet_cli::{Exit, Flags};

/// Arguments are not understood.
pub use clap::Error as UsageError;
pub use quantize::quantize;
pub use talk::{Listener, Talk};

/// Quantize trained networks to int8, and measure what it costs
#[derive(Parser)]
#[command(name = "converter", version, arg_required_else_help = true)]
struct Program {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    flags: Flags,
}

foldnet_cli::commands! {
    enum Command(Talk) {
        Quantize(quantize::Cmd),
        Inspect(inspect::Cmd),
        Eval(eval::Cmd),
        Compare(compare::Cmd),
        Doctor(doctor::Cmd),
        Export(export::Cmd),
        Reproduce(reproduce::Cmd),
        Sign(sign::Cmd),
        #[command(after_help = "Example:\n  converter complete target/package")]
        Complete(Complete<Program>),
    }
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

impl From<Failure> for foldnet_cli::Failure {
    fn from(failure: Failure) -> Self {
        match failure {
            // As it is, so that a cause whose text the error contains is not printed twice.
            Failure::Input(error) => Self::from(error),
            Failure::Limit(words) => Self::limit(words),
            Failure::Fault(error) => Self::internal(error),
        }
    }
}

/// Parses the arguments, runs, reports.
pub fn main() -> ExitCode {
    const PROGRAM: foldnet_cli::Program =
        foldnet_cli::Program { name: "converter", classify: |_| Exit::BadInput };
    foldnet_cli::run(
        &PROGRAM,
        |program: &Program| program.flags,
        |program, output| {
            let talk = Talk::new(output);
            let result = program.command.run(&talk);
            talk.clear();
            result?;
            talk.written()
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
