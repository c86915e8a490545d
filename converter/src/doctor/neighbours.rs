//! Finds the nearest images of every image by brute force: n²/2 cosines, on all cores.
//!
//! A thousand images with ResNet-50's 2,048 features take 2 GMAC, ten thousand with ResNet-20's 64 take 6 GMAC.
//! These are seconds, so an index, which would be approximate, is not worth its code.

use crate::calibrate::in_lanes;

/// A neighbour.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Neighbour {
    /// The neighbour's index.
    pub image: usize,
    /// The cosine between the two images.
    pub likeness: f32,
}

/// The nearest neighbours of every image.
pub struct Neighbours(Vec<Vec<Neighbour>>);

/// The number of parallel sums, so that the compiler can use vectors.
const LANES: usize = 16;

impl Neighbours {
    /// Finds the `count` nearest images of each, the nearest first, and of equal ones the first. Returns fewer if
    /// there are not enough images.
    pub fn find(vectors: &[&[f32]], count: usize) -> Self {
        let unit = normalized(vectors);
        Self(in_lanes(unit.len(), |image| {
            let mut nearest: Vec<Neighbour> = Vec::with_capacity(count + 1);
            for (other, vector) in unit.iter().enumerate().filter(|(other, _)| *other != image) {
                let likeness = dot(&unit[image], vector);
                if nearest.len() == count && nearest.last().is_some_and(|last| likeness <= last.likeness) {
                    continue;
                }
                let at = nearest.partition_point(|n| n.likeness >= likeness);
                nearest.insert(at, Neighbour { image: other, likeness });
                nearest.truncate(count);
            }
            nearest
        }))
    }

    /// Returns the neighbours of one image.
    pub fn of(&self, image: usize) -> &[Neighbour] {
        &self.0[image]
    }

    /// Returns the number of images.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns whether there are no images.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Divides each feature by its standard deviation and each vector by its length; pads with zeros to whole lanes. A
/// vector without a direction stays zero and is similar to none.
fn normalized(vectors: &[&[f32]]) -> Vec<Vec<f32>> {
    let width = vectors.first().map_or(0, |v| v.len());
    let n = vectors.len().max(1) as f64;
    let inverse: Vec<f64> = (0..width)
        .map(|i| {
            let mean = vectors.iter().map(|v| f64::from(v[i])).sum::<f64>() / n;
            let variance = vectors.iter().map(|v| (f64::from(v[i]) - mean).powi(2)).sum::<f64>() / n;
            if variance > 0.0 { variance.sqrt().recip() } else { 0.0 }
        })
        .collect();
    let one = |vector: &&[f32]| {
        let mut scaled: Vec<f64> = vector.iter().zip(&inverse).map(|(v, i)| f64::from(*v) * i).collect();
        let length = scaled.iter().map(|v| v * v).sum::<f64>().sqrt();
        scaled.resize(width.next_multiple_of(LANES), 0.0);
        scaled.iter().map(|v| if length > 0.0 { (v / length) as f32 } else { 0.0 }).collect()
    };
    vectors.iter().map(one).collect()
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0f32; LANES];
    for (a, b) in a.as_chunks::<LANES>().0.iter().zip(b.as_chunks::<LANES>().0) {
        sums.iter_mut().zip(a.iter().zip(b)).for_each(|(sum, (a, b))| *sum += a * b);
    }
    sums.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_come_first_whatever_the_scale_of_a_feature() {
        let plain: Vec<Vec<f32>> = vec![vec![1.0, 0.0], vec![0.9, 0.1], vec![0.1, 0.9], vec![0.0, 1.0]];
        let scaled: Vec<Vec<f32>> = plain.iter().map(|v| vec![v[0], v[1] * 1000.0]).collect();
        for set in [&plain, &scaled] {
            let vectors: Vec<&[f32]> = set.iter().map(|v| &v[..]).collect();
            let found = Neighbours::find(&vectors, 2);
            let order: Vec<usize> = (0..4).map(|i| found.of(i)[0].image).collect();
            assert_eq!(order, [1, 0, 3, 2]);
            assert!(found.of(0)[0].likeness > found.of(0)[1].likeness);
        }
    }

    #[test]
    fn equal_images_constant_features_and_small_sets_have_an_order() {
        let vectors: [&[f32]; 3] = [&[2.0, 5.0], &[2.0, 5.0], &[2.0, 5.0]];
        let found = Neighbours::find(&vectors, 5);
        assert_eq!((found.len(), found.of(2).iter().map(|n| n.image).collect::<Vec<_>>()), (3, vec![0, 1]));
        assert!(Neighbours::find(&[], 5).is_empty());
        assert!(Neighbours::find(&[&[1.0]], 5).of(0).is_empty());
    }
}
