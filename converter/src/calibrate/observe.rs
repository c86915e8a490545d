//! Runs the float network on images and collects the statistics of its tensors.

use super::Histogram;
use crate::float::{FloatError, FloatNet};
use crate::graph::{Graph, NodeId};
use crate::image::Pixels;

/// The statistics of one tensor per channel.
#[derive(Clone, Debug, PartialEq)]
pub struct Channels {
    /// The smallest value of each channel.
    pub min: Vec<f32>,
    /// The largest value of each channel.
    pub max: Vec<f32>,
    sum: Vec<f64>,
    squares: Vec<f64>,
    count: u64,
}

impl Channels {
    /// Creates empty statistics.
    pub fn new(channels: usize) -> Self {
        Self {
            min: vec![f32::INFINITY; channels],
            max: vec![f32::NEG_INFINITY; channels],
            sum: vec![0.0; channels],
            squares: vec![0.0; channels],
            count: 0,
        }
    }

    /// Adds one image's values, NHWC.
    pub fn add(&mut self, values: &[f32]) {
        let n = self.min.len();
        for pixel in values.chunks_exact(n) {
            for (c, &v) in pixel.iter().enumerate() {
                self.min[c] = self.min[c].min(v);
                self.max[c] = self.max[c].max(v);
                self.sum[c] += f64::from(v);
                self.squares[c] += f64::from(v) * f64::from(v);
            }
        }
        self.count += (values.len() / n) as u64;
    }

    /// Adds other statistics.
    pub fn merge(&mut self, other: &Self) {
        for c in 0..self.min.len() {
            self.min[c] = self.min[c].min(other.min[c]);
            self.max[c] = self.max[c].max(other.max[c]);
            self.sum[c] += other.sum[c];
            self.squares[c] += other.squares[c];
        }
        self.count += other.count;
    }

    /// Returns the largest magnitude of each channel.
    pub fn reach(&self) -> impl Iterator<Item = f32> + '_ {
        self.min.iter().zip(&self.max).map(|(a, b)| a.abs().max(b.abs())).map(|v| v.min(f32::MAX))
    }

    /// Returns whether all values were finite and their squares fit in f32.
    pub fn all_finite(&self) -> bool {
        self.sum.iter().chain(&self.squares).all(|v| v.abs() < f64::from(f32::MAX))
    }

    /// Returns the mean of each channel.
    pub fn means(&self) -> Vec<f64> {
        self.sum.iter().map(|s| s / self.count.max(1) as f64).collect()
    }

    /// Returns the mean square of each channel.
    pub fn mean_squares(&self) -> Vec<f32> {
        self.squares.iter().map(|s| (s / self.count.max(1) as f64) as f32).collect()
    }
}

/// The observations of the chosen nodes.
#[derive(Clone, Debug)]
pub struct Observation {
    channels: Vec<Option<Channels>>,
    /// The histograms per node and per set of factors.
    histograms: Vec<Vec<Histogram>>,
    /// The logits of every image.
    pub logits: Vec<Vec<f32>>,
}

impl Observation {
    /// Returns the per-channel statistics of a node, if it was watched.
    pub fn channels(&self, node: NodeId) -> Option<&Channels> {
        self.channels[node].as_ref()
    }

    /// Returns the histogram of a watched node under the `variant`-th set of factors.
    pub fn histogram(&self, node: NodeId, variant: usize) -> &Histogram {
        &self.histograms[node][variant]
    }
}

/// The number of lanes over which images are distributed, whatever the number of threads, so that sums of floats
/// are the same on every machine.
const LANES: usize = 4;

/// The per-channel factors of every node; see [`crate::quantize::equalize`].
type Factors = Vec<Option<Vec<f32>>>;

/// Observes the nodes in `watch` on images, on all cores. For every entry of `variants`, a histogram of each node
/// is computed with those factors applied; `tick` is called after each image.
pub fn observe(
    graph: &Graph,
    watch: &[NodeId],
    images: &[Pixels],
    variants: &[Factors],
    tick: &(dyn Fn() + Sync),
) -> Result<Observation, FloatError> {
    let net = FloatNet::new(graph);
    let empty = || Observation {
        channels: vec![None; graph.nodes.len()],
        histograms: vec![Vec::new(); graph.nodes.len()],
        logits: Vec::new(),
    };
    // The first image determines the finest bin widths for all lanes.
    let mut start = empty();
    if let Some(first) = images.first() {
        let values = net.run(first)?;
        for &node in watch {
            let c = graph.nodes[node].shape.c;
            start.channels[node] = Some(Channels::new(c));
            start.histograms[node] = variants
                .iter()
                .map(|factors| {
                    let factors = factors[node].as_deref();
                    let reach = values[node]
                        .iter()
                        .enumerate()
                        .fold(0.0f32, |m, (i, v)| m.max((v * factors.map_or(1.0, |f| f[i % c])).abs()));
                    Histogram::new(f64::from(reach) / 1024.0)
                })
                .collect();
        }
    }
    let lanes: Vec<Result<Observation, FloatError>> = in_lanes(LANES, |lane| {
        let mut seen = start.clone();
        for pixels in images.iter().skip(lane).step_by(LANES) {
            let values = net.run(pixels)?;
            for &node in watch {
                let value = &values[node];
                let channels = seen.channels[node].as_mut().expect("made with the first image");
                channels.add(value);
                let ones = vec![1.0; graph.nodes[node].shape.c];
                for (histogram, factors) in seen.histograms[node].iter_mut().zip(variants) {
                    histogram.add(value, factors[node].as_deref().unwrap_or(&ones));
                }
            }
            seen.logits.push(values[graph.output].to_vec());
            tick();
        }
        Ok(seen)
    });
    let lanes = lanes.into_iter().collect::<Result<Vec<_>, _>>()?;
    let mut all = start;
    for lane in &lanes {
        for &node in watch {
            if let (Some(a), Some(b)) = (&mut all.channels[node], &lane.channels[node]) {
                a.merge(b);
            }
            for (a, b) in all.histograms[node].iter_mut().zip(&lane.histograms[node]) {
                a.merge(b);
            }
        }
    }
    all.logits = (0..images.len()).map(|i| lanes[i % LANES].logits[i / LANES].clone()).collect();
    Ok(all)
}

/// Runs `work` for every lane on as many threads as there are cores; returns the results in the lanes' order.
pub fn in_lanes<T: Send>(lanes: usize, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(lanes).max(1);
    let next = std::sync::atomic::AtomicUsize::new(0);
    let done = std::sync::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let lane = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    if lane >= lanes {
                        return;
                    }
                    let result = work(lane);
                    done.lock().expect("no thread panics here").push((lane, result));
                }
            });
        }
    });
    let mut done = done.into_inner().expect("no thread panics here");
    done.sort_by_key(|d| d.0);
    done.into_iter().map(|d| d.1).collect()
}
