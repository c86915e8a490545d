//! Converts the network to the form in which an NPU computes it: every residual is a separate step.
//!
//! Our convolution adds its residual to the accumulator and rounds once. An NPU rounds the convolution to int8,
//! adds, and rounds again; an affine map after a sum reads int8, too. Written in our own steps, this is a network
//! that the CPU runs with the NPU's bits:
//!
//! ```text
//! Conv (skip, y)           →  Conv → bare;  Add (bare, skip) → y
//! Conv (skip, y, affine)   →  Conv → bare;  Add (bare, skip) → y;  Add (bare, skip) → sum;  Affine (sum) → y2
//! Conv (affine)            →  Conv → sum;   Affine (sum) → y2
//! Conv (y, affine)         →  Conv → y;     Affine (y) → y2
//! ```
//! The scales of `bare` and `sum` are measured on images ([`Ranges`]). On an NPU an affine map is a depthwise
//! convolution with an integer bias, so offsets are restricted to its multiples ([`settle`]).

mod offsets;
mod pixels;
mod quantization;
mod ranges;
mod tune;

use std::collections::HashSet;

use foldnet_archive::{Add, Affine, Conv, Network, Out, Step, Tensor, TensorId};

pub use offsets::{AFFINE_WEIGHT, settle};
pub use pixels::one_zero;
pub use quantization::Quantization;
pub use ranges::Ranges;
pub use tune::tune;

/// Returns whether every residual and every affine map is already a separate step.
pub fn is_apart(network: &Network) -> bool {
    network.steps.iter().all(|s| !matches!(s, Step::Conv(c) if has_parts(network, c)))
}

/// Returns whether a convolution computes more than its own sum. Logits remain unchanged: they are not rounded at
/// all.
fn has_parts(network: &Network, c: &Conv) -> bool {
    let logits = c.y.is_some_and(|y| y.tensor == network.logits);
    !logits && (c.skip.is_some() || c.affine.is_some())
}

/// Makes residuals and affine maps separate steps. Tensors keep their numbers; new ones follow them.
pub fn apart(network: &Network, ranges: &Ranges) -> Network {
    let mut writer = Writer::new(network);
    for (step, range) in network.steps.iter().zip(&ranges.0) {
        match step {
            Step::Conv(c) if has_parts(network, c) => writer.conv(c, *range),
            Step::Affine(a) => writer.affine(a.clone()),
            other => writer.new.steps.push(other.clone()),
        }
    }
    writer.new
}

struct Writer {
    new: Network,
    names: HashSet<String>,
}

impl Writer {
    fn new(network: &Network) -> Self {
        let names = network.tensors.iter().map(|t| t.name.clone()).collect();
        Self { new: Network { steps: Vec::new(), ..network.clone() }, names }
    }

    fn scale(&self, id: TensorId) -> f32 {
        self.new.tensors[id].scale
    }

    /// Adds a tensor of the same shape as `like`, whose name has a word appended.
    fn tensor(&mut self, like: TensorId, word: &str, (scale, zero): (f32, i8)) -> Out {
        let Tensor { name, shape, .. } = &self.new.tensors[like];
        let mut name = format!("{name}_{word}");
        while !self.names.insert(name.clone()) {
            name.push('_');
        }
        let tensor = Tensor { name, shape: *shape, scale, zero };
        self.new.tensors.push(tensor);
        Out { tensor: self.new.tensors.len() - 1, lo: i8::MIN, hi: i8::MAX }
    }

    fn conv(&mut self, c: &Conv, range: ranges::Range) {
        // The unit of the convolution's multipliers.
        let first = c.y.or(c.affine.as_ref().map(|a| a.out)).expect("a convolution writes something");
        let unit = self.scale(first.tensor);
        let own = c.y.filter(|_| c.skip.is_none());
        let bare = own.unwrap_or_else(|| {
            let (range, word) = if c.skip.is_some() { (range.bare, "bare") } else { (range.sum, "sum") };
            let range = range.expect("a range was measured for every value that is rounded anew");
            self.tensor(first.tensor, word, (range.scale, range.zero))
        });
        let by = unit / self.scale(bare.tensor);
        let multiplier = c.multiplier.iter().map(|m| m * by).collect();
        let alone = Conv { multiplier, skip: None, y: Some(bare), affine: None, ..c.clone() };
        self.new.steps.push(Step::Conv(Box::new(alone)));

        let mut read = bare;
        if let Some((skip, by)) = c.skip {
            let add = |writer: &mut Self, y: Out, word: &str| {
                let to = writer.scale(y.tensor);
                let (a, b) = ((bare.tensor, writer.scale(bare.tensor) / to), (skip, by * unit / to));
                writer.new.steps.push(Step::Add(Add { name: format!("{}/{word}", c.name), a, b, y }));
            };
            if let Some(y) = c.y {
                add(self, y, "add");
            }
            if c.affine.is_some() {
                let range = range.sum.expect("a range was measured for every sum that is mapped");
                read = self.tensor(first.tensor, "sum", (range.scale, range.zero));
                add(self, read, "add_again");
            }
        }
        if let Some(second) = &c.affine {
            let by = self.scale(read.tensor) / unit;
            self.affine(Affine {
                name: format!("{}/affine", c.name),
                x: read.tensor,
                y: second.out,
                gain: second.gain.iter().map(|g| g * by).collect(),
                offset: second.offset.clone(),
            });
        }
    }

    /// Adds an affine map with offsets that an NPU can represent.
    fn affine(&mut self, mut a: Affine) {
        let (x, y) = (&self.new.tensors[a.x], &self.new.tensors[a.y.tensor]);
        offsets::hold(&mut a, x, y);
        self.new.steps.push(Step::Affine(a));
    }
}
