//! The plan for a microcontroller, and whether it fits one.

use foldnet_archive::Network;
use foldnet_kernels::{KernelSet, dispatch};
use foldnet_plan::{PROGRAM_FLASH, PROGRAM_RAM, Plan};
use foldnet_runtime::compile::compile_small;

/// Processors that have a kernel set, and its name.
pub const PROCESSORS: &[(&str, &str)] = &[
    ("cortex-m4", "dsp"),
    ("cortex-m7", "dsp"),
    ("cortex-m33", "dsp"),
    ("cortex-m55", "helium"),
    ("cortex-m85", "helium"),
];

/// A compiled plan and what it wants.
pub struct Emitted {
    /// The file.
    pub bytes: Vec<u8>,
    /// The kernel set's name.
    pub set: &'static str,
    /// Working memory: activations and scratch.
    pub arena: usize,
}

/// What a part must have, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    /// Flash: plan and program.
    pub flash: usize,
    /// Memory: arena, stack and statics.
    pub ram: usize,
}

/// What a part has, in bytes, as far as it is known.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    /// Its name, for messages.
    pub name: &'a str,
    /// Flash.
    pub flash: Option<usize>,
    /// Memory.
    pub ram: Option<usize>,
}

impl Emitted {
    /// What a part must have to run it.
    pub fn needs(&self) -> Needs {
        Needs { flash: self.bytes.len() + PROGRAM_FLASH, ram: self.arena + PROGRAM_RAM }
    }

    /// Why it does not fit; `None` when it does, or where nothing is known.
    pub fn misfit(&self, part: &Part<'_>) -> Option<String> {
        let kb = |n: usize| n.div_ceil(1024);
        let over = |what: &str, ours: &str, own: usize, program: usize, has: Option<usize>| {
            let has = has.filter(|&has| own + program > has)?;
            Some(format!(
                "needs {} kB {what} ({} for {ours}, {} for the program), {} has {} kB",
                kb(own + program),
                kb(own),
                kb(program),
                part.name,
                has / 1024
            ))
        };
        let all = [
            over("flash", "the plan", self.bytes.len(), PROGRAM_FLASH, part.flash),
            over("RAM", "activations", self.arena, PROGRAM_RAM, part.ram),
        ];
        let all: Vec<String> = all.into_iter().flatten().collect();
        (!all.is_empty()).then(|| all.join("; "))
    }
}

/// Compiles for a processor of [`PROCESSORS`].
pub fn plan(network: &Network, processor: &str) -> anyhow::Result<Emitted> {
    let Some((_, name)) = PROCESSORS.iter().find(|(p, _)| *p == processor) else {
        anyhow::bail!("no kernels for {processor}");
    };
    let set: &'static dyn KernelSet = dispatch::by_name(name)?;
    let bytes = compile_small(network, set)?;
    let arena = Plan::load(&bytes, set)?.memory_bytes(1);
    Ok(Emitted { bytes: bytes.to_vec(), set: set.name(), arena })
}

#[cfg(test)]
mod tests {
    use super::*;
    use foldnet_archive::testing::resnet8;

    #[test]
    fn every_processor_gets_a_plan() {
        for (processor, set) in PROCESSORS {
            let emitted = plan(&resnet8(), processor).unwrap();
            assert_eq!(emitted.set, *set);
            assert!(emitted.arena < 32 * 1024 && emitted.bytes.len() < 90_000);
        }
        assert!(plan(&resnet8(), "cortex-m0").is_err());
    }

    #[test]
    fn a_misfit_says_what_is_lacking() {
        let emitted = Emitted { bytes: vec![0; 84 << 10], set: "dsp", arena: 30 << 10 };
        let part = |flash, ram| Part { name: "the part", flash, ram };
        assert_eq!(emitted.misfit(&part(Some(128 << 10), Some(64 << 10))), None);
        assert_eq!(emitted.misfit(&part(None, None)), None);
        assert_eq!(
            emitted.misfit(&part(Some(64 << 10), Some(32 << 10))).unwrap(),
            "needs 98 kB flash (84 for the plan, 14 for the program), the part has 64 kB; \
             needs 33 kB RAM (30 for activations, 3 for the program), the part has 32 kB"
        );
    }
}
