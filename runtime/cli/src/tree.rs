//! Checks a program's command line, for its tests.

use clap::{Arg, Command};

/// Returns the problems of a command line; empty if there are none.
///
/// clap checks some of them with debug assertions, which release builds do not contain. These assertions never
/// find a subcommand's argument with the name of a global one: the program panics when it reads the argument.
pub fn problems(command: &Command) -> Vec<String> {
    let mut problems = Vec::new();
    walk(command, command.get_name(), &[], &mut problems);
    problems
}

fn walk(command: &Command, path: &str, globals: &[&Arg], problems: &mut Vec<String>) {
    let own: Vec<&Arg> = command.get_arguments().collect();
    for (i, arg) in own.iter().enumerate() {
        for other in own[..i].iter().chain(globals) {
            let same_long = arg.get_long().is_some() && arg.get_long() == other.get_long();
            let same_short = arg.get_short().is_some() && arg.get_short() == other.get_short();
            if arg.get_id() == other.get_id() || same_long || same_short {
                problems.push(format!("{path}: two arguments are called `{}`", arg.get_id()));
            }
        }
        if arg.get_help().is_none() && !arg.is_hide_set() {
            problems.push(format!("{path}: `{}` has no help", arg.get_id()));
        }
    }
    if command.get_about().is_none() {
        problems.push(format!("{path}: no description"));
    }
    let globals: Vec<&Arg> =
        globals.iter().copied().chain(own.into_iter().filter(|a| a.is_global_set())).collect();
    for subcommand in command.get_subcommands() {
        walk(subcommand, &format!("{path} {}", subcommand.get_name()), &globals, problems);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(arg: Arg) -> Command {
        let global = Arg::new("board").long("board").short('b').global(true).help("A file");
        Command::new("tool")
            .about("Works")
            .arg(global)
            .subcommand(Command::new("show").about("Shows").arg(arg))
    }

    #[test]
    fn a_global_option_is_not_taken_again() {
        assert_eq!(problems(&command(Arg::new("name").help("Its name"))), [""; 0]);
        let twice = ["tool show: two arguments are called `board`"];
        assert_eq!(problems(&command(Arg::new("board").help("Its name"))), twice);
        let named = |arg: Arg| problems(&command(arg.help("Its name")));
        assert_eq!(named(Arg::new("name").long("board")).len(), 1);
        assert_eq!(named(Arg::new("name").short('b')).len(), 1);
    }

    #[test]
    fn everything_is_described() {
        assert_eq!(problems(&command(Arg::new("name"))), ["tool show: `name` has no help"]);
        let bare = command(Arg::new("name").help("x")).subcommand(Command::new("bare"));
        assert_eq!(problems(&bare), ["tool bare: no description"]);
    }
}
