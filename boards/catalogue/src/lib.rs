//! Every board there is: the ones that come with the program, the user's own, and one named by a file.
//!
//! The user's folder (`$XDG_CONFIG_HOME/foldnet/boards` or `~/.config/foldnet/boards`) comes first, so a
//! file there replaces the board of the same name.

mod board;
mod fit;
pub mod times;

pub use board::{
    Board, BoardError, CORES, Camera, Cores, Firmware, Linux, Mcu, Memory, Npu, Qemu, Storage, kernels,
    microcontrollers,
};
pub use fit::{Needs, Part, Used, misfits, unknown};

use std::path::{Path, PathBuf};

const BUILT_IN: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/catalogue.rs"));

/// Why there is no board.
#[derive(Debug, thiserror::Error)]
pub enum CatalogueError {
    /// A file says something wrong.
    #[error(transparent)]
    Board(#[from] BoardError),
    /// A file cannot be read.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// No such board.
    #[error("unknown board `{0}`{hint}. `boards list` lists all boards", hint = near(.1))]
    Unknown(String, Option<String>),
}

fn near(name: &Option<String>) -> String {
    name.as_ref().map_or(String::new(), |n| format!(" (did you mean `{n}`?)"))
}

/// All boards, sorted by name. A wrong file of the user's is an error, not a board less.
pub fn all() -> Result<Vec<Board>, CatalogueError> {
    let mut boards = built_in();
    if let Some(folder) = user_folder().filter(|f| f.is_dir()) {
        let io = |source| CatalogueError::Io { path: folder.clone(), source };
        for entry in std::fs::read_dir(&folder).map_err(io)? {
            let path = entry.map_err(io)?.path();
            if path.extension().is_some_and(|e| e == "toml") {
                let board = from_file(&path)?;
                boards.retain(|b| b.id != board.id);
                boards.push(board);
            }
        }
    }
    boards.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(boards)
}

/// The boards that come with the program.
pub fn built_in() -> Vec<Board> {
    let parse = |(id, text): &(&str, &str)| {
        let path = PathBuf::from(format!("boards/{id}.toml"));
        Board::parse(id, text, &path).unwrap_or_else(|e| panic!("{e}"))
    };
    BUILT_IN.iter().map(parse).collect()
}

/// The board of this name.
pub fn find(name: &str) -> Result<Board, CatalogueError> {
    let boards = all()?;
    if let Some(board) = boards.iter().find(|b| b.id == name) {
        return Ok(board.clone());
    }
    let squeeze = |s: &str| s.to_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "");
    let wanted = squeeze(name);
    let alike = |b: &&Board| {
        let id = squeeze(&b.id);
        !wanted.is_empty() && (id.contains(&wanted) || wanted.contains(&id) || squeeze(&b.name) == wanted)
    };
    Err(CatalogueError::Unknown(name.into(), boards.iter().find(alike).map(|b| b.id.clone())))
}

/// The board that a file describes.
pub fn from_file(path: &Path) -> Result<Board, CatalogueError> {
    let io = |source| CatalogueError::Io { path: path.into(), source };
    // Opening a pipe would wait for a writer.
    if !std::fs::metadata(path).map_err(io)?.is_file() {
        return Err(io(std::io::Error::other("it is not a regular file")));
    }
    let text = std::fs::read_to_string(path).map_err(io)?;
    let id = path.file_stem().unwrap_or_default().to_string_lossy();
    Ok(Board::parse(&id, &text, path)?)
}

fn user_folder() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let config = set("XDG_CONFIG_HOME").or_else(|| set("HOME").map(|h| h.join(".config")))?;
    Some(config.join("foldnet/boards"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(text: &str) -> String {
        Board::parse("x", text, Path::new("x.toml")).unwrap_err().to_string()
    }

    const GOOD: &str = "name = \"X\"\nsoc = \"Y\"\n[[cores]]\ncore = \"cortex-a53\"\ncount = 4\n\
                        [linux]\ntarget = \"aarch64-unknown-linux-musl\"\n";

    #[test]
    fn every_file_of_the_catalogue_is_right_and_sourced() {
        assert!(built_in().len() >= 21);
        for (id, text) in BUILT_IN {
            // Whoever adds a fact adds where it is from.
            assert!(text.lines().any(|l| l.starts_with("# Source")), "{id} names no source");
        }
    }

    #[test]
    fn boards_of_firmware_are_there() {
        let main = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../firmware/src/bin");
        for board in built_in() {
            if let Some(firmware) = board.mcu.and_then(|m| m.firmware) {
                assert!(main.join(format!("{}.rs", firmware.bin)).is_file(), "{}", firmware.bin);
            }
        }
    }

    /// The trainer is Python and reads no TOML of ours; its copy of the sizes must be the catalogue's.
    #[test]
    fn the_trainers_budgets_are_the_catalogues() {
        let file = "../../converter/train/src/foldnet_train/tune/boards.yaml";
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        let text = std::fs::read_to_string(&path).unwrap();
        let mut compared = 0;
        for board in built_in() {
            let prefix = format!("{}: ", board.id);
            let Some(line) = text.lines().find_map(|line| line.strip_prefix(&prefix)) else { continue };
            let [flash, ram] = board.mcu.as_ref().unwrap().memories().unwrap().map(|m| m.bytes / 1024);
            assert_eq!(line, format!("{{cpu: {}, ram_kb: {ram}, flash_kb: {flash}}}", board.core()));
            compared += 1;
        }
        assert!(compared >= 3, "{compared} boards of boards.yaml are in the catalogue");
    }

    #[test]
    fn errors_name_line_and_column() {
        assert!(Board::parse("x", GOOD, Path::new("x.toml")).is_ok());
        let with = |from: &str, to: &str| wrong(&GOOD.replace(from, to));
        assert_eq!(
            with("cortex-a53", "cortex-a35"),
            "x.toml:4:8: no core `cortex-a35` is known; known are cortex-a53, cortex-a55, cortex-a72, \
             cortex-a73, cortex-a76, cortex-a78ae, cortex-m33, cortex-m4, cortex-m55, cortex-m7, cortex-m85, x86-64"
        );
        assert_eq!(with("count = 4", "count = 0"), "x.toml:5:9: a count of cores is 1 to 1024");
        let unknown = with("soc =", "sock =");
        assert!(unknown.starts_with("x.toml:2:1: unknown field `sock`, expected one of"), "{unknown}");
        assert!(
            with("[linux]", "[mcu]\nram_kb = 1\nflash_kb = 0\n[linux]").starts_with("x.toml:10:10: both")
        );
        assert!(
            with("aarch64-unknown-linux-musl", "thumbv7em").starts_with("x.toml:7:10: `thumbv7em` is no")
        );
        assert!(wrong("name = \"ä\" ?").starts_with("x.toml:1:12: "), "{}", wrong("name = \"ä\" ?"));
        assert!(wrong("").contains("missing field"));
    }

    #[test]
    fn a_misspelt_board_is_guessed() {
        let said = |name| find(name).unwrap_err().to_string();
        assert!(said("rock5b").contains("did you mean `rock-5b`?"), "{}", said("rock5b"));
        assert!(said("toaster").starts_with("unknown board `toaster`."));
    }
}
