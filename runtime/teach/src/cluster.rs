//! From a class's examples to its prototypes.
//!
//! A class begins with one prototype, the mean of all its directions. Where the examples fall apart, as those of a mug
//! from above and from the side, one mean describes neither. So the example that is farthest from its prototype becomes
//! another one, and k-means settles both, then a third, a fourth. They stay if the spread for each degree of freedom
//! falls by a quarter for each prototype more; one cloud cut in two loses less.

use crate::metric::{distance, norm};

/// The most prototypes of a class.
pub(crate) const MAX_PROTOTYPES: usize = 4;
/// Examples for each prototype, at least.
const EXAMPLES: usize = 3;
/// Examples of the smallest prototype, at least: one is left when one is held out.
const SMALLEST: u32 = 2;
/// Rounds of k-means; a few settle so few examples.
const ROUNDS: usize = 20;

/// The mean of some examples of a class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prototype {
    /// How many examples it is the mean of.
    pub examples: u32,
    pub(crate) mean: Vec<i16>,
    pub(crate) norm: u32,
}

impl Prototype {
    fn of<'a>(members: impl Iterator<Item = &'a [i16]>, length: usize) -> Self {
        let (mut sums, mut examples) = (vec![0i64; length], 0);
        for member in members {
            examples += 1;
            sums.iter_mut().zip(member).for_each(|(sum, &x)| *sum += i64::from(x));
        }
        let n = i64::from(examples).max(1);
        // To the nearest, halves up, which does not depend on the order.
        let mean: Vec<i16> = sums.iter().map(|sum| (2 * sum + n).div_euclid(2 * n) as i16).collect();
        let norm = norm(&mean);
        Self { examples, mean, norm }
    }

    /// The squared distance of a direction with this squared length.
    pub(crate) fn distance(&self, x: &[i16], x_norm: u32) -> u32 {
        distance(x, x_norm, &self.mean, self.norm)
    }
}

/// Prototypes, the one that each example belongs to, and the sum of the examples' distances.
#[derive(Clone)]
pub(crate) struct Clusters {
    pub(crate) prototypes: Vec<Prototype>,
    pub(crate) of: Vec<usize>,
    distances: Vec<u32>,
}

impl Clusters {
    /// Those of at least one direction.
    pub(crate) fn new(directions: &[&[i16]]) -> Self {
        let length = directions[0].len();
        let mean = Prototype::of(directions.iter().copied(), length);
        let (mut best, mut last) = (Self::assign(vec![mean], directions), None);
        // Four clouds that lie as far from each other may need all four prototypes before any of them pays.
        while let Some(more) = last.as_ref().unwrap_or(&best).one_more(directions) {
            if more.pays(&best) {
                best = more.clone();
            }
            last = Some(more);
        }
        best
    }

    /// With one prototype more, if there are examples enough.
    fn one_more(&self, directions: &[&[i16]]) -> Option<Self> {
        let (n, k) = (directions.len(), self.prototypes.len() + 1);
        if k > MAX_PROTOTYPES || n < EXAMPLES * k {
            return None;
        }
        // The first of those that are equally far.
        let far = (0..n).max_by_key(|&i| (self.distances[i], std::cmp::Reverse(i)))?;
        let begin = Prototype::of([directions[far]].into_iter(), directions[far].len());
        let mut more = Self::assign(self.prototypes.iter().cloned().chain([begin]).collect(), directions);
        for _ in 0..ROUNDS {
            let next = Self::assign(more.means(directions), directions);
            let settled = next.of == more.of;
            more = next;
            if settled {
                break;
            }
        }
        // Their numbers of examples are those of the means that were settled on.
        more.prototypes = more.means(directions);
        more.prototypes.iter().all(|p| p.examples >= SMALLEST).then_some(more)
    }

    /// Whether these prototypes are worth being more than those.
    fn pays(&self, fewer: &Self) -> bool {
        // Below 2⁴¹ · 4³ · 2¹⁰ each.
        let freedom = |clusters: &Self| (clusters.of.len() - clusters.prototypes.len()) as u64;
        let more = (self.prototypes.len() - fewer.prototypes.len()) as u32;
        let (spread, before) = (self.spread(), fewer.spread());
        before > 0 && 4u64.pow(more) * spread * freedom(fewer) <= 3u64.pow(more) * before * freedom(self)
    }

    fn assign(prototypes: Vec<Prototype>, directions: &[&[i16]]) -> Self {
        let nearest = |x: &&[i16]| {
            let x_norm = norm(x);
            let all = prototypes.iter().enumerate().map(|(i, p)| (p.distance(x, x_norm), i));
            all.min().expect("there is a prototype")
        };
        let (distances, of) = directions.iter().map(nearest).unzip();
        Self { prototypes, of, distances }
    }

    fn means(&self, directions: &[&[i16]]) -> Vec<Prototype> {
        let mean = |k: usize| {
            let members = directions.iter().zip(&self.of).filter(|(_, of)| **of == k).map(|(x, _)| *x);
            Prototype::of(members, directions[0].len())
        };
        (0..self.prototypes.len()).map(mean).collect()
    }

    fn spread(&self) -> u64 {
        self.distances.iter().map(|&d| u64::from(d)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::Metric;

    /// Directions around some main ones, in twelve dimensions; the examples take turns.
    fn directions(main: &[usize], examples: usize, noise: i32) -> Vec<Vec<i16>> {
        let metric = Metric { zero: 0, scales: vec![1000; 12] };
        let mut seed = 5u32;
        let mut random = move || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 16) as i32 % (2 * noise + 1) - noise
        };
        let make = |i: usize| {
            let features: Vec<i8> = (0..12)
                .map(|d| (if d == main[i % main.len()] { 100 } else { 0 } + random()).clamp(-128, 127) as i8)
                .collect();
            let mut direction = vec![0; 12];
            metric.direction(&features, &mut direction);
            direction
        };
        (0..examples).map(make).collect()
    }

    fn clusters(directions: &[Vec<i16>]) -> Clusters {
        Clusters::new(&directions.iter().map(Vec::as_slice).collect::<Vec<_>>())
    }

    #[test]
    fn one_cloud_has_one_prototype_and_what_falls_apart_has_more() {
        for examples in [1, 2, 5, 6, 20, 100] {
            assert_eq!(clusters(&directions(&[3], examples, 30)).prototypes.len(), 1, "{examples}");
        }
        for (main, examples) in
            [(vec![3, 7], 6), (vec![3, 7], 40), (vec![1, 5, 9], 12), (vec![1, 2, 3, 4], 40)]
        {
            let found = clusters(&directions(&main, examples, 20));
            assert_eq!(found.prototypes.len(), main.len(), "{main:?} × {examples}");
            assert!((0..examples).all(|i| found.of[i] == found.of[i % main.len()]));
            assert_eq!(found.prototypes.iter().map(|p| p.examples as usize).sum::<usize>(), examples);
        }
        assert_eq!(clusters(&directions(&[0, 2, 4, 6, 8], 100, 10)).prototypes.len(), MAX_PROTOTYPES);
        // One that is odd does not become a prototype of its own.
        let mut odd = directions(&[3], 12, 20);
        odd[7] = directions(&[8], 1, 0).remove(0);
        assert_eq!(clusters(&odd).prototypes.len(), 1);
    }

    #[test]
    fn equal_examples_have_one_prototype_and_the_order_does_not_matter() {
        let same = vec![directions(&[3], 1, 9).remove(0); 30];
        let found = clusters(&same);
        assert_eq!((found.prototypes.len(), &found.prototypes[0].mean), (1, &same[0]));
        let zeros = clusters(&vec![vec![0; 12]; 9]);
        assert_eq!((zeros.prototypes.len(), zeros.prototypes[0].norm), (1, 0));
        let mixed = directions(&[3, 7], 20, 25);
        let reversed: Vec<Vec<i16>> = mixed.iter().rev().cloned().collect();
        let mut means = [clusters(&mixed), clusters(&reversed)].map(|c| {
            let mut means: Vec<Vec<i16>> = c.prototypes.into_iter().map(|p| p.mean).collect();
            means.sort();
            means
        });
        let [a, b] = &mut means;
        assert_eq!(a, b);
    }
}
