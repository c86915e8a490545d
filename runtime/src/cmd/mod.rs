//! The subcommands, one file each, and what they share: the choice of engine, and names for exit codes.

mod backend;
pub mod bench;
pub mod camera;
pub mod classify;
pub mod devices;
mod expected;
mod explain;
mod images;
pub mod inspect;
pub mod kernels;
#[cfg(feature = "rknn")]
pub mod npu;
mod submit;
pub mod teach;
mod throughput;
pub mod verify;

use std::path::Path;

pub use foldnet_cli::{Exit, Failure, Output, check_outputs, count, printable};

use foldnet::backend::BackendError;
use foldnet::cache::{Cache, LoadError};
use foldnet::pool::PoolError;
use foldnet::{Session, SessionError};
use foldnet_archive::{Manifest, Network};
use foldnet_kernels::dispatch;
use foldnet_kernels::{KernelSet, Shape};

/// The exit code of an error that a command returned without choosing one: what the user gave, or the machine, is
/// usually to blame.
pub fn classify_error(error: &anyhow::Error) -> Exit {
    #[cfg(feature = "rknn")]
    if let Some(error) = error.downcast_ref::<foldnet_backends::rknn::RknnError>() {
        return npu::exit(error);
    }
    if let Some(error) = error.downcast_ref::<BackendError>() {
        #[cfg(feature = "rknn")]
        if let Some(npu) = error.downcast_ref::<foldnet_backends::rknn::RknnError>() {
            return npu::exit(npu);
        }
        let _ = error;
        return Exit::Internal;
    }
    let session = error.downcast_ref::<SessionError>().or_else(|| match error.downcast_ref::<LoadError>() {
        Some(LoadError::Session(error)) => Some(error),
        _ => None,
    });
    match session {
        Some(SessionError::Pool(PoolError::TooMany(_)) | SessionError::Compile(_)) | None => Exit::BadInput,
        Some(_) => Exit::Internal,
    }
}

/// Which kernels, and how many threads.
#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "Engine")]
pub struct Engine {
    /// Kernel set [default: the fastest; see `runtime kernels`]
    #[arg(long, value_name = "NAME")]
    pub kernels: Option<String>,
    /// Do not use the cache of compiled networks
    ///
    /// Without this option, the compiled network is kept in $XDG_CACHE_HOME/foldnet or ~/.cache/foldnet, so that the next
    /// start is faster.
    #[arg(long)]
    pub no_cache: bool,
}

impl Engine {
    /// The kernel set named, or the best.
    pub fn set(&self) -> Result<&'static dyn KernelSet, Failure> {
        Ok(match &self.kernels {
            Some(name) => dispatch::by_name(name).map_err(|error| {
                Failure::input(format_args!("--kernels: {error}. `runtime kernels` lists what there is"))
            })?,
            None => dispatch::best(),
        })
    }

    /// A session on this many threads (0: one per core).
    pub fn session(&self, network: &Network, threads: usize) -> Result<Session, Failure> {
        let set = self.set_for(threads)?;
        Ok(said(Session::new(network, set, threads).map_err(|error| at_threads(error, "--threads"))?))
    }

    /// A session for an archive, through the cache.
    pub fn load(&self, archive: &Path, threads: usize) -> Result<(Manifest, Session), Failure> {
        match Cache::of_user().filter(|_| !self.no_cache) {
            Some(cache) => {
                let session = cache.session(archive, self.set_for(threads)?, threads);
                let (manifest, session) = session.map_err(|error| match error {
                    LoadError::Session(error) => at_threads(error, "--threads"),
                    LoadError::Archive(error) => error.into(),
                })?;
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

/// Names the flag that is to blame, where one is.
fn at_threads(error: SessionError, flag: &str) -> Failure {
    match error {
        SessionError::Pool(PoolError::TooMany(_)) => Failure::input(format_args!("{flag}: {error}")),
        error => error.into(),
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

/// Bytes for humans.
pub fn bytes(n: usize) -> String {
    match n {
        0..10_000 => format!("{n} B"),
        10_000..10_000_000 => format!("{:.1} kB", n as f64 / 1e3),
        _ => format!("{:.1} MB", n as f64 / 1e6),
    }
}

/// A text padded, or cut at its front, to `width` characters; control characters are escaped.
pub fn fitted(text: &str, width: usize) -> String {
    let text = &*printable(text);
    let length = text.chars().count();
    if length <= width {
        return format!("{text:width$}");
    }
    let tail: String = text.chars().skip(length + 1 - width).collect();
    format!("…{tail}")
}
