//! The figures of `runtime bench` in words and as data.

use foldnet::Session;
use serde_json::{Value, json};

use super::{Figures, Npu};
use crate::cmd::expected::Expectation;
use crate::cmd::throughput::Throughput;
use crate::cmd::{Failure, Output, bytes, fitted};

/// Whether any share, as printed, is more than 100 %.
fn above_limit(mut shares: impl Iterator<Item = Option<f64>>) -> bool {
    shares.any(|share| share.is_some_and(|share| (100.0 * share).round() > 100.0))
}

/// Why a layer can exceed the limit with this set.
fn why_more(session: &Session) -> &'static str {
    match session.set().name() {
        "avx2" | "neon" => {
            "this kernel set computes 3×3 layers of stride 1 by Winograd's method, which takes fewer \
             multiplications than are counted here"
        }
        _ if session.set().peak_macs_per_second().is_none() => {
            "the limit assumes one multiply-accumulate instruction per cycle, and this processor starts more"
        }
        _ => {
            "this processor was disturbed while its limit was measured (other programs, another clock rate); \
             repeat when it is idle"
        }
    }
}

impl Npu {
    fn json(&self) -> Value {
        json!({
            "about": self.about, "cores": self.cores, "batch": self.batch, "median_ms": self.times.median_ms,
            "p90_ms": self.times.p90_ms, "p99_ms": self.times.p99_ms, "pictures_s": self.pictures_s,
            "celsius": self.celsius, "load": self.load,
        })
    }

    fn words(&self, cpu_median_ms: f64) -> String {
        let t = &self.times;
        let heat = self.celsius.map_or(String::new(), |c| format!(", {c:.1} °C"));
        let batch = if self.batch > 1 { format!(" in batches of {}", self.batch) } else { String::new() };
        let load = self.load.as_ref().map_or(String::new(), |l| format!(", {l}"));
        format!(
            "NPU ({}): median {:.3} ms, p90 {:.3}, p99 {:.3}, {:.2} times as fast as the CPU; on {} core{}{batch} {:.1} images/s{heat}{load}",
            self.about,
            t.median_ms,
            t.p90_ms,
            t.p99_ms,
            cpu_median_ms / t.median_ms,
            self.cores,
            if self.cores == 1 { "" } else { "s" },
            self.pictures_s,
        )
    }
}

impl Figures {
    /// As data.
    pub fn json(&self, session: &Session) -> Value {
        let layers: Vec<Value> = self
            .layers
            .iter()
            .map(|l| {
                json!({
                    "name": l.name, "kind": l.kind, "macs": l.macs, "ms": l.ms, "share": l.share,
                    "gmac_s": l.gmac_s, "of_limit": l.of_limit,
                })
            })
            .collect();
        let expectation = |e: &Expectation| e.json(self.times.median_ms, session.threads());
        json!({
            "median_ms": self.times.median_ms,
            "p90_ms": self.times.p90_ms,
            "p99_ms": self.times.p99_ms,
            "min_ms": self.times.min_ms,
            "float_median_ms": self.float_median_ms,
            "fit_ms": self.fit_ms,
            "npu": self.npu.as_ref().map(Npu::json),
            "throughput": self.throughput.as_ref().map(Throughput::json),
            "expectation": self.expectation.as_ref().map(expectation),
            "first_result_ms": self.first_result_ms,
            "arena_bytes": session.arena_bytes(),
            "scratch_bytes": session.scratch_bytes(),
            "weight_bytes": session.weight_bytes(),
            "iterations": self.iterations,
            "threads": session.threads(),
            "kernels": session.set().name(),
            "frequency_ghz": self.frequency.map(|f| f / 1e9),
            "limit_gmac_s": self.limit.map(|limit| limit / 1e9),
            "of_limit": self.of_limit,
            "layers": layers,
        })
    }

    /// For people.
    pub fn print(&self, output: &Output, session: &Session) -> Result<(), Failure> {
        self.print_layers(output)?;
        if above_limit(self.layers.iter().map(|layer| layer.of_limit)) {
            output.line(format_args!("more than 100 %: {}", why_more(session)))?;
        }
        let t = &self.times;
        let threads = session.threads();
        output.line("")?;
        output.line(format!(
            "median {:.3} ms, p90 {:.3}, p99 {:.3}, min {:.3}; {:.1} images/s  ({} inferences, {threads} thread{}, {})",
            t.median_ms,
            t.p90_ms,
            t.p99_ms,
            t.min_ms,
            1e3 / t.median_ms,
            self.iterations,
            if threads == 1 { "" } else { "s" },
            session.set().name(),
        ))?;
        if let Some(expectation) = &self.expectation {
            output.line(expectation.words(t.median_ms, threads))?;
        }
        let gmac_s = session.macs() as f64 / t.median_ms / 1e6;
        let limit = match (self.limit, self.of_limit, session.set().peak_macs_per_second()) {
            (Some(limit), Some(share), peak) => format!(
                ": {:.0} % of {:.0} GMAC/s, {}",
                100.0 * share,
                limit / 1e9,
                if peak.is_some() { "measured on registers" } else { "one instruction per cycle" },
            ),
            _ => String::new(),
        };
        output.line(format!("{gmac_s:.1} GMAC/s of {:.1} MMAC{limit}", session.macs() as f64 / 1e6))?;
        output.line(format!(
            "memory: arena {}, scratch {}, plan with weights {}; {:.1} ms from archive to first result",
            bytes(session.arena_bytes()),
            bytes(session.scratch_bytes()),
            bytes(session.weight_bytes()),
            self.first_result_ms
        ))?;
        output.line(format!(
            "a camera's 640×480 frame to the network's pixels: {:.3} ms, {:.1} % of an inference",
            self.fit_ms,
            100.0 * self.fit_ms / t.median_ms
        ))?;
        if let Some(float) = self.float_median_ms {
            output.line(format!(
                "f32 (tract, 1 thread): median {float:.3} ms; int8 is {:.2} times as fast",
                float / t.median_ms
            ))?;
        }
        if let Some(throughput) = &self.throughput {
            output.line(throughput.words())?;
        }
        if let Some(npu) = &self.npu {
            output.line(npu.words(t.median_ms))?;
        }
        Ok(())
    }

    fn print_layers(&self, output: &Output) -> Result<(), Failure> {
        let width = self.layers.iter().map(|l| l.name.chars().count()).max().unwrap_or(0).clamp(5, 36);
        output.line(format!(
            "{:>4} {:width$} {:9} {:>10} {:>7} {:>9} {:>9}",
            "step", "layer", "operator", "ms", "share", "GMAC/s", "of limit"
        ))?;
        for (i, l) in self.layers.iter().enumerate() {
            let rate = if l.macs > 0 { format!("{:.2}", l.gmac_s) } else { String::new() };
            let limit = l.of_limit.map_or(String::new(), |share| format!("{:.0} %", 100.0 * share));
            output.line(format!(
                "{i:>4} {} {:9} {:>10.4} {:>5.1} % {rate:>9} {limit:>9}",
                fitted(&l.name, width),
                l.kind,
                l.ms,
                100.0 * l.share
            ))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_the_limit_is_explained() {
        assert!(above_limit([Some(0.4), None, Some(1.01)].into_iter()));
        assert!(!above_limit([Some(1.0), Some(1.004), None].into_iter()));
    }
}
