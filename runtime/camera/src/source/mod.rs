//! Where frames come from: one file for each kind of source, behind one trait.

mod files;
mod http;
mod jpeg_stream;
mod raw;
#[cfg(target_os = "linux")]
pub mod v4l;
mod y4m;

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::time::Duration;

use foldnet_image::frame::{Colors, Format, Frame, FrameError, Matrix, Range};

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

/// What to open.
#[derive(Clone, Debug, PartialEq)]
pub enum Place {
    /// A V4L2 camera.
    Device(PathBuf),
    /// A picture file, or a folder of them, over and over.
    Files(PathBuf),
    /// Y4M, JPEGs, or raw video on standard input.
    Stdin,
    /// `http://[user:password@]host[:port]/path`, of motion JPEG.
    Http(String),
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Device(path) | Self::Files(path) => write!(f, "{}", path.display()),
            Self::Stdin => write!(f, "standard input"),
            // Its login is nobody's business.
            Self::Http(url) => write!(
                f,
                "http://{}",
                url.rsplit_once('@').map_or(url.trim_start_matches("http://"), |(_, rest)| rest)
            ),
        }
    }
}

impl Place {
    /// Tells by the looks of it.
    pub fn new(what: &str) -> Self {
        match what {
            "-" => Self::Stdin,
            _ if what.starts_with("http://") || what.starts_with("https://") => Self::Http(what.into()),
            _ if what.starts_with("/dev/") => Self::Device(what.into()),
            _ => Self::Files(what.into()),
        }
    }
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
    /// In place of what the source says.
    pub matrix: Option<Matrix>,
    /// In place of what the source says.
    pub range: Option<Range>,
    /// Whether files end after one turn.
    pub once: bool,
}

impl Wishes {
    fn colors(&self, said: Colors) -> Colors {
        Colors { matrix: self.matrix.unwrap_or(said.matrix), range: self.range.unwrap_or(said.range) }
    }
}

/// Opens a source.
pub fn open(place: &Place, wishes: &Wishes) -> Result<Box<dyn Source>, SourceError> {
    match place {
        Place::Files(path) => Ok(Box::new(files::Files::open(path, wishes)?)),
        Place::Stdin => stream(BufReader::with_capacity(1 << 16, std::io::stdin()), wishes),
        Place::Http(url) => Ok(Box::new(http::Http::open(url)?)),
        #[cfg(target_os = "linux")]
        Place::Device(path) => Ok(Box::new(v4l::Camera::open(path, wishes)?)),
        #[cfg(not(target_os = "linux"))]
        Place::Device(_) => Err(SourceError::unusable("cameras need Linux")),
    }
}

/// Video in a byte stream: told by its first bytes, or by the format that is wished.
pub fn stream(
    mut from: impl BufRead + Send + 'static,
    wishes: &Wishes,
) -> Result<Box<dyn Source>, SourceError> {
    if let (Some(format), true) = (wishes.format, wishes.format != Some(Format::Jpeg)) {
        return Ok(Box::new(raw::Raw::new(from, format, wishes)?));
    }
    let start = from.fill_buf().map_err(SourceError::lost)?;
    match start {
        [] => Err(SourceError::End),
        [b'Y', ..] => Ok(Box::new(y4m::Y4m::new(from, wishes)?)),
        [0xff, ..] => Ok(Box::new(jpeg_stream::Jpegs::new(from))),
        _ => Err(SourceError::unusable(
            "video on standard input is neither Y4M nor JPEGs; raw video needs --format and --size",
        )),
    }
}

/// Fills the buffer; `false` when the stream ends just before it, an error when it ends within.
fn fill(from: &mut impl Read, buffer: &mut [u8]) -> Result<bool, SourceError> {
    let mut done = 0;
    while done < buffer.len() {
        match from.read(&mut buffer[done..]) {
            Ok(0) if done == 0 => return Ok(false),
            Ok(0) => {
                return Err(SourceError::unusable(format!(
                    "the input ends within a frame, {} bytes before its end",
                    buffer.len() - done
                )));
            }
            Ok(n) => done += n,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(SourceError::lost(e)),
        }
    }
    Ok(true)
}
