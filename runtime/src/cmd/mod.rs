//! The subcommands, one file each, and what they share: output, failures, and the choice of engine.

mod backend;
pub mod bench;
pub mod camera;
pub mod classify;
pub mod devices;
pub mod inspect;
pub mod kernels;
#[cfg(feature = "rknn")]
pub mod npu;

use std::io::{BufWriter, ErrorKind, StdoutLock, Write};
use std::path::Path;

use foldnet::backend::BackendError;
use foldnet::cache::{Cache, LoadError};
use foldnet::pool::PoolError;
use foldnet::{Session, SessionError};
use foldnet_archive::{ArchiveError, Manifest, Network};
use foldnet_dataset::DatasetError;
use foldnet_kernels::dispatch::{self, Unavailable};
use foldnet_kernels::{KernelSet, Shape};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// Exit code: a fault of ours.
pub const OUR_FAULT: u8 = 1;
/// Exit code: bad input or usage.
pub const BAD_INPUT: u8 = 2;

/// How a command ends when it does not succeed.
#[derive(Debug)]
pub struct Failure {
    /// The exit code.
    pub code: u8,
    /// What to tell; nothing when all has been told.
    pub message: String,
}

impl Failure {
    /// What was given to us cannot be used.
    pub fn input(message: impl ToString) -> Self {
        Self { code: BAD_INPUT, message: message.to_string() }
    }

    /// We are wrong.
    pub fn ours(message: impl ToString) -> Self {
        Self { code: OUR_FAULT, message: message.to_string() }
    }
}

impl From<ArchiveError> for Failure {
    fn from(error: ArchiveError) -> Self {
        Self::input(error)
    }
}

impl From<DatasetError> for Failure {
    fn from(error: DatasetError) -> Self {
        Self::input(error)
    }
}

impl From<Unavailable> for Failure {
    fn from(error: Unavailable) -> Self {
        Self::input(format!("--kernels: {error}. `runtime kernels` lists what there is"))
    }
}

impl From<BackendError> for Failure {
    fn from(error: BackendError) -> Self {
        #[cfg(feature = "rknn")]
        if let Some(npu) = error.downcast_ref::<foldnet_backends::rknn::RknnError>() {
            return npu::failure(npu, &error);
        }
        Self::ours(error)
    }
}

impl From<SessionError> for Failure {
    fn from(error: SessionError) -> Self {
        match error {
            SessionError::Pool(PoolError::TooMany(_)) => Self::input(format!("--threads: {error}")),
            SessionError::Compile(_) => Self::input(error),
            other => Self::ours(other),
        }
    }
}

impl From<LoadError> for Failure {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::Archive(error) => error.into(),
            LoadError::Session(error) => error.into(),
        }
    }
}

/// How much is said, and to whom.
#[derive(clap::Args, Clone, Copy, Debug)]
pub struct Voice {
    /// Machine words on standard output: JSON, one object (or one per line); human words go to
    /// standard error
    #[arg(long, global = true)]
    pub json: bool,
    /// Only errors and results
    #[arg(long, short, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Say more; twice: much more
    #[arg(long, short, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

impl Voice {
    /// Sends what is traced to standard error.
    pub fn start(&self) {
        let level = match (self.quiet, self.verbose) {
            (true, _) => tracing::Level::ERROR,
            (_, 0) => tracing::Level::WARN,
            (_, 1) => tracing::Level::INFO,
            _ => tracing::Level::DEBUG,
        };
        let logs = tracing_subscriber::fmt().with_max_level(level).with_writer(std::io::stderr);
        if to_journal() {
            logs.event_format(Journal).init();
        } else {
            logs.with_target(false).without_time().init();
        }
    }
}

/// Whether standard error is the journal's, which says so by the file's numbers.
fn to_journal() -> bool {
    #[cfg(unix)]
    {
        use std::os::fd::AsFd;
        use std::os::unix::fs::MetadataExt;
        let file = std::io::stderr().as_fd().try_clone_to_owned().map(std::fs::File::from);
        let about = file.and_then(|file| file.metadata());
        let said = std::env::var("JOURNAL_STREAM");
        matches!((about, said), (Ok(a), Ok(said)) if said == format!("{}:{}", a.dev(), a.ino()))
    }
    #[cfg(not(unix))]
    false
}

/// Lines as the journal reads them: `<priority>` first, no time, no colour.
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
            tracing::Level::ERROR => 3,
            tracing::Level::WARN => 4,
            tracing::Level::INFO => 6,
            _ => 7,
        };
        write!(to, "<{priority}>")?;
        context.field_format().format_fields(to.by_ref(), event)?;
        writeln!(to)
    }
}

/// Standard output. A reader that has seen enough is no failure.
pub struct Out(BufWriter<StdoutLock<'static>>);

impl Out {
    /// Buffered until [`Out::flush`] or the end.
    pub fn new() -> Self {
        Self(BufWriter::new(std::io::stdout().lock()))
    }

    /// One line.
    pub fn line(&mut self, text: impl std::fmt::Display) -> Result<(), Failure> {
        writeln!(self.0, "{text}").map_err(Self::failure)
    }

    /// Words without a line's end.
    pub fn text(&mut self, text: impl std::fmt::Display) -> Result<(), Failure> {
        write!(self.0, "{text}").map_err(Self::failure)
    }

    /// Everything written so far becomes visible.
    pub fn flush(&mut self) -> Result<(), Failure> {
        self.0.flush().map_err(Self::failure)
    }

    fn failure(error: std::io::Error) -> Failure {
        match error.kind() {
            ErrorKind::BrokenPipe => Failure { code: 0, message: String::new() },
            _ => Failure::input(format!("standard output: {error}")),
        }
    }
}

/// Which kernels, and how many threads.
#[derive(clap::Args, Clone, Debug)]
pub struct Engine {
    /// Kernel set, see `runtime kernels`; by default the fastest that this CPU runs
    #[arg(long, value_name = "NAME")]
    pub kernels: Option<String>,
    /// Compile the network anew, and keep nothing. Else its compiled form is kept in
    /// $XDG_CACHE_HOME/foldnet or ~/.cache/foldnet, and the next start is faster
    #[arg(long)]
    pub no_cache: bool,
}

impl Engine {
    /// The kernel set named, or the best.
    pub fn set(&self) -> Result<&'static dyn KernelSet, Failure> {
        Ok(match &self.kernels {
            Some(name) => dispatch::by_name(name)?,
            None => dispatch::best(),
        })
    }

    /// A session on this many threads (0: one per core).
    pub fn session(&self, network: &Network, threads: usize) -> Result<Session, Failure> {
        let set = self.set_for(threads)?;
        Ok(said(Session::new(network, set, threads)?))
    }

    /// A session for an archive, through the cache.
    pub fn load(&self, archive: &Path, threads: usize) -> Result<(Manifest, Session), Failure> {
        match Cache::of_user().filter(|_| !self.no_cache) {
            Some(cache) => {
                let (manifest, session) = cache.session(archive, self.set_for(threads)?, threads)?;
                Ok((manifest, said(session)))
            }
            None => {
                let (network, manifest) = read(archive)?;
                Ok((manifest, self.session(&network, threads)?))
            }
        }
    }

    fn set_for(&self, threads: usize) -> Result<&'static dyn KernelSet, Failure> {
        let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
        if threads > cores {
            tracing::warn!("{threads} threads on {cores} cores will wait for each other");
        }
        self.set()
    }
}

/// The session, after saying what it is.
fn said(session: Session) -> Session {
    tracing::info!("kernels {}, threads {}", session.set().name(), session.threads());
    session
}

/// Reads an archive, and says so.
pub fn read(archive: &Path) -> Result<(Network, Manifest), Failure> {
    let (network, manifest) = foldnet_archive::read(archive)?;
    let Shape { h, w, c } = network.input();
    tracing::info!(
        "{}: {} steps, {} classes, input {h}×{w}×{c}, from {}",
        archive.display(),
        network.steps.len(),
        network.classes(),
        manifest.source.file
    );
    Ok((network, manifest))
}

/// What to call a class.
pub fn label(manifest: &Manifest, class: usize) -> String {
    manifest.labels.get(class).cloned().unwrap_or_else(|| format!("class {class}"))
}

/// Bytes for humans.
pub fn bytes(n: usize) -> String {
    match n {
        0..10_000 => format!("{n} B"),
        10_000..10_000_000 => format!("{:.1} kB", n as f64 / 1e3),
        _ => format!("{:.1} MB", n as f64 / 1e6),
    }
}

/// A text padded, or cut at its front, to `width` characters.
pub fn fitted(text: &str, width: usize) -> String {
    let length = text.chars().count();
    if length <= width {
        return format!("{text:width$}");
    }
    let tail: String = text.chars().skip(length + 1 - width).collect();
    format!("…{tail}")
}
