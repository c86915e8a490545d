//! Computes how often each class is correct: precision, recall, F1.

use serde::Serialize;

/// Classes with fewer images than this are counted together when two networks are compared: one image would change
/// their shares by more than five points.
pub const FEW: usize = 20;

/// The answers, counted by their class and by the image's class.
#[derive(Clone, Debug)]
pub struct PerClass {
    /// Per class: its images, the answers that name it, and the number that are both.
    counts: Vec<[usize; 3]>,
}

/// The result for one class.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// The class's name or number.
    pub class: String,
    /// The number of its images.
    pub images: usize,
    /// How often it is correct.
    #[serde(flatten)]
    pub shares: Shares,
}

/// How often a class is correct.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Shares {
    /// The share of the answers naming the class that are correct; `None` if no answer names it.
    pub precision: Option<f64>,
    /// The share of the class's images that are correct; `None` if it has no images.
    pub recall: Option<f64>,
    /// The harmonic mean of both.
    pub f1: Option<f64>,
}

impl Shares {
    /// Computes the shares from the number of images of a class, of answers that name it, and of both.
    fn of([images, named, right]: [usize; 3]) -> Self {
        let share = |part: usize, of: usize| (of > 0).then(|| part as f64 / of as f64);
        Self {
            precision: share(right, named),
            recall: share(right, images),
            f1: share(2 * right, images + named),
        }
    }
}

/// The results of two networks for a class.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    /// The class's name or number, or the number of classes that were counted together.
    pub class: String,
    /// The number of its images.
    pub images: usize,
    /// The result of the first network.
    pub before: Shares,
    /// The result of the second network.
    pub after: Shares,
}

impl Change {
    /// Returns the points of recall or of precision lost, whichever are more, and which of the two. Returns `None`
    /// if there are fewer images than [`FEW`].
    pub fn loss(&self) -> Option<(f64, &'static str)> {
        let points = |of: fn(&Shares) -> Option<f64>| {
            100.0 * (of(&self.before).unwrap_or(0.0) - of(&self.after).unwrap_or(0.0))
        };
        let (recall, precision) = (points(|s| s.recall), points(|s| s.precision));
        let loss = if precision > recall { (precision, "precision") } else { (recall, "recall") };
        (self.images >= FEW).then_some(loss)
    }
}

/// Compares two networks class by class, on the same images. Classes with fewer images than [`FEW`] come last, as
/// one.
pub fn changes(before: &PerClass, after: &PerClass, labels: &[String]) -> Vec<Change> {
    let (mut all, mut together) = (Vec::new(), ([[0; 3]; 2], 0_usize));
    for (class, (b, a)) in before.counts.iter().zip(&after.counts).enumerate() {
        if b[0] >= FEW {
            let class = name(labels, class);
            all.push(Change { class, images: b[0], before: Shares::of(*b), after: Shares::of(*a) });
        } else if b[0] + b[1] + a[1] > 0 {
            together.1 += 1;
            for (sums, counts) in together.0.iter_mut().zip([b, a]) {
                sums.iter_mut().zip(counts).for_each(|(sum, n)| *sum += n);
            }
        }
    }
    let ([b, a], classes) = together;
    if classes > 0 {
        let plural = if classes == 1 { "class" } else { "classes" };
        let class = format!("{classes} {plural} with fewer than {FEW} images");
        all.push(Change { class, images: b[0], before: Shares::of(b), after: Shares::of(a) });
    }
    all
}

/// McNemar's exact test (Q. McNemar, 1947): returns the probability of a difference at least as large as that
/// between `lost` and `gained` answers if both networks are equally good.
pub fn mcnemar(lost: usize, gained: usize) -> f64 {
    let (n, least) = (lost + gained, lost.min(gained));
    let mut log_term = -(n as f64) * std::f64::consts::LN_2;
    let mut sum = 0.0;
    for k in 0..=least {
        sum += libm::exp(log_term);
        log_term += libm::log((n - k) as f64) - libm::log((k + 1) as f64);
    }
    (2.0 * sum).min(1.0)
}

fn name(labels: &[String], class: usize) -> String {
    labels.get(class).cloned().unwrap_or_else(|| format!("class {class}"))
}

impl PerClass {
    /// Creates empty counts for this many classes.
    pub fn new(classes: usize) -> Self {
        Self { counts: vec![[0; 3]; classes] }
    }

    /// Counts an answer.
    pub fn add(&mut self, label: usize, answer: usize) {
        self.counts[label][0] += 1;
        self.counts[answer][1] += 1;
        self.counts[label][2] += usize::from(label == answer);
    }

    /// Returns the classes that have images or were named in an answer.
    pub fn rows(&self, labels: &[String]) -> Vec<Row> {
        let row = |(class, &counts): (usize, &[usize; 3])| Row {
            class: name(labels, class),
            images: counts[0],
            shares: Shares::of(counts),
        };
        self.counts.iter().enumerate().filter(|(_, c)| c[0] + c[1] > 0).map(row).collect()
    }
}

/// Returns the table for people, followed by the means over the classes that have images.
pub fn table(rows: &[Row]) -> Vec<String> {
    let width = rows.iter().map(|r| r.class.chars().count()).max().unwrap_or(0).max("mean".len());
    let percent = |share: Option<f64>| share.map_or("–".to_owned(), |s| format!("{:.1} %", 100.0 * s));
    let line = |name: &str, shares: Shares, images: usize| {
        let [precision, recall, f1] = [shares.precision, shares.recall, shares.f1].map(percent);
        format!("{name:width$}  {precision:>9}  {recall:>8}  {f1:>8}  {images:>7}")
    };
    let with_images: Vec<&Row> = rows.iter().filter(|r| r.images > 0).collect();
    let mean = |of: fn(&Shares) -> Option<f64>| {
        // A class that no answer names has no precision and counts as zero.
        let sum: f64 = with_images.iter().map(|r| of(&r.shares).unwrap_or(0.0)).sum();
        (!with_images.is_empty()).then(|| sum / with_images.len() as f64)
    };
    let mut lines = vec![format!(
        "{:width$}  {:>9}  {:>8}  {:>8}  {:>7}",
        "class", "precision", "recall", "F1", "images"
    )];
    lines.extend(rows.iter().map(|r| line(&r.class, r.shares, r.images)));
    lines.push(line(
        "mean",
        Shares { precision: mean(|s| s.precision), recall: mean(|s| s.recall), f1: mean(|s| s.f1) },
        rows.iter().map(|r| r.images).sum(),
    ));
    lines
}

/// Returns the comparison for people.
pub fn compared(changes: &[Change]) -> Vec<String> {
    let width = changes.iter().map(|c| c.class.chars().count()).max().unwrap_or(0).max("class".len());
    let both = |before: Option<f64>, after: Option<f64>| {
        let text = |share: Option<f64>| share.map_or("–".to_owned(), |s| format!("{:.1}", 100.0 * s));
        format!("{:>5} → {:>5} %", text(before), text(after))
    };
    let line = |c: &Change| {
        let (b, a) = (&c.before, &c.after);
        let [recall, precision, f1] =
            [(b.recall, a.recall), (b.precision, a.precision), (b.f1, a.f1)].map(|(b, a)| both(b, a));
        format!("{:width$}  {recall:>15}  {precision:>15}  {f1:>15}  {:>7}", c.class, c.images)
    };
    let head =
        format!("{:width$}  {:>15}  {:>15}  {:>15}  {:>7}", "class", "recall", "precision", "F1", "images");
    std::iter::once(head).chain(changes.iter().map(line)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn precision_recall_and_f1_as_defined() {
        let mut counts = PerClass::new(4);
        // Three cats, one of them answered as a dog; one dog; no cow, and none named; one bird, answered as a cat.
        for (label, answer) in [(0, 0), (0, 0), (0, 1), (1, 1), (3, 0)] {
            counts.add(label, answer);
        }
        let rows = counts.rows(&["cat", "dog", "cow", "bird"].map(String::from));
        let figures: Vec<_> = rows
            .iter()
            .map(|r| (r.class.as_str(), r.images, r.shares.precision, r.shares.recall, r.shares.f1))
            .collect();
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

    #[test]
    fn classes_are_compared_and_few_images_counted_together() {
        let (mut before, mut after) = (PerClass::new(4), PerClass::new(4));
        // Twenty of class 0, of which the second network answers one as class 1; 25 of class 1; three of 2; none
        // of 3.
        for i in 0..20 {
            before.add(0, 0);
            after.add(0, usize::from(i == 0));
        }
        for _ in 0..25 {
            before.add(1, 1);
            after.add(1, 1);
        }
        for i in 0..3 {
            before.add(2, if i == 0 { 3 } else { 2 });
            after.add(2, 2);
        }
        let all = changes(&before, &after, &["a", "b", "c", "d"].map(String::from));
        let names: Vec<_> = all.iter().map(|c| (c.class.as_str(), c.images)).collect();
        assert_eq!(names, [("a", 20), ("b", 25), ("2 classes with fewer than 20 images", 3)]);
        let loss = |class: usize| all[class].loss().map(|(points, what)| ((points * 100.0).round(), what));
        assert_eq!(loss(0), Some((500.0, "recall")));
        assert_eq!(loss(1), Some((385.0, "precision")), "one of 26 answers");
        assert_eq!(loss(2), None);
        let lines = compared(&all);
        assert!(lines[1].starts_with("a ") && lines[1].contains("100.0 →  95.0 %"), "{lines:#?}");
        assert_eq!((all[2].before.recall, all[2].after.recall), (Some(2.0 / 3.0), Some(1.0)));
    }

    #[test]
    fn mcnemar_as_the_binomial_distribution() {
        assert_eq!(mcnemar(0, 0), 1.0);
        assert_eq!(mcnemar(5, 5), 1.0);
        // 2 · (1 + 10) / 2^10
        assert!((mcnemar(1, 9) - 22.0 / 1024.0).abs() < 1e-12 && mcnemar(9, 1) == mcnemar(1, 9));
        assert!((mcnemar(0, 6) - 2.0 / 64.0).abs() < 1e-12);
        assert!(mcnemar(5_000, 5_000) == 1.0 && mcnemar(4_000, 6_000) < 1e-50);
    }
}
