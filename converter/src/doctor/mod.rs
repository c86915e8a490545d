//! Finds images of a labelled set that are likely to spoil training or measurement.
//!
//! Images are compared by their features, which are the inputs of the network's last layer. The network need not
//! know the classes of the images; it only needs features that distinguish them. Every feature is divided by its
//! standard deviation over all images, because an archive and its model scale channels differently. The similarity
//! of two images is then the cosine of the angle between them ([`neighbours`]).
//!
//! - A label is suspect if most of the image's nearest neighbours agree on another one: the edited
//!   nearest-neighbour rule of D. L. Wilson, *Asymptotic properties of nearest neighbor rules using edited data*,
//!   1972.
//! - Near-duplicates are neighbours whose pixels are nearly equal, even if one is mirrored.
//! - Classes overlap if many neighbours are in the other class.
//! - An outlier is much less similar to its neighbours than other images.

pub mod features;
pub mod neighbours;
pub mod page;
pub mod table;

use std::borrow::Cow;

use serde::Serialize;

use crate::image::Pixels;
use neighbours::Neighbours;

/// The number of nearest images that vote.
pub const VOTERS: usize = 15;
/// The smallest lead of another label, as a share of the votes, that makes a label suspect.
const LEAD: f64 = 0.5;
/// The largest mean difference of near-duplicates' pixels, as a fraction of 255.
const NEARLY_EQUAL: f64 = 0.03;
/// The number of neighbours that decide whether an image is an outlier.
const COMPANY: usize = 5;
/// How far below the median an outlier is, in median absolute deviations.
const FAR: f64 = 6.0;
/// The smallest share of votes between two classes that is reported.
const OVERLAP: f64 = 0.1;
/// Classes with fewer images than this are reported.
const FEW: usize = 20;

/// One image.
pub struct Sample {
    /// The image's name in the data set.
    pub name: String,
    /// The index into the names of the classes.
    pub label: Option<usize>,
    /// Whether it is a test image.
    pub test: bool,
    /// The features: the inputs of the last layer.
    pub features: Vec<f32>,
    /// A small copy, for comparison and for the page.
    pub small: Pixels,
}

impl Sample {
    /// Returns the name, for test images with the set.
    pub fn shown(&self) -> Cow<'_, str> {
        if self.test { format!("test: {}", self.name).into() } else { Cow::Borrowed(&self.name) }
    }
}

/// A label that is probably wrong.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Suspect {
    /// The index of the image.
    pub image: usize,
    /// The image's label.
    pub label: usize,
    /// The label of its neighbours.
    pub suggestion: usize,
    /// The number of neighbours with that label.
    pub votes: usize,
    /// The lead of the suggestion as a share of the votes: the higher, the worse.
    pub lead: f64,
}

/// Two images that are nearly the same.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Pair {
    /// The indices of the images, the smaller first.
    pub images: [usize; 2],
    /// The mean difference of their pixels, as a fraction of 255.
    pub difference: f64,
    /// Whether they have different labels.
    pub contradictory: bool,
    /// Whether one is a test image and the other is not.
    pub leak: bool,
}

/// Two classes with similar images.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Overlap {
    /// The classes.
    pub classes: [usize; 2],
    /// The share of votes of the first class's images for the second class.
    pub there: f64,
    /// The share of votes of the second class's images for the first class.
    pub back: f64,
}

/// An image that is unlike all others.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Outlier {
    /// The index of the image.
    pub image: usize,
    /// The mean cosine to its nearest neighbours.
    pub likeness: f64,
}

/// The findings on a whole class.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Class {
    /// The index of the class.
    pub class: usize,
    /// The number of images with this label.
    pub images: usize,
    /// The number of these images that have a near-duplicate in the class.
    pub repeated: usize,
    /// The number of these labels that are suspect.
    pub suspects: usize,
}

impl Class {
    /// Returns the problem of the class, if there is one.
    pub fn remark(&self) -> Option<&'static str> {
        match self {
            c if c.images < FEW => Some("few images"),
            c if 2 * c.repeated >= c.images => Some("at least half are near-duplicates"),
            _ => None,
        }
    }
}

/// All findings, the worst first.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Findings {
    /// The labels that are probably wrong.
    pub suspects: Vec<Suspect>,
    /// The near-duplicates: contradictory ones first, then those across training and test images.
    pub duplicates: Vec<Pair>,
    /// The classes that overlap.
    pub overlaps: Vec<Overlap>,
    /// The images that are unlike all others.
    pub outliers: Vec<Outlier>,
    /// Every class that has images, in order.
    pub classes: Vec<Class>,
}

/// Examines images; `classes` is the number of labels.
pub fn examine(samples: &[Sample], classes: usize) -> Findings {
    let vectors: Vec<&[f32]> = samples.iter().map(|s| &s.features[..]).collect();
    let neighbours = Neighbours::find(&vectors, VOTERS);
    let suspects = suspects(samples, &neighbours, classes);
    let duplicates = duplicates(samples, &neighbours);
    Findings {
        overlaps: overlaps(samples, &neighbours, classes),
        outliers: outliers(&neighbours),
        classes: class_rows(samples, &suspects, &duplicates, classes),
        suspects,
        duplicates,
    }
}

/// Returns the votes of an image's neighbours by class, and the number of voters.
fn votes(samples: &[Sample], neighbours: &Neighbours, image: usize, classes: usize) -> (Vec<usize>, usize) {
    let mut votes = vec![0; classes];
    let labels = neighbours.of(image).iter().filter_map(|n| samples[n.image].label);
    let voters = labels.map(|label| votes[label] += 1).count();
    (votes, voters)
}

fn suspects(samples: &[Sample], neighbours: &Neighbours, classes: usize) -> Vec<Suspect> {
    let mut found = Vec::new();
    for (image, sample) in samples.iter().enumerate() {
        let Some(label) = sample.label else { continue };
        let (votes, voters) = votes(samples, neighbours, image, classes);
        let other = (0..classes).filter(|&c| c != label).max_by_key(|&c| (votes[c], std::cmp::Reverse(c)));
        let Some(suggestion) = other.filter(|_| voters > 0) else { continue };
        let lead = (votes[suggestion] as f64 - votes[label] as f64) / voters as f64;
        if lead >= LEAD {
            found.push(Suspect { image, label, suggestion, votes: votes[suggestion], lead });
        }
    }
    found.sort_by(|a, b| b.lead.total_cmp(&a.lead));
    found
}

fn duplicates(samples: &[Sample], neighbours: &Neighbours) -> Vec<Pair> {
    let mut found = Vec::new();
    for (a, sample) in samples.iter().enumerate() {
        for b in neighbours.of(a).iter().map(|n| n.image) {
            // Each pair is counted once, whichever of the two has the other among its nearest.
            if a > b && neighbours.of(b).iter().any(|n| n.image == a) {
                continue;
            }
            let other = &samples[b];
            let difference = difference(&sample.small, &other.small);
            if difference <= NEARLY_EQUAL {
                found.push(Pair {
                    images: [a.min(b), a.max(b)],
                    difference,
                    contradictory: sample.label.zip(other.label).is_some_and(|(a, b)| a != b),
                    leak: sample.test != other.test,
                });
            }
        }
    }
    found.sort_by(|a, b| {
        (b.contradictory, b.leak)
            .cmp(&(a.contradictory, a.leak))
            .then(a.difference.total_cmp(&b.difference))
            .then(a.images.cmp(&b.images))
    });
    found
}

/// Returns the mean difference of two images' pixels, as a fraction of 255: the smaller one of unchanged and
/// mirrored.
fn difference(a: &Pixels, b: &Pixels) -> f64 {
    let shape = a.shape();
    if shape != b.shape() {
        return 1.0;
    }
    let row = shape.w * shape.c;
    let (mut plain, mut mirrored) = (0u64, 0u64);
    for (a, b) in a.values().chunks_exact(row).zip(b.values().chunks_exact(row)) {
        for (x, pixel) in a.chunks_exact(shape.c).enumerate() {
            let at = |x: usize| &b[x * shape.c..][..shape.c];
            let apart = |other: &[u8]| -> u64 {
                pixel.iter().zip(other).map(|(p, q)| u64::from(p.abs_diff(*q))).sum()
            };
            plain += apart(at(x));
            mirrored += apart(at(shape.w - 1 - x));
        }
    }
    plain.min(mirrored) as f64 / (255.0 * shape.len() as f64)
}

fn overlaps(samples: &[Sample], neighbours: &Neighbours, classes: usize) -> Vec<Overlap> {
    let mut counts = vec![vec![0usize; classes]; classes];
    for (image, label) in samples.iter().enumerate().filter_map(|(i, s)| Some((i, s.label?))) {
        let (votes, _) = votes(samples, neighbours, image, classes);
        counts[label].iter_mut().zip(votes).for_each(|(count, n)| *count += n);
    }
    let share = |a: usize, b: usize| match counts[a].iter().sum::<usize>() {
        0 => 0.0,
        all => counts[a][b] as f64 / all as f64,
    };
    let pairs = (0..classes).flat_map(|a| (a + 1..classes).map(move |b| (a, b)));
    let mut found: Vec<Overlap> = pairs
        .map(|(a, b)| Overlap { classes: [a, b], there: share(a, b), back: share(b, a) })
        .filter(|o| o.there.max(o.back) >= OVERLAP)
        .collect();
    found.sort_by(|a, b| (b.there + b.back).total_cmp(&(a.there + a.back)));
    found
}

fn outliers(neighbours: &Neighbours) -> Vec<Outlier> {
    let likeness = |image: usize| {
        let nearest = &neighbours.of(image)[..neighbours.of(image).len().min(COMPANY)];
        nearest.iter().map(|n| f64::from(n.likeness)).sum::<f64>() / nearest.len().max(1) as f64
    };
    let all: Vec<f64> = (0..neighbours.len()).map(likeness).collect();
    let middle = median(all.clone());
    let spread = median(all.iter().map(|v| (v - middle).abs()).collect());
    let limit = middle - FAR * spread;
    let far = all.iter().enumerate().filter(|(_, likeness)| **likeness < limit);
    let mut found: Vec<Outlier> = far.map(|(image, &likeness)| Outlier { image, likeness }).collect();
    found.sort_by(|a, b| a.likeness.total_cmp(&b.likeness));
    found
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

fn class_rows(samples: &[Sample], suspects: &[Suspect], duplicates: &[Pair], classes: usize) -> Vec<Class> {
    let mut rows: Vec<Class> =
        (0..classes).map(|class| Class { class, images: 0, repeated: 0, suspects: 0 }).collect();
    samples.iter().filter_map(|s| s.label).for_each(|label| rows[label].images += 1);
    suspects.iter().for_each(|s| rows[s.label].suspects += 1);
    let mut repeated: Vec<usize> =
        duplicates.iter().filter(|p| !p.contradictory).flat_map(|p| p.images).collect();
    repeated.sort_unstable();
    repeated.dedup();
    repeated.iter().filter_map(|&i| samples[i].label).for_each(|label| rows[label].repeated += 1);
    rows.retain(|row| row.images > 0);
    rows
}

#[cfg(test)]
mod tests {
    use foldnet_kernels::Shape;

    use super::*;

    /// Returns a value between 0 and 1 that looks random: SplitMix64.
    fn chance(n: usize) -> f32 {
        let mut bits = (n as u64).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((bits ^ bits >> 31) >> 40) as f32 / (1 << 24) as f32
    }

    /// Returns image `n` of a class: its features are around the class's axis, and no other image has its pixels.
    fn sample(n: usize, class: usize) -> Sample {
        let features = (0..6).map(|axis| f32::from(u8::from(axis == class)) * 8.0 + chance(7 * n + axis));
        let values: Vec<u8> = (0..48).map(|i| (chance(101 * n + i) * 255.0) as u8).collect();
        Sample {
            name: format!("{n}.png"),
            label: Some(class),
            test: false,
            features: features.collect(),
            small: Pixels::new(Shape::new(4, 4, 3), values).unwrap(),
        }
    }

    fn set() -> Vec<Sample> {
        (0..90).map(|n| sample(n, n % 3)).collect()
    }

    #[test]
    fn a_clean_set_has_no_findings() {
        let findings = examine(&set(), 3);
        assert!(
            findings.suspects.is_empty() && findings.duplicates.is_empty() && findings.overlaps.is_empty()
        );
        assert_eq!(findings.classes.iter().map(|c| c.images).collect::<Vec<_>>(), [30; 3]);
        assert!(findings.classes.iter().all(|c| c.remark().is_none()));
    }

    #[test]
    fn swapped_labels_are_found_with_the_right_suggestion() {
        let mut samples = set();
        (samples[4].label, samples[5].label) = (Some(2), Some(1));
        let found = examine(&samples, 3).suspects;
        let mut told: Vec<_> = found.iter().map(|s| (s.image, s.label, s.suggestion)).collect();
        told.sort_unstable();
        assert_eq!(told, [(4, 2, 1), (5, 1, 2)]);
    }

    #[test]
    fn duplicates_are_found_across_labels_sets_and_mirrors() {
        let mut samples = set();
        let mut copy = sample(3, 0);
        (copy.test, copy.name) = (true, "again.png".into());
        samples.push(copy);
        let mut mirrored = sample(7, 1);
        let rows = mirrored.small.values().chunks(12);
        let flipped: Vec<u8> =
            rows.flat_map(|row| row.chunks(3).rev().flatten().copied().collect::<Vec<_>>()).collect();
        mirrored.small = Pixels::new(mirrored.small.shape(), flipped).unwrap();
        mirrored.label = Some(0);
        samples.push(mirrored);
        let pairs = examine(&samples, 3).duplicates;
        let told: Vec<_> = pairs.iter().map(|p| (p.images, p.contradictory, p.leak)).collect();
        assert_eq!(told, [([7, 91], true, false), ([3, 90], false, true)]);
    }

    #[test]
    fn an_image_unlike_all_others_is_an_outlier_and_a_small_class_is_remarked() {
        let mut samples = set();
        let mut odd = sample(200, 0);
        odd.features = vec![0.0, 0.0, 0.0, 9.0, -9.0, 9.0];
        odd.label = Some(3);
        samples.push(odd);
        let findings = examine(&samples, 4);
        assert_eq!(findings.outliers.first().map(|o| o.image), Some(90));
        assert_eq!(findings.classes[3].remark(), Some("few images"));
    }

    #[test]
    fn classes_that_share_their_features_overlap() {
        // Every second image of class 1 looks like class 0.
        let samples: Vec<Sample> = (0..60)
            .map(|n| Sample { label: Some(usize::from(n % 4 > 1)), ..sample(n, usize::from(n % 4 == 3)) })
            .collect();
        let overlaps = examine(&samples, 2).overlaps;
        assert_eq!(overlaps.len(), 1);
        assert!(overlaps[0].back > 0.2, "{overlaps:?}");
    }

    #[test]
    fn one_image_none_and_images_without_labels_are_examined() {
        assert!(examine(&[], 0).classes.is_empty());
        assert!(examine(&[sample(1, 0)], 1).suspects.is_empty());
        let unlabelled: Vec<Sample> = (0..40).map(|n| Sample { label: None, ..sample(n, 0) }).collect();
        let findings = examine(&unlabelled, 0);
        assert!(findings.suspects.is_empty() && findings.classes.is_empty());
    }
}
