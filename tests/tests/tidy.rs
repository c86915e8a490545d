//! House rules that a compiler does not check.

use std::fs;
use std::path::{Path, PathBuf};

use foldnet_tests::root;

/// The files below a folder.
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

/// Every file of the repository below these folders.
fn files() -> Vec<PathBuf> {
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

/// Files that have more than [`LINES`] lines, and why they are one idea.
const LONG_FILES: &[(&str, &str)] = &[
    ("converter/tests/cli.rs", "a list of command lines and what they answer"),
    ("converter/tests/functions.rs", "a list of functions and networks that have them"),
];
/// Functions that have more than [`FUNCTION_LINES`] lines, and why.
const LONG_FUNCTIONS: &[(&str, &str, &str)] = &[
    ("converter/src/cmd/compare.rs", "run", "one command, from its arguments to what it prints"),
    ("converter/src/convert/mod.rs", "convert", "a conversion's steps, in their order"),
    ("runtime/camera/src/run.rs", "classify_all", "the camera's loop, one turn after the other"),
    (
        "tests/fake-rknn/tests/backend.rs",
        "answers_in_order_from_one_core_and_from_three",
        "one scenario, told once for both numbers of cores",
    ),
];
/// Lines of a file.
const LINES: usize = 500;
/// Lines of a function.
const FUNCTION_LINES: usize = 100;

/// A path below the repository, with slashes.
fn below(path: &Path) -> String {
    let path = path.strip_prefix(root()).unwrap_or(path);
    path.iter().map(|part| part.to_str().unwrap()).collect::<Vec<_>>().join("/")
}

#[test]
fn files_can_be_read_in_one_sitting() {
    let long: Vec<_> = sources()
        .into_iter()
        .map(|(path, text)| (text.lines().count(), below(&path)))
        .filter(|(lines, path)| *lines > LINES && !LONG_FILES.iter().any(|(known, _)| known == path))
        .collect();
    assert!(long.is_empty(), "take these apart by idea, or say in LONG_FILES why they are one: {long:?}");
}

/// The functions of a formatted source: name and number of lines, from `fn` to the closing brace.
fn functions(text: &str) -> Vec<(String, usize)> {
    let lines: Vec<_> = text.lines().collect();
    let mut all = Vec::new();
    for (i, line) in lines.iter().enumerate() {
        let code = line.trim_start();
        let Some((before, after)) = code.split_once("fn ") else { continue };
        let words = ["pub", "const", "async", "unsafe", "extern", "default"];
        let is_item = before.split_whitespace().all(|word| {
            words.iter().any(|w| word.starts_with(w)) || ["\"C\"", "crate)", "super)"].contains(&word)
        });
        let name: String = after.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        if !is_item || name.is_empty() {
            continue;
        }
        let indent = &line[..line.len() - code.len()];
        let close = format!("{indent}}}");
        let ends = |l: &str| {
            l == close || l.strip_prefix(indent).is_some_and(|l| l.starts_with(')') && l.ends_with(';'))
        };
        let single = code.ends_with('}') || code.ends_with(';');
        let end = if single { 0 } else { lines[i..].iter().position(|l| ends(l)).unwrap_or(0) };
        all.push((name, end + 1));
    }
    all
}

#[test]
fn functions_can_be_read_in_one_sitting() {
    let mut seen = 0;
    for (path, text) in sources() {
        let path = below(&path);
        for (name, lines) in functions(&text) {
            seen += 1;
            let known = LONG_FUNCTIONS.iter().any(|(file, function, _)| *file == path && *function == name);
            assert!(lines <= FUNCTION_LINES || known, "{path}: `{name}` has {lines} lines: one idea each");
        }
    }
    assert!(seen > 3000, "only {seen} functions found");
}

/// What the files of an instruction set's folder, and of what such folders share, are called; see the table in
/// `runtime/kernels/src/lib.rs`.
const ROLES: &[&str] = &[
    "add",
    "affine",
    "avg_pool",
    "conv",
    "driver",
    "epilogue",
    "geometry",
    "layout",
    "max_pool",
    "mod",
    "pack_a",
    "pack_b",
    "peak",
    "permission",
    "cores",
    "tile_in_order",
    "requant",
    "set",
    "tests",
    "tile",
    "transform",
    "vector",
    "winograd",
];

#[test]
fn kernel_files_are_named_by_role() {
    let kernels = root().join("runtime/kernels/src");
    let table = fs::read_to_string(kernels.join("lib.rs")).unwrap();
    let mut sets = 0;
    for arch in ["aarch64", "arm", "tiled", "wasm32", "x86_64"] {
        let mut files = Vec::new();
        walk(&kernels.join(arch), &mut files);
        for path in files {
            let stem = path.file_stem().unwrap().to_str().unwrap();
            assert!(ROLES.contains(&stem), "{}: `{stem}` is no role", path.display());
            let file = format!("`{stem}.rs`");
            assert!(stem == "transform" || table.contains(&file), "{file} is not in the table of lib.rs");
            let folder = path.parent().unwrap();
            let is_set =
                stem == "mod" && folder.parent() == Some(&kernels.join(arch)) && !folder.ends_with("common");
            if is_set {
                sets += 1;
                assert!(folder.join("tile.rs").exists(), "{} has no tile.rs", folder.display());
            }
        }
    }
    assert!(sets >= 10, "only {sets} instruction sets found");
}

/// Whether a kernel's name is `conv_<i8|i16>[_f4x4]_<MR>x<NR>c<KR>_<set>`; MR and NR may be `{a,b}` or `{a..b}`.
fn is_kernel_name(name: &str, set: &str) -> bool {
    let size = |s: &str| {
        let inner = s.strip_prefix('{').and_then(|s| s.strip_suffix('}'));
        inner.unwrap_or(s).split(['.', ',']).filter(|s| !s.is_empty()).all(|s| s.parse::<u32>().is_ok())
            && !s.is_empty()
    };
    let Some(rest) = name.strip_prefix("conv_i8_").or(name.strip_prefix("conv_i16_")) else { return false };
    let Some(sizes) = rest.strip_suffix(&format!("_{set}")) else { return false };
    let sizes = sizes.strip_prefix("f4x4_").unwrap_or(sizes);
    let Some((mr, rest)) = sizes.split_once('x') else { return false };
    let Some((nr, kr)) = rest.split_once('c') else { return false };
    size(mr) && size(nr) && kr.parse::<u32>().is_ok()
}

#[test]
fn kernel_names_follow_the_grammar() {
    assert!(is_kernel_name("conv_i16_f4x4_6x16c2_avx2", "avx2"));
    assert!(is_kernel_name("conv_i8_{1..6}x{16,32}c4_avx512vnni", "avx512vnni"));
    assert!(!is_kernel_name("conv_i16_f4x4_8x8_neon", "neon") && !is_kernel_name("conv_i8_4x4c8", "neon"));
    let kernels = root().join("runtime/kernels/src");
    for (path, text) in sources().into_iter().filter(|(p, _)| p.starts_with(&kernels)) {
        let path = path.strip_prefix(&kernels).unwrap();
        let parts: Vec<_> = path.iter().map(|p| p.to_str().unwrap()).collect();
        let [arch, set, ..] = parts[..] else { continue };
        if !["aarch64", "arm", "wasm32", "x86_64"].contains(&arch)
            || ["common", "mod.rs", "peak.rs"].contains(&set)
        {
            continue;
        }
        if path.ends_with("tile.rs") {
            let first = text.lines().next().unwrap_or_default();
            assert!(first.contains("`conv_i"), "{}: its first line names no kernel", path.display());
        }
        for at in ["conv_i8", "conv_i16"].iter().flat_map(|w| text.match_indices(w)).map(|(at, _)| at) {
            let inside = |c: char| c.is_alphanumeric() || "_{},.".contains(c);
            let name: String = text[at..].chars().take_while(|c| inside(*c)).collect();
            // A comma or a full stop of the sentence.
            let name = name.trim_end_matches([',', '.']);
            assert!(
                is_kernel_name(name, set),
                "{}: `{name}` is no name of a kernel of {set}",
                path.display()
            );
        }
    }
}

#[test]
fn a_name_means_one_thing() {
    // In the kernels `Geometry` is the same thing for each family of sets.
    let once = ["struct Plan", "struct Layout", "struct Value", "enum Value", "const BLOCK:", "const CHUNK:"];
    for word in once {
        let found: Vec<_> = sources()
            .into_iter()
            .filter(|(path, text)| {
                let ends = |rest: &str| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_');
                !path.ends_with("tidy.rs")
                    && text.match_indices(word).any(|(at, _)| ends(&text[at + word.len()..]))
            })
            .map(|(path, _)| below(&path))
            .collect();
        assert!(found.len() <= 1, "`{word}` stands in {found:?}: give each its own word");
    }
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
