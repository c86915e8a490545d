//! Teaching through the page: `teach::Desk` as routes. What goes wrong is a line of plain text, which the page shows.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use foldnet_teach::{FalseAlarms, FileError, TeachError};

use super::hub::Hub;
use super::routes::{body, read, read_large, typed, undeclared};
use crate::teach::{Desk, DeskError, SPAN, Subject};

/// Bytes of images in one request, in base64.
const MAX_IMAGES: usize = 32 << 20;
/// Images of one request.
const MAX_COUNT: usize = 100;
/// Bytes of an imported file.
const MAX_FILE: usize = 16 << 20;
/// How long an upload may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// The kind of a teaching file.
const KIND: &str = "application/octet-stream";

impl DeskError {
    fn code(&self) -> StatusCode {
        match self {
            Self::Teach(TeachError::NoSuchClass(_)) => StatusCode::NOT_FOUND,
            Self::Teach(TeachError::NoFeatures | TeachError::TooManyFeatures(_) | TeachError::NoShares)
            | Self::Foreign { .. }
            | Self::NoFrames
            | Self::Gone
            | Self::NothingToUndo
            | Self::NothingTaught => StatusCode::CONFLICT,
            Self::Network(_) | Self::Read(FileError::Io { .. }) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Write(_) => StatusCode::INSUFFICIENT_STORAGE,
            Self::Teach(_)
            | Self::Read(_)
            | Self::Still { .. }
            | Self::NoImages
            | Self::Image { .. }
            | Self::Example { .. } => StatusCode::BAD_REQUEST,
        }
    }
}

fn said(code: StatusCode, text: &str) -> Response {
    (code, format!("{text}\n")).into_response()
}

/// Does what may take a while in a thread of its own.
async fn at_desk<T: Send + 'static>(
    hub: &Arc<Hub>,
    work: impl FnOnce(&Desk) -> Result<T, DeskError> + Send + 'static,
) -> Result<T, Response> {
    let Some(desk) = hub.desk.clone() else {
        let text =
            "nothing can be taught here: start the camera with --teach FILE, where FILE keeps the classes";
        return Err(said(StatusCode::CONFLICT, text));
    };
    let work = move || {
        // The camera goes first.
        foldnet::cores::step_back();
        work(&desk)
    };
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(said(error.code(), &error.to_string())),
        Err(_) => Err(said(StatusCode::INTERNAL_SERVER_ERROR, "teaching has failed: see the program's log")),
    }
}

fn json(value: &impl serde::Serialize) -> Response {
    match serde_json::to_string(value) {
        Ok(json) => typed("application/json", json),
        Err(e) => said(StatusCode::INTERNAL_SERVER_ERROR, &e.to_string()),
    }
}

fn or_refusal<T>(done: Result<T, Response>, answer: impl FnOnce(T) -> Response) -> Response {
    match done {
        Ok(done) => answer(done),
        Err(refusal) => refusal,
    }
}

fn nothing((): ()) -> Response {
    StatusCode::NO_CONTENT.into_response()
}

/// How many examples are new.
fn new_ones(new: usize) -> Response {
    json(&serde_json::json!({ "new": new }))
}

pub async fn list(State(hub): State<Arc<Hub>>) -> Response {
    or_refusal(at_desk(&hub, Desk::shown).await, |shown| json(&shown))
}

/// A class by its name; null means the network's own classes.
fn subject(class: Option<String>) -> Subject {
    class.map_or(Subject::Own, Subject::Class)
}

/// Reads a field that may be null but must be there, so that a forgotten class is no image of the network's own.
fn given<'de, D: serde::Deserializer<'de>>(value: D) -> Result<Option<String>, D::Error> {
    serde::Deserialize::deserialize(value)
}

/// `{"class": "mug", "seconds": 2.5}`
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Frames {
    #[serde(deserialize_with = "given")]
    class: Option<String>,
    seconds: f64,
}

pub async fn frames(State(hub): State<Arc<Hub>>, request: Request) -> Response {
    let Frames { class, seconds } = match read(request).await {
        Ok(frames) => frames,
        Err(refusal) => return refusal,
    };
    if !(0.0..=3600.0).contains(&seconds) {
        return said(StatusCode::BAD_REQUEST, "seconds are 0 to 3600");
    }
    // Those of a source that is lost are no longer what is in front of it.
    let alive = hub.state.borrow().alive;
    let span = Duration::from_secs_f64(seconds).min(SPAN);
    let subject = subject(class);
    let work =
        move |desk: &Desk| if alive { desk.teach_frames(&subject, span) } else { Err(DeskError::NoFrames) };
    or_refusal(at_desk(&hub, work).await, new_ones)
}

/// `{"class": "mug", "images": [{"name": "a.jpg", "bytes": "…"}]}`, the bytes in base64.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Images {
    #[serde(deserialize_with = "given")]
    class: Option<String>,
    images: Vec<Upload>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Upload {
    name: String,
    bytes: String,
}

pub async fn images(State(hub): State<Arc<Hub>>, request: Request) -> Response {
    let Images { class, images } = match read_large(request, MAX_IMAGES, PATIENCE).await {
        Ok(images) => images,
        Err(refusal) => return refusal,
    };
    if images.len() > MAX_COUNT {
        return said(StatusCode::PAYLOAD_TOO_LARGE, &format!("at most {MAX_COUNT} images at a time"));
    }
    let mut files = Vec::with_capacity(images.len());
    for Upload { name, bytes } in images {
        match STANDARD.decode(bytes) {
            Ok(bytes) => files.push((name, bytes)),
            Err(e) => return said(StatusCode::BAD_REQUEST, &format!("{name}: not base64: {e}")),
        }
    }
    let subject = subject(class);
    or_refusal(at_desk(&hub, move |desk| desk.teach_images(&subject, &files)).await, new_ones)
}

/// `{"mixed": true}`
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Mix {
    mixed: bool,
}

pub async fn mix(State(hub): State<Arc<Hub>>, request: Request) -> Response {
    match read(request).await {
        Ok(Mix { mixed }) => or_refusal(at_desk(&hub, move |desk| desk.mix(mixed)).await, nothing),
        Err(refusal) => refusal,
    }
}

/// `{"percent": 1}`
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Rate {
    percent: f64,
}

pub async fn rate(State(hub): State<Arc<Hub>>, request: Request) -> Response {
    let asked = match read(request).await {
        Ok(Rate { percent }) => FalseAlarms::percent(percent),
        Err(refusal) => return refusal,
    };
    let Some(asked) = asked else {
        return said(StatusCode::BAD_REQUEST, "a rate of false alarms is 0 to 50 percent");
    };
    or_refusal(at_desk(&hub, move |desk| desk.set_rate(asked)).await, nothing)
}

/// The kept frames of no class, in groups.
pub async fn groups(State(hub): State<Arc<Hub>>) -> Response {
    or_refusal(at_desk(&hub, Desk::groups).await, |groups| json(&groups))
}

/// `{"class": "mug", "images": ["0123456789abcdef"]}`
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Name {
    #[serde(deserialize_with = "given")]
    class: Option<String>,
    images: Vec<String>,
}

/// What is said of a name that is none of a kept frame.
const NO_HASH: &str = "a kept frame is named by 16 hexadecimal digits";

/// The numbers of kept frames; `None` if a name is none.
fn hashes(images: &[String]) -> Option<Vec<u64>> {
    let digits = |id: &&String| id.len() == 16 && id.bytes().all(|b| b.is_ascii_hexdigit());
    images.iter().map(|id| u64::from_str_radix(Some(id).filter(digits)?, 16).ok()).collect()
}

pub async fn name_group(State(hub): State<Arc<Hub>>, request: Request) -> Response {
    let Name { class, images } = match read(request).await {
        Ok(name) => name,
        Err(refusal) => return refusal,
    };
    let Some(hashes) = hashes(&images) else { return said(StatusCode::BAD_REQUEST, NO_HASH) };
    let subject = subject(class);
    or_refusal(at_desk(&hub, move |desk| desk.teach_unknown(&subject, &hashes)).await, new_ones)
}

/// `{"images": ["0123456789abcdef"]}`
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Forget {
    images: Vec<String>,
}

pub async fn forget_group(State(hub): State<Arc<Hub>>, request: Request) -> Response {
    let Forget { images } = match read(request).await {
        Ok(forget) => forget,
        Err(refusal) => return refusal,
    };
    let Some(hashes) = hashes(&images) else { return said(StatusCode::BAD_REQUEST, NO_HASH) };
    let work = move |desk: &Desk| {
        desk.forget_unknown(&hashes);
        Ok(())
    };
    or_refusal(at_desk(&hub, work).await, nothing)
}

/// `{"from": "mug", "to": "cup"}`
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Rename {
    from: String,
    to: String,
}

pub async fn rename(State(hub): State<Arc<Hub>>, request: Request) -> Response {
    match read(request).await {
        Ok(Rename { from, to }) => {
            or_refusal(at_desk(&hub, move |desk| desk.rename(&from, &to)).await, nothing)
        }
        Err(refusal) => refusal,
    }
}

/// `{"class": "mug"}`
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Remove {
    class: String,
}

pub async fn remove(State(hub): State<Arc<Hub>>, request: Request) -> Response {
    match read(request).await {
        Ok(Remove { class }) => or_refusal(at_desk(&hub, move |desk| desk.remove(&class)).await, nothing),
        Err(refusal) => refusal,
    }
}

/// `{}`, so that it is declared as JSON.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Undo {}

pub async fn undo(State(hub): State<Arc<Hub>>, request: Request) -> Response {
    match read(request).await {
        Ok(Undo {}) => or_refusal(at_desk(&hub, Desk::undo).await, |undone| {
            json(&serde_json::json!({ "undone": undone }))
        }),
        Err(refusal) => refusal,
    }
}

pub async fn export(State(hub): State<Arc<Hub>>) -> Response {
    or_refusal(at_desk(&hub, Desk::export).await, |bytes| {
        let mut answer = typed(KIND, bytes);
        let name = HeaderValue::from_static("attachment; filename=\"taught.teach\"");
        answer.headers_mut().insert(header::CONTENT_DISPOSITION, name);
        answer
    })
}

pub async fn import(State(hub): State<Arc<Hub>>, request: Request) -> Response {
    if let Some(refusal) = undeclared(&request, KIND) {
        return refusal;
    }
    match body(request, MAX_FILE, PATIENCE).await {
        Ok(bytes) => or_refusal(at_desk(&hub, move |desk| desk.import(&bytes)).await, nothing),
        Err(refusal) => refusal,
    }
}
