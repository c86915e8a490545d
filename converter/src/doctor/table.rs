//! The findings as a CSV file (RFC 4180): one line for each image to look at, the worst of each kind first.
//! The set is that of `image`; the other image of a leak is in the other set, that of any other pair in the same.

use super::{Findings, Sample};

/// Returns the file's content. `names` are the names of the classes.
pub fn csv(findings: &Findings, samples: &[Sample], names: &[String]) -> String {
    let label = |i: usize| samples[i].label.map_or("", |l| &names[l]);
    let set = |i: usize| if samples[i].test { "test" } else { "train" }.to_owned();
    let columns = ["finding", "image", "label", "suggestion", "score", "other image", "set"];
    let mut rows = vec![columns.map(String::from)];
    for s in &findings.suspects {
        rows.push([
            "label".into(),
            samples[s.image].name.clone(),
            names[s.label].clone(),
            names[s.suggestion].clone(),
            format!("{:.3}", s.lead),
            String::new(),
            set(s.image),
        ]);
    }
    for p in &findings.duplicates {
        let [a, b] = p.images;
        let kind = match (p.contradictory, p.leak) {
            (_, true) => "leak",
            (true, _) => "contradiction",
            _ => "duplicate",
        };
        rows.push([
            kind.into(),
            samples[a].name.clone(),
            label(a).into(),
            label(b).into(),
            format!("{:.4}", p.difference),
            samples[b].name.clone(),
            set(a),
        ]);
    }
    for o in &findings.outliers {
        rows.push([
            "outlier".into(),
            samples[o.image].name.clone(),
            label(o.image).into(),
            String::new(),
            format!("{:.3}", o.likeness),
            String::new(),
            set(o.image),
        ]);
    }
    rows.iter()
        .map(|row| row.iter().map(|cell| quoted(cell)).collect::<Vec<_>>().join(",") + "\r\n")
        .collect()
}

/// Adds quotes if necessary. A cell that a spreadsheet would interpret as a formula is prefixed with an
/// apostrophe.
fn quoted(cell: &str) -> String {
    let formula = cell.starts_with(['=', '+', '-', '@', '\t', '\r']) && cell.parse::<f64>().is_err();
    let cell = if formula { format!("'{cell}") } else { cell.into() };
    if cell.contains(['"', ',', '\n', '\r']) { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_and_formulas_are_not_executed() {
        assert_eq!(quoted("a.png"), "a.png");
        assert_eq!(quoted("a, \"b\".png"), "\"a, \"\"b\"\".png\"");
        assert_eq!(quoted("=HYPERLINK(1)"), "'=HYPERLINK(1)");
        assert_eq!(quoted("-0.5"), "-0.5");
    }
}
