//! Foldnet's own sources, from which programs for boards are built, and where those programs are put.

use std::path::{Path, PathBuf};
use std::process::Command;

use foldnet_catalogue::{Board, Firmware};

/// Why nothing was built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// There are no sources.
    #[error("no checkout of Foldnet in this folder or above it. Change to a checkout and try again")]
    NoSource,
    /// cargo could not be started.
    #[error("cannot start cargo: {0}. Install Rust from https://rustup.rs")]
    NoCargo(std::io::Error),
    /// cargo failed; it has said why.
    #[error(
        "cannot build {what} for {target}; cargo's message is above. If the target is missing, install it with \
         `rustup target add {target}`"
    )]
    Failed {
        /// The package or program.
        what: String,
        /// Rust's name of what it is built for.
        target: String,
    },
    /// A file cannot be written.
    #[error("{0}: {1}")]
    Io(PathBuf, std::io::Error),
    /// No program for this board.
    #[error("there is no firmware for {0}. The folder firmware/src/bin contains the boards that have one")]
    NoFirmware(String),
}

/// The checkout that contains the current folder, otherwise the one that contains this program.
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

/// Where [`programs`] puts the programs for a target, in the checkout `root`.
pub fn programs_folder(root: &Path, target: &str) -> PathBuf {
    root.join("target/boards").join(target).join("release")
}

/// Builds `runtime` and the agent for a target, and what drives a virtual board's camera if `feed`; the
/// folder they are in.
///
/// Linked statically, so that the board's C library does not matter, and stripped.
pub fn programs(target: &str, feed: bool) -> Result<PathBuf, BuildError> {
    let root = root()?;
    let mut ours = vec!["-p", "foldnet-boards", "--no-default-features", "--bin", "foldnet-agent"];
    if feed {
        ours.extend(["--bin", "foldnet-feed"]);
    }
    let runtime =
        vec!["-p", "foldnet-runtime", "--no-default-features", "--features", "serve", "--bin", "runtime"];
    for package in [runtime, ours] {
        let mut cargo = Command::new("cargo");
        cargo.current_dir(&root).args(["build", "--release", "--target", target]).args(&package);
        cargo.arg("--target-dir").arg(root.join("target/boards"));
        cargo.env("CARGO_PROFILE_RELEASE_STRIP", "symbols").env("CARGO_PROFILE_RELEASE_DEBUG", "false");
        let variable =
            |what: &str| format!("CARGO_TARGET_{}_{what}", target.to_uppercase().replace('-', "_"));
        let linker = variable("LINKER");
        let own_linker = std::env::var_os(&linker).is_some();
        if target.ends_with("-musl") {
            // Static by itself. Rust brings the linker and all that it links, so that no C compiler for the
            // board is needed.
            if !own_linker {
                cargo.env(linker, "rust-lld");
            }
        } else {
            cargo.env(variable("RUSTFLAGS"), "-C target-feature=+crt-static");
            if !own_linker && target != env!("FOLDNET_TARGET") {
                // Debian's name of the cross linker.
                cargo.env(linker, format!("{}-gcc", target.replace("-unknown", "")));
            }
        }
        run(cargo, package[1], target)?;
    }
    Ok(programs_folder(&root, target))
}

/// Builds a microcontroller's program around a plan's bytes; the program.
pub fn firmware(board: &Board, plan: &[u8]) -> Result<PathBuf, BuildError> {
    let root = root()?;
    let none = || BuildError::NoFirmware(board.name.clone());
    let Firmware { bin, target, .. } =
        board.mcu.as_ref().and_then(|m| m.firmware.clone()).ok_or_else(none)?;
    let mut cargo = Command::new("cargo");
    cargo.current_dir(root.join("firmware")).args(["build", "--release", "--target", &target]);
    cargo.args(["--features", &bin, "--bin", &bin]);
    let path = root.join("target/boards").join(&board.id).with_added_extension("plan");
    // One that is there with these bytes is left, so that cargo has nothing to do.
    if std::fs::read(&path).ok().as_deref() != Some(plan) {
        let io = |e| BuildError::Io(path.clone(), e);
        std::fs::create_dir_all(root.join("target/boards")).map_err(io)?;
        crate::device::files::write(&path, plan).map_err(io)?;
    }
    cargo.env("FOLDNET_PLAN", path);
    run(cargo, &bin, &target)?;
    Ok(root.join("target/firmware").join(target).join("release").join(bin))
}

fn run(mut cargo: Command, what: &str, target: &str) -> Result<(), BuildError> {
    // The program may itself be run by a cargo whose choices are not meant for another target.
    for name in ["CARGO_ENCODED_RUSTFLAGS", "CARGO_TARGET_DIR", "RUSTFLAGS"] {
        cargo.env_remove(name);
    }
    cargo.stdout(std::io::stderr());
    let status = cargo.status().map_err(BuildError::NoCargo)?;
    if status.success() {
        return Ok(());
    }
    Err(BuildError::Failed { what: what.into(), target: target.into() })
}
