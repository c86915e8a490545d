//! The programs' `main`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use clap::Parser;

use crate::{Exit, Failure, Flags, Output, journal};

/// What [`run`] needs to know of a program.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    /// The program's name, with which its messages start.
    pub name: &'static str,
    /// Returns the exit code of an error for which the command chose none.
    pub classify: fn(&anyhow::Error) -> Exit,
}

/// Parses the arguments, runs the command and reports errors.
pub fn run<C: Parser>(
    program: &Program,
    flags: impl FnOnce(&C) -> Flags,
    command: impl FnOnce(C, &Output) -> Result<(), Failure>,
) -> ExitCode {
    let parsed = match C::try_parse() {
        Ok(parsed) => parsed,
        Err(error) => {
            // Help and version are results, and writing them may fail.
            let exit = if error.use_stderr() { Exit::BadInput } else { Exit::Done };
            let printed = error.print().and_then(|()| std::io::Write::flush(&mut std::io::stdout()));
            return code(match printed {
                Err(e) if exit == Exit::Done && e.kind() != std::io::ErrorKind::BrokenPipe => Exit::BadInput,
                _ => exit,
            });
        }
    };
    let flags = flags(&parsed);
    journal::start(program.name, flags);
    let name = program.name;
    std::panic::set_hook(Box::new(move |panic| {
        use std::io::Write;
        let _ = writeln!(std::io::stderr(), "{name}: internal error (please report it): {panic}");
    }));
    let output = Output::new(program.name, flags);
    let result = catch_unwind(AssertUnwindSafe(|| command(parsed, &output)));
    let Ok(result) = result else { return code(Exit::Internal) };
    let failure = match result.and_then(|()| output.flush()) {
        Ok(()) => return ExitCode::SUCCESS,
        Err(failure) => failure,
    };
    let exit = failure.exit(program.classify);
    let message = failure.message();
    if !message.is_empty() {
        match exit {
            Exit::Internal => output.error(&format!("internal error (please report it): {message}")),
            _ => output.error(&message),
        }
    }
    code(exit)
}

fn code(exit: Exit) -> ExitCode {
    ExitCode::from(exit as u8)
}
