//! Rules on labels: `cat > 0.8 for 5 frames`.
//!
//! ```text
//! rule = LABEL ('>' | '<') SHARE ['for' N 'frames']
//! ```
//! It speaks of smoothed scores. A rule fires once, at the Nth frame in a row that it holds for, and not
//! again before a frame that it does not hold for.

use std::str::FromStr;

/// See the module.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// As it was written.
    pub text: String,
    label: String,
    above: bool,
    share: f32,
    frames: u32,
}

impl FromStr for Rule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || "a rule reads as 'cat > 0.8 for 5 frames'".to_string();
        let (condition, frames) = match text.rsplit_once(" for ") {
            Some((condition, count)) => {
                let count = count.trim().trim_end_matches('s').strip_suffix("frame").ok_or_else(bad)?;
                (condition, count.trim().parse().map_err(|_| bad())?)
            }
            None => (text, 1),
        };
        let at = condition.rfind(['>', '<']).ok_or_else(bad)?;
        let (label, share) = (condition[..at].trim(), condition[at + 1..].trim());
        let share: f32 = share.parse().map_err(|_| bad())?;
        if label.is_empty() || frames == 0 {
            return Err(bad());
        }
        if !(0.0..=1.0).contains(&share) {
            return Err(format!("{share} is no share: 0 to 1"));
        }
        let above = condition.as_bytes()[at] == b'>';
        Ok(Self { text: text.trim().into(), label: label.into(), above, share, frames })
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

/// A rule, and how long it has held.
#[derive(Clone, Debug)]
pub struct Watch {
    /// The rule.
    pub rule: Rule,
    class: Option<usize>,
    held: u32,
}

impl Watch {
    /// For a network with these labels; sleeps when none is meant.
    pub fn new(rule: Rule, labels: &[String]) -> Self {
        let class = rule.class(labels);
        Self { rule, class, held: 0 }
    }

    /// Takes a frame's scores. The class and its score when the rule fires.
    pub fn push(&mut self, scores: &[f32]) -> Option<(usize, f32)> {
        let class = self.class?;
        let score = *scores.get(class)?;
        let holds = if self.rule.above { score > self.rule.share } else { score < self.rule.share };
        self.held = if holds { self.held.saturating_add(1) } else { 0 };
        (self.held == self.rule.frames).then_some((class, score))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels() -> Vec<String> {
        ["dog", "tabby, tabby cat", "a < b"].map(String::from).into()
    }

    #[test]
    fn rules_are_read() {
        let rule = |text: &str| text.parse::<Rule>();
        let cat = rule("Tabby Cat > 0.8 for 5 frames").unwrap();
        assert_eq!((cat.above, cat.share, cat.frames, cat.class(&labels())), (true, 0.8, 5, Some(1)));
        assert_eq!(rule("dog<.5").unwrap().class(&labels()), Some(0));
        assert_eq!(rule("a < b > 0 for 1 frame").unwrap().class(&labels()), Some(2));
        assert_eq!(rule("tab > 0.5").unwrap().class(&labels()), None);
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
            "cat > 0.5 for 0 frames",
            "cat > 0.5 for five frames",
            "cat > 0.5 for -1 frames",
            "cat > 0.5 for 5 seconds",
        ] {
            assert!(rule(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_rule_fires_once_until_it_is_broken() {
        let mut watch = Watch::new("dog > 0.8 for 3 frames".parse().unwrap(), &labels());
        let scores = [0.9, 0.9, 0.8, 0.9, 0.9, 0.95, 0.9, 0.9, 0.1, 0.9, 0.9, 0.85];
        let fired: Vec<usize> = scores
            .iter()
            .enumerate()
            .filter(|&(_, &s)| watch.push(&[s, 0.0, 0.0]).is_some())
            .map(|(i, _)| i)
            .collect();
        assert_eq!(fired, [5, 11]);
        let mut gone = Watch::new("dog < 0.2".parse().unwrap(), &labels());
        assert_eq!(gone.push(&[0.1, 0.0, 0.0]), Some((0, 0.1)));
        assert_eq!(gone.push(&[0.1, 0.0, 0.0]), None);
        assert_eq!(Watch::new("bird > 0".parse().unwrap(), &labels()).push(&[1.0; 3]), None);
        assert_eq!(gone.push(&[]), None);
    }
}
