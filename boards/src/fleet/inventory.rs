//! The file that names a fleet's boards.
//!
//! ```toml
//! board = "rock-5b"              # for those that do not say another
//!
//! [[device]]
//! name = "gate-1"                # for people and for the log
//! host = "user@gate-1.example"   # as ssh takes it; port and root can be given, too
//! ```

use std::path::{Path, PathBuf};

use serde::Deserialize;

/// The file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    board: Option<String>,
    #[serde(default)]
    device: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    host: String,
    port: Option<u16>,
    root: Option<String>,
    board: Option<String>,
}

/// A board of the fleet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Its name, one of its own.
    pub name: String,
    /// Where it is.
    pub host: String,
    /// ssh's port.
    pub port: Option<u16>,
    /// The folder there.
    pub root: Option<String>,
    /// What it is in the catalogue.
    pub board: String,
}

/// What is wrong with an inventory.
#[derive(Debug, thiserror::Error)]
pub enum InventoryError {
    /// It cannot be read.
    #[error("{0}: {1}")]
    Io(PathBuf, std::io::Error),
    /// It says something wrong; the error names line and column.
    #[error("{0}: {1}")]
    Toml(PathBuf, toml::de::Error),
    /// A device without a board, or two of one name.
    #[error("{0}: device `{1}`: {2}")]
    Device(PathBuf, String, &'static str),
    /// No such device.
    #[error("{0} has no device `{1}`; check --only")]
    Unknown(PathBuf, String),
    /// There is none.
    #[error("{0} lists no devices. Add a [[device]] table with `name` and `host`")]
    Empty(PathBuf),
}

/// Reads an inventory: all devices, or those named, in the file's order.
pub fn read(path: &Path, only: Option<&[String]>) -> Result<Vec<Device>, InventoryError> {
    let text = std::fs::read_to_string(path).map_err(|e| InventoryError::Io(path.into(), e))?;
    let devices = parse(&text, path)?;
    let Some(only) = only else { return Ok(devices) };
    if let Some(name) = only.iter().find(|n| !devices.iter().any(|d| d.name == **n)) {
        return Err(InventoryError::Unknown(path.into(), name.clone()));
    }
    Ok(devices.into_iter().filter(|d| only.contains(&d.name)).collect())
}

fn parse(text: &str, path: &Path) -> Result<Vec<Device>, InventoryError> {
    let file: File = toml::from_str(text).map_err(|e| InventoryError::Toml(path.into(), e))?;
    let mut devices: Vec<Device> = Vec::new();
    for entry in file.device {
        let no = |why| InventoryError::Device(path.into(), entry.name.clone(), why);
        if devices.iter().any(|d| d.name == entry.name) {
            return Err(no("is there twice"));
        }
        let board = entry.board.or(file.board.clone()).ok_or_else(|| no("what board is it?"))?;
        let Entry { name, host, port, root, .. } = entry;
        devices.push(Device { name, host, port, root, board });
    }
    if devices.is_empty() {
        return Err(InventoryError::Empty(path.into()));
    }
    Ok(devices)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inventory_is_strict() {
        let read = |text: &str| parse(text, Path::new("f.toml")).map_err(|e| e.to_string());
        let good = "board = \"b\"\n[[device]]\nname = \"1\"\nhost = \"h\"\n[[device]]\nname = \"2\"\nhost = \"h\"\nboard = \"c\"\n";
        let boards: Vec<_> = read(good).unwrap().into_iter().map(|d| d.board).collect();
        assert_eq!(boards, ["b", "c"]);
        assert!(read(&good.replace("\"2\"", "\"1\"")).unwrap_err().contains("twice"));
        assert!(read(&good.replace("board = \"b\"\n", "")).unwrap_err().contains("what board"));
        let unknown = read(&good.replace("host", "hots")).unwrap_err();
        assert!(unknown.contains("line 4, column 1"), "{unknown}");
        assert!(read("").unwrap_err().contains("no device"));
    }
}
