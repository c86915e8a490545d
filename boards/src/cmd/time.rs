//! An expected time in words and as data, and how boards compare at a rate.

use std::fmt;
use std::str::FromStr;

use foldnet_catalogue::Board;
use foldnet_catalogue::times::{Expected, Reaches, expect};
use serde::Serialize;

use crate::steps::Steps;

/// Images per second: more than 0, and a number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate(f64);

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} images/s", self.0)
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let rate = text.parse::<f64>().map_err(|_| "not a number".to_owned())?;
        if rate.is_finite() && rate > 0.0 { Ok(Self(rate)) } else { Err("a rate is more than 0".into()) }
    }
}

/// What `boards fit` knows about a board's time.
#[derive(Clone, Debug, Serialize)]
pub struct Time {
    /// On one thread.
    #[serde(skip_serializing_if = "Option::is_none")]
    expected: Option<Data>,
    /// Why there is no expected time.
    #[serde(skip_serializing_if = "Option::is_none")]
    not_estimated: Option<String>,
    /// Whether the rate that was asked for is reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    reaches: Option<Reaches>,
    #[serde(skip)]
    rate: Option<Rate>,
}

#[derive(Clone, Debug, Serialize)]
struct Data {
    #[serde(flatten)]
    time: Expected,
    threads: u32,
    fps: f64,
    low_fps: f64,
    high_fps: f64,
}

impl Data {
    fn new(time: Expected) -> Self {
        let [fps, low_fps, high_fps] = time.fps();
        Self { time, threads: 1, fps, low_fps, high_fps }
    }
}

/// Three significant digits at most, without an exponent.
fn short(value: f64) -> String {
    let decimals = (2.0 - value.max(1e-3).log10().floor()).clamp(0.0, 4.0) as usize;
    format!("{value:.decimals$}")
}

impl Time {
    /// Of a network on a board, for a rate that it may have to reach.
    pub fn new(board: &Board, steps: &Steps, rate: Option<Rate>) -> Self {
        let expected = match steps {
            Steps::Network(steps) => expect(board, steps).map_err(|why| why.to_string()),
            Steps::Plan => Err("a plan is for a microcontroller; only archives have expected times".into()),
        };
        let reaches = expected.as_ref().ok().zip(rate).map(|(time, rate)| time.reaches(1e3 / rate.0));
        let (expected, not_estimated) = match expected {
            Ok(time) => (Some(Data::new(time)), None),
            Err(why) => (None, Some(why)),
        };
        Self { expected, not_estimated, reaches, rate }
    }

    /// For a line in a list.
    pub fn phrase(&self) -> String {
        match &self.expected {
            Some(Data { time, fps, .. }) => format!(
                "expected {} ms ({} to {}), {} images/s",
                short(time.ms),
                short(time.low_ms),
                short(time.high_ms),
                short(*fps)
            ),
            None => format!("time not estimated: {}", self.why()),
        }
    }

    fn why(&self) -> &str {
        self.not_estimated.as_deref().unwrap_or_default()
    }

    /// For a board by itself.
    pub fn sentence(&self) -> String {
        let Some(Data { time, fps, low_fps, high_fps, .. }) = &self.expected else {
            return self.phrase();
        };
        let weights = if time.streams_weights {
            "the weights come from main memory in each inference"
        } else {
            "the weights stay in the caches"
        };
        format!(
            "expected on one thread of its {} at {} MHz: {} ms ({} to {}), {} images/s ({} to {}); {weights}\n\
             estimated in a model of the core, not measured",
            time.core,
            time.mhz,
            short(time.ms),
            short(time.low_ms),
            short(time.high_ms),
            short(*fps),
            short(*low_fps),
            short(*high_fps),
        )
    }

    /// Why the rate is not certain to be reached; nothing if it is or if there is none.
    pub fn missed(&self, board: &str) -> Option<String> {
        let rate = self.rate?;
        let verb = match self.reaches {
            Some(Reaches::Yes) => return None,
            Some(Reaches::Perhaps) => "may miss",
            Some(Reaches::No) => "does not reach",
            None => return Some(format!("{board} has no expected time: {}", self.why())),
        };
        Some(format!("{board} {verb} {rate} on one thread: {}", self.phrase()))
    }
}

/// Boards that a network fits, with their times.
#[derive(Default)]
pub struct Ranking(Vec<(String, Time)>);

impl Ranking {
    /// Adds a board.
    pub fn add(&mut self, board: &str, time: Time) {
        self.0.push((board.to_owned(), time));
    }

    /// Which boards reach the rate. The catalogue has no prices, so the slowest come first.
    pub fn lines(&self, rate: Rate) -> [String; 4] {
        let ms = |time: &Time| time.expected.as_ref().map_or(0.0, |data| data.time.ms);
        let mut boards: Vec<_> = self.0.iter().collect();
        boards.sort_by(|(_, a), (_, b)| ms(b).total_cmp(&ms(a)));
        let kinds = [
            (format!("reach {rate} on one thread"), Some(Reaches::Yes)),
            ("may reach it".into(), Some(Reaches::Perhaps)),
            ("do not reach it".into(), Some(Reaches::No)),
            ("not estimated".into(), None),
        ];
        let line = |(words, kind): (String, Option<Reaches>)| {
            let names = boards.iter().filter(|(_, time)| time.reaches == kind).map(|(name, _)| name.as_str());
            let names: Vec<&str> = names.collect();
            format!("{words}: {}", if names.is_empty() { "none".into() } else { names.join(", ") })
        };
        kinds.map(line)
    }
}

#[cfg(test)]
mod tests {
    use foldnet_catalogue::find;
    use foldnet_catalogue::times::steps;

    use super::*;

    fn time(board: &str, rate: Option<&str>) -> Time {
        let steps = Steps::Network(steps(&foldnet_archive::testing::resnet8()).unwrap());
        Time::new(&find(board).unwrap(), &steps, rate.map(|rate| rate.parse().unwrap()))
    }

    #[test]
    fn a_rate_is_a_positive_number() {
        assert_eq!("0.5".parse(), Ok(Rate(0.5)));
        for bad in ["0", "-1", "nan", "inf", "", "ten"] {
            assert!(bad.parse::<Rate>().is_err(), "{bad}");
        }
    }

    #[test]
    fn times_have_three_digits() {
        assert_eq!(
            [386.4, 70.81, 3.912, 0.0123, 0.0].map(short),
            ["386", "70.8", "3.91", "0.0123", "0.0000"]
        );
    }

    #[test]
    fn a_rate_is_reached_or_not() {
        assert_eq!(time("raspberry-pi-5", Some("1")).missed("X"), None);
        assert_eq!(time("raspberry-pi-5", None).missed("X"), None);
        let said = time("raspberry-pi-5", Some("1e6")).missed("X").unwrap();
        assert!(said.starts_with("X does not reach 1000000 images/s on one thread: expected "), "{said}");
        let said = time("nrf52840-dk", Some("1")).missed("X").unwrap();
        assert!(said.starts_with("X has no expected time: microcontrollers"), "{said}");
        let expected = time("raspberry-pi-5", None).expected.unwrap().fps.to_string();
        let said = time("raspberry-pi-5", Some(&expected)).missed("X").unwrap();
        assert!(said.starts_with("X may miss "), "{said}");
    }

    #[test]
    fn data_says_what_words_say() {
        let data = serde_json::to_value(time("raspberry-pi-4", Some("1"))).unwrap();
        assert_eq!((&data["expected"]["threads"], &data["reaches"]), (&1.into(), &"yes".into()));
        let number = |name: &str| data["expected"][name].as_f64().unwrap();
        assert!(number("low_ms") < number("ms") && number("ms") < number("high_ms"));
        assert!((number("fps") * number("ms") - 1000.0).abs() < 1e-6);
        let data = serde_json::to_value(time("khadas-vim3", Some("1"))).unwrap();
        assert_eq!(data, serde_json::json!({ "not_estimated": "there is no table of costs for cortex-a73" }));
    }

    #[test]
    fn boards_are_listed_by_what_they_reach() {
        let mut ranking = Ranking::default();
        for board in ["raspberry-pi-5", "raspberry-pi-zero-2-w", "khadas-vim3"] {
            ranking.add(board, time(board, Some("1")));
        }
        assert_eq!(
            ranking.lines(Rate(1.0)),
            [
                "reach 1 images/s on one thread: raspberry-pi-zero-2-w, raspberry-pi-5",
                "may reach it: none",
                "do not reach it: none",
                "not estimated: khadas-vim3"
            ]
        );
    }
}
