//! Whether a plan or an archive fits a board, before anything is flashed.

use foldnet_plan::PlanError;
use foldnet_plan::format::Header;

use crate::board::Board;

/// What a network wants of a board, in bytes, without the firmware that runs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Needs {
    /// Flash: the plan.
    pub flash: Option<usize>,
    /// Memory: activations and scratch; or weights, where an archive runs.
    pub ram: usize,
    /// The kernel set that a plan is for.
    pub kernels: Option<String>,
}

/// A microcontroller's memories in bytes, as far as they are known, and what its firmware takes of them.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    /// Its name, for messages.
    pub name: &'a str,
    /// Flash.
    pub flash: Option<usize>,
    /// Memory.
    pub ram: Option<usize>,
    /// The firmware without plan and arena.
    pub firmware: Used,
}

/// What a program takes for itself, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Used {
    /// Code and constants.
    pub flash: usize,
    /// Stack and statics: drivers' buffers, logs.
    pub ram: usize,
}

impl Used {
    /// The loop alone, without drivers: code, vectors and constants; stack and statics. The least that any
    /// program takes. A test holds the emulated boards' programs to it.
    pub const LEAST: Self = Self { flash: 14 << 10, ram: 3 << 10 };
}

impl<'a> Part<'a> {
    /// A board's; nothing if it is no microcontroller.
    pub fn of(board: &'a Board) -> Option<Self> {
        let mcu = board.mcu.as_ref()?;
        let bytes = |kb: u32| kb as usize * 1024;
        let known = |kb: &Option<toml::Spanned<u32>>| kb.as_ref().map(|kb| bytes(*kb.get_ref()));
        let firmware = mcu.firmware.as_ref().map_or(Used::LEAST, |firmware| Used {
            flash: firmware.flash_kb.map_or(Used::LEAST.flash, bytes),
            ram: firmware.ram_kb.map_or(0, bytes) + Used::LEAST.ram,
        });
        Some(Self { name: &board.name, flash: known(&mcu.flash_kb), ram: known(&mcu.ram_kb), firmware })
    }

    /// What is needed of each memory, and what the part has and uses of it; whether that suffices, as far
    /// as it is known.
    pub fn holds(&self, needs: &Needs) -> Vec<(bool, String)> {
        let kb = |n: usize| n.div_ceil(1024);
        let memory = |what: &str, needs: usize, has: Option<usize>, used: usize| {
            let has_kb = match has {
                Some(has) => format!("has {} kB", has / 1024),
                None => format!("has {what} of unknown size"),
            };
            let (needs_kb, used_kb, name) = (kb(needs), kb(used), self.name);
            let text =
                format!("needs {needs_kb} kB {what}, {name} {has_kb}, {used_kb} in use by the firmware");
            (has.is_none_or(|has| needs.saturating_add(used) <= has), text)
        };
        let flash = needs.flash.map(|n| memory("flash", n, self.flash, self.firmware.flash));
        flash.into_iter().chain([memory("RAM", needs.ram, self.ram, self.firmware.ram)]).collect()
    }
}

impl Needs {
    /// What a plan needs.
    pub fn of_plan(bytes: &[u8]) -> Result<Self, PlanError> {
        let header = Header::parse(bytes)?;
        Ok(Self {
            flash: Some(bytes.len()),
            ram: header.memory_bytes(1),
            kernels: Some(header.set_name().to_owned()),
        })
    }
}

/// The memories that are needed and whose size the catalogue does not contain. With any, nobody knows whether it fits.
pub fn unknown(needs: &Needs, board: &Board) -> Vec<&'static str> {
    let Some(part) = Part::of(board) else { return Vec::new() };
    let flash = (needs.flash.is_some() && part.flash.is_none()).then_some("flash");
    flash.into_iter().chain(part.ram.is_none().then_some("RAM")).collect()
}

/// Why it does not fit; nothing when it does.
pub fn misfits(needs: &Needs, board: &Board) -> Vec<String> {
    let mut why = Vec::new();
    match (Part::of(board), needs.flash) {
        (Some(part), Some(_)) => {
            why.extend(part.holds(needs).into_iter().filter(|(holds, _)| !holds).map(|(_, text)| text));
            if let Some(set) = needs.kernels.as_ref().filter(|s| *s != board.kernels()) {
                why.push(format!("the plan is for `{set}`, but {} needs `{}`", board.name, board.kernels()));
            }
        }
        (None, None) => {
            let largest = board.ram_mib.iter().max().map(|&mib| (mib as usize) << 20);
            if let Some(has) = largest.filter(|&has| needs.ram > has) {
                let kb = needs.ram.div_ceil(1024);
                why.push(format!("needs {kb} kB RAM, {} has {} kB", board.name, has / 1024));
            }
        }
        (Some(_), None) => why.push(format!("{} is a microcontroller and needs a plan", board.name)),
        (None, Some(_)) => why.push(format!("{} runs Linux and needs an archive, not a plan", board.name)),
    }
    why
}

#[cfg(test)]
mod tests {
    use foldnet_plan::format::{HEADER, MAGIC, VERSION};

    use super::*;
    use crate::find;

    #[test]
    fn says_what_is_lacking() {
        let needs = |flash, ram, kernels: &str| Needs { flash, ram, kernels: Some(kernels.into()) };
        let board = |name| find(name).unwrap();
        assert!(misfits(&needs(Some(100_000), 33_000, "dsp"), &board("nrf52840-dk")).is_empty());
        assert_eq!(
            misfits(&needs(Some(100_000), 300_000, "helium"), &board("nrf52840-dk")),
            [
                "needs 293 kB RAM, nRF52840 DK has 256 kB, 4 in use by the firmware",
                "the plan is for `helium`, but nRF52840 DK needs `dsp`"
            ]
        );
        assert_eq!(misfits(&needs(None, 1, "dsp"), &board("nrf52840-dk")).len(), 1);
        assert_eq!(misfits(&needs(Some(1), 1, "dsp"), &board("rock-5b")).len(), 1);
        assert!(misfits(&needs(None, 1 << 20, "dsp"), &board("raspberry-pi-zero-2-w")).is_empty());
        assert_eq!(misfits(&needs(None, 1 << 30, "dsp"), &board("raspberry-pi-zero-2-w")).len(), 1);
    }

    #[test]
    fn memories_that_the_catalogue_does_not_contain_are_named() {
        let needs = |flash| Needs { flash, ram: 1, kernels: None };
        let mut board = find("nrf52840-dk").unwrap();
        assert!(unknown(&needs(Some(1)), &board).is_empty());
        let part = board.mcu.as_mut().unwrap();
        (part.flash_kb, part.ram_kb) = (None, None);
        assert_eq!(unknown(&needs(Some(1)), &board), ["flash", "RAM"]);
        assert!(unknown(&needs(None), &find("rock-5b").unwrap()).is_empty());
    }

    #[test]
    fn the_firmware_counts() {
        let part = |flash, ram| {
            let firmware = Used { flash: 14 << 10, ram: 12 << 10 };
            Part { name: "the part", flash, ram, firmware }
        };
        let needs = Needs { flash: Some(50 << 10), ram: 52 << 10, kernels: None };
        let said = |flash, ram| part(flash, ram).holds(&needs);
        assert_eq!(
            said(Some(64 << 10), Some((64 << 10) - 1)),
            [
                (true, "needs 50 kB flash, the part has 64 kB, 14 in use by the firmware".into()),
                (false, "needs 52 kB RAM, the part has 63 kB, 12 in use by the firmware".into()),
            ]
        );
        assert_eq!(
            said(None, Some(1 << 20))[0],
            (true, "needs 50 kB flash, the part has flash of unknown size, 14 in use by the firmware".into())
        );
    }

    #[test]
    fn a_damaged_plan_is_refused() {
        assert_eq!(Needs::of_plan(b"FNPL"), Err(PlanError::NotAPlan));
        let mut bytes = vec![0; HEADER];
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[4..8].copy_from_slice(&(VERSION - 1).to_le_bytes());
        assert_eq!(Needs::of_plan(&bytes), Err(PlanError::Version(VERSION - 1)));
        bytes[4..8].copy_from_slice(&VERSION.to_le_bytes());
        assert_eq!(Needs::of_plan(&bytes), Err(PlanError::Length));
        bytes[12..16].copy_from_slice(&(HEADER as u32).to_le_bytes());
        assert_eq!(Needs::of_plan(&bytes), Err(PlanError::Checksum));
    }
}
