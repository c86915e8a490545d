//! Seeded numbers, to the last bit those of `tests/networks/refill.py`: contents of stripped tensors, and
//! images.
//!
//! A stripped tensor keeps its name, type and dimensions; its doc string is the recipe of its values:
//!
//! ```text
//! refill seed=12 mean=0.0 step=1.5e-06 floor=-inf axis=0
//! ```
//!
//! Element i has the integer g = the sum of the four 16-bit parts of [`random`]`(seed, i)` less 131070:
//! nearly normal. Its value is mean + step·g, not under floor, computed in f64 and rounded to f32. Where an
//! axis is named, g is first lessened by the mean of all g that share the element's index on that axis.

use std::str::FromStr;

use foldnet_converter::onnx::{ModelProto, TensorProto, tensor_proto::DataType};

/// Number `index` of stream `seed`: splitmix64.
pub fn random(seed: u64, index: u64) -> u64 {
    let mut z = (seed << 40).wrapping_add(index + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Seeded patches of colour in four sizes, HWC u8 RGB.
pub fn picture(seed: u64, height: usize, width: usize) -> Vec<u8> {
    const OCTAVES: [(usize, u64); 4] = [(3, 8), (6, 4), (12, 2), (24, 1)];
    let mut pixels = Vec::with_capacity(height * width * 3);
    for y in 0..height {
        for x in 0..width {
            for c in 0..3 {
                let octave = |(number, (cells, weight)): (usize, (usize, u64))| {
                    let cell = (y * cells / height) * cells + x * cells / width;
                    (random(seed * 4 + number as u64, (cell * 3 + c) as u64) >> 56) * weight
                };
                let sum: u64 = OCTAVES.into_iter().enumerate().map(octave).sum();
                pixels.push((sum / 15) as u8);
            }
        }
    }
    pixels
}

/// Fills every stripped tensor of the model: initializers and the tensors of Constant nodes.
pub fn refill(model: &mut ModelProto) {
    let graph = model.graph.as_mut().expect("a model has a graph");
    let constants = graph.node.iter_mut().flat_map(|node| &mut node.attribute).filter_map(|a| a.t.as_mut());
    for tensor in graph.initializer.iter_mut().chain(constants) {
        if tensor.doc_string.starts_with("refill ") {
            assert_eq!(tensor.data_type, DataType::Float as i32, "{}: only f32 has recipes", tensor.name);
            let recipe: Recipe = tensor.doc_string.parse().unwrap_or_else(|e| panic!("{}: {e}", tensor.name));
            recipe.fill(tensor);
        }
    }
}

#[derive(Debug, PartialEq)]
struct Recipe {
    seed: u64,
    mean: f64,
    step: f64,
    floor: f64,
    axis: Option<usize>,
}

impl FromStr for Recipe {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fields = text.strip_prefix("refill ").ok_or("no recipe")?;
        let field = |key: &str| {
            let found = fields.split(' ').find_map(|f| f.strip_prefix(key)?.strip_prefix('='));
            found.ok_or(format!("{text}: no {key}"))
        };
        let number = |key: &str| field(key)?.parse::<f64>().map_err(|e| format!("{text}: {key}: {e}"));
        Ok(Self {
            seed: field("seed")?.parse().map_err(|e| format!("{text}: {e}"))?,
            mean: number("mean")?,
            step: number("step")?,
            floor: number("floor")?,
            axis: field("axis").ok().map(|a| a.parse().map_err(|e| format!("{text}: {e}"))).transpose()?,
        })
    }
}

impl Recipe {
    fn fill(&self, tensor: &mut TensorProto) {
        let dims: Vec<usize> = tensor.dims.iter().map(|&d| d as usize).collect();
        let count: usize = dims.iter().product();
        let g = |i: usize| {
            let z = random(self.seed, i as u64);
            [0, 16, 32, 48].into_iter().map(|shift| ((z >> shift) & 0xFFFF) as i64).sum::<i64>() - 131_070
        };
        let numbers: Vec<i64> = (0..count).map(g).collect();
        let (length, stride) =
            self.axis.map_or((1, 1), |axis| (dims[axis], dims[axis + 1..].iter().product::<usize>()));
        let mut sums = vec![0i64; length];
        if self.axis.is_some() {
            for (i, g) in numbers.iter().enumerate() {
                sums[i / stride % length] += g;
            }
        }
        let means: Vec<f64> = sums.iter().map(|&sum| sum as f64 / (count / length) as f64).collect();
        tensor.raw_data = Vec::with_capacity(count * 4);
        for (i, &g) in numbers.iter().enumerate() {
            let value = self.mean + self.step * (g as f64 - means[i / stride % length]);
            tensor.raw_data.extend_from_slice(&(value.max(self.floor) as f32).to_le_bytes());
        }
        tensor.doc_string.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // The expected numbers come from tests/networks/refill.py.
    #[test]
    fn numbers_are_those_of_the_exporting_script() {
        assert_eq!(random(12, 0), 17_887_219_777_334_870_562);
        let recipe: Recipe = "refill seed=12 mean=0.5 step=1.5e-06 floor=-inf axis=1".parse().unwrap();
        let mut tensor = TensorProto { dims: vec![2, 3, 2], ..TensorProto::default() };
        recipe.fill(&mut tensor);
        let bits: Vec<u32> =
            tensor.raw_data.chunks(4).map(|b| u32::from_le_bytes(b.try_into().unwrap())).collect();
        assert_eq!(
            bits,
            [
                1056197591, 1055093365, 1056837017, 1058081241, 1056341829, 1056930408, 1057069518,
                1058178828, 1055021756, 1056801785, 1056101697, 1057724553
            ]
        );
        assert_eq!(picture(1, 2, 2), [109, 122, 160, 86, 144, 116, 142, 55, 70, 165, 131, 155]);
    }

    #[test]
    fn a_recipe_that_lacks_something_says_what() {
        let error = "refill seed=1 mean=0.0 floor=0.0".parse::<Recipe>().unwrap_err();
        assert!(error.contains("no step"), "{error}");
    }
}
