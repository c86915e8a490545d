//! `/metrics`: the state in Prometheus' text format.

use std::fmt::Write;

use super::hub::State;

/// Content type of the format.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The state as metrics.
pub fn text(s: &State) -> String {
    let mut out = String::new();
    let mut metric = |name: &str, kind: &str, help: &str, values: &[(&str, f64)]| {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "# HELP foldnet_{name} {help}\n# TYPE foldnet_{name} {kind}");
        for (labels, value) in values {
            let _ = writeln!(out, "foldnet_{name}{labels} {value}");
        }
    };
    let count = |n: u64| [("", n as f64)];
    metric("frames_captured_total", "counter", "Frames that the source gave.", &count(s.captured));
    metric("frames_classified_total", "counter", "Frames that were classified.", &count(s.classified));
    metric("frames_dropped_total", "counter", "Frames that gave way to newer ones.", &count(s.dropped));
    metric("frames_damaged_total", "counter", "Frames that could not be used.", &count(s.damaged));
    metric("source_lost_total", "counter", "Times that the source was lost.", &count(s.lost));
    metric("source_alive", "gauge", "1 while frames are coming.", &[("", f64::from(u8::from(s.alive)))]);
    metric("frames_per_second", "gauge", "Frames classified a second.", &[("", s.fps)]);
    metric(
        "latency_seconds",
        "gauge",
        "From the light to the label, over the last frames.",
        &[("{quantile=\"0.5\"}", s.latency_p50_ms / 1e3), ("{quantile=\"0.99\"}", s.latency_p99_ms / 1e3)],
    );
    metric("network_seconds", "gauge", "The network alone, last frame.", &[("", s.network_ms / 1e3)]);
    metric("viewers", "gauge", "People looking at pictures.", &[("", s.viewers as f64)]);
    if let Some(celsius) = s.temperature {
        metric("temperature_celsius", "gauge", "Of the board.", &[("", celsius)]);
    }
    out
}
