//! Help texts are read and reviewed like any other text: each change shows in a file.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Mutex;

use foldnet_tests::root;

use super::sandbox::{PROGRAMS, sandbox};

/// The names of a program's subcommands, from its help.
pub fn subcommands(program: &str) -> Vec<String> {
    let help = text(program, &[]);
    let list = help.split("Commands:\n").nth(1).expect("a list of commands");
    let names =
        list.lines().take_while(|l| !l.is_empty()).filter(|l| l.starts_with("  ") && !l.starts_with("   "));
    names.filter_map(|l| l.split_whitespace().next()).filter(|n| *n != "help").map(Into::into).collect()
}

/// A program's help, or a subcommand's.
pub fn text(program: &str, subcommand: &[&str]) -> String {
    static KNOWN: Mutex<BTreeMap<String, String>> = Mutex::new(BTreeMap::new());
    let key = format!("{program} {subcommand:?}");
    if let Some(text) = KNOWN.lock().unwrap().get(&key) {
        return text.clone();
    }
    let outcome = sandbox().run(program, &[subcommand, &["--help"]].concat(), &[]);
    assert_eq!(outcome.code, Some(0), "{program} {subcommand:?} --help: {outcome:?}");
    KNOWN.lock().unwrap().insert(key, outcome.stdout.clone());
    outcome.stdout
}

/// The command lines under "Example:" or "Examples:".
pub fn examples(help: &str) -> Vec<String> {
    let (_, after) = help.split_once("\nExample").unwrap_or_default();
    after.lines().skip(1).take_while(|l| l.starts_with("  ")).map(|l| l.trim().to_owned()).collect()
}

#[test]
fn help_texts_are_the_reviewed_ones() {
    let update = std::env::var_os("FOLDNET_UPDATE_HELP").is_some();
    for program in PROGRAMS {
        let mut all = format!("$ {program} --help\n{}", text(program, &[]));
        for subcommand in subcommands(program) {
            all += &format!("\n$ {program} {subcommand} --help\n{}", text(program, &[&subcommand]));
        }
        let all: String = all.lines().map(|l| l.trim_end().to_owned() + "\n").collect();
        let path = root().join("tests/help").join(program).with_extension("txt");
        if update {
            fs::write(&path, &all).unwrap();
        }
        let reviewed = fs::read_to_string(&path).unwrap_or_default();
        let differs = all.lines().zip(reviewed.lines()).position(|(a, b)| a != b);
        assert!(
            all == reviewed,
            "the help of `{program}` differs from {} at line {}. Review it, then write it with \
             `cargo build --release --workspace && FOLDNET_UPDATE_HELP=1 cargo test --release --workspace --test commands help`",
            path.display(),
            differs.unwrap_or_else(|| all.lines().count().min(reviewed.lines().count())) + 1
        );
    }
}

#[test]
fn every_subcommand_has_an_example_and_global_options_stand_last() {
    let mut problems = Vec::new();
    for program in PROGRAMS {
        for subcommand in subcommands(program) {
            let help = text(program, &[&subcommand]);
            let examples = examples(&help);
            if examples.is_empty() || examples.iter().any(|example| !example.contains(program)) {
                problems.push(format!(
                    "{program} {subcommand}: no example, or one of another program: {examples:?}"
                ));
            }
            let heading = |l: &&str| l.ends_with(':') && !l.starts_with(' ') && !l.starts_with("Example");
            let headings: Vec<&str> = help.lines().filter(heading).collect();
            if headings.last() != Some(&"Global options:") {
                problems.push(format!(
                    "{program} {subcommand}: the last heading of {headings:?} is not the global one"
                ));
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn every_program_prints_its_version_and_completions() {
    for program in PROGRAMS {
        let version = sandbox().run(program, &["--version"], &[]);
        assert_eq!((version.code, version.stdout.split(' ').next()), (Some(0), Some(program)), "{version:?}");
        let folder = format!("completions/{program}");
        let outcome = sandbox().run(program, &["complete", &folder], &[]);
        assert_eq!(outcome.code, Some(0), "{outcome:?}");
        for file in [
            format!("{program}.bash"),
            format!("_{program}"),
            format!("{program}.fish"),
            format!("{program}.1"),
        ] {
            assert!(sandbox().path(&folder).join(&file).is_file(), "{file}");
        }
    }
}
