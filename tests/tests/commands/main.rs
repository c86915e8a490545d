//! The command lines: those in the documentation run as printed, help texts are reviewed, and every subcommand survives
//! good and bad arguments.

mod documents;
mod help;
mod hostile;
mod links;
mod sandbox;
mod shell;
mod subcommands;
