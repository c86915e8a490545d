//! Plans give the same bits as a plain interpretation with the reference loops.

use foldnet_archive::Network;
use foldnet_archive::testing::{every_step, interpret, networks, resnet8};
use foldnet_kernels::{KernelSet, dispatch};
use foldnet_plan::format::{HEADER, Header, RECORD};
use foldnet_plan::{Plan, PlanError, Single};
use proptest::prelude::*;

use super::{compile, compile_small};
use crate::aligned::Aligned;

fn pixels(network: &Network, seed: usize) -> Vec<u8> {
    (0..network.input().len()).map(|i| ((i * 7919 + seed * 104_729) >> 3) as u8).collect()
}

fn run(network: &Network, set: &'static dyn KernelSet, pixels: &[u8]) -> Vec<f32> {
    let bytes = compile(network, set).unwrap();
    let plan = Plan::load(&bytes, set).unwrap();
    let mut memory = Aligned::zeroed(plan.memory_bytes(1));
    plan.run(&Single, &mut memory, pixels, |_, _| {}).to_vec()
}

#[test]
fn every_set_gives_the_interpreters_bits() {
    for network in networks() {
        for entry in dispatch::REGISTRY {
            let Some(set) = (entry.get)() else { continue };
            for seed in 0..if cfg!(miri) { 1 } else { 4 } {
                let pixels = pixels(&network, seed);
                assert_eq!(
                    run(&network, set, &pixels),
                    interpret(&network, &pixels).logits,
                    "{}",
                    entry.name
                );
            }
        }
    }
}

fn run_small(network: &Network, set: &'static dyn KernelSet, pixels: &[u8]) -> (usize, Vec<f32>) {
    let bytes = compile_small(network, set).unwrap();
    let plan = Plan::load(&bytes, set).unwrap();
    let mut memory = Aligned::zeroed(plan.memory_bytes(1));
    memory[plan.pixels().unwrap()].copy_from_slice(pixels);
    (memory.len(), plan.run_in_place(&mut memory).unwrap().to_vec())
}

#[test]
fn small_plans_give_the_same_bits() {
    for network in networks().into_iter().chain([resnet8()]) {
        for entry in dispatch::REGISTRY {
            let Some(set) = (entry.get)() else { continue };
            let pixels = pixels(&network, 3);
            assert_eq!(run_small(&network, set, &pixels).1, run(&network, set, &pixels), "{}", entry.name);
        }
    }
}

#[test]
fn stripes_lower_the_peak() {
    let network = resnet8();
    for name in ["dsp", "helium"] {
        let set = dispatch::by_name(name).unwrap();
        let (small, _) = run_small(&network, set, &pixels(&network, 1));
        // Two whole tensors of the first stage alone are 32 kB.
        assert!(small < 32 * 1024, "{name}: {small} bytes");
        let bytes = compile(&network, set).unwrap();
        assert!(Plan::load(&bytes, set).unwrap().memory_bytes(1) > 32 * 1024);
    }
}

#[test]
fn compiling_twice_gives_the_same_bytes() {
    let set = dispatch::best();
    let network = every_step();
    assert!(*compile(&network, set).unwrap() == *compile(&network, set).unwrap());
}

#[test]
fn a_plan_for_another_set_is_refused() {
    let set = dispatch::by_name("portable").unwrap();
    let mut bytes = compile(&every_step(), set).unwrap();
    // The set's name starts at 52. The checksum is repaired.
    bytes[52] ^= 1;
    Header::seal(&mut bytes);
    assert_eq!(Plan::load(&bytes, set).err(), Some(PlanError::OtherSet));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 2 } else { 400 }))]

    #[test]
    fn a_flipped_byte_is_noticed(at in any::<usize>(), flip in 1u8..) {
        let set = dispatch::best();
        let mut bytes = compile(&every_step(), set).unwrap();
        let at = at % bytes.len();
        bytes[at] ^= flip;
        prop_assert!(Plan::load(&bytes, set).is_err());
    }

    #[test]
    fn a_cut_plan_is_noticed(len in any::<usize>()) {
        let set = dispatch::best();
        let bytes = compile(&every_step(), set).unwrap();
        let cut = Aligned::from_slice(&bytes[..len % bytes.len()]);
        prop_assert!(Plan::load(&cut, set).is_err());
    }

    /// Anyone who can compute a checksum can forge a plan: it is refused, or it runs without touching memory
    /// outside its own (which Miri and the sanitizers check).
    #[test]
    fn a_forged_plan_is_refused_or_harmless(at in any::<usize>(), with in any::<u8>()) {
        let networks = networks();
        let network = &networks[usize::from(with) % networks.len()];
        for entry in dispatch::REGISTRY {
            let Some(set) = (entry.get)() else { continue };
            for mut bytes in [compile(network, set).unwrap(), compile_small(network, set).unwrap()] {
                // Sizes and offsets are in the header and the records.
                let at = 12 + at % (HEADER + RECORD * network.steps.len() - 12);
                bytes[at] = with;
                Header::seal(&mut bytes);
                if let Ok(plan) = Plan::load(&bytes, set)
                    && plan.memory_bytes(1) < 1 << 26
                    && plan.header().input.len() < 1 << 20
                {
                    let mut memory = Aligned::zeroed(plan.memory_bytes(1));
                    plan.run(&Single, &mut memory, &vec![7; plan.header().input.len()], |_, _| {});
                    plan.run_in_place(&mut memory);
                }
            }
        }
    }
}
