//! Class names that many networks share.

use std::collections::HashMap;
use std::sync::OnceLock;

const IMAGENET: &str = include_str!("../../assets/imagenet-1k.txt");
const CIFAR_100: &str = include_str!("../../assets/cifar-100.txt");

/// The classes of CIFAR-10, in the order of their numbers.
pub const CIFAR_10: [&str; 10] =
    ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

/// Returns the classes of ImageNet-1k in the order of Keras, torchvision and timm.
pub fn imagenet_1k() -> Vec<String> {
    synsets().map(|(_, name)| name.to_owned()).collect()
}

/// Returns the fine classes of CIFAR-100, in the order of their numbers.
pub fn cifar_100() -> Vec<String> {
    CIFAR_100.lines().map(str::to_owned).collect()
}

/// Returns the name of one of ImageNet-1k's synsets, such as `n01440764`.
pub fn imagenet_name(synset: &str) -> Option<&'static str> {
    static NAMES: OnceLock<HashMap<&str, &str>> = OnceLock::new();
    NAMES.get_or_init(|| synsets().collect()).get(synset).copied()
}

/// Returns the number of one of ImageNet-1k's synsets in its order.
pub fn imagenet_index(synset: &str) -> Option<usize> {
    static INDICES: OnceLock<HashMap<&str, usize>> = OnceLock::new();
    let indices = || synsets().enumerate().map(|(index, (id, _))| (id, index)).collect();
    INDICES.get_or_init(indices).get(synset).copied()
}

/// Returns identifiers and names.
pub(super) fn synsets() -> impl Iterator<Item = (&'static str, &'static str)> {
    IMAGENET.lines().filter_map(|line| line.split_once(' '))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_whole() {
        let (imagenet, cifar) = (imagenet_1k(), cifar_100());
        for (names, count) in [(&imagenet, 1000), (&cifar, 100)] {
            let distinct: std::collections::HashSet<&String> = names.iter().collect();
            assert_eq!((names.len(), distinct.len()), (count, count));
        }
        assert_eq!((imagenet[0].as_str(), imagenet[207].as_str()), ("tench", "golden retriever"));
        assert_eq!((cifar[0].as_str(), cifar[99].as_str()), ("apple", "worm"));
        assert_eq!(imagenet_name("n02099601"), Some("golden retriever"));
        assert_eq!(imagenet_name("n00000000"), None);
        assert_eq!((imagenet_index("n02099601"), imagenet_index("n00000000")), (Some(207), None));
    }
}
