//! The report as one page: no external resources, light and dark, for phone and desktop.
//!
//! One sentence at the start contains what everybody wants to know. Figures and the images that changed follow;
//! details that only an expert needs are collapsed.

mod classes;
mod expert;
pub(crate) mod markup;

use std::collections::BTreeMap;
use std::fmt::Write;

use super::{Changed, Report, SensitivityReport};
use crate::convert::verdict::Grade;
use markup::{amount, bar_line, escape, fold, percent, table, unfold};

pub(crate) use super::png::thumbnail;

/// The style sheet of the page.
pub(crate) const STYLE: &str = include_str!("page.css");
/// The number of bars that the chart shows at once.
const TOP: usize = 10;

/// Returns the whole page. Every text from a model or a folder is escaped.
pub fn page(r: &Report) -> String {
    let mut out = String::new();
    let title = escape(&r.source);
    let _ = write!(
        out,
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title} in int8: {}</title>\n<style>\n{}</style>\n<main>\n<h1>{title} in int8</h1>\n",
        r.verdict.grade.name(),
        STYLE
    );
    verdict(&mut out, r);
    origin(&mut out, r);
    tiles(&mut out, r);
    classes::section(&mut out, &r.classes);
    changed(&mut out, r);
    chart(&mut out, &r.sensitivity);
    expert::section(&mut out, r);
    out.push_str("</main>\n</html>\n");
    out
}

/// Writes the grade (good, look or broken), with a drawing of the interval.
fn verdict(out: &mut String, r: &Report) {
    let v = &r.verdict;
    let title = match v.grade {
        Grade::Good => "Good",
        Grade::Look => "Needs a look",
        Grade::Broken => "Broken",
    };
    let sentence = escape(&v.sentence);
    let sentence = match sentence.strip_prefix("nothing") {
        Some(rest) => format!("Nothing{rest}"),
        None => sentence,
    };
    let _ = writeln!(
        out,
        "<section class=\"verdict {}\"><strong>{title}</strong><p>{sentence}.</p>",
        v.grade.name()
    );
    if let Some((low, high)) = v.interval {
        // The scale usually starts at one half, because all values of interest are above it.
        let from = if low >= 0.5 { 0.5 } else { 0.0 };
        let at = |share: f64| 100.0 * (share - from) / (1.0 - from);
        let same = r.held_out.and_then(|d| d.agreement).unwrap_or(low);
        let _ = writeln!(
            out,
            "<div class=\"interval\"><div class=\"track\"><i style=\"left:{:.2}%;width:{:.2}%\"></i><b \
             style=\"left:{:.2}%\"></b></div><span>{:.0} %</span><span>same answer {:.1} %; between {:.1} and {:.1} % \
             with 95 % confidence</span><span>100 %</span></div>",
            at(low),
            at(high) - at(low),
            at(same),
            100.0 * from,
            100.0 * same,
            100.0 * low,
            100.0 * high
        );
    }
    if v.reasons.len() > 1 {
        out.push_str("<ul>");
        v.reasons.iter().skip(1).for_each(|reason| {
            let _ = write!(out, "<li>{}</li>", escape(reason));
        });
        out.push_str("</ul>\n");
    }
    out.push_str("</section>\n");
    r.notes.iter().for_each(|note| {
        let _ = writeln!(out, "<p>{}.</p>", escape(note));
    });
    let checked = match (r.unseen, r.held_out.is_some()) {
        (_, false) => "No images were left to check the result on.",
        (true, true) => "The checked images were held out of training and of this conversion.",
        (false, true) => {
            "The checked images had no part in this conversion; whether training saw them is not known."
        }
    };
    let _ = writeln!(
        out,
        "<p>A trained network was rewritten to compute with 8-bit integers, which makes it smaller and faster. This \
         page tells how well it kept its answers. {checked}</p>"
    );
}

fn tiles(out: &mut String, r: &Report) {
    let mut all: Vec<(String, String)> = Vec::new();
    if let Some(a) = r.accuracy {
        all.push((percent(a.int8), format!("right in int8, of {} labelled images", a.images)));
        all.push((percent(a.float), "right in f32".into()));
    }
    if let Some(d) = r.held_out {
        match (d.agreement, d.r2, d.cosine) {
            (Some(share), ..) => {
                all.push((percent(share), format!("same answer, of {} checked images", d.images)));
            }
            (_, Some(r2), _) => all.push((format!("{r2:.4}"), format!("R², on {} checked images", d.images))),
            (.., Some(cosine)) => {
                all.push((format!("{cosine:.4}"), format!("mean cosine, on {} checked images", d.images)));
            }
            _ => {}
        }
    }
    all.push((
        amount(r.bytes as f64, "B"),
        format!("archive; the model had {}", amount(r.bytes_before as f64, "B")),
    ));
    all.push((amount(r.macs as f64, ""), "multiply-accumulates per image".into()));
    all.push((r.calibration_images.to_string(), format!("calibration images; {} unreadable", r.skipped)));
    out.push_str("<div class=\"tiles\">\n");
    for (value, name) in all {
        let _ = writeln!(out, "<div class=\"tile\"><b>{value}</b><span>{name}</span></div>");
    }
    out.push_str("</div>\n");
}

fn changed(out: &mut String, r: &Report) {
    let Some((held_out, same)) = r.held_out.and_then(|d| Some((d, d.same?))) else { return };
    let total = held_out.images - same;
    let _ = writeln!(out, "<h2>Images whose answer changed</h2>\n<p>{total} of {}.</p>", held_out.images);
    if r.changed.is_empty() {
        return;
    }
    out.push_str("<div class=\"changed\">\n");
    for c in &r.changed {
        let right = |answer: &str| match &c.label {
            Some(label) if label == answer => " class=\"right\"",
            Some(_) => " class=\"wrong\"",
            None => "",
        };
        let _ = writeln!(
            out,
            "<figure><img alt=\"\" src=\"{}\"><figcaption><span{}>f32 {}</span><br><span{}>int8 {}</span><br>\
             <span class=\"soft\">{}{}</span></figcaption></figure>",
            c.thumbnail,
            right(&c.float),
            escape(&c.float),
            right(&c.int8),
            escape(&c.int8),
            c.label.as_ref().map_or(String::new(), |l| format!("is {} · ", escape(l))),
            escape(&c.name)
        );
    }
    out.push_str("</div>\n");
    confusion(out, &r.changed);
}

fn confusion(out: &mut String, changed: &[Changed]) {
    let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    changed.iter().for_each(|c| *counts.entry((&c.float, &c.int8)).or_default() += 1);
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(pair, n)| (std::cmp::Reverse(*n), *pair));
    fold(out, "Which answers were confused");
    let rows = counts.into_iter().map(|((a, b), n)| vec![escape(a), escape(b), n.to_string()]);
    table(out, &[("f32", false), ("int8", false), ("images", true)], rows);
    unfold(out);
}

/// Draws the parts with the largest share of the noise; the rest is collapsed.
fn chart(out: &mut String, shares: &[SensitivityReport]) {
    if shares.is_empty() {
        return;
    }
    let noise = |s: &SensitivityReport| libm::pow(10.0, -s.sqnr / 10.0);
    let total: f64 = shares.iter().map(noise).sum();
    let mut sorted: Vec<_> = shares.iter().collect();
    sorted.sort_by(|a, b| a.sqnr.total_cmp(&b.sqnr));
    let most = sorted.first().map_or(1.0, |s| noise(s)).max(f64::MIN_POSITIVE);
    out.push_str(
        "<h2>Where the error comes from</h2>\n<p>What rounding to 8 bits adds, part by part: each was rounded alone. \
         A layer that stands out is where more calibration images or <code>--max-drop</code> help.</p>\n",
    );
    let lines = |out: &mut String, some: &[&SensitivityReport]| {
        out.push_str("<ol class=\"chart\">\n");
        for s in some {
            let share = if total > 0.0 { noise(s) / total } else { 0.0 };
            let name = format!("<code>{}</code> {}", escape(&s.name), s.what);
            bar_line(out, &name, noise(s) / most, &format!("{:.1} %", share * 100.0));
        }
        out.push_str("</ol>\n");
    };
    let (top, rest) = sorted.split_at(TOP.min(sorted.len()));
    lines(out, top);
    if !rest.is_empty() {
        let share = rest.iter().map(|s| noise(s)).sum::<f64>() / total.max(f64::MIN_POSITIVE);
        fold(out, &format!("{} more, {:.1} % together", rest.len(), 100.0 * share));
        lines(out, rest);
        unfold(out);
    }
}

/// Writes which program created the page, and from which files.
fn origin(out: &mut String, r: &Report) {
    out.push_str("<dl>\n");
    let o = &r.origin;
    let mut line = |name: &str, value: String| {
        let _ = writeln!(out, "<dt>{name}</dt><dd>{value}</dd>");
    };
    if let Some(date) = &o.date {
        line("date", escape(date));
    }
    line("converter", format!("{}, archive format {}", o.converter, o.archive_format));
    line("model", format!("{}, SHA-256 <code>{}</code>", escape(&r.source), escape(&r.sha256)));
    if let Some(command) = &o.command {
        line("command", format!("<code>{}</code>", escape(command)));
    }
    out.push_str("</dl>\n");
}

#[cfg(test)]
mod tests {
    use foldnet_archive::OutputKind;
    use foldnet_kernels::Shape;

    use super::super::{KeptPart, KeptReport, Origin};
    use super::*;
    use crate::convert::reading::Reading;
    use crate::convert::verdict::Verdict;
    use crate::image::Pixels;
    use crate::quantize::score::{Distance, Measure};

    /// In this example, 19 of 20 answers are the same.
    fn distance() -> Distance {
        let one_hot = |class: usize| (0..2).map(|c| f32::from(u8::from(c == class))).collect::<Vec<f32>>();
        let truth: Vec<Vec<f32>> = (0..20).map(|i| one_hot(i % 2)).collect();
        let mut other = truth.clone();
        other[0] = one_hot(1);
        Distance::between(&truth, &other, Measure::new(OutputKind::Softmax))
    }

    fn report() -> Report {
        Report {
            verdict: Verdict {
                grade: Grade::Good,
                sentence: "int8 gives f32's top-1 on 95.0 % of <20> images".into(),
                reasons: Vec::new(),
                interval: Some((0.764, 0.991)),
                images: 20,
            },
            origin: Origin {
                converter: "1.2.3",
                archive_format: 2,
                date: Some("2026-11-30".into()),
                command: Some("converter quantize 'a b.onnx'".into()),
            },
            output: Reading { kind: OutputKind::Softmax, reason: "it is".into(), must_be_told: false },
            unseen: true,
            notes: Vec::new(),
            source: "<script>alert(1)</script>.onnx".into(),
            sha256: "00".into(),
            preprocess: "none".into(),
            preprocess_reason: "a & b".into(),
            layers_folded: 3,
            layers_quantized: 5,
            layers_float: 0,
            bytes_before: 1_234_567,
            bytes: 300_000,
            macs: 12_500_000,
            parameters: 78_000,
            arena_bytes: 999,
            calibration_images: 80,
            scales_given: 0,
            skipped: 0,
            centred: 2,
            passes: Vec::new(),
            held_out: Some(distance()),
            accuracy: None,
            classes: Vec::new(),
            changed: vec![Changed {
                name: "a.png".into(),
                label: Some("cat".into()),
                float: "cat".into(),
                int8: "dog".into(),
                thumbnail: super::super::png::thumbnail(
                    &Pixels::new(Shape::new(1, 1, 3), [1, 2, 3]).unwrap(),
                ),
            }],
            sensitivity: vec![
                SensitivityReport { name: "small".into(), what: "values", sqnr: 60.0 },
                SensitivityReport { name: "large".into(), what: "weights", sqnr: 40.0 },
            ],
            not_folded: vec!["bn (affine map)".into()],
            kept: Some(KeptReport {
                limit: 0.2,
                drop_before: 1.25,
                drop: 0.1,
                tried: 7,
                parts: vec![KeptPart {
                    name: "res<2>".into(),
                    what: "weights",
                    sqnr: 21.5,
                    macs: 1_500_000,
                    parameters: 2400,
                }],
                macs_before: 11_000_000,
                macs: 12_500_000,
                bytes_before: 295_000,
                bytes: 300_000,
                ms_before: 0.25,
                ms: 0.5,
            }),
            tensors: Vec::new(),
        }
    }

    #[test]
    fn names_from_outside_are_escaped_and_nothing_is_loaded_from_outside() {
        let page = page(&report());
        assert!(!page.contains("<script") && page.contains("&lt;script&gt;") && page.contains("a &amp; b"));
        assert!(!page.contains("http") && !page.contains("@import") && !page.contains("url("));
    }

    #[test]
    fn the_verdict_and_its_origin_come_first() {
        let page = page(&report());
        let at = |text: &str| page.find(text).unwrap_or_else(|| panic!("{text:?} is missing"));
        assert!(at("<strong>Good</strong>") < at("class=\"tiles\""));
        assert!(at("95.0 % of &lt;20&gt; images") < at("class=\"tiles\""));
        assert!(at("between 76.4 and 99.1 %") < at("2026-11-30"));
        assert!(at("2026-11-30") < at("class=\"tiles\"") && at("1.2.3") < at("class=\"tiles\""));
        assert!(at("converter quantize &#39;a b.onnx&#39;") < at("class=\"tiles\""));
        assert!(at("class=\"tiles\"") < at("<details>"), "tables are folded away");
    }

    #[test]
    fn the_chart_shows_ten_and_folds_the_rest() {
        let many = (0..40).map(|i| SensitivityReport {
            name: format!("layer{i}"),
            what: "values",
            sqnr: 40.0 + f64::from(i),
        });
        let page = page(&Report { sensitivity: many.collect(), ..report() });
        let chart = &page[page.find("class=\"chart\"").unwrap()..];
        let shown = &chart[..chart.find("<details>").unwrap()];
        assert_eq!(shown.matches("<li>").count(), 10);
        assert!(chart.contains("30 more") && shown.contains("layer0") && !shown.contains("layer10"));
    }

    #[test]
    fn it_tells_what_changed_and_what_weighs_most_first() {
        let page = page(&report());
        assert!(page.contains("<p>1 of 20.</p>"));
        assert!(
            page.contains("data-label=\"f32\"><span>cat</span>")
                && page.contains("data-label=\"int8\"><span>dog</span>")
        );
        assert!(page.find("<code>large").unwrap() < page.find("<code>small").unwrap());
        assert!(page.contains("99.0 %") && page.contains("bn (affine map)"));
        assert!(page.contains("int8 alone lost 1.25 points") && page.contains("res&lt;2&gt;"));
        assert!(page.contains("11.00 M → 12.50 M") && page.contains("0.25 ms → 0.50 ms"));
        assert!(page.contains("1.23 MB") && page.contains("12.50 M<"));
    }
}
