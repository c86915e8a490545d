//! Network → plan: places activations in the arena and packs constants for one kernel set.
//!
//! The network's steps are already fused (see [`foldnet_archive::Step`]), so compiling is layout only:
//! lifetimes, in-place residuals, blobs, records.

mod memory;
mod small;

use foldnet_archive::{Affine, Conv, Network, NetworkError, PIXELS, Step};
use foldnet_kernels::{
    AddScalars, AvgPoolScalars, ConvScalars, ConvWeights, KernelSet, MAX_TERMS, Requant, ScaleScalars,
    SumTerm,
};
use foldnet_plan::Builder;
use foldnet_plan::format::{Header, NOWHERE, Record, Stripes};

use crate::aligned::Aligned;
use memory::{Placement, place};
pub use small::compile_small;

/// Steps below this many multiply-accumulates run on one thread: a fork and join costs more.
const PARALLEL_MACS: u64 = 400_000;

/// Why a network cannot be compiled.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// The network is not a sound one.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// Constants or activations exceed what a plan can address.
    #[error("the network is too large for a plan (4 GiB of constants, 1 GiB of activations)")]
    TooLarge,
}

/// Compiles a network for a kernel set. Same input, same bytes.
pub fn compile(network: &Network, set: &dyn KernelSet) -> Result<Aligned, CompileError> {
    network.validate()?;
    lay_out(network, set, &place(network, set))
}

/// The plan for this placement; the network is valid.
fn lay_out(network: &Network, set: &dyn KernelSet, placement: &Placement) -> Result<Aligned, CompileError> {
    let mut compiler = Compiler { network, set, placement, builder: Builder::new(), scratch: 0 };
    for (i, step) in network.steps.iter().enumerate() {
        compiler.step(i, step);
    }
    let mut name = [0; 16];
    let bytes = set.name().as_bytes();
    name[..bytes.len()].copy_from_slice(bytes);
    let size = |n: usize| u32::try_from(n).map_err(|_| CompileError::TooLarge);
    let header = Header {
        crc: 0,
        len: 0,
        steps: 0,
        arena: size(placement.arena)?,
        scratch: size(compiler.scratch)?,
        input: network.input(),
        logits: placement.offset(network.logits),
        classes: size(network.classes())?,
        set: name,
        pixels: placement.pixels(),
    };
    let plan = compiler.builder.finish(header).ok_or(CompileError::TooLarge)?;
    Ok(Aligned::from_slice(&plan))
}

struct Compiler<'a> {
    network: &'a Network,
    set: &'a dyn KernelSet,
    placement: &'a Placement,
    builder: Builder,
    scratch: usize,
}

impl Compiler<'_> {
    fn at(&self, tensor: usize) -> u32 {
        self.placement.offset(tensor)
    }

    fn zero(&self, tensor: usize) -> i8 {
        self.network.tensors[tensor].zero
    }

    fn step(&mut self, i: usize, step: &Step) {
        let record = match step {
            Step::Conv(c) => self.conv(i, c),
            Step::MaxPool(p) => Record::MaxPool {
                desc: self.network.pool_desc(p).expect("validated"),
                x: self.at(p.x),
                y: self.at(p.y),
            },
            Step::AvgPool(p) => Record::AvgPool {
                shape: self.network.tensors[p.x].shape,
                scalars: AvgPoolScalars {
                    x_zero: self.zero(p.x),
                    multiplier: p.multiplier,
                    y: self.network.requant(p.y),
                },
                x: self.at(p.x),
                y: self.at(p.y.tensor),
            },
            Step::Affine(a) => self.affine(a),
            Step::Add(a) => {
                // The executor lets the first summand be the output's buffer, not the second.
                let (first, second) =
                    if self.at(a.b.0) == self.at(a.y.tensor) { (a.b, a.a) } else { (a.a, a.b) };
                Record::Add {
                    shape: self.network.tensors[a.y.tensor].shape,
                    scalars: AddScalars {
                        a_zero: self.zero(first.0),
                        a_multiplier: first.1,
                        b_zero: self.zero(second.0),
                        b_multiplier: second.1,
                        y: self.network.requant(a.y),
                    },
                    a: self.at(first.0),
                    b: self.at(second.0),
                    y: self.at(a.y.tensor),
                }
            }
            Step::Sum(s) => {
                let (mut terms, mut x) = ([SumTerm::default(); MAX_TERMS], [0; MAX_TERMS]);
                for (k, term) in s.terms.iter().enumerate() {
                    terms[k] = SumTerm { zero: term.zero, multiplier: term.multiplier };
                    x[k] = self.at(term.x);
                }
                Record::Sum {
                    shape: self.network.tensors[s.y.tensor].shape,
                    out: self.network.requant(s.y),
                    count: s.terms.len() as u32,
                    terms,
                    x,
                    y: self.at(s.y.tensor),
                }
            }
            Step::Table(t) => Record::Table {
                shape: self.network.tensors[t.x].shape,
                blob: self.builder.blob(&t.table.map(|v| v as u8)),
                x: self.at(t.x),
                y: self.at(t.y),
            },
            Step::Scale(s) => {
                let shape = self.network.tensors[s.x].shape;
                self.scratch = self.scratch.max(8 * shape.c);
                Record::Scale {
                    shape,
                    scalars: ScaleScalars {
                        x_zero: self.zero(s.x),
                        gate_zero: self.zero(s.gate),
                        multiplier: s.multiplier,
                        y: self.network.requant(s.y),
                    },
                    x: self.at(s.x),
                    gate: self.at(s.gate),
                    y: self.at(s.y.tensor),
                }
            }
            Step::Dequantize(d) => Record::Dequantize {
                shape: self.network.tensors[d.x].shape,
                zero: self.zero(d.x),
                scale: self.network.tensors[d.x].scale,
                x: self.at(d.x),
                y: self.at(d.y),
            },
        };
        self.builder.step(record);
    }

    fn conv(&mut self, i: usize, c: &Conv) -> Record {
        let desc = self.network.conv_desc(c).expect("validated");
        let from_pixels = c.x == PIXELS;
        let one = [self.zero(c.x)];
        let x_zero: &[i8] = if from_pixels { &self.network.pixel_zero } else { &one };
        let (gain, offset) =
            c.affine.as_ref().map_or((&[][..], &[][..]), |a| (a.gain.as_slice(), a.offset.as_slice()));
        let blob = self.set.pack_conv(
            &desc,
            &ConvWeights {
                weights: &c.weights,
                bias: &c.bias,
                multiplier: &c.multiplier,
                gain,
                offset,
                x_zero,
            },
        );
        let stripes = self.placement.stripes(i).unwrap_or_else(|| Stripes::none(&desc));
        if stripes.scratch == NOWHERE {
            self.scratch = self.scratch.max(self.set.conv_scratch_bytes(&desc));
        }
        let mut zeros = [one[0]; 4];
        if from_pixels {
            zeros[..x_zero.len()].copy_from_slice(x_zero);
        }
        let logits = c.y.is_some_and(|y| y.tensor == self.network.logits);
        let requant = |out: Option<foldnet_archive::Out>| match out {
            Some(out) if !logits => self.network.requant(out),
            _ => Requant::full(0),
        };
        let scalars = ConvScalars {
            x_zero: zeros,
            skip_zero: c.skip.map_or(0, |(s, _)| self.zero(s)),
            skip_multiplier: c.skip.map_or(0.0, |(_, m)| m),
            y: requant(c.y),
            y2: requant(c.affine.as_ref().map(|a| a.out)),
        };
        Record::Conv {
            desc,
            scalars,
            x: if from_pixels { 0 } else { self.at(c.x) },
            skip: c.skip.map_or(0, |(s, _)| self.at(s)),
            y: c.y.map_or(0, |o| self.at(o.tensor)),
            y2: c.affine.as_ref().map_or(0, |a| self.at(a.out.tensor)),
            blob: self.builder.blob(&blob),
            parallel: desc.macs() >= PARALLEL_MACS,
            stripes,
        }
    }

    fn affine(&mut self, a: &Affine) -> Record {
        let constants: Vec<u8> = a.gain.iter().chain(&a.offset).flat_map(|v| v.to_ne_bytes()).collect();
        Record::Affine {
            shape: self.network.tensors[a.x].shape,
            x_zero: self.zero(a.x),
            out: self.network.requant(a.y),
            blob: self.builder.blob(&constants),
            x: self.at(a.x),
            y: self.at(a.y.tensor),
        }
    }
}

#[cfg(test)]
mod tests;
