//! Rules on labels: `cat > 0.8 for 5 frames`, `cat > 0.8 for 5 seconds`, `unknown for 10 frames`.
//!
//! ```text
//! rule = LABEL ('>' | '<') SHARE ['for' (N 'frames' | T 'seconds')]
//!      | LABEL 'for' (N 'frames' | T 'seconds')
//! ```
//! It speaks of smoothed scores; without a share, of the label whose score is the greatest. A rule is fulfilled when its condition has held for N frames in a row, or from
//! one frame to another T seconds later, until the first frame for which the condition does not hold. It
//! fires when it becomes fulfilled. A source that gives nothing breaks it.

use std::str::FromStr;
use std::time::{Duration, Instant};

use crate::smooth::most_likely;

/// How long a condition must hold.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Span {
    Frames(u32),
    Time(Duration),
}

/// What must hold for a label's score.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Condition {
    Above(f32),
    Below(f32),
    Greatest,
}

/// See the module.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// As it was written.
    pub text: String,
    label: String,
    condition: Condition,
    span: Span,
}

impl FromStr for Rule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || {
            "a rule reads as 'cat > 0.8 for 5 frames', 'cat > 0.8 for 5 seconds' or 'cat for 5 frames'"
                .to_string()
        };
        let (words, span) = match text.rsplit_once(" for ") {
            Some((words, span)) => (words, Some(span_of(span.trim()).ok_or_else(bad)?)),
            None => (text, None),
        };
        let (label, condition) = match words.rfind(['>', '<']) {
            Some(at) => {
                let share: f32 = words[at + 1..].trim().parse().map_err(|_| bad())?;
                if !(0.0..=1.0).contains(&share) {
                    return Err(format!("{share} must be a number from 0 to 1"));
                }
                let above = words.as_bytes()[at] == b'>';
                (&words[..at], if above { Condition::Above(share) } else { Condition::Below(share) })
            }
            None if span.is_some() => (words, Condition::Greatest),
            None => return Err(bad()),
        };
        let label = label.trim();
        if label.is_empty() {
            return Err(bad());
        }
        let span = span.unwrap_or(Span::Frames(1));
        Ok(Self { text: text.trim().into(), label: label.into(), condition, span })
    }
}

/// `5 frames`, `1 frame`, `0.5 seconds`, `1 second`, `5 s`, `5s`.
fn span_of(text: &str) -> Option<Span> {
    let at = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = (&text[..at], text[at..].trim());
    match unit {
        "frame" | "frames" => number.parse().ok().filter(|&n| n > 0).map(Span::Frames),
        "s" | "second" | "seconds" => {
            let seconds = number.parse().ok().filter(|s| (0.001..=86_400.0).contains(s))?;
            Some(Span::Time(Duration::from_secs_f64(seconds)))
        }
        _ => None,
    }
}

impl Rule {
    /// The class it speaks of. A label may be a list, as `tabby, tabby cat`: any of it names it; case
    /// does not matter.
    pub fn class(&self, labels: &[String]) -> Option<usize> {
        let named = |label: &String| {
            label.eq_ignore_ascii_case(&self.label)
                || label.split(',').any(|one| one.trim().eq_ignore_ascii_case(&self.label))
        };
        labels.iter().position(named)
    }
}

/// What a frame did to a rule.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Change {
    /// Nothing.
    None,
    /// It is fulfilled now: the class and its score.
    Fires(usize, f32),
    /// It was fulfilled, and is not any more.
    Ends,
}

/// A rule, and how long it has held.
#[derive(Clone, Debug)]
pub struct Watch {
    /// The rule.
    pub rule: Rule,
    class: Option<usize>,
    /// Frames in a row, and when the first of them was.
    held: u32,
    since: Option<Instant>,
    fulfilled: bool,
}

impl Watch {
    /// For a network with these labels; sleeps when none is meant.
    pub fn new(rule: Rule, labels: &[String]) -> Self {
        let class = rule.class(labels);
        Self { rule, class, held: 0, since: None, fulfilled: false }
    }

    /// Takes the scores of a frame that was classified at this moment.
    pub fn push(&mut self, scores: &[f32], at: Instant) -> Change {
        let Some((class, score)) = self.class.and_then(|class| Some((class, *scores.get(class)?))) else {
            return Change::None;
        };
        let holds = match self.rule.condition {
            Condition::Above(share) => score > share,
            Condition::Below(share) => score < share,
            Condition::Greatest => most_likely(scores) == Some(class),
        };
        if !holds {
            return self.reset();
        }
        self.held = self.held.saturating_add(1);
        let since = *self.since.get_or_insert(at);
        let long_enough = match self.rule.span {
            Span::Frames(frames) => self.held >= frames,
            Span::Time(time) => at.saturating_duration_since(since) >= time,
        };
        let fires = long_enough && !self.fulfilled;
        self.fulfilled |= long_enough;
        if fires { Change::Fires(class, score) } else { Change::None }
    }

    /// Whether it is fulfilled.
    pub fn holds(&self) -> bool {
        self.fulfilled
    }

    /// Whether the network has its label.
    pub fn is_known(&self) -> bool {
        self.class.is_some()
    }

    /// Begins again: the condition does not hold, or it is not known whether it does.
    pub fn reset(&mut self) -> Change {
        (self.held, self.since) = (0, None);
        if std::mem::take(&mut self.fulfilled) { Change::Ends } else { Change::None }
    }
}

/// Watches these rules. One that was watched before goes on as it was, so that it does not fire again.
pub fn rewatch(mut before: Vec<Watch>, rules: &[Rule], labels: &[String]) -> Vec<Watch> {
    let watch = |rule: &Rule| match before.iter().position(|watch| watch.rule == *rule) {
        Some(at) => before.swap_remove(at),
        None => Watch::new(rule.clone(), labels),
    };
    rules.iter().map(watch).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels() -> Vec<String> {
        ["dog", "tabby, tabby cat", "a < b"].map(String::from).into()
    }

    fn watch(rule: &str) -> Watch {
        Watch::new(rule.parse().unwrap(), &labels())
    }

    #[test]
    fn a_rule_that_stays_goes_on() {
        let mut before = vec![watch("dog > 0.5"), watch("dog > 0.6")];
        let now = Instant::now();
        assert!(before.iter_mut().all(|w| matches!(w.push(&[0.9, 0.0, 0.0], now), Change::Fires(..))));
        let rules: Vec<Rule> = ["dog > 0.7", "dog > 0.5"].map(|text| text.parse().unwrap()).into();
        let mut after = rewatch(before, &rules, &labels());
        assert_eq!((after[0].holds(), after[1].holds(), after[0].is_known()), (false, true, true));
        assert!(matches!(after[0].push(&[0.9, 0.0, 0.0], now), Change::Fires(..)));
        assert_eq!(after[1].push(&[0.9, 0.0, 0.0], now), Change::None);
    }

    #[test]
    fn rules_are_read() {
        let rule = |text: &str| text.parse::<Rule>();
        let cat = rule("Tabby Cat > 0.8 for 5 frames").unwrap();
        assert_eq!((cat.condition, cat.span), (Condition::Above(0.8), Span::Frames(5)));
        assert_eq!(cat.class(&labels()), Some(1));
        assert_eq!(rule("dog<.5").unwrap().class(&labels()), Some(0));
        assert_eq!(rule("a < b > 0 for 1 frame").unwrap().class(&labels()), Some(2));
        assert_eq!(rule("tab > 0.5").unwrap().class(&labels()), None);
        let greatest = rule("tabby cat for 10 frames").unwrap();
        assert_eq!((greatest.condition, greatest.span), (Condition::Greatest, Span::Frames(10)));
        assert_eq!(greatest.class(&labels()), Some(1));
        for (text, seconds) in [("5 seconds", 5.0), ("1 second", 1.0), ("0.25 s", 0.25), ("90s", 90.0)] {
            let span = Span::Time(Duration::from_secs_f64(seconds));
            assert_eq!(rule(&format!("dog > 0.5 for {text}")).unwrap().span, span, "{text}");
        }
        for bad in [
            "",
            "cat",
            "cat > ",
            "> 0.5",
            "cat > x",
            "cat > 2",
            "cat > -1",
            "cat > nan",
            "cat > 0.5 for",
            " for 5 frames",
            "cat for 0 frames",
            "cat > for 5 frames",
            "cat > 0.5 for 0 frames",
            "cat > 0.5 for 1.5 frames",
            "cat > 0.5 for five frames",
            "cat > 0.5 for -1 frames",
            "cat > 0.5 for 5",
            "cat > 0.5 for 0 seconds",
            "cat > 0.5 for 5 minutes",
            "cat > 0.5 for 1e9 seconds",
            "cat > 0.5 for 1.2.3 seconds",
        ] {
            assert!(rule(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_rule_fires_once_until_it_is_broken() {
        let mut dog = watch("dog > 0.8 for 3 frames");
        let scores = [0.9, 0.9, 0.8, 0.9, 0.9, 0.95, 0.9, 0.9, 0.1, 0.9, 0.9, 0.85];
        let changes: Vec<Change> =
            scores.iter().map(|&score| dog.push(&[score, 0.0, 0.0], Instant::now())).collect();
        let at = |change: &dyn Fn(&Change) -> bool| {
            (0..changes.len()).filter(|&i| change(&changes[i])).collect::<Vec<_>>()
        };
        assert_eq!(at(&|c| matches!(c, Change::Fires(0, _))), [5, 11]);
        assert_eq!(at(&|c| matches!(c, Change::Ends)), [8]);
        let mut gone = watch("dog < 0.2");
        assert_eq!(gone.push(&[0.1, 0.0, 0.0], Instant::now()), Change::Fires(0, 0.1));
        assert_eq!(gone.push(&[0.1, 0.0, 0.0], Instant::now()), Change::None);
        assert_eq!(watch("bird > 0").push(&[1.0; 3], Instant::now()), Change::None);
        assert_eq!(gone.push(&[], Instant::now()), Change::None);
    }

    #[test]
    fn without_a_share_the_label_must_have_the_greatest_score() {
        let mut dog = watch("dog for 2 frames");
        let now = Instant::now();
        let frames = [[0.4, 0.3, 0.3], [0.3, 0.4, 0.3], [0.35, 0.33, 0.32], [0.4, 0.3, 0.3], [0.1, 0.1, 0.8]];
        let changes = frames.map(|scores| dog.push(&scores, now));
        let none = Change::None;
        assert_eq!(changes, [none, none, none, Change::Fires(0, 0.4), Change::Ends]);
    }

    #[test]
    fn seconds_are_counted_from_frame_to_frame() {
        let start = Instant::now();
        let mut dog = watch("dog > 0.8 for 2 seconds");
        let mut push = |ms: u64, score: f32| dog.push(&[score], start + Duration::from_millis(ms));
        assert_eq!(push(0, 0.9), Change::None);
        assert_eq!(push(1_999, 0.9), Change::None);
        assert_eq!(push(2_000, 0.9), Change::Fires(0, 0.9));
        assert_eq!(push(9_000, 0.9), Change::None);
        assert_eq!(push(9_100, 0.1), Change::Ends);
        // However many frames there are, and however few.
        assert!((0..100).all(|n| push(9_200 + n, 0.9) == Change::None));
        assert_eq!(push(11_200, 0.95), Change::Fires(0, 0.95));
        // What was not seen did not hold.
        assert_eq!(dog.reset(), Change::Ends);
        assert_eq!(dog.push(&[0.9], start + Duration::from_secs(60)), Change::None);
        assert_eq!(dog.reset(), Change::None);
    }
}
