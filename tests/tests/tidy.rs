//! House rules that a compiler does not check.

use std::fs;
use std::path::{Path, PathBuf};

use foldnet_tests::root;

/// Every file of the repository below these folders.
fn files() -> Vec<PathBuf> {
    fn walk(folder: &Path, to: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if !path.is_dir() {
                to.push(path);
            } else if !path.ends_with("target") && !path.ends_with("__pycache__") {
                walk(&path, to);
            }
        }
    }
    let mut all = Vec::new();
    for folder in ["converter", "runtime", "firmware", "boards", "tests", ".ci"] {
        walk(&root().join(folder), &mut all);
    }
    all
}

fn sources() -> Vec<(PathBuf, String)> {
    files()
        .into_iter()
        .filter(|p| p.extension().is_some_and(|e| e == "rs"))
        .map(|p| (p.clone(), fs::read_to_string(&p).unwrap()))
        .collect()
}

#[test]
fn files_can_be_read_in_one_sitting() {
    let long: Vec<_> = sources()
        .into_iter()
        .map(|(p, text)| (text.lines().count(), p))
        .filter(|(lines, _)| *lines > 900)
        .collect();
    assert!(long.is_empty(), "split these: {long:?}");
}

#[test]
fn every_module_is_reachable() {
    let sources = sources();
    for (path, _) in &sources {
        let stem = path.file_stem().unwrap().to_str().unwrap();
        let parent = path.parent().unwrap();
        let name = if stem == "mod" { parent.file_name().unwrap().to_str().unwrap() } else { stem };
        let is_root = ["lib", "main", "build"].contains(&stem)
            || ["tests", "benches", "examples", "bin", "fuzz_targets"].iter().any(|d| parent.ends_with(d));
        let declared = |text: &str| {
            text.lines().any(|l| l.trim_end_matches(';').ends_with(&format!("mod {name}")))
                || text.contains(&format!("mod {name} {{"))
                // A table that stamps its modules has them as `Name = module: …`.
                || (text.contains("pub mod $module;") && text.contains(&format!(" = {name}: ")))
        };
        let known = is_root
            || sources.iter().any(|(p, text)| {
                let near = if stem == "mod" { parent.parent().unwrap() } else { parent };
                p.parent().is_some_and(|q| q == near || q.starts_with(near) || near.starts_with(q))
                    && declared(text)
            });
        assert!(known, "{} belongs to no module", path.display());
    }
}

#[test]
fn banned_words_have_replacements() {
    let banned = [
        ("todo!(", "finish it, or return an error that says what is missing"),
        ("unimplemented!(", "finish it, or return an error that says what is missing"),
        ("dbg!(", "tracing"),
        ("#[ignore", "a test that says loudly what it lacks"),
    ];
    for (path, text) in sources() {
        if path.ends_with("tidy.rs") {
            continue;
        }
        for (word, instead) in banned {
            assert!(!text.contains(word), "{}: {word} — use {instead}", path.display());
        }
    }
}

#[test]
fn large_files_tell_where_they_come_from() {
    for path in files() {
        let size = fs::metadata(&path).unwrap().len();
        if size > 200_000 {
            let readme = path.parent().unwrap().join("README.md");
            let name = path.file_name().unwrap().to_str().unwrap();
            let told = fs::read_to_string(&readme).is_ok_and(|t| t.contains(name));
            assert!(told, "{} ({size} bytes) is not named in {}", path.display(), readme.display());
        }
    }
}
