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

impl Needs {
    /// Why it does not fit a part of these sizes; `None` when it does, or where nothing is known.
    pub fn misfit(self, flash: Option<usize>, ram: Option<usize>) -> Option<String> {
        let over = |what: &str, needs: usize, has: Option<usize>| {
            let has = has.filter(|&has| needs > has)?;
            Some(format!("needs {} kB {what}, the part has {} kB", needs.div_ceil(1024), has / 1024))
        };
        let all: Vec<String> =
            [over("flash", self.flash, flash), over("RAM", self.ram, ram)].into_iter().flatten().collect();
        (!all.is_empty()).then(|| all.join("; "))
    }
}

impl Emitted {
    /// What a part must have to run it.
    pub fn needs(&self) -> Needs {
        Needs { flash: self.bytes.len() + PROGRAM_FLASH, ram: self.arena + PROGRAM_RAM }
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
        let needs = Needs { flash: 100_000, ram: 33_000 };
        assert_eq!(needs.misfit(Some(128 * 1024), Some(64 * 1024)), None);
        assert_eq!(needs.misfit(None, None), None);
        assert_eq!(
            needs.misfit(Some(64 * 1024), Some(32 * 1024)).unwrap(),
            "needs 98 kB flash, the part has 64 kB; needs 33 kB RAM, the part has 32 kB"
        );
    }
}
