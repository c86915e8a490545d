//! When and how a report was made.

use std::time::{SystemTime, UNIX_EPOCH};

use time::OffsetDateTime;

/// Today in UTC, such as `2026-11-30`; the day of `SOURCE_DATE_EPOCH` where that is set, so that a report can
/// be made again byte for byte.
pub fn today() -> Option<String> {
    let fixed = std::env::var("SOURCE_DATE_EPOCH").ok().and_then(|text| text.trim().parse().ok());
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).ok().map(|d| d.as_secs() as i64);
    day(fixed.or_else(now)?)
}

fn day(seconds: i64) -> Option<String> {
    OffsetDateTime::from_unix_timestamp(seconds).ok().map(|time| time.date().to_string())
}

/// The command line, words with blanks or quotes in quotes.
pub fn command_line() -> String {
    let word = |word: std::ffi::OsString| {
        let word = word.to_string_lossy().into_owned();
        let plain = |c: char| c.is_alphanumeric() || "-_./:=,+%@".contains(c);
        if !word.is_empty() && word.chars().all(plain) {
            return word;
        }
        format!("'{}'", word.replace('\'', r"'\''"))
    };
    let words = std::env::args_os().skip(1).map(word);
    std::iter::once("converter".to_owned()).chain(words).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    #[test]
    fn days_are_those_of_the_calendar() {
        assert_eq!(super::day(0).as_deref(), Some("1970-01-01"));
        assert_eq!(super::day(1_709_164_800).as_deref(), Some("2024-02-29"));
        assert_eq!(super::day(i64::MAX), None);
    }
}
