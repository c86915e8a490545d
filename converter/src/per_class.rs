//! How often each class is right: precision, recall, F1.

use serde::Serialize;

/// Answers counted by their class and by the image's.
pub struct PerClass {
    /// Images of the class; answers that name it; both.
    counts: Vec<[usize; 3]>,
}

/// One class.
#[derive(Debug, PartialEq, Serialize)]
pub struct Row {
    /// Its name or number.
    class: String,
    /// Images of it.
    images: usize,
    /// Share of the answers naming it that are right; none where no answer does.
    precision: Option<f64>,
    /// Share of its images that are right; none where it has no images.
    recall: Option<f64>,
    /// Harmonic mean of both.
    f1: Option<f64>,
}

impl PerClass {
    /// For so many classes.
    pub fn new(classes: usize) -> Self {
        Self { counts: vec![[0; 3]; classes] }
    }

    /// Counts an answer.
    pub fn add(&mut self, label: usize, answer: usize) {
        self.counts[label][0] += 1;
        self.counts[answer][1] += 1;
        self.counts[label][2] += usize::from(label == answer);
    }

    /// Classes that have images or were named in an answer.
    pub fn rows(&self, labels: &[String]) -> Vec<Row> {
        let share = |part: usize, of: usize| (of > 0).then(|| part as f64 / of as f64);
        let row = |(class, &[images, named, right]): (usize, &[usize; 3])| Row {
            class: labels.get(class).cloned().unwrap_or_else(|| format!("class {class}")),
            images,
            precision: share(right, named),
            recall: share(right, images),
            f1: share(2 * right, images + named),
        };
        self.counts.iter().enumerate().filter(|(_, c)| c[0] + c[1] > 0).map(row).collect()
    }
}

/// The table for people, and below it the means over the classes that have images.
pub fn table(rows: &[Row]) -> Vec<String> {
    let width = rows.iter().map(|r| r.class.chars().count()).max().unwrap_or(0).max("mean".len());
    let percent = |share: Option<f64>| share.map_or("–".to_owned(), |s| format!("{:.1} %", 100.0 * s));
    let line = |name: &str, figures: [Option<f64>; 3], images: usize| {
        let [precision, recall, f1] = figures.map(percent);
        format!("{name:width$}  {precision:>9}  {recall:>8}  {f1:>8}  {images:>7}")
    };
    let with_images: Vec<&Row> = rows.iter().filter(|r| r.images > 0).collect();
    let mean = |of: fn(&Row) -> Option<f64>| {
        // A class that no answer names has no precision, and counts as nothing right.
        let sum: f64 = with_images.iter().map(|r| of(r).unwrap_or(0.0)).sum();
        (!with_images.is_empty()).then(|| sum / with_images.len() as f64)
    };
    let mut lines = vec![format!(
        "{:width$}  {:>9}  {:>8}  {:>8}  {:>7}",
        "class", "precision", "recall", "F1", "images"
    )];
    lines.extend(rows.iter().map(|r| line(&r.class, [r.precision, r.recall, r.f1], r.images)));
    lines.push(line(
        "mean",
        [mean(|r| r.precision), mean(|r| r.recall), mean(|r| r.f1)],
        rows.iter().map(|r| r.images).sum(),
    ));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn precision_recall_and_f1_as_defined() {
        let mut counts = PerClass::new(4);
        // Three cats, one of them taken for a dog; one dog; no cow, and none named; one bird, taken for a cat.
        for (label, answer) in [(0, 0), (0, 0), (0, 1), (1, 1), (3, 0)] {
            counts.add(label, answer);
        }
        let rows = counts.rows(&["cat", "dog", "cow", "bird"].map(String::from));
        let figures: Vec<_> =
            rows.iter().map(|r| (r.class.as_str(), r.images, r.precision, r.recall, r.f1)).collect();
        assert_eq!(
            figures,
            [
                ("cat", 3, Some(2.0 / 3.0), Some(2.0 / 3.0), Some(4.0 / 6.0)),
                ("dog", 1, Some(0.5), Some(1.0), Some(2.0 / 3.0)),
                ("bird", 1, None, Some(0.0), Some(0.0)),
            ]
        );
        let lines = table(&rows);
        assert_eq!(lines.len(), 5);
        assert!(lines[3].contains('–') && lines[4].contains("38.9 %"), "{lines:#?}");
        assert_eq!(counts.rows(&[])[0].class, "class 0");
    }
}
