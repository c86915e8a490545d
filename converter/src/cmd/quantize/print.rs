//! What `converter quantize` prints of a conversion.

use std::path::Path;

use serde::Serialize;

use crate::cmd::Talk;
use crate::cmd::talk::{bytes, percent};
use crate::convert::verdict::Verdict;
use crate::report::{KeptPart, Report};

/// The result for scripts.
#[derive(Serialize)]
struct Outcome<'a> {
    output: &'a Path,
    verdict: &'a Verdict,
    /// What the network's output means.
    kind: &'static str,
    layers_quantized: usize,
    layers_float: usize,
    /// Weights and values in 16 bits, see `--max-drop`.
    layers_kept: &'a [KeptPart],
    bytes: u64,
    agreement: Option<f64>,
    layers_folded: usize,
    bytes_before: u64,
    calibration_images: usize,
    held_out_images: usize,
    /// Whether training did not see those either.
    unseen: bool,
    kl: Option<f64>,
    sqnr: Option<f64>,
    skipped: usize,
    preprocess: &'a str,
}

/// Prints the results for people or for scripts.
pub fn print(output: &Path, r: &Report, talk: &Talk) {
    for d in &r.passes {
        let before = d.before.map_or(String::new(), |before| format!("{before:.2} dB → "));
        let kept = if d.kept { "" } else { ", not kept" };
        talk.detail(format!("{}: answers {before}{:.2} dB{kept} ({})", d.pass, d.after, d.note));
    }
    if r.centred > 0 {
        talk.detail(format!("{} tensors of the trunk centred per channel", r.centred));
    }
    if let Some(d) = &r.held_out {
        talk.detail(format!("on {} checked images: {}", d.images, d.words()));
    }
    r.notes.iter().for_each(|note| talk.warn(note));
    results(output, r).iter().for_each(|line| talk.human(line));
    talk.result(&Outcome {
        output,
        verdict: &r.verdict,
        kind: r.output.kind.name(),
        layers_quantized: r.layers_quantized,
        layers_float: r.layers_float,
        layers_kept: r.kept.as_ref().map_or(&[], |k| &k.parts),
        bytes: r.bytes,
        agreement: r.held_out.and_then(|d| d.agreement),
        layers_folded: r.layers_folded,
        bytes_before: r.bytes_before,
        calibration_images: r.calibration_images,
        held_out_images: r.verdict.images,
        unseen: r.unseen,
        kl: r.held_out.and_then(|d| d.kl),
        sqnr: r.held_out.map(|d| d.sqnr),
        skipped: r.skipped,
        preprocess: &r.preprocess,
    });
}

/// The results for people, the verdict first.
fn results(output: &Path, r: &Report) -> Vec<String> {
    let mut lines = vec![format!("{}: {}", r.verdict.grade.name(), r.verdict.sentence)];
    lines.extend(r.verdict.reasons.iter().skip(1).map(|reason| format!("also: {reason}")));
    if let Some(k) = &r.kept {
        lines.extend(k.parts.iter().map(|part| {
            format!(
                "in 16 bits: {} of {} ({:.1} dB in 8 bits; {:.1} million MACs more)",
                part.what,
                part.name,
                part.sqnr,
                part.macs as f64 / 1e6
            )
        }));
        lines.push(format!(
            "{} kept of {} networks tried: {:.2} points lost become {:.2}; MACs {:.1} → {:.1} million, {} → {}, \
             {:.2} ms → {:.2} ms",
            k.parts.len(),
            k.tried,
            k.drop_before,
            k.drop,
            k.macs_before as f64 / 1e6,
            k.macs as f64 / 1e6,
            bytes(k.bytes_before),
            bytes(k.bytes),
            k.ms_before,
            k.ms
        ));
    }
    let float = if r.layers_float > 0 { format!(", {} in f32", r.layers_float) } else { String::new() };
    let scales = match r.scales_given {
        0 => format!("calibrated on {} images", r.calibration_images),
        given => format!("with {given} scales of the file"),
    };
    lines.push(format!(
        "{}: {} layers in int8{float}; {} → {}; {scales}",
        output.display(),
        r.layers_quantized,
        bytes(r.bytes_before),
        bytes(r.bytes)
    ));
    if let Some(a) = &r.accuracy {
        lines.push(format!(
            "right on {} labelled images: f32 {}, int8 {}",
            a.images,
            percent(a.float),
            percent(a.int8)
        ));
    }
    lines
}
