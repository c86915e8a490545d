//! Foldnet's own sources, to build from.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::board::{Board, Firmware};

/// Why nothing was built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// There are no sources.
    #[error("no sources of Foldnet here or above; `boards build` must run in a checkout")]
    NoSource,
    /// cargo could not be started.
    #[error("cargo: {0}; is Rust installed?")]
    NoCargo(std::io::Error),
    /// cargo failed; it has said why.
    #[error("{0} does not build for {1}; the lines above say why. {2}")]
    Failed(String, String, &'static str),
    /// No program for this board.
    #[error("there is no firmware for {0} yet; firmware/src/bin has those there are")]
    NoFirmware(String),
}

/// The checkout that this program was built in, or that we stand in.
pub fn root() -> Result<PathBuf, BuildError> {
    let own = std::env::current_exe().ok();
    let here = std::env::current_dir().ok();
    let above = |p: &Path| {
        let is_root =
            |p: &&Path| p.join("boards/catalogue").is_dir() && p.join("firmware/Cargo.toml").is_file();
        p.ancestors().find(is_root).map(Path::to_path_buf)
    };
    here.as_deref().and_then(above).or_else(|| own.as_deref().and_then(above)).ok_or(BuildError::NoSource)
}

/// Builds `runtime` and the agent for a Linux board; the folder they are in.
///
/// Linked statically, so that the board's C library does not matter, and stripped.
pub fn programs(board: &Board, target: &str) -> Result<PathBuf, BuildError> {
    let root = root()?;
    let mut ours = vec!["-p", "foldnet-boards", "--no-default-features", "--bin", "foldnet-agent"];
    if board.qemu.is_some() {
        ours.extend(["--bin", "foldnet-feed"]);
    }
    let runtime =
        vec!["-p", "foldnet-runtime", "--no-default-features", "--features", "cli,serve", "--bin", "runtime"];
    for package in [runtime, ours] {
        let mut cargo = Command::new("cargo");
        cargo.current_dir(&root).args(["build", "--release", "--target", target]).args(&package);
        cargo.arg("--target-dir").arg(root.join("target/boards"));
        cargo.env("CARGO_PROFILE_RELEASE_STRIP", "symbols").env("CARGO_PROFILE_RELEASE_DEBUG", "false");
        let variable =
            |what: &str| format!("CARGO_TARGET_{}_{what}", target.to_uppercase().replace('-', "_"));
        cargo.env(variable("RUSTFLAGS"), "-C target-feature=+crt-static");
        // Debian's name of the cross linker.
        let linker = variable("LINKER");
        if target != env!("FOLDNET_TARGET") && std::env::var_os(&linker).is_none() {
            cargo.env(linker, format!("{}-gcc", target.replace("-unknown", "")));
        }
        run(cargo, package[1], board)?;
    }
    Ok(root.join("target/boards").join(target).join("release"))
}

/// Builds a microcontroller's program around a plan; the program.
pub fn firmware(board: &Board, plan: &Path) -> Result<PathBuf, BuildError> {
    let root = root()?;
    let none = || BuildError::NoFirmware(board.name.clone());
    let Firmware { bin, target } = board.mcu.as_ref().and_then(|m| m.firmware.clone()).ok_or_else(none)?;
    let mut cargo = Command::new("cargo");
    cargo.current_dir(root.join("firmware")).args(["build", "--release", "--target", &target]);
    cargo.args(["--features", &bin, "--bin", &bin]);
    let plan = std::fs::canonicalize(plan).unwrap_or_else(|_| plan.into());
    cargo.env("FOLDNET_PLAN", plan);
    run(cargo, &bin, board)?;
    Ok(root.join("target/firmware").join(target).join("release").join(bin))
}

fn run(mut cargo: Command, what: &str, board: &Board) -> Result<(), BuildError> {
    // The program may itself be run by a cargo whose choices are not meant for another target.
    for name in ["CARGO_ENCODED_RUSTFLAGS", "CARGO_TARGET_DIR", "RUSTFLAGS"] {
        cargo.env_remove(name);
    }
    cargo.stdout(std::io::stderr());
    let status = cargo.status().map_err(BuildError::NoCargo)?;
    let hint = "It needs the target (`rustup target add`) and, for another processor's Linux, Debian's \
                gcc-aarch64-linux-gnu";
    if status.success() { Ok(()) } else { Err(BuildError::Failed(what.into(), board.name.clone(), hint)) }
}
