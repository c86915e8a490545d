//! The moments of a layer's inputs.

use foldnet_kernels::Shape;

use crate::graph::{Graph, NodeId, Op};

/// The first and second moments of a layer's input patches.
#[derive(Clone)]
pub struct Moments {
    /// The number of inputs per patch.
    pub depth: usize,
    /// The number of patches.
    pub count: f64,
    /// The sum of each input.
    pub sum: Vec<f64>,
    /// The sums of products: the upper triangle, in dense storage.
    pub products: Vec<f32>,
}

impl Moments {
    /// Adds patches of one image's values of the convolution's input.
    pub fn add_image(&mut self, graph: &Graph, node: NodeId, x: &[f32], image: usize, patches: usize) {
        let Op::Conv(conv) = &graph.nodes[node].op else { return };
        let shape: Shape = graph.nodes[graph.nodes[node].inputs[0]].shape;
        let out = graph.nodes[node].shape;
        let window = &conv.window;
        let total = out.pixels();
        let take = patches.min(total);
        let mut patch = vec![0.0f32; self.depth];
        for k in 0..take {
            // Patches are spread over the image, at other positions for each image.
            let at = (k * total / take + image * 7919) % total;
            let (oy, ox) = (at / out.w, at % out.w);
            patch.fill(0.0);
            for ky in 0..window.kernel[0] {
                for kx in 0..window.kernel[1] {
                    let iy = (oy * window.stride[0] + ky * conv.dilation[0]).wrapping_sub(window.pad[0]);
                    let ix = (ox * window.stride[1] + kx * conv.dilation[1]).wrapping_sub(window.pad[1]);
                    if iy < shape.h && ix < shape.w {
                        let from = (iy * shape.w + ix) * shape.c;
                        patch[(ky * window.kernel[1] + kx) * shape.c..][..shape.c]
                            .copy_from_slice(&x[from..from + shape.c]);
                    }
                }
            }
            self.add(&patch);
        }
    }

    /// Adds one patch.
    pub fn add(&mut self, patch: &[f32]) {
        self.count += 1.0;
        for (i, &v) in patch.iter().enumerate() {
            if v != 0.0 {
                self.sum[i] += f64::from(v);
                let row = &mut self.products[i * self.depth..(i + 1) * self.depth];
                row[i..].iter_mut().zip(&patch[i..]).for_each(|(p, &u)| *p += v * u);
            }
        }
    }

    /// Returns the moments of inputs that are multiplied by a factor each.
    pub fn scaled(&self, factor: &dyn Fn(usize) -> f32) -> Self {
        let mut scaled = self.clone();
        let n = self.depth;
        let factors: Vec<f32> = (0..n).map(factor).collect();
        scaled.sum.iter_mut().zip(&factors).for_each(|(s, &f)| *s *= f64::from(f));
        for (row, &f) in scaled.products.chunks_exact_mut(n).zip(&factors) {
            row.iter_mut().zip(&factors).for_each(|(p, &g)| *p *= f * g);
        }
        scaled
    }

    /// Returns the covariance in the given order.
    pub fn covariance(&self, order: &[usize]) -> Vec<f64> {
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
        c
    }
}

/// Returns the sums of the lanes, added in their order.
pub fn merge(lanes: Vec<Vec<Moments>>) -> Vec<Moments> {
    let mut lanes = lanes.into_iter();
    let mut all = lanes.next().unwrap_or_default();
    for lane in lanes {
        for (a, b) in all.iter_mut().zip(lane) {
            a.count += b.count;
            a.sum.iter_mut().zip(b.sum).for_each(|(a, b)| *a += b);
            a.products.iter_mut().zip(b.products).for_each(|(a, b)| *a += b);
        }
    }
    all
}
