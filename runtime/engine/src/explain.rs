//! Shows which parts of an image speak for a class, with class activation maps.
//!
//! If the last layer follows a mean over the whole image, as in ResNets, a logit is a sum over the positions of
//! that mean. So the share of each position is known exactly (Zhou et al., *Learning Deep Features for
//! Discriminative Localization*, 2016). It costs one multiplication per position and channel.

use foldnet_archive::{Conv, Network, Step};
use foldnet_kernels::{ALIGN, Shape};
use foldnet_plan::Plan;
use foldnet_plan::format::Record;

use crate::session::Session;

/// The error for a network that has no heat maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the network has no heat map: its last layer does not follow a mean over the whole image (global average pooling)"
)]
pub struct NoHeatMap;

/// How much each part of an image contributes to the logit of a class.
#[derive(Clone, Debug, PartialEq)]
pub struct HeatMap {
    /// The number of columns.
    pub width: usize,
    /// The number of rows.
    pub height: usize,
    /// The contributions, row by row; negative where a part speaks against the class.
    pub values: Vec<f32>,
    /// The part of the logit that is the same for every image. Added to the sum of `values` it gives the logit,
    /// except for the rounding of the means to int8.
    pub rest: f32,
}

/// Computes heat maps for a network. Running allocates nothing.
pub struct HeatMaps {
    /// The step that computes the mean.
    step: usize,
    shape: Shape,
    zero: i8,
    /// The factor from a sum over the positions to the mean.
    mean: f32,
    last: Conv,
    /// The values that were averaged, without their zero point: whole numbers.
    values: Vec<f32>,
}

impl HeatMaps {
    /// Prepares heat maps for a network, or returns an error if its last layer does not follow a mean over the
    /// image.
    pub fn of(network: &Network) -> Result<Self, NoHeatMap> {
        let writes = |tensor: usize| {
            let step = network.steps.iter().position(|step| step.outputs().contains(&tensor))?;
            Some((step, &network.steps[step]))
        };
        let Some((_, Step::Conv(last))) = writes(network.logits) else { return Err(NoHeatMap) };
        let Some((step, Step::AvgPool(pool))) = writes(last.x) else { return Err(NoHeatMap) };
        let (shape, zero) = (network.shape(pool.x), network.zero(pool.x));
        if last.groups != 1 || last.kernel != [1, 1] || last.skip.is_some() {
            return Err(NoHeatMap);
        }
        let values = vec![0.0; shape.len()];
        Ok(Self { step, shape, zero, mean: pool.multiplier, last: (**last).clone(), values })
    }

    /// Runs a session of the network like [`Session::run`] and keeps the values from which heat maps are computed.
    /// Returns the logits.
    ///
    /// # Panics
    /// Panics if the number of pixels is wrong, or if the session belongs to another network.
    pub fn run<'s>(&mut self, session: &'s mut Session, pixels: &[u8]) -> &'s [f32] {
        session.run_observed(pixels, |step, plan, memory| {
            if step == self.step {
                self.read(plan, memory);
            }
        })
    }

    fn read(&mut self, plan: &Plan<'_>, memory: &[u8]) {
        let Record::AvgPool(record) = plan.record(self.step) else { panic!("a session of another network") };
        assert_eq!(record.shape, self.shape, "a session of another network");
        let x = memory[record.x as usize..].as_ptr();
        debug_assert!(x.addr().is_multiple_of(ALIGN));
        // SAFETY: the plan was validated for this set, so the whole tensor is inside the arena at a multiple of
        // `ALIGN`; `values` has room for each of its numbers. No step is running.
        unsafe { plan.set().dequantize(self.shape, self.zero, 1.0, x, self.values.as_mut_ptr()) }
    }

    /// Returns the number of classes.
    pub fn classes(&self) -> usize {
        self.last.multiplier.len()
    }

    /// Returns the features of the last image that was run, as means over its places that are not rounded. There are as
    /// many as the last layer reads, in the unit of its integers, without their zero point.
    pub fn means(&self) -> Vec<f32> {
        let channels = self.shape.c;
        let mut sums = vec![0.0_f64; channels];
        for place in self.values.chunks_exact(channels) {
            sums.iter_mut().zip(place).for_each(|(sum, &x)| *sum += f64::from(x));
        }
        sums.into_iter().map(|sum| (sum * f64::from(self.mean)) as f32).collect()
    }

    /// Returns how much each part of the last image that was run adds to `Σ mean · weight`, see [`HeatMaps::means`].
    ///
    /// # Panics
    /// Panics if there are more or fewer weights than means.
    pub fn weighted(&self, weights: &[f32]) -> HeatMap {
        let channels = self.shape.c;
        assert_eq!(weights.len(), channels, "weights of another network");
        let share = |place: &[f32]| {
            let sum: f64 = place.iter().zip(weights).map(|(&x, &w)| f64::from(x) * f64::from(w)).sum();
            (sum * f64::from(self.mean)) as f32
        };
        let values = self.values.chunks_exact(channels).map(share).collect();
        HeatMap { width: self.shape.w, height: self.shape.h, values, rest: 0.0 }
    }

    /// Returns the heat map of a label for the last image that was run, or `None` if there is no such label. With
    /// `pair`, one output stands for two labels: the parts that support it support the second label, the others the
    /// first.
    pub fn of_label(&self, label: usize, pair: bool) -> Option<HeatMap> {
        let class = if pair { 0 } else { label };
        let mut map = (class < self.classes()).then(|| self.map(class))?;
        if pair && label == 0 {
            map.values.iter_mut().for_each(|value| *value = -*value);
        }
        Some(map)
    }

    /// Returns the heat map of a class for the last image that was run.
    ///
    /// # Panics
    /// Panics if there is no such class.
    pub fn map(&self, class: usize) -> HeatMap {
        let channels = self.shape.c;
        let weights = &self.last.weights[class * channels..][..channels];
        let multiplier = f64::from(self.last.multiplier[class]);
        let unit = f64::from(self.mean) * multiplier;
        let share = |place: &[f32]| {
            // Exact: at most 255 · 127 for each channel.
            let sum: i64 = place.iter().zip(weights).map(|(&x, &w)| x as i64 * i64::from(w)).sum();
            (sum as f64 * unit) as f32
        };
        HeatMap {
            width: self.shape.w,
            height: self.shape.h,
            values: self.values.chunks_exact(channels).map(share).collect(),
            rest: (f64::from(self.last.bias[class]) * multiplier) as f32,
        }
    }
}

#[cfg(test)]
mod tests {
    use foldnet_archive::AvgPool;
    use foldnet_archive::testing::{
        every_step, every_step_without_a_dense_layer, interpret, networks, resnet8,
    };
    use foldnet_kernels::dispatch;

    use super::*;

    /// Returns the last two steps of a network.
    fn head(network: &Network) -> (&AvgPool, &Conv) {
        let [.., Step::AvgPool(pool), Step::Conv(last)] = &network.steps[..] else { panic!("another head") };
        (pool, last.as_ref())
    }

    /// Computes the means in f64, not rounded, without their zero point.
    fn means(network: &Network, x: &[i8]) -> Vec<f64> {
        let pool = head(network).0;
        let (channels, zero) = (network.shape(pool.x).c, f64::from(network.zero(pool.x)));
        let sum =
            |c: usize| -> f64 { x.iter().skip(c).step_by(channels).map(|&x| f64::from(x) - zero).sum() };
        (0..channels).map(|c| sum(c) * f64::from(pool.multiplier)).collect()
    }

    /// Computes a logit in f64 from these means.
    fn logit(network: &Network, means: &[f64], class: usize) -> f64 {
        let last = head(network).1;
        let weights = &last.weights[class * means.len()..];
        let products: f64 = means.iter().zip(weights).map(|(mean, &w)| mean * f64::from(w)).sum();
        (f64::from(last.bias[class]) + products) * f64::from(last.multiplier[class])
    }

    /// Returns networks whose means fit in int8.
    fn with_heads() -> [Network; 2] {
        let mut small = every_step();
        for step in &mut small.steps {
            if let Step::AvgPool(pool) = step {
                pool.multiplier = 0.02;
            }
        }
        [small, resnet8()]
    }

    #[test]
    fn a_place_has_what_the_logit_loses_without_it() {
        for network in with_heads() {
            let pixels: Vec<u8> = (0..network.input().len()).map(|i| ((i * 7919) >> 3) as u8).collect();
            let (pool, last) = head(&network);
            let values = interpret(&network, &pixels);
            let (x, shape, zero) = (&values.tensors[pool.x], network.shape(pool.x), network.zero(pool.x));
            let whole = means(&network, x);
            let in_range =
                |mean: &f64| (-128.5..=127.5).contains(&(mean + f64::from(network.zero(pool.y.tensor))));
            assert!(whole.iter().all(in_range), "{whole:?}");
            for entry in dispatch::REGISTRY {
                let Some(set) = (entry.get)() else { continue };
                let mut session = Session::new(&network, set, 2).unwrap();
                let mut maps = HeatMaps::of(&network).unwrap();
                assert_eq!(maps.run(&mut session, &pixels), values.logits);
                for class in 0..maps.classes() {
                    let map = maps.map(class);
                    assert_eq!((map.height, map.width, map.values.len()), (shape.h, shape.w, shape.pixels()));
                    let exact = logit(&network, &whole, class);
                    for (place, &value) in map.values.iter().enumerate() {
                        let mut without = x.clone();
                        without[place * shape.c..][..shape.c].fill(zero);
                        let lost = exact - logit(&network, &means(&network, &without), class);
                        assert!(
                            (lost - f64::from(value)).abs() < 1e-5 * (1.0 + lost.abs()),
                            "{}",
                            entry.name
                        );
                    }
                    // A class is one weighting of the means.
                    let weights: Vec<f32> = last.weights[class * shape.c..][..shape.c]
                        .iter()
                        .map(|&w| f32::from(w) * last.multiplier[class])
                        .collect();
                    let weighted = maps.weighted(&weights);
                    let total: f32 = maps.means().iter().zip(&weights).map(|(m, w)| m * w).sum();
                    let sum: f32 = weighted.values.iter().sum();
                    assert!((total - sum).abs() < 1e-3 * (1.0 + sum.abs()), "{total} {sum}");
                    for (a, b) in map.values.iter().zip(&weighted.values) {
                        assert!((a - b).abs() < 1e-4 * (1.0 + a.abs()), "{a} {b}");
                    }
                    let sum: f64 =
                        map.values.iter().map(|&v| f64::from(v)).sum::<f64>() + f64::from(map.rest);
                    assert!((sum - exact).abs() < 1e-4 * (1.0 + exact.abs()));
                    // Each mean is rounded by half a step at most.
                    let weights = &last.weights[class * shape.c..][..shape.c];
                    let steps: f64 = weights.iter().map(|w| f64::from(w.unsigned_abs()) / 2.0).sum();
                    let bound = steps * f64::from(last.multiplier[class]) + 1e-4;
                    let error = (sum - f64::from(values.logits[class])).abs();
                    assert!(error <= bound, "{error} > {bound}");
                }
            }
        }
    }

    #[test]
    fn only_such_heads_have_heat_maps() {
        assert!(HeatMaps::of(&every_step_without_a_dense_layer()).is_err());
        assert!(networks().iter().filter(|network| HeatMaps::of(network).is_ok()).count() >= 2);
        let mut network = resnet8();
        // There is a table between the mean and the last layer.
        let tensor =
            foldnet_archive::Tensor { name: "bent".into(), ..network.tensors[head(&network).1.x].clone() };
        network.tensors.push(tensor);
        let (x, y) = (head(&network).1.x, network.tensors.len() - 1);
        let Some(Step::Conv(last)) = network.steps.last_mut() else { unreachable!("a dense layer") };
        last.x = y;
        let table = foldnet_archive::Table {
            name: "bend".into(),
            x,
            y,
            table: Box::new(std::array::from_fn(|i| (i as i32 - 128) as i8)),
        };
        network.steps.insert(network.steps.len() - 1, Step::Table(table));
        assert!(HeatMaps::of(&network).is_err());
    }
}
