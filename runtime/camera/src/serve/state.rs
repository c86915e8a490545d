//! What is known now: `/api/state`, and each event.

use serde::Serialize;

use super::rules::ShownRule;
use crate::stats::Numbers;

/// What is known of the network.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ModelFacts {
    /// The model that it was made from.
    pub source: String,
    /// Pixels per row, rows, channels of its input.
    pub input: [usize; 3],
    /// How many classes.
    pub classes: usize,
    /// Whether scores are shares of 1 rather than plain numbers.
    pub shares: bool,
    /// What computes.
    pub backend: String,
    /// The label of an image that is of no class, where there is such a label.
    pub other: Option<String>,
}

/// A class and its smoothed score.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Score {
    /// Its name.
    pub label: String,
    /// Its number.
    pub index: usize,
    /// Its share.
    pub score: f32,
}

/// Everything that `/api/state` tells.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct State {
    /// Whether frames are coming.
    pub alive: bool,
    /// Seconds without a frame from a source that is open but silent.
    pub silent: Option<u64>,
    /// What frames, in words.
    pub camera: String,
    /// The network.
    pub model: ModelFacts,
    /// The label that stands.
    pub label: Option<String>,
    /// The most likely ones.
    pub labels: Vec<Score>,
    /// The part that is looked at, as shares of the upright picture.
    pub roi: Option<[f32; 4]>,
    /// Width and height of the camera's frames.
    pub size: [usize; 2],
    /// What is counted and measured.
    #[serde(flatten)]
    pub numbers: Numbers,
    /// Open image streams; each page that is looked at has one.
    pub streams: usize,
    /// Another number after each change of what is taught; none without a teaching file.
    pub teaching: Option<u64>,
    /// Another number after each change of the kept frames of no class; none without a teaching file.
    pub unknown: Option<u64>,
    /// How many changes of the label the history has had.
    pub history: u64,
    /// The rules, and which of them hold.
    pub rules: Vec<ShownRule>,
    /// The file of the rules that the page may change; none without --rules.
    pub rules_file: Option<String>,
    /// What is kept and told elsewhere.
    #[serde(flatten)]
    pub others: Others,
}

/// What is kept and told elsewhere; nothing of what is not wanted.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Others {
    /// Frames written by `--keep-uncertain`.
    pub kept: Option<u64>,
    /// Frames that it could not write.
    pub kept_failed: Option<u64>,
    /// Webhook calls made.
    pub calls: Option<u64>,
    /// Webhook calls given up.
    pub calls_failed: Option<u64>,
    /// Whether the MQTT broker is there.
    pub mqtt: Option<bool>,
}
