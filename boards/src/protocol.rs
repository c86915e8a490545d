//! What `boards` and the agent on a board say to each other over one ssh session.
//!
//! Lines of JSON both ways. The agent begins with [`Event::Hello`]; the host sends one [`Request`]. To
//! [`Request::Flash`] the agent answers [`Event::Want`], the host sends the bytes of the wanted files, one
//! after the other from the offsets named, and the agent closes with [`Event::Done`] or
//! [`Event::Refused`]. Once it has all bytes the agent finishes without the host, too.

use serde::{Deserialize, Serialize};

/// The version of this protocol and of the layout on the board. A host brings its own agent, so both
/// sides are of one version unless someone meddles.
pub const VERSION: u32 = 1;
/// The most bytes that a line may have.
pub const LINE_MAX: u64 = 1 << 20;
/// The archive's name in a release.
pub const ARCHIVE: &str = "model.nnef.tgz";
/// The signature's name in a release.
pub const SIGNATURE: &str = "model.nnef.tgz.minisig";
/// The program's name in a release.
pub const RUNTIME: &str = "runtime";

/// A file of a release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// One of [`RUNTIME`], [`ARCHIVE`], [`SIGNATURE`].
    pub name: String,
    /// SHA-256, hexadecimal.
    pub sha256: String,
    /// Length.
    pub bytes: u64,
}

/// What a slot is filled with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// The board in the catalogue.
    pub board: String,
    /// What the board's device tree may call itself; empty where nothing is known.
    pub compatible: Vec<String>,
    /// The processor as `uname -m` has it.
    pub machine: String,
    /// The files.
    pub files: Vec<File>,
    /// Arguments of `runtime camera`, behind the archive.
    pub args: Vec<String>,
    /// Whether the camera's service is started; else the slot is only filled and tried.
    pub service: bool,
}

impl Release {
    /// A name for this content: the same files and arguments have the same.
    pub fn id(&self) -> String {
        let text = serde_json::to_string(&(&self.files, &self.args, self.service)).expect("plain data");
        crate::sum::sha256(text.as_bytes())[..12].to_owned()
    }
}

/// What the host asks.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Request {
    /// Install a release.
    Flash {
        /// What.
        release: Release,
        /// Take the board for what the release says, whatever it says itself.
        any_board: bool,
        /// Seconds for the first classification, and for the service to come up.
        health_seconds: u32,
        /// Seconds that the service must then stay up.
        settle_seconds: u32,
    },
    /// Go back to the other slot.
    Rollback {
        /// As for `Flash`.
        health_seconds: u32,
        /// As for `Flash`.
        settle_seconds: u32,
    },
    /// Tell what runs.
    Status,
    /// Tell what the board has.
    Doctor,
    /// Trust archives signed with this key, and no unsigned ones any more.
    Trust {
        /// A minisign public key file.
        key: String,
    },
}

/// What the agent says.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// Who it is.
    Hello {
        /// [`VERSION`].
        version: u32,
        /// SHA-256 of its own program.
        agent: String,
    },
    /// Which files to send.
    Want(Vec<Wanted>),
    /// What it does now.
    Step(String),
    /// The end: done.
    Done(Status),
    /// The end of `Doctor`.
    Findings(Vec<Finding>),
    /// The end: not done.
    Refused {
        /// Why.
        refusal: Refusal,
        /// What runs now.
        status: Status,
    },
}

/// A file to send.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// Its SHA-256.
    pub sha256: String,
    /// Bytes that are there already.
    pub from: u64,
}

/// Why the agent did not do it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// The sort.
    pub kind: Kind,
    /// In words.
    pub message: String,
}

/// Sorts of refusals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Another session is at work on this board.
    Busy,
    /// Too little room.
    Space,
    /// Another processor.
    Machine,
    /// Another board.
    Board,
    /// Unsigned, changed, or signed by another key.
    Signature,
    /// Bytes changed on the way or on the disk.
    Checksum,
    /// The new release does not classify, or its service does not stay up.
    Health,
    /// There is nothing to go back to.
    Nothing,
    /// The connection broke before all bytes were there; they are kept.
    Line,
    /// The request makes no sense.
    Request,
    /// The system refused something.
    System,
}

/// What runs on a board.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The release that runs.
    pub current: Option<Slot>,
    /// The one that `rollback` goes to.
    pub previous: Option<Slot>,
    /// The camera's service.
    pub service: Service,
    /// How the last change ended.
    pub last: Option<String>,
    /// Whether only signed archives are taken.
    pub signed_only: bool,
}

/// A filled slot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slot {
    /// `a` or `b`.
    pub slot: String,
    /// Counts the releases of this board.
    pub serial: u64,
    /// [`Release::id`].
    pub release: String,
    /// SHA-256 of the archive.
    pub archive: String,
}

/// State of the camera's service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Service {
    /// There is none.
    #[default]
    None,
    /// Up.
    Running,
    /// It should be up and is not.
    Failing,
}

/// Something that `boards doctor` looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What.
    pub what: String,
    /// What it is.
    pub found: String,
    /// What to do, when it is not as it should be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

/// The processor of a Rust target as `uname -m` has it.
pub fn machine(target: &str) -> &str {
    target.split('-').next().unwrap_or(target)
}

/// Where the virtual board's camera takes its pictures.
pub const FEED_PORT: u16 = 8081;
/// Their size.
pub const FEED_WIDTH: usize = 640;
/// Their size.
pub const FEED_HEIGHT: usize = 480;

/// Bytes of such a picture, YUYV.
pub fn feed_bytes() -> usize {
    2 * FEED_WIDTH * FEED_HEIGHT
}
