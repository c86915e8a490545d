//! From class folders to a network's classes.

/// How a dataset's labels became the network's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LabelsBy {
    /// Each class folder has the name of one of the network's classes; case, spaces, `-` and `_` make
    /// no difference.
    Name,
    /// No folder has such a name, or the network has no names; but there are as many folders as classes
    /// (or no more than that, when the network has no names), so their sorted order is the classes'.
    Order,
    /// There are no class folders: the labels, if any, are numbers already.
    Number,
}

type Mapping = Option<Vec<usize>>;

pub(super) fn match_labels(
    folders: &[String],
    names: &[String],
    outputs: usize,
) -> Result<(LabelsBy, Mapping), String> {
    if folders.is_empty() {
        return Ok((LabelsBy::Number, None));
    }
    if names.is_empty() {
        return match folders.len() {
            n if n <= outputs => Ok((LabelsBy::Order, None)),
            n => Err(format!("{n} class folders, but the network has {outputs} classes")),
        };
    }
    let plain = |name: &str| -> String {
        name.chars().filter(|c| !matches!(c, ' ' | '-' | '_')).flat_map(char::to_lowercase).collect()
    };
    let find = |folder: &String| {
        let same = names.iter().position(|name| name == folder);
        same.or_else(|| names.iter().position(|name| plain(name) == plain(folder)))
    };
    let found: Vec<Option<usize>> = folders.iter().map(find).collect();
    if let Some(mapping) = found.iter().copied().collect::<Option<Vec<usize>>>() {
        return Ok((LabelsBy::Name, Some(mapping)));
    }
    if found.iter().all(Option::is_none) && folders.len() == names.len() {
        return Ok((LabelsBy::Order, None));
    }
    let unknown: Vec<&str> =
        folders.iter().zip(&found).filter(|(_, f)| f.is_none()).map(|(n, _)| n.as_str()).collect();
    let shown = unknown.iter().take(5).copied().collect::<Vec<_>>().join(", ");
    let more = if unknown.len() > 5 { ", …" } else { "" };
    Err(format!(
        "{} of {} class folders are none of the network's {} classes: {shown}{more}. \
         The network's are called {}, …; name the folders after them",
        unknown.len(),
        folders.len(),
        names.len(),
        names.iter().take(3).cloned().collect::<Vec<_>>().join(", "),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matched(folders: &[&str], names: &[&str], outputs: usize) -> Result<(LabelsBy, Mapping), String> {
        let owned = |s: &[&str]| s.iter().map(|&s| s.to_owned()).collect::<Vec<_>>();
        match_labels(&owned(folders), &owned(names), outputs)
    }

    #[test]
    fn by_name_by_order_or_not_at_all() {
        assert_eq!(matched(&["a", "c"], &["c", "b", "a"], 3), Ok((LabelsBy::Name, Some(vec![2, 0]))));
        assert_eq!(
            matched(&["great_grey_owl"], &["hen", "Great Grey Owl"], 2),
            Ok((LabelsBy::Name, Some(vec![1])))
        );
        assert_eq!(matched(&["n01", "n02"], &["tench", "hen"], 2), Ok((LabelsBy::Order, None)));
        assert_eq!(matched(&["x", "y"], &[], 3), Ok((LabelsBy::Order, None)));
        assert_eq!(matched(&[], &["a"], 1), Ok((LabelsBy::Number, None)));
        assert!(matched(&["x", "y"], &[], 1).is_err());
        let error = matched(&["a", "zebra"], &["a", "b"], 2).unwrap_err();
        assert!(error.contains("1 of 2") && error.contains("zebra"), "{error}");
        assert!(matched(&["x"], &["a", "b"], 2).is_err());
    }
}
