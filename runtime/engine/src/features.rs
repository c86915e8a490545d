//! The values that the last layer reads, by which images are compared.
//!
//! They are an int8 tensor of the network, and every kernel set has its own layout for it. A plan contains its
//! offset, but not the real values that its integers represent: [`Quantized`] adds these.

use foldnet_archive::{Network, PIXELS, Step};
use foldnet_kernels::{ALIGN, ConvOutput, Shape, Source};
use foldnet_plan::Plan;
use foldnet_plan::format::Record;

/// The real values of a tensor's integers: `(q − zero) · scale`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quantized {
    /// The zero point.
    pub zero: i8,
    /// The scale.
    pub scale: f32,
}

impl Quantized {
    /// Returns the quantization of the tensor that the last layer reads. Returns `None` if the network does not
    /// end in a dense layer or convolution, or if that layer reads the image.
    pub fn features(network: &Network) -> Option<Self> {
        let writer = |tensor| network.steps.iter().find(|step| step.outputs().contains(&tensor));
        let last = match writer(network.logits)? {
            // A dense layer whose row of scores is rounded, as in models that were already quantized.
            Step::Dequantize(d) if network.tensors[d.x].shape.pixels() == 1 => writer(d.x)?,
            last => last,
        };
        match last {
            Step::Conv(conv) if conv.x != PIXELS => {
                let x = &network.tensors[conv.x];
                Some(Self { zero: x.zero, scale: x.scale })
            }
            _ => None,
        }
    }
}

/// The location of a plan's features.
pub(crate) struct Features {
    /// The step that reads the features.
    step: usize,
    shape: Shape,
    /// The offset in the arena.
    at: usize,
    quantized: Quantized,
    values: Vec<f32>,
    integers: Vec<i8>,
}

impl Features {
    /// Finds the features of a plan whose last layer is a convolution of a whole tensor.
    pub(crate) fn of(plan: &Plan<'_>, quantized: Quantized) -> Option<Self> {
        let steps = plan.header().steps as usize;
        // The last layer's rounded scores, if it rounds them.
        let rounded = (0..steps).find_map(|step| match plan.record(step) {
            Record::Dequantize(d) if d.shape.pixels() == 1 => Some(d.x),
            _ => None,
        });
        (0..steps).rev().find_map(|step| {
            let Record::Conv(conv) = plan.record(step) else { return None };
            let last = conv.desc.output == ConvOutput::Float32 || rounded == Some(conv.y);
            let shape = conv.desc.x;
            let reads_all = conv.desc.source == Source::Tensor && conv.stripes.x_rows as usize == shape.h;
            (last && reads_all).then(|| Self {
                step,
                shape,
                at: conv.x as usize,
                quantized,
                values: vec![0.0; shape.len()],
                integers: vec![0; shape.len()],
            })
        })
    }

    /// Runs the plan and reads the features before they are overwritten.
    pub(crate) fn run(
        &mut self,
        plan: &Plan<'_>,
        pool: &dyn foldnet_plan::Pool,
        memory: &mut [u8],
        pixels: &[u8],
    ) -> &[f32] {
        plan.run(pool, memory, pixels, |step, memory| {
            if step == self.step {
                self.read(plan, memory, self.quantized);
            }
        });
        &self.values
    }

    /// Like [`Features::run`], but returns the logits, and the features as integers.
    pub(crate) fn run_integers<'a>(
        &'a mut self,
        plan: &Plan<'_>,
        pool: &dyn foldnet_plan::Pool,
        memory: &'a mut [u8],
        pixels: &[u8],
    ) -> (&'a [f32], &'a [i8]) {
        let logits = plan.run(pool, memory, pixels, |step, memory| {
            if step == self.step {
                // With this zero point and scale every integer is its own value, which an f32 represents exactly.
                self.read(plan, memory, Quantized { zero: 0, scale: 1.0 });
            }
        });
        self.integers.iter_mut().zip(&self.values).for_each(|(to, &value)| *to = value as i8);
        (logits, &self.integers)
    }

    fn read(&mut self, plan: &Plan<'_>, memory: &[u8], quantized: Quantized) {
        let Quantized { zero, scale } = quantized;
        let x = memory[self.at..].as_ptr();
        debug_assert!(x.addr().is_multiple_of(ALIGN));
        // SAFETY: the plan was validated for this set, so the whole tensor is inside the arena at a multiple of
        // `ALIGN`; `values` has room for each of its numbers. No step is running.
        unsafe { plan.set().dequantize(self.shape, zero, scale, x, self.values.as_mut_ptr()) }
    }

    pub(crate) fn shape(&self) -> Shape {
        self.shape
    }
}

#[cfg(test)]
mod tests {
    use foldnet_archive::testing::{interpret, networks, resnet8};
    use foldnet_kernels::dispatch;

    use super::*;
    use crate::compile::compile_small;
    use crate::session::{NetworkInfo, Session};

    /// Computes the features with the reference loops.
    fn expected(network: &Network, pixels: &[u8]) -> Option<Vec<f32>> {
        let last = network.steps.last().unwrap();
        assert_eq!(last.outputs(), [network.logits]);
        let (Step::Conv(conv), Quantized { zero, scale }) = (last, Quantized::features(network)?) else {
            return None;
        };
        let value = |&q: &i8| (i32::from(q) - i32::from(zero)) as f32 * scale;
        Some(interpret(network, pixels).tensors[conv.x].iter().map(value).collect())
    }

    #[test]
    fn every_set_gives_the_interpreters_bits() {
        let mut with = 0;
        for network in networks().into_iter().chain([resnet8()]) {
            for (seed, threads) in [(1, 1), (2, 2)] {
                let pixels: Vec<u8> =
                    (0..network.input().len()).map(|i| ((i * 7919 * seed) >> 3) as u8).collect();
                let expected = expected(&network, &pixels);
                for entry in dispatch::REGISTRY {
                    let Some(set) = (entry.get)() else { continue };
                    let mut session = Session::new(&network, set, threads).unwrap();
                    let logits = session.run(&pixels).to_vec();
                    assert_eq!(session.features(&pixels), expected.as_deref(), "{}", entry.name);
                    assert_eq!(session.features_shape().map(|s| s.len()), expected.as_ref().map(Vec::len));
                    let quantized = Quantized::features(&network);
                    let both = session.run_with_features(&pixels).map(|(l, f)| (l.to_vec(), f.to_vec()));
                    assert_eq!(both.is_some(), expected.is_some());
                    if let (Some((both_logits, integers)), Some(Quantized { zero, scale })) =
                        (both, quantized)
                    {
                        let value = |&q: &i8| (i32::from(q) - i32::from(zero)) as f32 * scale;
                        assert_eq!(Some(integers.iter().map(value).collect()), expected, "{}", entry.name);
                        assert_eq!(both_logits, logits, "{}", entry.name);
                    }
                    // The step that reads the features has run as well, and can run again.
                    assert_eq!(session.run(&pixels), logits);
                    with += usize::from(expected.is_some());
                }
            }
        }
        assert!(with > 0);
    }

    #[test]
    fn plans_for_little_memory_have_them_too() {
        let network = resnet8();
        let pixels = vec![77; network.input().len()];
        let set = dispatch::by_name("dsp").unwrap();
        let plan = compile_small(&network, set).unwrap();
        let mut session = Session::from_plan(plan, set, 1, NetworkInfo::of(&network)).unwrap();
        assert_eq!(session.features(&pixels), expected(&network, &pixels).as_deref());
    }
}
