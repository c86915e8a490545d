//! Cameras over HTTP and HTTPS: motion JPEG, as IP cameras, `mjpg-streamer` and our own page serve it,
//! and single images, which are asked for again and again.
//!
//! `ureq` speaks the protocol, `http-auth` answers Basic and Digest challenges. Added here: a redirect is
//! followed a few times, the login goes to no other server, and every wait has a bound. The body is read in
//! a thread of its own, so that [`Source::next`] can give up waiting. Where the images begin and end in it,
//! the JPEG splitter tells.

#[cfg(test)]
mod tests;

use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use ureq::http::{HeaderMap, Response, header};
use ureq::{Agent, Body};
use url::Url;

use super::jpeg_stream::Splitter;
use super::kind::{Kind, scheme};
use super::{PATIENCE, Source, SourceError, Wishes, video};
use crate::address::{Address, Login};
use foldnet_image::frame::Frame;

/// The longest head of an answer.
const MAX_HEAD: usize = 16 << 10;
/// How long connecting, and then the head, may take.
const CONNECT: Duration = Duration::from_secs(5);
/// Redirects that are followed.
const MAX_REDIRECTS: usize = 5;
/// Images per second that a server of single images is asked for when no rate is wished.
const SNAPSHOTS: f64 = 2.0;

/// `http[s]://[user:password@]host[:port]/path`, see the module.
pub static KIND: Kind = Kind {
    claims: |at| matches!(scheme(at), Some("http" | "https")),
    shown: |at| crate::address::without_login(&at.to_string_lossy()),
    is_live: true,
    is_stills: false,
    open: |at, wishes| Ok(Box::new(Http::open(&at.to_string_lossy(), wishes)?)),
};

/// What the reading thread found.
type Found = Result<Frame, SourceError>;

/// See the module.
pub struct Http {
    client: Client,
    frames: Receiver<Found>,
    /// Whether the server sends one image per request.
    snapshot: bool,
    interval: Duration,
    asked: Instant,
    count: u64,
}

impl Http {
    /// Connects, and reads the answer's head.
    pub fn open(url: &str, wishes: &Wishes) -> Result<Self, SourceError> {
        let address = Address::parse(url, &["http", "https"]).map_err(SourceError::Unusable)?;
        let mut client = Client::new(address, wishes.ca.clone())?;
        let interval = Duration::from_secs_f64(1.0 / wishes.fps.unwrap_or(SNAPSHOTS));
        let asked = Instant::now();
        let (frames, snapshot) = client.ask()?;
        Ok(Self { client, frames, snapshot, interval, asked, count: 0 })
    }
}

impl Source for Http {
    fn next(&mut self, frame: &mut Frame) -> Result<(), SourceError> {
        match self.frames.recv_timeout(PATIENCE) {
            Ok(Ok(found)) => {
                *frame = found;
                self.count += 1;
                frame.number = self.count;
                Ok(())
            }
            Ok(Err(SourceError::End)) | Err(RecvTimeoutError::Disconnected) if self.snapshot => {
                let early = (self.asked + self.interval).saturating_duration_since(Instant::now());
                std::thread::sleep(early.min(PATIENCE));
                if early <= PATIENCE {
                    self.asked = Instant::now();
                    (self.frames, self.snapshot) = self.client.ask()?;
                }
                Err(SourceError::Nothing)
            }
            // A camera whose stream ends is rebooting, as far as we know.
            Ok(Err(SourceError::End)) | Err(RecvTimeoutError::Disconnected) => {
                Err(self.client.lost("the connection was closed"))
            }
            Ok(Err(error)) => Err(error),
            Err(RecvTimeoutError::Timeout) => Err(SourceError::Nothing),
        }
    }

    fn describe(&self) -> String {
        let what = if self.snapshot { "single images" } else { "motion JPEG" };
        format!("{}: {what}", self.client.address)
    }
}

impl Drop for Http {
    /// Ends the thread that waits for the server.
    fn drop(&mut self) {
        self.client.agent.clone().shutdown();
    }
}

/// Who asks a camera.
struct Client {
    address: Address,
    agent: Agent,
    /// Whether the agent can speak TLS, and whom it trusts then.
    encrypted: bool,
    ca: Option<PathBuf>,
}

impl Client {
    fn new(address: Address, ca: Option<PathBuf>) -> Result<Self, SourceError> {
        let encrypted = address.url.scheme() == "https";
        let agent = agent(encrypted, ca.as_deref())?;
        Ok(Self { address, agent, encrypted, ca })
    }

    fn lost(&self, what: impl std::fmt::Display) -> SourceError {
        SourceError::Lost(format!("{}: {what}", self.address))
    }

    fn unusable(&self, what: impl std::fmt::Display) -> SourceError {
        SourceError::Unusable(format!("{}: {what}", self.address))
    }

    /// Asks for images, and has a thread read them; whether one comes per request.
    fn ask(&mut self) -> Result<(Receiver<Found>, bool), SourceError> {
        let response = self.request()?;
        let snapshot = is_snapshot(response.headers(), &self.address).map_err(|why| self.unusable(why))?;
        let mut from = BufReader::with_capacity(1 << 16, response.into_body().into_reader());
        let (send, receive) = sync_channel(1);
        let read = move || {
            let mut splitter = Splitter::default();
            loop {
                let mut frame = Frame::default();
                let found = splitter.next(&mut from, &mut frame).map(|()| frame);
                let last = !matches!(found, Ok(_) | Err(SourceError::Frame(_)));
                if send.send(found).is_err() || last {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("http".into()).spawn(read);
        thread.map_err(|e| self.lost(e))?;
        Ok((receive, snapshot))
    }

    /// The answer with status 200, after redirects and with the login where the server asks for it.
    fn request(&mut self) -> Result<Response<Body>, SourceError> {
        let (mut at, mut redirects, mut authorization) = (self.address.url.clone(), 0, None::<String>);
        loop {
            let mut request = self.agent.get(at.as_str()).header(header::ACCEPT, "*/*");
            let answered = authorization.is_some();
            if let Some(value) = authorization.take() {
                // Some servers of cameras take no other spelling.
                request = request.header_raw("Authorization", value.as_bytes());
            }
            let response = request.call().map_err(|e| self.refused(e))?;
            let status = response.status();
            match status.as_u16() {
                200 => return Ok(response),
                301 | 302 | 303 | 307 | 308 => {
                    redirects += 1;
                    if redirects > MAX_REDIRECTS {
                        return Err(self.unusable(format!("more than {MAX_REDIRECTS} redirects")));
                    }
                    let to = text(response.headers(), header::LOCATION);
                    at = redirected(&at, to).map_err(|why| self.unusable(why))?;
                    tracing::info!("{}: redirected to {at}", self.address);
                    if at.scheme() == "https" && !self.encrypted {
                        (self.agent, self.encrypted) = (agent(true, self.ca.as_deref())?, true);
                    }
                }
                401 if answered => {
                    return Err(self.unusable("the user or the password is wrong (HTTP 401)"));
                }
                401 => {
                    let answer = self.answer(response.headers(), &at);
                    authorization = Some(answer.map_err(|why| self.unusable(why))?);
                }
                500..=504 => return Err(self.lost(format!("the answer is HTTP {status}"))),
                _ => return Err(self.unusable(format!("the answer is HTTP {status}"))),
            }
        }
    }

    /// Why there is no answer; whether another try may help.
    fn refused(&self, error: ureq::Error) -> SourceError {
        match error {
            ureq::Error::Protocol(e) => self.unusable(format!(
                "the answer is not HTTP, which begins with a status line, as HTTP/1.1 200 OK ({e})"
            )),
            ureq::Error::LargeResponseHeader(..) => {
                self.unusable(format!("the answer's head is longer than {MAX_HEAD} bytes"))
            }
            #[cfg(feature = "tls")]
            ureq::Error::Rustls(e) => self.unusable(format!(
                "the connection cannot be encrypted: {e}. --ca FILE gives the certificate to trust"
            )),
            ureq::Error::BadUri(_) | ureq::Error::Http(_) => self.unusable(error),
            error => self.lost(error),
        }
    }

    /// The header that answers the server's challenges with the login: Digest before Basic.
    fn answer(&self, headers: &HeaderMap, at: &Url) -> Result<String, String> {
        let Some(Login { user: username, password }) = &self.address.login else {
            let scheme = at.scheme();
            return Err(format!("the server asks for a login (HTTP 401): {scheme}://USER:PASSWORD@HOST/…"));
        };
        if !self.address.same_server(at) {
            return Err(format!(
                "redirected to another server, which asks for a login (HTTP 401); \
                 give its address, {at}, if it may have it"
            ));
        }
        let challenges: Vec<&str> =
            headers.get_all(header::WWW_AUTHENTICATE).iter().filter_map(|v| v.to_str().ok()).collect();
        if challenges.is_empty() {
            return Ok(http_auth::basic::encode_credentials(username, password));
        }
        let mut client = http_auth::PasswordClient::try_from(challenges.join(", ").as_str())
            .map_err(|e| format!("the server asks for a kind of login that is not understood: {e}"))?;
        let uri = &at[url::Position::BeforePath..url::Position::AfterQuery];
        let body = Some(&[][..]);
        client.respond(&http_auth::PasswordParams { username, password, uri, method: "GET", body })
    }
}

fn agent(encrypted: bool, ca: Option<&Path>) -> Result<Agent, SourceError> {
    #[cfg_attr(not(feature = "tls"), expect(unused_mut))]
    let mut config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .max_response_header_size(MAX_HEAD)
        .timeout_resolve(Some(CONNECT))
        .timeout_connect(Some(CONNECT))
        .timeout_send_request(Some(CONNECT))
        .timeout_recv_response(Some(CONNECT))
        .proxy(None)
        // Many cameras close a connection that they promised to keep.
        .max_idle_connections(0)
        .user_agent(concat!("foldnet/", env!("CARGO_PKG_VERSION")));
    if encrypted {
        #[cfg(feature = "tls")]
        {
            config = config.tls_config(crate::tls::client(ca).map_err(SourceError::Unusable)?);
        }
        #[cfg(not(feature = "tls"))]
        {
            let _ = ca;
            return Err(SourceError::Unusable(
                "https:// needs encryption, which this program was built without, as those that `boards` builds \
                 are; give the camera's http:// address, or build `runtime` with `--features tls`"
                    .into(),
            ));
        }
    }
    Ok(config.build().new_agent())
}

/// Whether the answer is a single image, not a stream of them; an error when it is neither.
fn is_snapshot(headers: &HeaderMap, address: &Address) -> Result<bool, String> {
    let kind = text(headers, header::CONTENT_TYPE).to_ascii_lowercase();
    match kind.split(';').next().unwrap_or_default().trim() {
        "image/jpeg" | "image/jpg" | "image/pjpeg" => Ok(true),
        "" | "application/octet-stream" | "video/x-motion-jpeg" | "video/x-mjpeg" => Ok(false),
        other if other.starts_with("multipart/") => Ok(false),
        other if other.starts_with("video/") || other.contains("mpegurl") => {
            Err(format!("the answer is {other}, not motion JPEG; {}", video::advice(address.url.as_str())))
        }
        other => Err(format!(
            "the answer is {other}, not motion JPEG; give the address of the camera's stream or snapshot"
        )),
    }
}

/// Where a redirect leads. A login in it is not followed, nor is one from HTTPS to HTTP.
fn redirected(from: &Url, to: &str) -> Result<Url, String> {
    let shown = crate::address::without_login(to);
    let mut to = from.join(to).map_err(|e| format!("redirected to {shown}: {e}"))?;
    if !matches!(to.scheme(), "http" | "https") || (from.scheme() == "https" && to.scheme() == "http") {
        return Err(format!("redirected to {shown}, which is not followed"));
    }
    let _ = to.set_password(None).and_then(|()| to.set_username(""));
    Ok(to)
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> &str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}
