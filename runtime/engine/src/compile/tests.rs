//! Plans give the bits of a plain interpretation by the reference loops.

use foldnet_archive::testing::{
    every_step, every_step_with_a_sum, every_step_without_a_dense_layer, resnet8,
};
use foldnet_archive::{Network, PIXELS, Step};
use foldnet_kernels::reference::{self, ConvResult};
use foldnet_kernels::{
    AddScalars, AvgPoolScalars, ConvScalars, ConvWeights, KernelSet, Requant, ScaleScalars, SumTerm, dispatch,
};
use foldnet_plan::format::{HEADER, RECORD};
use foldnet_plan::{Plan, PlanError, Single};
use proptest::prelude::*;

use super::{compile, compile_small};
use crate::aligned::Aligned;

/// Runs a network step by step with the reference functions: every tensor, then the logits.
fn interpret(network: &Network, pixels: &[u8]) -> (Vec<Vec<i8>>, Vec<f32>) {
    let mut values: Vec<Vec<i8>> = network.tensors.iter().map(|t| vec![0; t.shape.len()]).collect();
    values[PIXELS] = pixels.iter().map(|&p| (p ^ 0x80) as i8).collect();
    let mut logits = vec![0.0; network.classes()];
    let zero = |t: usize| network.tensors[t].zero;
    for step in &network.steps {
        match step {
            Step::Conv(c) => {
                let desc = network.conv_desc(c).unwrap();
                let n = desc.y.len();
                let (mut y, mut y2) = (vec![0; n], vec![0; n]);
                let one = [zero(c.x)];
                let to_logits = c.y.is_some_and(|o| o.tensor == network.logits);
                let requant = |o: Option<foldnet_archive::Out>| {
                    o.filter(|_| !to_logits).map_or(Requant::full(0), |o| network.requant(o))
                };
                let second = c.affine.as_ref();
                reference::conv(
                    &desc,
                    &ConvWeights {
                        weights: &c.weights,
                        bias: &c.bias,
                        multiplier: &c.multiplier,
                        gain: second.map_or(&[], |a| &a.gain),
                        offset: second.map_or(&[], |a| &a.offset),
                        x_zero: if c.x == PIXELS { &network.pixel_zero } else { &one },
                    },
                    &ConvScalars {
                        x_zero: [0; 4],
                        skip_zero: c.skip.map_or(0, |s| zero(s.0)),
                        skip_multiplier: c.skip.map_or(0.0, |s| s.1),
                        y: requant(c.y),
                        y2: requant(second.map(|a| a.out)),
                    },
                    &values[c.x],
                    c.skip.map_or(&[], |s| &values[s.0]),
                    ConvResult {
                        y: if desc.output.has_int8() { &mut y } else { &mut [] },
                        y2: if desc.output.has_affine() { &mut y2 } else { &mut [] },
                        logits: if to_logits { &mut logits } else { &mut [] },
                    },
                );
                if let Some(out) = c.y.filter(|_| !to_logits) {
                    values[out.tensor] = y;
                }
                if let Some(a) = second {
                    values[a.out.tensor] = y2;
                }
            }
            Step::MaxPool(p) => {
                let desc = network.pool_desc(p).unwrap();
                let mut y = vec![0; desc.y.len()];
                reference::max_pool(&desc, 0..desc.y.h, &values[p.x], &mut y);
                values[p.y] = y;
            }
            Step::AvgPool(p) => {
                let shape = network.tensors[p.x].shape;
                let scalars =
                    AvgPoolScalars { x_zero: zero(p.x), multiplier: p.multiplier, y: network.requant(p.y) };
                let mut y = vec![0; shape.c];
                reference::avg_pool(shape, &scalars, &values[p.x], &mut y);
                values[p.y.tensor] = y;
            }
            Step::Affine(a) => {
                let mut y = vec![0; values[a.x].len()];
                let out = network.requant(a.y);
                reference::affine(zero(a.x), out, &a.gain, &a.offset, &values[a.x], &mut y);
                values[a.y.tensor] = y;
            }
            Step::Add(a) => {
                let scalars = AddScalars {
                    a_zero: zero(a.a.0),
                    a_multiplier: a.a.1,
                    b_zero: zero(a.b.0),
                    b_multiplier: a.b.1,
                    y: network.requant(a.y),
                };
                let mut y = vec![0; values[a.a.0].len()];
                reference::add(&scalars, &values[a.a.0], &values[a.b.0], &mut y);
                values[a.y.tensor] = y;
            }
            Step::Sum(s) => {
                let terms: Vec<SumTerm> =
                    s.terms.iter().map(|t| SumTerm { zero: t.zero, multiplier: t.multiplier }).collect();
                let x: Vec<&[i8]> = s.terms.iter().map(|t| values[t.x].as_slice()).collect();
                let mut y = vec![0; x[0].len()];
                reference::sum(&terms, network.requant(s.y), &x, &mut y);
                values[s.y.tensor] = y;
            }
            Step::Table(t) => {
                let mut y = vec![0; values[t.x].len()];
                reference::table(&t.table, &values[t.x], &mut y);
                values[t.y] = y;
            }
            Step::Scale(s) => {
                let scalars = ScaleScalars {
                    x_zero: zero(s.x),
                    gate_zero: zero(s.gate),
                    multiplier: s.multiplier,
                    y: network.requant(s.y),
                };
                let mut y = vec![0; values[s.x].len()];
                reference::scale(&scalars, &values[s.x], &values[s.gate], &mut y);
                values[s.y.tensor] = y;
            }
            Step::Dequantize(d) => {
                let tensor = &network.tensors[d.x];
                reference::dequantize(tensor.zero, tensor.scale, &values[d.x], &mut logits);
            }
        }
    }
    (values, logits)
}

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
    for network in [every_step(), every_step_without_a_dense_layer(), every_step_with_a_sum()] {
        for entry in dispatch::REGISTRY {
            let Some(set) = (entry.get)() else { continue };
            for seed in 0..if cfg!(miri) { 1 } else { 4 } {
                let pixels = pixels(&network, seed);
                assert_eq!(run(&network, set, &pixels), interpret(&network, &pixels).1, "{}", entry.name);
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
    for network in [every_step(), resnet8()] {
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
    // The name stands at 52; the checksum is made to fit again.
    bytes[52] ^= 1;
    let crc = crc32fast::hash(&bytes[12..]);
    bytes[8..12].copy_from_slice(&crc.to_le_bytes());
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

    /// Someone who can compute a checksum can write any plan: it is refused, or runs without touching
    /// memory outside its own (which Miri and the sanitizers see).
    #[test]
    fn a_forged_plan_is_refused_or_harmless(at in any::<usize>(), with in any::<u8>()) {
        let network = [every_step, every_step_without_a_dense_layer, every_step_with_a_sum][usize::from(with) % 3]();
        for entry in dispatch::REGISTRY {
            let Some(set) = (entry.get)() else { continue };
            for mut bytes in [compile(&network, set).unwrap(), compile_small(&network, set).unwrap()] {
                // The header and the records: that is where sizes and offsets stand.
                let at = 12 + at % (HEADER + RECORD * network.steps.len() - 12);
                bytes[at] = with;
                let crc = crc32fast::hash(&bytes[12..]);
                bytes[8..12].copy_from_slice(&crc.to_le_bytes());
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
