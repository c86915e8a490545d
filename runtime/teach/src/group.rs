//! Groups of images that look alike, for example of those that are unknown.

use crate::metric::{Metric, distance, norm};

/// Groups images by their features: each image is nearer to the others of its group, on average, than `limit`, a
/// distance of directions (0 to 4). The largest group comes first; groups and their members keep the images' order.
/// Meant for some hundred images, because each is compared with each.
///
/// # Panics
/// When an image has more or fewer features than the metric.
pub fn group(metric: &Metric, images: &[&[i8]], limit: f64) -> Vec<Vec<usize>> {
    let direction = |features: &&[i8]| {
        assert_eq!(features.len(), metric.len(), "features of another network");
        let mut direction = vec![0; metric.len()];
        metric.direction(features, &mut direction);
        direction
    };
    let directions: Vec<Vec<i16>> = images.iter().map(direction).collect();
    let apart = |a: usize, b: usize| {
        let (a, b) = (&directions[a], &directions[b]);
        u64::from(distance(a, norm(a), b, norm(b)))
    };
    let mut groups: Vec<Vec<usize>> = (0..images.len()).map(|image| vec![image]).collect();
    // The sum of the distances between the members of two groups.
    let mut sums: Vec<Vec<u64>> =
        (0..images.len()).map(|a| (0..images.len()).map(|b| apart(a, b)).collect()).collect();
    let limit = (limit.clamp(0.0, 4.0) * f64::from(crate::metric::ONE_SQUARED)) as u64;
    while let Some((a, b)) = nearest(&groups, &sums, limit) {
        let joined = groups.remove(b);
        groups[a].extend(joined);
        let row = sums.remove(b);
        sums.iter_mut().for_each(|sums| {
            let to_b = sums.remove(b);
            sums[a] += to_b;
        });
        for (other, sum) in row.into_iter().enumerate().filter(|(other, _)| *other != b) {
            let other = if other > b { other - 1 } else { other };
            if other != a {
                sums[a][other] += sum;
            }
        }
    }
    groups.iter_mut().for_each(|group| group.sort_unstable());
    groups.sort_by_key(|group| (std::cmp::Reverse(group.len()), group[0]));
    groups
}

/// The two groups whose members are nearest to each other on average, if that is no more than the limit; of equals the
/// first.
fn nearest(groups: &[Vec<usize>], sums: &[Vec<u64>], limit: u64) -> Option<(usize, usize)> {
    let pairs = (0..groups.len()).flat_map(|b| (0..b).map(move |a| (a, b)));
    let mean = |(a, b): (usize, usize)| (sums[a][b] / (groups[a].len() * groups[b].len()) as u64, a, b);
    pairs.map(mean).min().filter(|(mean, ..)| *mean <= limit).map(|(_, a, b)| (a, b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::teacher::tests::{example, percent, three};

    #[test]
    fn images_of_one_kind_are_one_group() {
        let teaching = three(20).finish(percent(5.0)).unwrap();
        let kinds: Vec<usize> = (0..24).map(|n| [0, 1, 0, 2][n % 4]).collect();
        let features: Vec<_> = kinds.iter().zip(30..).map(|(&k, n)| example(k, n).features).collect();
        let images: Vec<&[i8]> = features.iter().map(Vec::as_slice).collect();
        let groups = group(teaching.metric(), &images, teaching.alike());
        let of = |kind: usize| -> Vec<usize> { (0..24).filter(|&n| kinds[n] == kind).collect() };
        assert_eq!(groups, [of(0), of(1), of(2)]);
        assert_eq!(group(teaching.metric(), &images, 4.0).len(), 1);
        assert_eq!(group(teaching.metric(), &images, -1.0).len(), 24);
        assert!(group(teaching.metric(), &[], 1.0).is_empty());
    }
}
