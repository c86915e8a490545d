//! What is told to other machines: labels over MQTT, and rules that fire, over MQTT and to webhooks.
//!
//! The camera's thread hands over what is new and goes on; whoever is away or slow misses what became
//! old meanwhile, and memory stays bounded.

mod discovery;
pub mod mqtt;
pub mod webhook;

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::Serialize;

use crate::Report;
use crate::rule::{Change, Rule, Watch, rewatch};
use crate::rulebook::Rulebook;

/// How long a good-bye, or what is still to be told at the end, may take.
const FAREWELL: Duration = Duration::from_secs(3);

/// Waits for a thread that was told to end, but not for ever; whether it has ended.
fn ended<T>(thread: &JoinHandle<T>, patience: Duration) -> bool {
    let begin = Instant::now();
    while !thread.is_finished() {
        if begin.elapsed() >= patience {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    true
}

/// A rule that fired, as it is told.
#[derive(Serialize)]
struct Event<'a> {
    rule: &'a str,
    label: &'a str,
    score: f32,
    frame: u64,
    time: f64,
    /// A JPEG, in base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    image: Option<String>,
}

/// Rules, watched over the frames of a network with these labels.
#[derive(Default)]
struct Rules {
    rules: Vec<Rule>,
    watches: Vec<Watch>,
    labels: Vec<String>,
    /// More rules, which may change, and the number of the change that is watched.
    book: Option<Arc<Rulebook>>,
    revision: u64,
    /// How many rules do not change.
    fixed: usize,
}

impl Rules {
    fn new(rules: Vec<Rule>) -> Self {
        Self { fixed: rules.len(), rules, ..Self::default() }
    }

    /// With those of a file behind them.
    fn with(rules: Vec<Rule>, book: Option<Arc<Rulebook>>) -> Self {
        Self { book, ..Self::new(rules) }
    }

    /// Takes up what was edited.
    fn follow(&mut self) {
        let Some(book) = self.book.as_ref().filter(|book| book.revision() != self.revision) else { return };
        self.revision = book.revision();
        self.rules.truncate(self.fixed);
        self.rules.extend(book.rules());
        self.watches = rewatch(std::mem::take(&mut self.watches), &self.rules, &self.labels);
    }

    fn len(&self) -> usize {
        self.rules.len()
    }

    fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Begins again, with a network that has these labels.
    fn model(&mut self, labels: &[String]) {
        self.labels = labels.to_vec();
        self.watches = self.rules.iter().map(|rule| Watch::new(rule.clone(), labels)).collect();
        for rule in self.rules.iter().filter(|rule| rule.class(labels).is_none()) {
            tracing::warn!("the network has no label for the rule {:?}", rule.text);
        }
    }

    /// What a frame changes: the number of the rule, and the event when it fires.
    fn push(&mut self, report: &Report) -> Vec<(usize, Option<Event<'_>>)> {
        self.follow();
        let now = Instant::now();
        let mut changes = Vec::new();
        for (number, watch) in self.watches.iter_mut().enumerate() {
            match watch.push(&report.scores, now) {
                Change::None => {}
                Change::Ends => changes.push((number, None)),
                Change::Fires(class, score) => {
                    let time = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64());
                    let (rule, label) = (self.rules[number].text.as_str(), self.labels[class].as_str());
                    let event = Event { rule, label, score, frame: report.number, time, image: None };
                    changes.push((number, Some(event)));
                }
            }
        }
        changes
    }

    /// The source gives nothing: no rule is fulfilled any more. Those that were.
    fn reset(&mut self) -> Vec<usize> {
        let ends = |watch: &mut Watch| watch.reset() == Change::Ends;
        let ended =
            self.watches.iter_mut().enumerate().filter_map(|(number, watch)| ends(watch).then_some(number));
        ended.collect()
    }
}
