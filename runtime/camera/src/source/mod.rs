//! Where frames come from: one file for each kind of source, behind one trait.

mod jpeg_stream;
mod kind;
mod raw;
mod stride;
#[cfg(target_os = "linux")]
pub mod v4l;
mod video;
mod y4m;

use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

use foldnet_image::frame::{Colors, Format, Frame, FrameError, Matrix, Range};

pub use kind::{Kind, Place};
pub use stdin::stream;

/// Declares the modules of the sources, and the table of the kinds that they define as `KIND`.
macro_rules! sources {
    ($(mod $module:ident;)*) => {
        $(mod $module;)*
        /// All kinds of sources, in the order in which they are asked whether a place is theirs.
        const KINDS: &[&Kind] = &[$(&$module::KIND),*];
    };
}

sources! {
    mod stdin;
    mod http;
    mod device;
    // Claims what is left and is no address.
    mod files;
}

/// How long [`Source::next`] may wait for a frame before it says [`SourceError::Nothing`], where the
/// source can tell.
pub const PATIENCE: Duration = Duration::from_millis(250);

/// Why there is no frame.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// There will be none: the input has ended.
    #[error("the input has ended")]
    End,
    /// Not yet; ask again.
    #[error("no frame yet")]
    Nothing,
    /// There was one, but no good one; ask again.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The source is gone. It may come back: open it again.
    #[error("{0}")]
    Lost(String),
    /// The source can never be used like this.
    #[error("{0}")]
    Unusable(String),
}

impl SourceError {
    fn lost(what: impl std::fmt::Display) -> Self {
        Self::Lost(what.to_string())
    }

    fn unusable(what: impl std::fmt::Display) -> Self {
        Self::Unusable(what.to_string())
    }
}

/// A stream of frames.
pub trait Source: Send {
    /// Waits for the next frame and puts it into `frame`, whose buffers are reused.
    fn next(&mut self, frame: &mut Frame) -> Result<(), SourceError>;

    /// What frames come, in words.
    fn describe(&self) -> String;
}

/// What is wished of a source.
#[derive(Clone, Debug, Default)]
pub struct Wishes {
    /// Frame size. Cameras come as near as they can; raw video must be told.
    pub size: Option<(usize, usize)>,
    /// Frames per second.
    pub fps: Option<f64>,
    /// Pixel format. Raw video must be told.
    pub format: Option<Format>,
    /// Bytes from one row of raw video to the next (of the first plane), where rows are padded.
    pub stride: Option<usize>,
    /// In place of what the source says.
    pub matrix: Option<Matrix>,
    /// In place of what the source says.
    pub range: Option<Range>,
    /// Whether files end after one turn.
    pub once: bool,
    /// Certificates (PEM) to trust for `https://`, in place of the system's.
    pub ca: Option<PathBuf>,
}

impl Wishes {
    fn colors(&self, said: Colors) -> Colors {
        Colors { matrix: self.matrix.unwrap_or(said.matrix), range: self.range.unwrap_or(said.range) }
    }
}

/// Fills the buffer as far as the stream goes; how many bytes there were.
fn fill(from: &mut impl Read, buffer: &mut [u8]) -> Result<usize, SourceError> {
    let mut done = 0;
    while done < buffer.len() {
        match from.read(&mut buffer[done..]) {
            Ok(0) => break,
            Ok(n) => done += n,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(SourceError::lost(e)),
        }
    }
    Ok(done)
}
