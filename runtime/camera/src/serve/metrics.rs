//! `/metrics`: the state in Prometheus' text format, which the crate `prometheus-client` writes.

use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, prometheus_text};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use super::state::State;

/// Content type of the format.
pub const CONTENT_TYPE: &str = prometheus_text::CONTENT_TYPE;

/// The state as metrics.
pub fn text(state: &Arc<State>) -> Result<String, std::fmt::Error> {
    let mut registry = Registry::with_prefix("foldnet");
    registry.register_collector(Box::new(Snapshot(state.clone())));
    let mut text = String::new();
    prometheus_text::encode(&mut text, &registry)?;
    Ok(text)
}

#[derive(Debug)]
struct Snapshot(Arc<State>);

impl Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let (s, n, o) = (&*self.0, &self.0.numbers, &self.0.others);
        // The encoder puts "_total" behind a counter's name.
        for (name, help, value) in [
            ("frames_captured", "Frames that the source gave", Some(n.captured)),
            ("frames_classified", "Frames that were classified", Some(n.classified)),
            ("frames_dropped", "Frames that gave way to newer ones", Some(n.dropped)),
            ("frames_damaged", "Frames that could not be used", Some(n.damaged)),
            ("source_lost", "Times that the source was lost", Some(n.lost)),
            ("frames_rested", "Frames in which nothing had changed", Some(n.rested)),
            ("kept", "Frames written by --keep-uncertain", o.kept),
            ("kept_failed", "Frames that --keep-uncertain could not write", o.kept_failed),
            ("webhook_calls", "Webhook calls made", o.calls),
            ("webhook_calls_failed", "Webhook calls given up", o.calls_failed),
        ] {
            let Some(value) = value else { continue };
            let counter = ConstCounter::new(value);
            counter.encode(encoder.encode_descriptor(name, help, None, counter.metric_type())?)?;
        }
        let flag = |is: bool| Some(f64::from(u8::from(is)));
        for (name, help, value) in [
            ("resting", "1 while the network rests", flag(n.resting)),
            ("source_alive", "1 while frames are coming", flag(s.alive)),
            ("frames_per_second", "Frames classified a second", Some(n.fps)),
            (
                "latency_p50_seconds",
                "Age at the label, median of the last frames",
                Some(n.latency_p50_ms / 1e3),
            ),
            (
                "latency_p99_seconds",
                "Age at the label, 99th percentile of the last frames",
                Some(n.latency_p99_ms / 1e3),
            ),
            ("network_seconds", "The network alone, last frame", Some(n.network_ms / 1e3)),
            ("image_streams", "Open image streams", Some(s.streams as f64)),
            ("mqtt_connected", "1 while the broker is there", o.mqtt.and_then(flag)),
            ("temperature_celsius", "Temperature of the board", n.temperature),
        ] {
            let Some(value) = value else { continue };
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::state::Others;
    use super::*;
    use crate::stats::Numbers;
    use std::collections::BTreeMap;
    use std::io::Write;
    use std::process::{Command, Stdio};

    /// What `promtool check metrics` holds against a text: names, types, help, labels and values.
    fn parse(text: &str) -> BTreeMap<String, f64> {
        let (mut values, mut helped, mut typed) = (BTreeMap::new(), Vec::new(), BTreeMap::new());
        for line in text.lines() {
            let words: Vec<&str> = line.splitn(4, ' ').collect();
            match words[..] {
                ["#", "HELP", name, help] => {
                    assert!(!help.is_empty() && !helped.contains(&name), "{line}");
                    helped.push(name);
                }
                ["#", "TYPE", name, kind] => {
                    assert!(["counter", "gauge"].contains(&kind), "{line}");
                    assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
                    assert_eq!(typed.insert(name, kind), None, "{line}");
                }
                [name, value] => {
                    assert!(helped.contains(&name) && typed.contains_key(name), "{line}");
                    // A label `quantile` is a summary's, `le` a histogram's; these are neither.
                    assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'));
                    let value: f64 = value.parse().unwrap();
                    assert!(value.is_finite() && values.insert(name.into(), value).is_none(), "{line}");
                }
                _ => panic!("{line}"),
            }
        }
        values
    }

    /// All the metrics that a program can have.
    fn everything() -> String {
        let others = Others {
            kept: Some(3),
            kept_failed: Some(1),
            calls: Some(5),
            calls_failed: Some(2),
            mqtt: Some(true),
        };
        let numbers =
            Numbers { classified: 7, temperature: Some(41.5), latency_p99_ms: 12.0, ..Numbers::default() };
        text(&Arc::new(State { numbers, others, ..State::default() })).unwrap()
    }

    /// Prometheus' own check, which CI installs.
    #[test]
    fn promtool_finds_nothing() {
        let check = Command::new("promtool")
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut check = match check {
            Ok(check) => check,
            Err(_) if std::env::var_os("FOLDNET_REQUIRE_PROMTOOL").is_none() => {
                eprintln!("SKIPPED: promtool is not installed; Debian has it in the package prometheus");
                return;
            }
            Err(error) => panic!("promtool: {error}"),
        };
        check.stdin.take().unwrap().write_all(everything().as_bytes()).unwrap();
        let output = check.wait_with_output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        assert!(output.status.success() && said.is_empty(), "{}", String::from_utf8_lossy(&said));
    }

    #[test]
    fn every_line_is_of_the_format() {
        let others = Others { kept: Some(3), mqtt: Some(true), ..Others::default() };
        let (classified, temperature, latency_p99_ms) = (7, Some(41.5), 12.0);
        let numbers = Numbers { classified, temperature, latency_p99_ms, ..Numbers::default() };
        let state = State { numbers, others, ..State::default() };
        let values = parse(&text(&Arc::new(state)).unwrap());
        for (name, value) in [
            ("foldnet_frames_classified_total", 7.0),
            ("foldnet_latency_p99_seconds", 0.012),
            ("foldnet_kept_total", 3.0),
            ("foldnet_mqtt_connected", 1.0),
            ("foldnet_temperature_celsius", 41.5),
        ] {
            assert_eq!(values.get(name), Some(&value), "{values:?}");
        }
        assert!(!values.keys().any(|name| name.contains("webhook")));
    }
}
