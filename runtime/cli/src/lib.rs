//! The code that the programs `converter`, `runtime` and `boards` share.
//!
//! - [`Flags`] are the options of every subcommand: `--json`, `--quiet`, `--verbose`.
//! - [`Output`] writes results to standard output and everything else to standard error.
//! - [`Failure`] is the reason why a command failed, with its [`Exit`] code.
//! - [`commands!`] declares a program's subcommands.
//! - [`run`] is the programs' `main`: it parses arguments, starts logging, catches panics and reports errors.
//! - [`printable`] makes text from files and other machines safe to print; [`count`] returns "1 image", "2
//!   images".
//! - [`check_outputs`] and [`check_default`] refuse to overwrite a command's inputs.
//! - [`complete`] writes shell completions and manual pages.
//! - [`problems`] checks a command line, for the programs' tests.

mod commands;
pub mod complete;
mod failure;
mod files;
mod journal;
mod output;
mod program;
mod text;
mod tree;

pub use failure::{Exit, Failure};
pub use files::{check_default, check_outputs, is_device};
pub use output::{Flags, GLOBAL, Output};
pub use program::{Program, run};
pub use text::{count, printable};
pub use tree::problems;
