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
    metric("frames_rested_total", "counter", "Frames in which nothing had changed.", &count(s.rested));
    metric("resting", "gauge", "1 while the network rests.", &[("", f64::from(u8::from(s.resting)))]);
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
    let o = &s.others;
    let optional = [
        ("kept_total", "Frames written by --keep-uncertain.", o.kept),
        ("kept_failed_total", "Frames that --keep-uncertain could not write.", o.kept_failed),
        ("webhook_calls_total", "Webhook calls made.", o.calls),
        ("webhook_calls_failed_total", "Webhook calls given up.", o.calls_failed),
    ];
    for (name, help, value) in optional {
        if let Some(value) = value {
            metric(name, "counter", help, &count(value));
        }
    }
    if let Some(connected) = o.mqtt {
        metric(
            "mqtt_connected",
            "gauge",
            "1 while the broker is there.",
            &[("", f64::from(u8::from(connected)))],
        );
    }
    if let Some(celsius) = s.temperature {
        metric("temperature_celsius", "gauge", "Of the board.", &[("", celsius)]);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::hub::Others;
    use super::*;

    #[test]
    fn every_line_is_of_the_format() {
        let others = Others { kept: Some(3), mqtt: Some(true), ..Others::default() };
        let state = State {
            classified: 7,
            temperature: Some(41.5),
            latency_p99_ms: 12.0,
            others,
            ..State::default()
        };
        let text = text(&state);
        let mut declared = "";
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# ") {
                let mut words = rest.split(' ');
                let (what, name) = (words.next().unwrap(), words.next().unwrap());
                assert!(what == "HELP" || name == declared || what == "TYPE", "{line}");
                assert!(what != "TYPE" || ["counter", "gauge"].contains(&words.next().unwrap()), "{line}");
                declared = name;
                continue;
            }
            let (name, value) = line.rsplit_once(' ').unwrap();
            let bare = name.split('{').next().unwrap();
            assert_eq!(bare, declared);
            assert!(bare.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{line}");
            assert!(value.parse::<f64>().unwrap().is_finite(), "{line}");
        }
        for line in [
            "foldnet_frames_classified_total 7",
            "foldnet_latency_seconds{quantile=\"0.99\"} 0.012",
            "foldnet_kept_total 3",
            "foldnet_mqtt_connected 1",
            "foldnet_temperature_celsius 41.5",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} in {text}");
        }
        assert!(!text.contains("webhook"));
    }
}
