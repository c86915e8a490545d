//! The report as one page: no outside resource, light and dark, phone and desktop.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::{Changed, KeptReport, Report, SensitivityReport, TensorReport};

/// The whole page. Every text that comes from a model or a folder is escaped.
pub fn page(r: &Report) -> String {
    let mut out = String::new();
    let title = escape(&r.source);
    let _ = write!(
        out,
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title} in int8</title>\n<style>\n{}</style>\n<main>\n<h1>{title} in int8</h1>\n\
         <p>SHA-256 <code>{}</code></p>\n",
        include_str!("page.css"),
        escape(&r.sha256)
    );
    tiles(&mut out, r);
    let _ = write!(
        out,
        "<h2>Pixels</h2>\n<p>Preprocessing <b>{}</b>: {}. It is folded into the first layer; the network takes \
         bytes.</p>\n",
        escape(&r.preprocess),
        escape(&r.preprocess_reason)
    );
    passes(&mut out, r);
    if let Some(kept) = &r.kept {
        mixed(&mut out, kept);
    }
    changed(&mut out, r);
    sensitivity(&mut out, &r.sensitivity);
    tensors(&mut out, &r.tensors);
    let _ = write!(out, "<h2>What could not be folded</h2>\n<p>");
    match r.not_folded.len() {
        0 => out.push_str(
            "Nothing: every batch normalisation, padding, activation and addition is part of a step.",
        ),
        _ => out.push_str(
            "These are steps of their own; each costs a pass over its values and one more rounding.",
        ),
    }
    out.push_str("</p>\n");
    if !r.not_folded.is_empty() {
        out.push_str("<ul>\n");
        for name in &r.not_folded {
            let _ = writeln!(out, "<li><code>{}</code></li>", escape(name));
        }
        out.push_str("</ul>\n");
    }
    out.push_str("</main>\n</html>\n");
    out
}

fn tiles(out: &mut String, r: &Report) {
    let percent = |v: f64| format!("{:.2} %", v * 100.0);
    let mut all: Vec<(String, String)> = Vec::new();
    if let Some(a) = r.accuracy {
        all.push((percent(a.float), format!("right in f32, of {} held-out pictures", a.images)));
        all.push((percent(a.int8), "right in int8".into()));
    }
    if let Some(d) = r.held_out {
        all.push((percent(d.agreement), format!("same answer, of {} held-out pictures", d.images)));
        all.push((format!("{:.1} dB", d.sqnr), "signal to noise of the logits".into()));
        all.push((format!("{:.6}", d.kl), "KL divergence of the answers".into()));
    }
    all.push((
        amount(r.bytes as f64, "B"),
        format!("archive; the model had {}", amount(r.bytes_before as f64, "B")),
    ));
    all.push((amount(r.macs as f64, ""), "multiply-accumulates per picture".into()));
    all.push((amount(r.parameters as f64, ""), "parameters".into()));
    all.push((amount(r.arena_bytes as f64, "B"), "activations at their peak".into()));
    all.push((
        format!("{} + {}", r.layers_quantized, r.layers_float),
        format!("layers in int8 + float; {} nodes folded", r.layers_folded),
    ));
    all.push((r.calibration_images.to_string(), format!("calibration pictures; {} skipped", r.skipped)));
    out.push_str("<div class=\"tiles\">\n");
    for (value, name) in all {
        let _ = writeln!(out, "<div class=\"tile\"><b>{value}</b><span>{name}</span></div>");
    }
    out.push_str("</div>\n");
}

fn passes(out: &mut String, r: &Report) {
    let _ = writeln!(
        out,
        "<h2>Passes</h2>\n<p>{} tensors were centred per channel. Each pass below is kept if it lowers the noise of the logits on calibration pictures that nothing was \
         measured on; where everything is measured again on all pictures at the end, that is kept in any case.</p>",
        r.centred
    );
    out.push_str(
        "<div class=\"wide\"><table><thead><tr><th>pass<th>before<th>after<th>\
         <th>what</tr></thead>\n",
    );
    for d in &r.passes {
        let (class, word) = if d.kept { ("good", "kept") } else { ("soft", "not kept") };
        let _ = writeln!(
            out,
            "<tr><td>{}<td class=\"n\">{:.2} dB<td class=\"n\">{:.2} dB<td class=\"{class}\">{word}<td>{}</tr>",
            escape(&d.pass),
            d.before,
            d.after,
            escape(&d.note)
        );
    }
    out.push_str("</table></div>\n");
}

fn mixed(out: &mut String, k: &KeptReport) {
    let _ = writeln!(
        out,
        "<h2>Kept in 16 bits</h2>\n<p>int8 alone lost {:.2} points on held-out pictures, {} are allowed. The fewest \
         found ({} networks measured) with which {:.2} are lost; they run as int8 steps, too. Multiply-accumulates {} → \
         {}; archive {} → {}; {:.2} ms → {:.2} ms on one thread of the machine that converted.</p>\n\
         <div class=\"wide\"><table><thead><tr><th>kept<th>of<th>logits, this alone in 8 bits<th>products more<th>\
         parameters more</tr></thead>",
        k.drop_before,
        k.limit,
        k.tried,
        k.drop,
        amount(k.macs_before as f64, ""),
        amount(k.macs as f64, ""),
        amount(k.bytes_before as f64, "B"),
        amount(k.bytes as f64, "B"),
        k.ms_before,
        k.ms
    );
    for p in &k.parts {
        let _ = writeln!(
            out,
            "<tr><td>{}<td class=\"name\"><code>{}</code><td class=\"n\">{:.1} dB<td class=\"n\">{}<td class=\"n\">{}\
             </tr>",
            p.what,
            escape(&p.name),
            p.sqnr,
            amount(p.macs as f64, ""),
            amount(p.parameters as f64, "")
        );
    }
    out.push_str("</table></div>\n");
}

fn changed(out: &mut String, r: &Report) {
    let Some(held_out) = r.held_out else { return };
    let total = (held_out.images as f64 * (1.0 - held_out.agreement)).round();
    let _ = writeln!(out, "<h2>Pictures whose answer changed</h2>\n<p>{total} of {}.</p>", held_out.images);
    if r.changed.is_empty() {
        return;
    }
    out.push_str("<div class=\"changed\">\n");
    for c in &r.changed {
        let right = |answer: &str| match &c.label {
            Some(label) if label == answer => " class=\"good\"",
            Some(_) => " class=\"bad\"",
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
    out.push_str(
        "<h2>Which answers were confused</h2>\n<div class=\"wide\"><table><thead><tr><th>f32<th>int8<th>pictures\
         </tr></thead>\n",
    );
    for ((float, int8), n) in counts {
        let _ = writeln!(out, "<tr><td>{}<td>{}<td class=\"n\">{n}</tr>", escape(float), escape(int8));
    }
    out.push_str("</table></div>\n");
}

fn sensitivity(out: &mut String, shares: &[SensitivityReport]) {
    if shares.is_empty() {
        return;
    }
    out.push_str(
        "<h2>Where the noise comes from</h2>\n<p>Each rounded alone, all else exact: its share of the noise of the \
         logits, largest first. Noise of different places adds up.</p>\n<div class=\"wide\"><table><thead><tr>\
         <th>rounded alone<th>of<th>logits<th>share</tr></thead>\n",
    );
    let noise = |s: &SensitivityReport| 10f64.powf(-s.sqnr / 10.0);
    let total: f64 = shares.iter().map(noise).sum();
    let mut sorted: Vec<_> = shares.iter().collect();
    sorted.sort_by(|a, b| a.sqnr.total_cmp(&b.sqnr));
    for s in sorted {
        let share = if total > 0.0 { noise(s) / total } else { 0.0 };
        let _ = writeln!(
            out,
            "<tr><td>{}<td class=\"name\"><code>{}</code><td class=\"n\">{:.1} dB<td>{}</tr>",
            s.what,
            escape(&s.name),
            s.sqnr,
            bar(share, &format!("{:.1} %", share * 100.0))
        );
    }
    out.push_str("</table></div>\n");
}

fn tensors(out: &mut String, tensors: &[TensorReport]) {
    out.push_str(
        "<h2>Layer by layer</h2>\n<p>Signal to noise of each int8 tensor against f32, the noise of everything \
         before it included, and how often its values occur (exact zeros left out, heights by the square \
         root).</p>\n<div class=\"wide\"><table><thead><tr><th>tensor<th>shape<th>signal to noise<th>values<th>\
         seen<th>scale<th>zero<th>range by</tr></thead>\n",
    );
    for t in tensors {
        let sqnr = t.sqnr.map_or("–".into(), |v| bar((v / 60.0).clamp(0.0, 1.0), &format!("{v:.1} dB")));
        let [h, w, c] = t.shape;
        let _ = writeln!(
            out,
            "<tr><td class=\"name\"><code>{}</code><td class=\"n\">{h}×{w}×{c}<td>{sqnr}<td>{}<td class=\"n\">{:.3} … \
             {:.3}<td class=\"n\">{:.3e}<td class=\"n\">{}<td>{}</tr>",
            escape(&t.name),
            histogram(&t.histogram),
            t.seen.0,
            t.seen.1,
            t.scale,
            t.zero,
            escape(&t.method)
        );
    }
    out.push_str("</table></div>\n");
}

/// A bar of a part of 1 with its value beside it.
fn bar(part: f64, text: &str) -> String {
    format!(
        "<svg width=\"150\" height=\"16\" role=\"img\" aria-label=\"{text}\"><rect class=\"back\" y=\"5\" \
         width=\"80\" height=\"6\" rx=\"3\"/><rect class=\"bar\" y=\"5\" width=\"{:.1}\" height=\"6\" rx=\"3\"/><text \
         x=\"88\" y=\"12\" font-size=\"12\" fill=\"currentColor\">{text}</text></svg>",
        part * 80.0
    )
}

fn histogram(counts: &[u64]) -> String {
    let most = counts.iter().copied().max().unwrap_or(0).max(1) as f64;
    let mut path = String::new();
    for (i, &n) in counts.iter().enumerate().filter(|(_, n)| **n > 0) {
        let height = ((n as f64 / most).sqrt() * 26.0).max(0.6);
        let _ = write!(path, "M{} 28v-{height:.1}h2v{height:.1}z", i * 2);
    }
    let width = counts.len() * 2;
    format!(
        "<svg width=\"{width}\" height=\"28\" aria-hidden=\"true\"><path class=\"plot\" d=\"{path}\"/></svg>"
    )
}

/// `1234567` as `1.23 M`.
fn amount(n: f64, unit: &str) -> String {
    let (value, prefix) = match n {
        n if n >= 1e9 => (n / 1e9, "G"),
        n if n >= 1e6 => (n / 1e6, "M"),
        n if n >= 1e3 => (n / 1e3, "k"),
        n => return format!("{n} {unit}").trim_end().into(),
    };
    format!("{value:.2} {prefix}{unit}")
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::KeptPart;
    use super::*;
    use crate::quantize::score::Distance;

    fn report() -> Report {
        Report {
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
            skipped: 0,
            centred: 2,
            passes: Vec::new(),
            held_out: Some(Distance { images: 20, agreement: 0.95, kl: 0.001, sqnr: 40.0, lost_lead: None }),
            accuracy: None,
            changed: vec![Changed {
                name: "a.png".into(),
                label: Some("cat".into()),
                float: "cat".into(),
                int8: "dog".into(),
                thumbnail: super::super::png::thumbnail(&[1, 2, 3], [1, 1, 3]),
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
    fn it_tells_what_changed_and_what_weighs_most_first() {
        let page = page(&report());
        assert!(page.contains("<p>1 of 20.</p>") && page.contains("<td>cat<td>dog<td class=\"n\">1"));
        assert!(page.find("large").unwrap() < page.find("small").unwrap());
        assert!(page.contains("99.0 %") && page.contains("bn (affine map)"));
        assert!(page.contains("int8 alone lost 1.25 points") && page.contains("res&lt;2&gt;"));
        assert!(page.contains("11.00 M → 12.50 M") && page.contains("0.25 ms → 0.50 ms"));
        assert!(page.contains("1.23 MB") && page.contains("12.50 M<") && page.contains("999 B"));
    }
}
