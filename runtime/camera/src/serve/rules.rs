//! Rules as the page shows and edits them: those of the command line, and those of the page's own file.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::hub::Hub;
use super::routes::read_large;
use crate::Report;
use crate::rule::{Rule, Watch, rewatch};
use crate::rulebook::{Rulebook, RulebookError};

/// The most bytes of a request.
const MAX_BODY: usize = 32 << 10;

/// A rule, and whether it holds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ShownRule {
    /// As it was written.
    pub rule: String,
    /// Whether the page may change it; others are the command line's.
    pub editable: bool,
    /// Whether it holds now.
    pub holds: bool,
    /// Whether the network has its label.
    pub known: bool,
}

/// Watches all rules for the page.
#[derive(Default)]
pub struct Watched {
    fixed: Vec<Rule>,
    book: Option<Arc<Rulebook>>,
    revision: u64,
    labels: Vec<String>,
    watches: Vec<Watch>,
}

impl Watched {
    /// Rules of the command line, and those of a file.
    pub fn new(fixed: Vec<Rule>, book: Option<Arc<Rulebook>>) -> Self {
        Self { fixed, book, ..Self::default() }
    }

    /// Begins again, with a network that has these labels.
    pub fn model(&mut self, labels: &[String]) {
        self.labels = labels.to_vec();
        self.watches.clear();
        self.watch();
    }

    /// Takes up what was edited.
    fn follow(&mut self) {
        if self.book.as_ref().is_some_and(|book| book.revision() != self.revision) {
            self.watch();
        }
    }

    fn watch(&mut self) {
        self.revision = self.book.as_ref().map_or(0, |book| book.revision());
        let edited = self.book.as_ref().map(|book| book.rules()).unwrap_or_default();
        let all: Vec<Rule> = self.fixed.iter().cloned().chain(edited).collect();
        self.watches = rewatch(std::mem::take(&mut self.watches), &all, &self.labels);
    }

    /// A frame was classified.
    pub fn push(&mut self, report: &Report) {
        self.follow();
        let now = Instant::now();
        for watch in &mut self.watches {
            watch.push(&report.scores, now);
        }
    }

    /// Frames are no longer coming, so that nothing holds.
    pub fn reset(&mut self) {
        self.follow();
        for watch in &mut self.watches {
            watch.reset();
        }
    }

    /// All rules; none can be edited where there is no file for them.
    pub fn shown(&self) -> Vec<ShownRule> {
        let shown = |(n, watch): (usize, &Watch)| ShownRule {
            rule: watch.rule.text.clone(),
            editable: n >= self.fixed.len(),
            holds: watch.holds(),
            known: watch.is_known(),
        };
        self.watches.iter().enumerate().map(shown).collect()
    }
}

/// `{"rules": ["cat > 0.8 for 5 frames"]}`
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Edited {
    rules: Vec<String>,
}

/// Replaces the page's rules.
pub async fn put(State(hub): State<Arc<Hub>>, request: Request) -> Response {
    let Edited { rules } = match read_large(request, MAX_BODY, super::routes::HEARTBEAT).await {
        Ok(edited) => edited,
        Err(refusal) => return refusal,
    };
    let Some(book) = hub.rules.clone() else {
        let text =
            "rules cannot be changed here: start the camera with --rules FILE, where FILE keeps them\n";
        return (StatusCode::CONFLICT, text).into_response();
    };
    match tokio::task::spawn_blocking(move || book.set(&rules)).await {
        Ok(Ok(())) => StatusCode::NO_CONTENT.into_response(),
        Ok(Err(error)) => {
            let code = match &error {
                RulebookError::Io { .. } => StatusCode::INSUFFICIENT_STORAGE,
                _ => StatusCode::BAD_REQUEST,
            };
            (code, format!("{error}\n")).into_response()
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
