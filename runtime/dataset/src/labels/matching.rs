//! Matches class folders with a network's classes.

use unicode_normalization::UnicodeNormalization;

use super::{known, plain, synonyms};

/// How a dataset's labels were matched with the network's classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LabelsBy {
    /// Each class folder has the name of a class.
    Name,
    /// The folders' sorted order is that of the classes: the network has no names and as many classes as there are
    /// folders, or the caller requested it.
    Order,
    /// There are no class folders, and the labels, if any, are already numbers; or the folders are named after the
    /// numbers of the classes.
    Number,
}

/// Maps the folders' order to the network's; `None` if both are equal.
pub(crate) type Mapping = Option<Vec<usize>>;

/// How `match_labels` may match.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Matching {
    /// Matches by name if the network has names.
    #[default]
    ByName,
    /// Matches by the sorted order of the folders, whatever their names: `--labels-by-order`.
    ByOrder,
}

pub(crate) fn match_labels(
    folders: &[String],
    names: &[String],
    outputs: usize,
    matching: Matching,
) -> Result<(LabelsBy, Mapping), String> {
    if folders.is_empty() {
        return Ok((LabelsBy::Number, None));
    }
    // A network with one output distinguishes two classes.
    let classes = if outputs == 1 { 2 } else { outputs };
    if matching == Matching::ByOrder {
        return match folders.len() {
            n if n <= classes => Ok((LabelsBy::Order, None)),
            n => Err(format!("{n} class folders, but the network has {classes} classes")),
        };
    }
    if names.is_empty() {
        return match folders.len() {
            n if n == classes => Ok((LabelsBy::Order, None)),
            n => Err(format!(
                "{n} class folders, but the network has {classes} classes and no names for them; \
                 give the names with --labels FILE, or --labels-by-order if the sorted folders are the first \
                 {n} classes"
            )),
        };
    }
    if let Some(mapping) = by_number(folders, names, classes) {
        return Ok((LabelsBy::Number, Some(mapping)));
    }
    let keys: Vec<Keys> = names.iter().map(|name| Keys::new(name)).collect();
    let imagenet = is_imagenet(&keys);
    let synset = |folder: &str| known::imagenet_index(folder).filter(|_| imagenet);
    let found: Vec<Found> =
        folders.iter().map(|folder| synset(folder).map_or_else(|| find(folder, &keys), Found::One)).collect();
    let mapping = found.iter().map(|f| if let Found::One(i) = f { Some(*i) } else { None });
    match mapping.collect::<Option<Vec<usize>>>() {
        Some(mapping) => Ok((LabelsBy::Name, Some(mapping))),
        None => Err(unmatched(folders, names, &found)),
    }
}

/// Matches folders `0`, `1`, … or `00`, `01`, …, whose order as text is their order as numbers.
fn by_number(folders: &[String], names: &[String], classes: usize) -> Option<Vec<usize>> {
    let numbers = folders.iter().map(|f| f.parse().ok()).collect::<Option<Vec<usize>>>()?;
    let sorted = numbers.is_sorted() && numbers.iter().all(|&n| n < classes);
    let named = names.iter().any(|name| folders.contains(name));
    (sorted && !named).then_some(numbers)
}

enum Found {
    One(usize),
    /// The name matches several classes.
    Several(Vec<usize>),
    No,
}

/// The forms of a class name that a folder may use, the most reliable first.
struct Keys([Vec<String>; 3]);

impl Keys {
    fn new(name: &str) -> Self {
        let mut also: Vec<String> = synonyms(name).map(plain).collect();
        if let Some((identifier, rest)) = name.split_once([' ', '\t'])
            && is_identifier(identifier)
        {
            also.push(plain(identifier));
            also.extend(synonyms(rest).map(plain));
        }
        Self([vec![name.nfc().collect()], vec![plain(name)], also])
    }
}

/// Returns whether a word is an identifier like WordNet's `n01440764`.
fn is_identifier(word: &str) -> bool {
    word.strip_prefix('n')
        .is_some_and(|digits| digits.len() >= 3 && digits.bytes().all(|b| b.is_ascii_digit()))
}

/// Returns whether these are ImageNet-1k's classes in its order, whose synsets' identifiers are then unambiguous. Lists
/// differ in the spelling of some names, such as `crane` and `crane bird`.
fn is_imagenet(classes: &[Keys]) -> bool {
    let synsets: Vec<(&str, &str)> = known::synsets().collect();
    let alike = classes.iter().zip(&synsets).filter(|(keys, (id, name))| {
        let name = plain(name);
        keys.0.iter().flatten().any(|key| key == id || *key == name)
    });
    classes.len() == synsets.len() && 10 * alike.count() >= 9 * synsets.len()
}

fn find(folder: &str, classes: &[Keys]) -> Found {
    let folder: String = folder.nfc().collect();
    let spelled = known::imagenet_name(&folder);
    let named = spelled.map(plain);
    // The number in `001.Black_footed_Albatross` or `0_red` only sorts the folders.
    let bare = folder.trim_start_matches(|c: char| c.is_ascii_digit());
    let bare = (bare != folder).then(|| bare.strip_prefix(['.', '_', '-', ' ']).map(plain)).flatten();
    let whole = plain(&folder);
    let tiers = [
        (0, Some(folder.as_str())),
        (1, Some(whole.as_str())),
        (2, Some(whole.as_str())),
        (0, spelled),
        (2, named.as_deref()),
        (1, bare.as_deref()),
        (2, bare.as_deref()),
    ];
    for (tier, wanted) in tiers {
        let Some(wanted) = wanted.filter(|w| !w.is_empty()) else { continue };
        let fits = |keys: &Keys| keys.0[tier].iter().any(|key| key == wanted);
        let found: Vec<usize> = (0..classes.len()).filter(|&i| fits(&classes[i])).collect();
        match found[..] {
            [] => {}
            [one] => return Found::One(one),
            _ => return Found::Several(found),
        }
    }
    Found::No
}

fn unmatched(folders: &[String], names: &[String], found: &[Found]) -> String {
    const SHOWN: usize = 10;
    let list = |mut words: Vec<String>| {
        let more = words.len().saturating_sub(SHOWN);
        words.truncate(SHOWN);
        words.join(", ") + &if more > 0 { format!(" and {more} more") } else { String::new() }
    };
    let mut missing = Vec::new();
    let mut unclear = Vec::new();
    for (folder, found) in folders.iter().zip(found) {
        match found {
            Found::No => missing.push(folder.clone()),
            Found::Several(classes) => unclear.push(format!(
                "{folder} (classes {})",
                classes.iter().map(usize::to_string).collect::<Vec<_>>().join(" and ")
            )),
            Found::One(_) => {}
        }
    }
    let mut problems = Vec::new();
    if !missing.is_empty() {
        problems.push(format!(
            "{} of {} class folders match none of the network's {} labels: {}",
            missing.len(),
            folders.len(),
            names.len(),
            list(missing)
        ));
    }
    if !unclear.is_empty() {
        problems.push(format!("folders whose name fits several labels: {}", list(unclear)));
    }
    format!(
        "{}. The labels are {}. Rename the folders, correct the labels (--labels FILE), or give \
         --labels-by-order if the sorted folders are the network's classes",
        problems.join("; "),
        list(names.to_vec())
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matched(folders: &[&str], names: &[&str], outputs: usize) -> Result<(LabelsBy, Mapping), String> {
        let owned = |s: &[&str]| s.iter().map(|&s| s.to_owned()).collect::<Vec<_>>();
        match_labels(&owned(folders), &owned(names), outputs, Matching::ByName)
    }

    fn by_name(mapping: &[usize]) -> Result<(LabelsBy, Mapping), String> {
        Ok((LabelsBy::Name, Some(mapping.to_vec())))
    }

    #[test]
    fn by_name_in_every_spelling() {
        assert_eq!(matched(&["a", "c"], &["c", "b", "a"], 3), by_name(&[2, 0]));
        assert_eq!(matched(&["great_grey_owl"], &["hen", "Great Grey Owl"], 2), by_name(&[1]));
        assert_eq!(matched(&["gru\u{308}n", "rot"], &["rot", "grün"], 2), by_name(&[1, 0]));
        assert_eq!(matched(&["tench"], &["hen", "tench, Tinca tinca"], 2), by_name(&[1]));
        assert_eq!(matched(&["Tinca_tinca"], &["hen", "tench, Tinca tinca"], 2), by_name(&[1]));
        assert_eq!(matched(&["n01440764", "n01514859"], &["hen", "tench, Tinca tinca"], 2), by_name(&[1, 0]));
        assert_eq!(matched(&["n001", "n002"], &["n001 red", "n002 green"], 2), by_name(&[0, 1]));
        assert_eq!(matched(&["green", "red"], &["n001 red", "n002 green"], 2), by_name(&[1, 0]));
        assert_eq!(
            matched(&["001.Black_footed_Albatross", "1-hen"], &["hen", "black footed albatross"], 2),
            by_name(&[1, 0])
        );
        // The names differ only in case, which is enough.
        assert_eq!(matched(&["A", "a"], &["a", "A"], 2), by_name(&[1, 0]));
    }

    #[test]
    fn every_synset_of_imagenet_is_its_class() {
        let (ids, names): (Vec<&str>, Vec<&str>) = known::synsets().unzip();
        let mut order: Vec<usize> = (0..1000).collect();
        order.sort_by_key(|&i| ids[i]);
        let folders: Vec<&str> = order.iter().map(|&i| ids[i]).collect();
        assert_eq!(matched(&folders, &names, 1000), by_name(&order));
        // Other lists write some names otherwise, and several names for each class.
        let lists: [fn(&str, &str) -> String; 3] = [
            |_, name| format!("{}, so called", name.to_lowercase()),
            |id, _| id.to_owned(),
            |id, name| format!("{id} {name}"),
        ];
        for list in lists {
            let mut labels: Vec<String> = ids.iter().zip(&names).map(|(id, name)| list(id, name)).collect();
            labels[134] = "crane".into();
            let labels: Vec<&str> = labels.iter().map(|l| &l[..]).collect();
            assert_eq!(matched(&folders, &labels, 1000), by_name(&order));
        }
        // Of a few of its classes, the exact name counts.
        assert_eq!(matched(&["n02113186", "n02963159"], &["cardigan", "Cardigan"], 2), by_name(&[1, 0]));
    }

    #[test]
    fn numbers_are_classes_where_they_sort_as_text() {
        assert_eq!(matched(&["0", "2"], &["x", "y", "z"], 3), Ok((LabelsBy::Number, Some(vec![0, 2]))));
        assert!(matched(&["0", "10", "2"], &["x"; 11], 11).is_err());
        assert!(matched(&["0", "3"], &["x", "y", "z"], 3).is_err());
    }

    #[test]
    fn order_counts_only_without_names_or_when_asked_for() {
        assert_eq!(matched(&["x", "y"], &[], 2), Ok((LabelsBy::Order, None)));
        assert_eq!(matched(&["cat", "dog"], &[], 1), Ok((LabelsBy::Order, None)));
        assert_eq!(matched(&[], &["a"], 1), Ok((LabelsBy::Number, None)));
        let error = matched(&["x", "y"], &[], 3).unwrap_err();
        assert!(error.contains("--labels-by-order") && error.contains("no names"), "{error}");
        let owned = |words: &[&str]| words.iter().map(|&w| w.to_owned()).collect::<Vec<String>>();
        let order = |folders: &[&str], outputs| {
            match_labels(&owned(folders), &owned(&["a", "b", "c"]), outputs, Matching::ByOrder)
        };
        assert_eq!(order(&["x", "y"], 3), Ok((LabelsBy::Order, None)));
        assert!(order(&["w", "x", "y", "z"], 3).is_err());
    }

    #[test]
    fn what_does_not_match_is_named() {
        let error = matched(&["a", "zebra"], &["a", "b"], 2).unwrap_err();
        assert!(error.contains("1 of 2") && error.contains("zebra"), "{error}");
        assert!(error.contains("--labels-by-order"), "{error}");
        let error = matched(&["red", "green"], &["red", "red"], 2).unwrap_err();
        assert!(error.contains("green") && error.contains("red (classes 0 and 1)"), "{error}");
        // An equal number of folders and labels is no reason to match them in order.
        assert!(matched(&["n01", "n02"], &["tench", "hen"], 2).is_err());
    }
}
