//! Rounding that looks at a layer's inputs.
//!
//! Rounding each weight to its nearest level minimizes the error of the weights, not that of the
//! output. With C the covariance of the layer's int8 inputs, the output's error is `eᵀCe` per channel;
//! so after each weight is rounded, its error is spread over the weights not yet rounded so that the
//! output moves least:
//!
//! ```text
//! U = chol(C⁻¹)ᵀ     for i by falling C_ii:  q_i = rne(w_i/s);  w_j −= (w_i − s·q_i)·U_ij/U_ii, j > i
//! ```
//! What the mean of the inputs makes of the rounding errors goes into the bias. Frantar et al., *GPTQ*,
//! 2022, after Hassibi and Stork, *Optimal brain surgeon*, 1993; the mean is our addition.

use foldnet_archive::{Network, PIXELS, Step, TensorId};
use foldnet_runtime::Session;

use super::QuantizeError;
use super::build::{Draft, Packed};
use super::fuse::Layer;
use crate::calibrate::in_lanes;
use crate::graph::{Conv, Op};

/// Layers with longer filters keep nearest rounding: the work grows with the cube.
const LONGEST: usize = 1200;
/// Input patches gathered per layer and picture.
const PATCHES: usize = 24;

/// First and second moments of a layer's input patches, in units of the input's scale.
struct Moments {
    depth: usize,
    count: f64,
    sum: Vec<f64>,
    /// Upper triangle, dense storage.
    products: Vec<f32>,
}

/// Replaces the integer weights of every convolution that is small enough, and moves the mean error
/// into its bias. Returns how many layers were done.
pub fn round_with_inputs(
    draft: &mut Draft,
    network: &Network,
    pictures: &[Vec<u8>],
) -> Result<usize, QuantizeError> {
    let layers: Vec<(usize, TensorId)> = draft
        .layout
        .layers
        .iter()
        .enumerate()
        .filter_map(|(i, layer)| match *layer {
            Layer::Conv { conv, x, .. } => match &draft.graph.nodes[conv].op {
                Op::Conv(c) if c.groups == 1 && depth(c) <= LONGEST && depth(c) > 1 => Some((i, x)),
                _ => None,
            },
            _ => None,
        })
        .collect();
    let moments = gather(draft, network, &layers, pictures)?;
    let done: Vec<Option<(Packed, Vec<f64>)>> = in_lanes(layers.len(), |i| {
        let Layer::Conv { conv, .. } = draft.layout.layers[layers[i].0] else { return None };
        let Op::Conv(c) = &draft.graph.nodes[conv].op else { return None };
        round_layer(c, draft.packed[conv].as_ref()?, &moments[i])
    });
    let mut count = 0;
    for (&(layer, x), done) in layers.iter().zip(done) {
        let (Layer::Conv { conv, .. }, Some((packed, shift))) = (draft.layout.layers[layer], done) else {
            continue;
        };
        let scale = f64::from(draft.quantization(x).0);
        if let Op::Conv(c) = &mut draft.graph.nodes[conv].op {
            c.bias.iter_mut().zip(shift).for_each(|(b, s)| *b += (s * scale) as f32);
        }
        draft.packed[conv] = Some(packed);
        count += 1;
    }
    Ok(count)
}

fn depth(c: &Conv) -> usize {
    c.weights.len() / c.bias.len().max(1)
}

/// Streams pictures through the network and sums up patches of every layer's input.
fn gather(
    draft: &Draft,
    network: &Network,
    layers: &[(usize, TensorId)],
    pictures: &[Vec<u8>],
) -> Result<Vec<Moments>, QuantizeError> {
    let fresh = || -> Vec<Moments> {
        layers
            .iter()
            .map(|&(layer, _)| {
                let Op::Conv(c) = &draft.graph.nodes[draft.layout.layers[layer].node()].op else {
                    unreachable!("only convolutions are listed")
                };
                let depth = depth(c);
                Moments { depth, count: 0.0, sum: vec![0.0; depth], products: vec![0.0; depth * depth] }
            })
            .collect()
    };
    const LANES: usize = 2;
    let lanes = in_lanes(LANES, |lane| -> Result<Vec<Moments>, QuantizeError> {
        let mut moments = fresh();
        let mut session = Session::new(network, foldnet_kernels::dispatch::best(), 1)?;
        for (n, pixels) in pictures.iter().enumerate().skip(lane).step_by(LANES) {
            let mut tensors: Vec<Option<Vec<f32>>> = vec![None; network.tensors.len()];
            let channels = network.pixel_zero.len();
            let centred =
                |(i, &p): (usize, &u8)| f32::from(p) - 128.0 - f32::from(network.pixel_zero[i % channels]);
            tensors[PIXELS] = Some(pixels.iter().enumerate().map(centred).collect());
            session.run_traced(pixels, |step, outputs| {
                for (id, values) in network.steps[step].outputs().into_iter().zip(outputs) {
                    let zero = f32::from(network.tensors[id].zero);
                    tensors[id] = Some(values.iter().map(|&v| f32::from(v) - zero).collect());
                }
            });
            for (m, &(layer, x)) in moments.iter_mut().zip(layers) {
                let (Step::Conv(conv), Some(values)) = (&network.steps[layer], &tensors[x]) else { continue };
                m.add_picture(network, conv, values, n);
            }
        }
        Ok(moments)
    });
    let mut lanes = lanes.into_iter().collect::<Result<Vec<_>, _>>()?.into_iter();
    let mut all = lanes.next().unwrap_or_default();
    for lane in lanes {
        for (a, b) in all.iter_mut().zip(lane) {
            a.count += b.count;
            a.sum.iter_mut().zip(b.sum).for_each(|(a, b)| *a += b);
            a.products.iter_mut().zip(b.products).for_each(|(a, b)| *a += b);
        }
    }
    Ok(all)
}

impl Moments {
    fn add_picture(&mut self, network: &Network, conv: &foldnet_archive::Conv, x: &[f32], picture: usize) {
        let shape = network.tensors[conv.x].shape;
        let out = conv.y.or(conv.affine.as_ref().map(|a| a.out)).map(|o| network.tensors[o.tensor].shape);
        let Some(out) = out else { return };
        let total = out.pixels();
        let take = PATCHES.min(total);
        let mut patch = vec![0.0f32; self.depth];
        for k in 0..take {
            // Spread over the picture, elsewhere for each picture.
            let at = (k * total / take + picture * 7919) % total;
            let (oy, ox) = (at / out.w, at % out.w);
            patch.fill(0.0);
            for ky in 0..conv.kernel[0] {
                for kx in 0..conv.kernel[1] {
                    let iy = (oy * conv.stride[0] + ky * conv.dilation[0]).wrapping_sub(conv.pad[0]);
                    let ix = (ox * conv.stride[1] + kx * conv.dilation[1]).wrapping_sub(conv.pad[1]);
                    if iy < shape.h && ix < shape.w {
                        let from = (iy * shape.w + ix) * shape.c;
                        patch[(ky * conv.kernel[1] + kx) * shape.c..][..shape.c]
                            .copy_from_slice(&x[from..from + shape.c]);
                    }
                }
            }
            self.add(&patch);
        }
    }

    fn add(&mut self, patch: &[f32]) {
        self.count += 1.0;
        for (i, &v) in patch.iter().enumerate() {
            if v != 0.0 {
                self.sum[i] += f64::from(v);
                let row = &mut self.products[i * self.depth..(i + 1) * self.depth];
                row[i..].iter_mut().zip(&patch[i..]).for_each(|(p, &u)| *p += v * u);
            }
        }
    }

    /// Covariance in the given order, dampened by 1 % of its mean diagonal.
    fn covariance(&self, order: &[usize]) -> Vec<f64> {
        let n = self.depth;
        let at = |i: usize, j: usize| {
            let (a, b) = (i.min(j), i.max(j));
            f64::from(self.products[a * n + b]) / self.count - self.sum[i] * self.sum[j] / self.count.powi(2)
        };
        let mut c = vec![0.0; n * n];
        for (a, &i) in order.iter().enumerate() {
            for (b, &j) in order.iter().enumerate() {
                c[a * n + b] = at(i, j);
            }
        }
        let damp = 0.01 * (0..n).map(|i| c[i * n + i]).sum::<f64>() / n as f64 + 1e-9;
        (0..n).for_each(|i| c[i * n + i] += damp);
        c
    }
}

/// Rounds one layer; the second result is what to add to each bias, in units of the input's scale.
fn round_layer(conv: &Conv, packed: &Packed, moments: &Moments) -> Option<(Packed, Vec<f64>)> {
    let n = moments.depth;
    if moments.count < 2.0 {
        return None;
    }
    let mean: Vec<f64> = moments.sum.iter().map(|s| s / moments.count).collect();
    let spread = |i: usize| f64::from(moments.products[i * n + i]) / moments.count - mean[i] * mean[i];
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&a, &b| spread(b).total_cmp(&spread(a)).then(a.cmp(&b)));
    let factor = inverse_factor(&moments.covariance(&order), n)?;
    let mut rounded = packed.clone();
    let mut shift = Vec::with_capacity(conv.bias.len());
    for (o, weights) in conv.weights.chunks_exact(n).enumerate() {
        let scale = f64::from(packed.scale[o]);
        let mut left: Vec<f64> = order.iter().map(|&i| f64::from(weights[i])).collect();
        for i in 0..n {
            let q = (left[i] / scale).round_ties_even().clamp(-127.0, 127.0);
            let row = &factor[i * n..(i + 1) * n];
            let error = (left[i] - q * scale) / row[i];
            left[i + 1..].iter_mut().zip(&row[i + 1..]).for_each(|(w, u)| *w -= error * u);
            rounded.weights[o * n + order[i]] = q as i8;
        }
        let lost =
            |(i, &w): (usize, &f32)| mean[i] * (f64::from(w) - scale * f64::from(rounded.weights[o * n + i]));
        shift.push(weights.iter().enumerate().map(lost).sum());
    }
    Some((rounded, shift))
}

/// The upper factor U with `C⁻¹ = UᵀU`; none if C is not positive definite.
fn inverse_factor(c: &[f64], n: usize) -> Option<Vec<f64>> {
    // C⁻¹ = UᵀU with U upper. With P reversing the order, PCP = LLᵀ gives C = (PLP)(PLP)ᵀ where
    // PLP =: R is upper, so C⁻¹ = R⁻ᵀR⁻¹ and U = R⁻¹.
    let mut l = vec![0.0; n * n];
    for i in 0..n {
        for j in 0..=i {
            let (head_i, head_j) = (&l[i * n..i * n + j], &l[j * n..j * n + j]);
            let dot: f64 = head_i.iter().zip(head_j).map(|(a, b)| a * b).sum();
            let v = c[(n - 1 - i) * n + (n - 1 - j)] - dot;
            if i == j {
                if v.is_nan() || v <= 0.0 {
                    return None;
                }
                l[i * n + i] = v.sqrt();
            } else {
                l[i * n + j] = v / l[j * n + j];
            }
        }
    }
    let r = |i: usize, j: usize| l[(n - 1 - i) * n + (n - 1 - j)];
    // Invert the upper triangular R by back substitution, row by row from the bottom.
    let mut u = vec![0.0; n * n];
    for i in (0..n).rev() {
        let mut row = vec![0.0; n];
        row[i] = 1.0;
        for k in i + 1..n {
            let f = r(i, k);
            if f != 0.0 {
                row[k..].iter_mut().zip(&u[k * n + k..(k + 1) * n]).for_each(|(a, b)| *a -= f * b);
            }
        }
        let d = r(i, i);
        row.iter_mut().for_each(|v| *v /= d);
        u[i * n..(i + 1) * n].copy_from_slice(&row);
    }
    Some(u)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_factor_inverts() {
        let c = [4.0, 1.0, 0.5, 1.0, 3.0, -0.2, 0.5, -0.2, 2.0];
        let u = inverse_factor(&c, 3).unwrap();
        for i in 0..3 {
            for j in 0..3 {
                // (UᵀU·C)[i][j] must be the identity.
                let v: f64 = (0..3)
                    .map(|k| (0..3).map(|m| u[m * 3 + i] * u[m * 3 + k]).sum::<f64>() * c[k * 3 + j])
                    .sum();
                assert!((v - f64::from(u8::from(i == j))).abs() < 1e-12, "{i} {j} {v}");
            }
        }
        assert!((0..3).all(|i| (0..i).all(|j| u[i * 3 + j] == 0.0)), "upper");
        assert!(inverse_factor(&[1.0, 2.0, 2.0, 1.0], 2).is_none());
    }
}
