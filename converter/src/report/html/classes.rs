//! The effect of quantization on each class.

use std::cmp::Reverse;
use std::fmt::Write;

use super::markup::{escape, fold, percent, table, unfold};
use crate::per_class::Change;

/// The number of classes that are shown at once.
const TOP: usize = 10;

/// Writes the classes that lose most first; the rest is collapsed.
pub fn section(out: &mut String, classes: &[Change]) {
    if classes.is_empty() {
        return;
    }
    out.push_str(
        "<h2>Class by class</h2>\n<p>Recall is the share of a class's images that are named right, precision the share \
         of the answers naming it that are right. A network may keep its accuracy and still lose a rare class: \
         <code>--max-drop</code> with <code>--per-class</code> limits the loss of each.</p>\n",
    );
    let mut sorted: Vec<&Change> = classes.iter().collect();
    let lost = |change: &Change| change.loss().map_or(i64::MIN, |(points, _)| (points * 1e6) as i64);
    sorted.sort_by_key(|change| Reverse(lost(change)));
    let (top, rest) = sorted.split_at(TOP.min(sorted.len()));
    rows(out, top);
    if !rest.is_empty() {
        fold(out, &format!("{} more", rest.len()));
        rows(out, rest);
        unfold(out);
    }
}

fn rows(out: &mut String, classes: &[&Change]) {
    let both = |before: Option<f64>, after: Option<f64>| {
        let text = |share: Option<f64>| share.map_or("–".to_owned(), percent);
        format!("{} → {}", text(before), text(after))
    };
    let row = |change: &&Change| {
        let (f32, int8) = (&change.before, &change.after);
        vec![
            escape(&change.class),
            change.images.to_string(),
            both(f32.recall, int8.recall),
            both(f32.precision, int8.precision),
            both(f32.f1, int8.f1),
        ]
    };
    let columns = [("class", false), ("images", true), ("recall", true), ("precision", true), ("F1", true)];
    table(out, &columns, classes.iter().map(row));
    let _ = writeln!(out);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::per_class::Shares;

    #[test]
    fn the_class_that_loses_most_comes_first_and_the_eleventh_is_folded() {
        let shares = |recall: f64| Shares { precision: None, recall: Some(recall), f1: Some(0.5) };
        let classes: Vec<Change> = (0..11)
            .map(|i| Change {
                class: format!("<c{i}>"),
                images: 50,
                before: shares(0.9),
                after: shares(0.9 - f64::from(i) / 100.0),
            })
            .collect();
        let mut page = String::new();
        section(&mut page, &classes);
        let at = |text: &str| page.find(text).unwrap_or_else(|| panic!("{text} is missing in {page}"));
        assert!(at("&lt;c10&gt;") < at("&lt;c9&gt;") && at("<details>") < at("&lt;c0&gt;"));
        assert!(page.contains("90.00 % → 80.00 %") && page.contains("– → –"), "{page}");
        let mut empty = String::new();
        section(&mut empty, &[]);
        assert_eq!(empty, "");
    }
}
