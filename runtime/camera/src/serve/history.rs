//! What was seen when: each change of the label, until there are too many.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

/// The most changes that are kept.
pub const MAX_ENTRIES: usize = 10_000;

/// A label that stood for a while.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Entry {
    /// When it began, in seconds since 1970.
    pub time: f64,
    /// When it ended; null while it stands.
    pub end: Option<f64>,
    /// The label.
    pub label: String,
    /// Its smoothed score when it began.
    pub score: f32,
}

/// What is looked for.
#[derive(Debug, Default, PartialEq)]
pub struct Search {
    /// A part of the label, in any case.
    pub label: Option<String>,
    /// Not what had ended before, in seconds since 1970.
    pub from: Option<f64>,
    /// Not what began after.
    pub to: Option<f64>,
    /// At most so many, the newest.
    pub limit: Option<usize>,
}

impl Search {
    /// Reads the part of an address behind the question mark. An error names what is not understood.
    pub fn parse(query: &str) -> Result<Self, String> {
        let mut search = Self::default();
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            let bad = || format!("{name}={value} is not understood");
            let seconds = || value.parse().ok().filter(|s: &f64| s.is_finite()).map(Some).ok_or_else(bad);
            match &*name {
                "label" => search.label = Some(value.into_owned()),
                "from" => search.from = seconds()?,
                "to" => search.to = seconds()?,
                "limit" => search.limit = Some(value.parse().map_err(|_| bad())?),
                // It was looked at when the request came in.
                "token" => {}
                _ => return Err(bad()),
            }
        }
        Ok(search)
    }
}

/// See the module.
#[derive(Debug, Default)]
pub struct History {
    entries: VecDeque<Entry>,
    changes: u64,
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |d| d.as_millis() as f64 / 1e3)
}

impl History {
    /// The label that stands now; `None` where no frames come.
    pub fn push(&mut self, label: Option<&str>, score: f32) {
        self.push_at(now(), label, score);
    }

    fn push_at(&mut self, time: f64, label: Option<&str>, score: f32) {
        let standing = self.entries.back_mut().filter(|entry| entry.end.is_none());
        if standing.as_ref().map(|entry| entry.label.as_str()) == label {
            return;
        }
        if let Some(entry) = standing {
            // A clock that was set back must not make a span that ends before it begins.
            entry.end = Some(time.max(entry.time));
        }
        self.changes += 1;
        if let Some(label) = label {
            if self.entries.len() == MAX_ENTRIES {
                self.entries.pop_front();
            }
            self.entries.push_back(Entry { time, end: None, label: label.into(), score });
        }
    }

    /// How many changes there have been.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// What is looked for, the newest first.
    pub fn find(&self, search: &Search) -> Vec<Entry> {
        let label = search.label.as_deref().unwrap_or_default().to_lowercase();
        let fits = |entry: &&Entry| {
            search.from.is_none_or(|from| entry.end.is_none_or(|end| end >= from))
                && search.to.is_none_or(|to| entry.time <= to)
                && entry.label.to_lowercase().contains(&label)
        };
        let found = self.entries.iter().rev().filter(fits);
        found.take(search.limit.unwrap_or(MAX_ENTRIES)).cloned().collect()
    }
}

/// As CSV (RFC 4180), with times in seconds since 1970.
pub fn csv(entries: &[Entry]) -> String {
    let mut text = String::from("time,end,label,score\r\n");
    for entry in entries {
        let end = entry.end.map_or(String::new(), |end| format!("{end:.3}"));
        let label = entry.label.replace('"', "\"\"");
        // Writing to a string does not fail.
        let _ = write!(text, "{:.3},{end},\"{label}\",{}\r\n", entry.time, entry.score);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn searches_are_read() {
        let all = Search::parse("label=my+c%C3%A4t&from=1.5&to=2&limit=7&token=x").unwrap();
        let (label, from, to) = (Some("my cät".into()), Some(1.5), Some(2.0));
        assert_eq!(all, Search { label, from, to, limit: Some(7) });
        assert_eq!(Search::parse("").unwrap(), Search::default());
        for bad in ["from=nan", "to=soon", "limit=-1", "limit=", "class=cat"] {
            assert!(Search::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn changes_are_kept_found_and_bounded() {
        let mut history = History::default();
        for (time, label) in
            [(1.0, Some("cat")), (2.0, Some("cat")), (3.0, Some("Dog, \"big\"")), (5.0, None)]
        {
            history.push_at(time, label, 0.5);
        }
        history.push_at(6.0, None, 0.0);
        history.push_at(7.0, Some("cat"), 0.25);
        history.push_at(4.0, Some("bird"), 0.75);
        assert_eq!(history.changes(), 5);
        let all = history.find(&Search::default());
        let spans: Vec<_> = all.iter().map(|e| (e.label.as_str(), e.time, e.end)).collect();
        let dog = ("Dog, \"big\"", 3.0, Some(5.0));
        assert_eq!(spans, [("bird", 4.0, None), ("cat", 7.0, Some(7.0)), dog, ("cat", 1.0, Some(3.0))]);
        let times = |search| history.find(&search).iter().map(|e| e.time).collect::<Vec<f64>>();
        assert_eq!(times(Search { label: Some("CAT".into()), ..Search::default() }), [7.0, 1.0]);
        assert_eq!(times(Search { from: Some(4.5), to: Some(5.0), ..Search::default() }), [4.0, 3.0]);
        assert_eq!(times(Search { limit: Some(1), ..Search::default() }), [4.0]);
        let text = csv(&all[2..]);
        assert_eq!(
            text,
            "time,end,label,score\r\n3.000,5.000,\"Dog, \"\"big\"\"\",0.5\r\n1.000,3.000,\"cat\",0.5\r\n"
        );
        for n in 0..2 * MAX_ENTRIES {
            history.push_at(n as f64, Some(["a", "b"][n % 2]), 1.0);
        }
        assert_eq!(history.find(&Search::default()).len(), MAX_ENTRIES);
    }
}
