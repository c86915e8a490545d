//! The findings as one page, in the style of the report: thumbnails, the worst first, no external resources.

use std::fmt::Write;

use super::{Findings, Sample, VOTERS};
use crate::report::html::markup::{bar_line, escape, table};
use crate::report::html::{STYLE, thumbnail};

/// The number of cards of each kind on the page; the CSV file contains all.
const SHOWN: usize = 200;

/// Returns the whole page. `title` names the data set, `names` the classes.
pub fn page(title: &str, findings: &Findings, samples: &[Sample], names: &[String]) -> String {
    let title = escape(title);
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" \
         content=\"width=device-width, initial-scale=1\">\n<title>{title}: images to look at</title>\n\
         <style>\n{STYLE}</style>\n<main>\n<h1>{title}: images to look at</h1>\n<p>Images are compared by what the \
         network's last layer reads. Nothing here is certain: look at each image before you change or remove it.</p>\n"
    );
    let out = &mut out;
    tiles(out, findings, samples.len());
    let card = Card { samples, names };
    section(out, "Labels that look wrong", findings.suspects.len(), |out, i| {
        let s = &findings.suspects[i];
        let said = format!(
            "<span class=\"wrong\">{}</span><br><span class=\"right\">{}</span>: {} of {VOTERS} nearest",
            escape(&names[s.label]),
            escape(&names[s.suggestion]),
            s.votes
        );
        card.write(out, &[s.image], &said);
    });
    section(out, "Near-duplicates", findings.duplicates.len(), |out, i| {
        let p = &findings.duplicates[i];
        let kind = match (p.contradictory, p.leak) {
            (true, true) => "<span class=\"wrong\">in training and test images, with different labels</span>",
            (true, _) => "<span class=\"wrong\">different labels</span>",
            (_, true) => "<span class=\"wrong\">in training and test images</span>",
            _ => "same label",
        };
        let labels: Vec<&str> =
            p.images.iter().filter_map(|&i| samples[i].label).map(|l| &names[l][..]).collect();
        card.write(out, &p.images, &format!("{kind}<br>{}", escape(&labels.join(" / "))));
    });
    section(out, "Unlike all others", findings.outliers.len(), |out, i| {
        let image = findings.outliers[i].image;
        let label = samples[image].label.map_or(String::new(), |l| escape(&names[l]));
        card.write(out, &[image], &label);
    });
    overlaps(out, findings, names);
    classes(out, findings, names);
    out.push_str("</main>\n</html>\n");
    std::mem::take(out)
}

fn tiles(out: &mut String, f: &Findings, images: usize) {
    out.push_str("<div class=\"tiles\">\n");
    for (number, what) in [
        (images, "images"),
        (f.suspects.len(), "labels that look wrong"),
        (f.duplicates.len(), "pairs of near-duplicates"),
        (f.outliers.len(), "images unlike all others"),
        (f.overlaps.len(), "pairs of classes that overlap"),
    ] {
        let _ = writeln!(out, "<div class=\"tile\"><b>{number}</b><span>{what}</span></div>");
    }
    out.push_str("</div>\n");
}

fn section(out: &mut String, title: &str, count: usize, mut write: impl FnMut(&mut String, usize)) {
    if count == 0 {
        return;
    }
    let _ = writeln!(out, "<h2>{title}</h2>");
    if count > SHOWN {
        let _ = writeln!(out, "<p>The first {SHOWN} of {count}; --csv lists all.</p>");
    }
    out.push_str("<div class=\"changed\">\n");
    (0..count.min(SHOWN)).for_each(|i| write(out, i));
    out.push_str("</div>\n");
}

struct Card<'a> {
    samples: &'a [Sample],
    names: &'a [String],
}

impl Card<'_> {
    fn write(&self, out: &mut String, images: &[usize], said: &str) {
        out.push_str("<figure>");
        for &i in images {
            let label = self.samples[i].label.map_or("image", |l| &self.names[l]);
            let _ =
                write!(out, "<img alt=\"{}\" src=\"{}\">", escape(label), thumbnail(&self.samples[i].small));
        }
        let files: Vec<String> = images.iter().map(|&i| escape(&self.samples[i].shown())).collect();
        let _ = writeln!(
            out,
            "<figcaption>{said}<br><span class=\"soft\">{}</span></figcaption></figure>",
            files.join("<br>")
        );
    }
}

fn overlaps(out: &mut String, findings: &Findings, names: &[String]) {
    if findings.overlaps.is_empty() {
        return;
    }
    out.push_str(
        "<h2>Classes that overlap</h2>\n<p>How often the nearest images of one class belong to the other.</p>\n\
         <ol class=\"chart\">\n",
    );
    for o in &findings.overlaps {
        let [a, b] = o.classes.map(|c| escape(&names[c]));
        for (name, share) in [(format!("{a} → {b}"), o.there), (format!("{b} → {a}"), o.back)] {
            bar_line(out, &name, share, &format!("{:.0} %", 100.0 * share));
        }
    }
    out.push_str("</ol>\n");
}

fn classes(out: &mut String, findings: &Findings, names: &[String]) {
    if findings.classes.is_empty() {
        return;
    }
    out.push_str("<h2>Classes</h2>\n");
    let columns =
        [("class", false), ("images", true), ("look wrong", true), ("repeated", true), ("remark", false)];
    let rows = findings.classes.iter().map(|c| {
        let remark = c.remark().unwrap_or_default().to_owned();
        let number = |n: usize| n.to_string();
        vec![escape(&names[c.class]), number(c.images), number(c.suspects), number(c.repeated), remark]
    });
    table(out, &columns, rows);
}

#[cfg(test)]
mod tests {
    use foldnet_kernels::Shape;

    use super::super::{Outlier, Pair, Suspect};
    use super::*;
    use crate::image::Pixels;

    #[test]
    fn names_from_outside_are_escaped_and_nothing_is_loaded_from_outside() {
        let sample = |name: &str| Sample {
            name: name.into(),
            label: Some(0),
            test: false,
            features: vec![1.0],
            small: Pixels::new(Shape::new(1, 1, 3), [1, 2, 3]).unwrap(),
        };
        let findings = Findings {
            suspects: vec![Suspect { image: 0, label: 0, suggestion: 1, votes: 14, lead: 0.9 }],
            duplicates: vec![Pair { images: [0, 1], difference: 0.0, contradictory: true, leak: false }],
            overlaps: vec![super::super::Overlap { classes: [0, 1], there: 0.2, back: 0.1 }],
            outliers: vec![Outlier { image: 1, likeness: 0.1 }],
            classes: vec![super::super::Class { class: 0, images: 2, repeated: 0, suspects: 1 }],
        };
        let samples = [sample("<script>a.png"), sample("b&.png")];
        let page = page("<net>", &findings, &samples, &["<cat>".into(), "d\"og".into()]);
        assert!(!page.contains("<script") && page.contains("&lt;script&gt;") && page.contains("b&amp;.png"));
        assert!(!page.contains("<cat>") && !page.contains("<net>") && page.contains("few images"));
        assert!(!page.contains("http") && !page.contains("@import") && !page.contains("url("));
    }
}
