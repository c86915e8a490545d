//! What is known of a board: the schema of a catalogue file, strict, and its checks.
//!
//! Every fact in `boards/*.toml` has its source in a comment beside it; what could not be sourced is
//! left out, so most fields are optional. A field that nobody reads does not belong here.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use toml::Spanned;

/// Processor cores that we have kernels for, and the best of their kernel sets: by Arm's Technical
/// Reference Manuals, Cortex-A53, A72 and A73 are Armv8.0-A; A55, A76, A78AE have the dot product of
/// Armv8.2-A; Cortex-M4, M7 and M33 have the DSP extension (optional in the M33); M55 and M85 have Helium.
pub const CORES: &[(&str, &str)] = &[
    ("cortex-a53", "neon"),
    ("cortex-a55", "dotprod"),
    ("cortex-a72", "neon"),
    ("cortex-a73", "neon"),
    ("cortex-a76", "dotprod"),
    ("cortex-a78ae", "dotprod"),
    ("cortex-m33", "dsp"),
    ("cortex-m4", "dsp"),
    ("cortex-m55", "helium"),
    ("cortex-m7", "dsp"),
    ("cortex-m85", "helium"),
    ("x86-64", "avx2"),
];

/// The kernel set of a core of [`CORES`].
pub fn kernels(core: &str) -> &'static str {
    CORES.iter().find(|(name, _)| *name == core).expect("a core of the table").1
}

/// The microcontrollers' cores of [`CORES`].
pub fn microcontrollers() -> impl Iterator<Item = &'static str> {
    CORES.iter().map(|(name, _)| *name).filter(|name| name.starts_with("cortex-m"))
}

/// A board, as its file describes it.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Board {
    /// Its name in the catalogue: the file's, without `.toml`.
    #[serde(skip_deserializing)]
    pub id: String,
    /// What its maker calls it.
    pub name: String,
    /// System on chip, or microcontroller.
    pub soc: String,
    /// Its cores, the fastest first.
    #[serde(serialize_with = "unspanned")]
    pub cores: Spanned<Vec<Cores>>,
    /// Sizes of main memory that it is sold with, in MiB.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ram_mib: Vec<u32>,
    /// Neural processor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub npu: Option<Npu>,
    /// Ways to connect a camera.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cameras: Vec<Camera>,
    /// Where its system lies.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub storage: Vec<Storage>,
    /// For boards that run Linux.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub linux: Option<Linux>,
    /// For microcontrollers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mcu: Option<Mcu>,
    /// For boards that QEMU emulates.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub qemu: Option<Qemu>,
}

fn unspanned<T: Serialize, S: serde::Serializer>(value: &Spanned<T>, to: S) -> Result<S::Ok, S::Error> {
    value.get_ref().serialize(to)
}

fn unspanned_some<T: Serialize, S: serde::Serializer>(
    value: &Option<Spanned<T>>,
    to: S,
) -> Result<S::Ok, S::Error> {
    value.as_ref().map(Spanned::get_ref).serialize(to)
}

/// Cores of one kind.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Cores {
    /// One of [`CORES`].
    #[serde(serialize_with = "unspanned")]
    pub core: Spanned<String>,
    /// How many.
    #[serde(serialize_with = "unspanned")]
    pub count: Spanned<u32>,
    /// The highest clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mhz: Option<u32>,
}

/// A neural processor.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Npu {
    /// Its name, or its maker's.
    pub name: String,
    /// Tera operations a second in int8, as its maker says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tops: Option<f32>,
    /// The library that drives it, where `boards doctor` can look for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub library: Option<String>,
}

/// A way to connect a camera.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Camera {
    /// MIPI CSI-2.
    Csi,
    /// USB video class.
    Usb,
    /// A parallel sensor interface.
    Parallel,
    /// The kernel's virtual camera.
    Vivid,
}

/// Where a board's system lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Storage {
    /// Soldered or plugged eMMC.
    Emmc,
    /// A microSD card.
    Microsd,
    /// NVMe.
    Nvme,
    /// A file of the host.
    Image,
}

/// A board that runs Linux.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Linux {
    /// Rust's name of what `runtime` is built for.
    #[serde(serialize_with = "unspanned")]
    pub target: Spanned<String>,
    /// Entries of `/proc/device-tree/compatible`, any of which says that this is the board.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub compatible: Vec<String>,
}

/// A microcontroller.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Mcu {
    /// Memory that a program can use, in kB of 1024 bytes.
    #[serde(serialize_with = "unspanned_some", skip_serializing_if = "Option::is_none")]
    pub ram_kb: Option<Spanned<u32>>,
    /// Flash in kB of 1024 bytes.
    #[serde(serialize_with = "unspanned_some", skip_serializing_if = "Option::is_none")]
    pub flash_kb: Option<Spanned<u32>>,
    /// Where that memory begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ram_at: Option<u32>,
    /// Where flash begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flash_at: Option<u32>,
    /// The program in `firmware/` for it, and its feature, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub firmware: Option<Firmware>,
    /// What probe-rs calls the chip.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probe_rs: Option<String>,
    /// The family that its UF2 boot loader wants.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uf2_family: Option<u32>,
}

/// A memory: where it begins, and its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// The first address.
    pub at: u32,
    /// Its bytes.
    pub bytes: u32,
}

impl Mcu {
    /// Flash and RAM, where everything about them is known.
    pub fn memories(&self) -> Option<[Memory; 2]> {
        let memory = |at: Option<u32>, kb: &Option<Spanned<u32>>| {
            Some(Memory { at: at?, bytes: kb.as_ref()?.get_ref() * 1024 })
        };
        Some([memory(self.flash_at, &self.flash_kb)?, memory(self.ram_at, &self.ram_kb)?])
    }
}

/// A program in `firmware/`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Firmware {
    /// Binary and feature.
    pub bin: String,
    /// Rust's target.
    pub target: String,
    /// Flash that it takes without a plan, in kB of 1024 bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flash_kb: Option<u32>,
    /// Memory that it takes without an arena and a stack: drivers' buffers, logs; in kB of 1024 bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ram_kb: Option<u32>,
}

/// A machine of QEMU's.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Qemu {
    /// `-M`.
    pub machine: String,
    /// `-cpu`, where the machine leaves a choice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<String>,
}

/// What is wrong with a board's file, and where.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}:{line}:{column}: {message}", path = .path.display())]
pub struct BoardError {
    /// The file.
    pub path: PathBuf,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// What is wrong.
    pub message: String,
}

impl Board {
    /// Reads a board's file; `path` is for messages.
    pub fn parse(id: &str, text: &str, path: &std::path::Path) -> Result<Self, BoardError> {
        let error = |at: usize, message: String| {
            let before = &text[..at.min(text.len())];
            let start = before.rfind('\n').map_or(0, |n| n + 1);
            let line = before.bytes().filter(|&b| b == b'\n').count() + 1;
            BoardError { path: path.into(), line, column: before[start..].chars().count() + 1, message }
        };
        let mut board: Self = toml::from_str(text).map_err(|e: toml::de::Error| {
            error(e.span().map_or(0, |s| s.start), e.message().trim().replace('\n', ", "))
        })?;
        id.clone_into(&mut board.id);
        for rule in
            [kind_is_one, cores_are_known, sizes_are_sizes, targets_fit_the_kind, firmware_has_memories]
        {
            rule(&board).map_err(|(at, message)| error(at, message))?;
        }
        Ok(board)
    }

    /// Its fastest cores.
    pub fn core(&self) -> &str {
        self.cores.get_ref()[0].core.get_ref()
    }

    /// Their kernel set.
    pub fn kernels(&self) -> &'static str {
        kernels(self.core())
    }
}

type Rule = Result<(), (usize, String)>;

fn kind_is_one(board: &Board) -> Rule {
    match (&board.linux, &board.mcu) {
        (Some(_), None) | (None, Some(_)) => Ok(()),
        (None, None) => Err((0, "neither a table [linux] nor a table [mcu]".into())),
        (Some(linux), Some(_)) => {
            Err((linux.target.span().start, "both [linux] and [mcu]: a board is one of them".into()))
        }
    }
}

fn cores_are_known(board: &Board) -> Rule {
    if board.cores.get_ref().is_empty() {
        return Err((board.cores.span().start, "no cores".into()));
    }
    for cores in board.cores.get_ref() {
        let name = cores.core.get_ref();
        if !CORES.iter().any(|(known, _)| known == name) {
            let known: Vec<&str> = CORES.iter().map(|(name, _)| *name).collect();
            let message = format!("no core `{name}` is known; known are {}", known.join(", "));
            return Err((cores.core.span().start, message));
        }
        if !(1..=1024).contains(cores.count.get_ref()) {
            return Err((cores.count.span().start, "a count of cores is 1 to 1024".into()));
        }
    }
    Ok(())
}

fn sizes_are_sizes(board: &Board) -> Rule {
    for size in board.mcu.iter().flat_map(|m| [&m.ram_kb, &m.flash_kb]).flatten() {
        if !(1..=1 << 20).contains(size.get_ref()) {
            return Err((size.span().start, "a size is 1 kB to 1048576 kB".into()));
        }
    }
    Ok(())
}

fn targets_fit_the_kind(board: &Board) -> Rule {
    if let Some(linux) = &board.linux
        && !linux.target.get_ref().contains("-linux-")
    {
        let message = format!("`{}` is no Linux target", linux.target.get_ref());
        return Err((linux.target.span().start, message));
    }
    Ok(())
}

fn firmware_has_memories(board: &Board) -> Rule {
    match &board.mcu {
        Some(mcu) if mcu.firmware.is_some() && mcu.memories().is_none() => Err((
            0,
            "a board with [mcu.firmware] needs ram_kb, flash_kb, ram_at and flash_at, which its program is linked to"
                .into(),
        )),
        _ => Ok(()),
    }
}
