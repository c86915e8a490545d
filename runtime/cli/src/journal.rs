//! Logs on standard error, in the systemd journal's format if standard error is the journal.

use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::prelude::*;
use tracing_subscriber::registry::LookupSpan;

use crate::Flags;

/// Starts logging: warnings by default, information with `-v`, details with `-vv`. `RUST_LOG` overrides this.
pub fn start(program: &'static str, flags: Flags) {
    let (ours, others) = match (flags.quiet, flags.verbose) {
        (true, _) => (Level::ERROR, Level::ERROR),
        (_, 0) => (Level::WARN, Level::ERROR),
        (_, 1) => (Level::INFO, Level::ERROR),
        (_, 2) => (Level::DEBUG, Level::WARN),
        _ => (Level::DEBUG, Level::DEBUG),
    };
    let asked = std::env::var("RUST_LOG").ok().and_then(|words| words.parse().ok());
    let filter = asked.unwrap_or_else(|| {
        Targets::new().with_default(others).with_target("foldnet", ours).with_target(program, ours)
    });
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let registry = tracing_subscriber::registry();
    if to_journal() {
        registry.with(lines.event_format(Journal).with_filter(filter)).init();
    } else {
        registry.with(lines.with_target(false).without_time().with_filter(filter)).init();
    }
}

/// Returns whether standard error is the journal, which publishes the file's device and inode numbers.
fn to_journal() -> bool {
    #[cfg(unix)]
    {
        use std::os::fd::AsFd;
        use std::os::unix::fs::MetadataExt;
        let file = std::io::stderr().as_fd().try_clone_to_owned().map(std::fs::File::from);
        let about = file.and_then(|file| file.metadata());
        let announced = std::env::var("JOURNAL_STREAM");
        matches!((about, announced), (Ok(a), Ok(text)) if text == format!("{}:{}", a.dev(), a.ino()))
    }
    #[cfg(not(unix))]
    false
}

/// Formats lines for the journal: `<priority>` first, no time, no colour.
struct Journal;

impl<S, N> FormatEvent<S, N> for Journal
where
    S: tracing::Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut to: Writer<'_>,
        event: &tracing::Event<'_>,
    ) -> std::fmt::Result {
        let priority = match *event.metadata().level() {
            Level::ERROR => 3,
            Level::WARN => 4,
            Level::INFO => 6,
            _ => 7,
        };
        write!(to, "<{priority}>")?;
        context.field_format().format_fields(to.by_ref(), event)?;
        writeln!(to)
    }
}
