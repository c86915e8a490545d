//! The details that only an expert needs, each collapsed.

use std::fmt::Write;

use foldnet_cli::count;

use super::markup::{amount, bar, escape, fold, histogram, table, unfold};
use crate::report::{KeptReport, Report, TensorReport};

/// Writes all details.
pub fn section(out: &mut String, r: &Report) {
    out.push_str("<h2>For the expert</h2>\n");
    measured(out, r);
    passes(out, r);
    if let Some(kept) = &r.kept {
        mixed(out, kept);
    }
    tensors(out, &r.tensors);
    not_folded(out, &r.not_folded);
}

/// Writes the measures in the field's terms.
fn measured(out: &mut String, r: &Report) {
    fold(out, "Measures");
    let mut rows = vec![
        vec!["output".into(), format!("{}: {}", r.output.kind, escape(&r.output.reason))],
        vec!["pixels".into(), format!("{}: {}", escape(&r.preprocess), escape(&r.preprocess_reason))],
    ];
    if let Some(d) = r.held_out {
        rows.push(vec!["int8 against f32".into(), d.words()]);
    }
    if let Some(a) = r.accuracy {
        let text = format!("p = {:.2}: how likely a difference at least as large is by chance alone", a.p);
        rows.push(vec!["accuracy of both, McNemar's exact test".into(), text]);
    }
    rows.push(vec![
        "layers".into(),
        format!(
            "{} in int8, {} in f32; {} folded",
            r.layers_quantized,
            r.layers_float,
            count(r.layers_folded, "node")
        ),
    ]);
    rows.push(vec!["parameters".into(), amount(r.parameters as f64, "")]);
    rows.push(vec!["activations at their peak".into(), amount(r.arena_bytes as f64, "B")]);
    table(out, &[("measure", false), ("value", false)], rows);
    unfold(out);
}

fn passes(out: &mut String, r: &Report) {
    fold(out, "Decisions of the search");
    let centred = match r.centred {
        0 => String::new(),
        n => format!("{n} tensors were centred per channel. "),
    };
    let _ = writeln!(
        out,
        "<p>{centred}A pass is kept if it lowers the noise of the answers on calibration \
         images that nothing was measured on. The final fit repeats the decisions on all images; its figure is not \
         compared, since the one before was the best of many attempts on the same images.</p>"
    );
    let rows = r.passes.iter().map(|d| {
        let word = if d.kept { "kept" } else { "not kept" };
        let before = d.before.map_or(String::new(), |before| format!("{before:.2} dB"));
        vec![escape(&d.pass), before, format!("{:.2} dB", d.after), word.into(), escape(&d.note)]
    });
    table(
        out,
        &[("pass", false), ("before", true), ("after", true), ("result", false), ("what", false)],
        rows,
    );
    unfold(out);
}

fn mixed(out: &mut String, k: &KeptReport) {
    fold(out, "Kept in 16 bits");
    let _ = writeln!(
        out,
        "<p>int8 alone lost {:.2} points on the checked images; {} are allowed. The fewest parts found ({} networks \
         measured) with which {:.2} are lost; they run as int8 steps, too. Multiply-accumulates {} → {}; archive {} → \
         {}; {:.2} ms → {:.2} ms on one thread of the machine that converted.</p>",
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
    let rows = k.parts.iter().map(|p| {
        vec![
            format!("<code>{}</code>", escape(&p.name)),
            p.what.into(),
            format!("{:.1} dB", p.sqnr),
            amount(p.macs as f64, ""),
            amount(p.parameters as f64, ""),
        ]
    });
    let columns = [
        ("layer", false),
        ("kept", false),
        ("alone in 8 bits", true),
        ("MACs added", true),
        ("parameters added", true),
    ];
    table(out, &columns, rows);
    unfold(out);
}

fn tensors(out: &mut String, tensors: &[TensorReport]) {
    if tensors.is_empty() {
        return;
    }
    fold(out, "Layer by layer");
    out.push_str(
        "<p>Signal to noise of each int8 tensor against f32, the noise of everything before it included, and how \
         often its values occur (exact zeros left out, heights by the square root).</p>\n",
    );
    let rows = tensors.iter().map(|t| {
        let [h, w, c] = t.shape;
        vec![
            format!("<code>{}</code>", escape(&t.name)),
            format!("{h}×{w}×{c}"),
            t.sqnr.map_or("–".into(), |v| format!("{} {v:.1} dB", bar(v / 60.0))),
            histogram(&t.histogram),
            format!("{:.3} … {:.3}", t.seen.0, t.seen.1),
            format!("{:.3e}", t.scale),
            t.zero.to_string(),
            escape(&t.method),
        ]
    });
    let columns = [
        ("tensor", false),
        ("shape", true),
        ("signal to noise", false),
        ("values", false),
        ("seen", true),
        ("scale", true),
        ("zero", true),
        ("range by", false),
    ];
    table(out, &columns, rows);
    unfold(out);
}

fn not_folded(out: &mut String, names: &[String]) {
    if names.is_empty() {
        return;
    }
    fold(out, &format!("Steps that no convolution took in ({})", names.len()));
    out.push_str("<p>Each costs a pass over its values and one more rounding.</p>\n<ul>\n");
    for name in names {
        let _ = writeln!(out, "<li><code>{}</code></li>", escape(name));
    }
    out.push_str("</ul>\n");
    unfold(out);
}
