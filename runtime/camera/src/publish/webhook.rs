//! `POST`s a JSON object to an address when a rule fires.
//!
//! ```text
//! {"rule": "cat > 0.8 for 5 frames", "label": "cat", "score": 0.93, "frame": 1207, "time": 1795651200.123}
//! ```
//! With `image` in it, a JPEG in base64, where that is wanted.
//!
//! In a thread of its own: three tries, then the call is given up and said. At most [`WAITING`] calls
//! wait; more are given up at once. At the end those that wait are still made, once, within a few seconds.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ureq::Agent;
use ureq::tls::TlsConfig;

use super::{FAREWELL, Rules, ended};
use crate::address::{Address, Login};
use crate::preview::Preview;
use crate::rule::Rule;
use crate::rulebook::Rulebook;
use crate::{Listener, Model, Report};
use foldnet_image::frame::{Frame, View};

/// Calls that may wait.
pub const WAITING: usize = 32;
/// How long connecting, asking and the answer may take, each.
const PATIENCE: Duration = Duration::from_secs(5);
/// Waits before the second and the third try.
const RETRY: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(4)];
/// The longest head of an answer.
const MAX_HEAD: usize = 16 << 10;

/// How it went so far.
#[derive(Debug, Default)]
pub struct Calls {
    /// Answered with success.
    pub made: AtomicU64,
    /// Given up.
    pub failed: AtomicU64,
}

/// Watches rules and calls an address when one fires.
pub struct Webhook {
    rules: Rules,
    /// Makes images, where they are wanted, as the camera is mounted.
    images: Option<(Preview, View)>,
    /// Gone at the end, which ends the thread.
    waiting: Option<SyncSender<String>>,
    thread: Option<JoinHandle<()>>,
    /// Whether there is no time left to try again.
    ending: Arc<AtomicBool>,
    calls: Arc<Calls>,
}

impl Webhook {
    /// Starts the thread that calls; with images of this view, if any.
    pub fn start(
        url: &str,
        rules: Vec<Rule>,
        book: Option<Arc<Rulebook>>,
        images: Option<View>,
        tls: impl FnOnce() -> Result<TlsConfig, String>,
    ) -> Result<Self, String> {
        let to = Address::parse(url, &["http", "https"])?;
        let agent = agent(if to.url.scheme() == "https" { Some(tls()?) } else { None });
        let (waiting, receive) = sync_channel(WAITING);
        let (calls, ending) = (Arc::new(Calls::default()), Arc::new(AtomicBool::new(false)));
        let (their_calls, their_ending) = (calls.clone(), ending.clone());
        let thread = std::thread::Builder::new()
            .name("webhook".into())
            .spawn(move || call_all(&agent, &to, &receive, &their_calls, &their_ending))
            .map_err(|e| e.to_string())?;
        let images = images.map(|view| (Preview::default(), view));
        let (rules, waiting, thread) = (Rules::with(rules, book), Some(waiting), Some(thread));
        Ok(Self { rules, images, waiting, thread, ending, calls })
    }

    /// How it went so far.
    pub fn calls(&self) -> Arc<Calls> {
        self.calls.clone()
    }
}

impl Drop for Webhook {
    /// What has fired is still told, if the other end takes it.
    fn drop(&mut self) {
        self.ending.store(true, Ordering::Relaxed);
        self.waiting = None;
        if self.thread.take().is_some_and(|thread| !ended(&thread, FAREWELL)) {
            tracing::warn!("webhook calls that are not made yet are given up");
        }
    }
}

impl Listener for Webhook {
    fn model(&mut self, model: &Model) {
        self.rules.model(&model.labels);
    }

    fn idle(&mut self, alive: bool, _last: &Report) {
        if !alive {
            self.rules.reset();
        }
    }

    fn frame(&mut self, frame: &Frame, _pixels: &[u8], report: &Report) -> bool {
        let mut image = None;
        for mut event in self.rules.push(report).into_iter().filter_map(|(_, event)| event) {
            if let Some((preview, view)) = &mut self.images {
                // The same for all rules that fire at a frame.
                let jpeg = image.get_or_insert_with(|| preview.jpeg(&mut frame.clone(), *view));
                event.image = jpeg.as_ref().map(|jpeg| BASE64_STANDARD.encode(jpeg));
            }
            let waits = match (&self.waiting, serde_json::to_string(&event)) {
                (Some(waiting), Ok(body)) => waiting.try_send(body).is_ok(),
                _ => false,
            };
            if !waits {
                self.calls.failed.fetch_add(1, Ordering::Relaxed);
                tracing::warn!("{:?} fired, but too many calls are waiting", event.rule);
            }
        }
        true
    }
}

fn call_all(agent: &Agent, to: &Address, waiting: &Receiver<String>, calls: &Calls, ending: &AtomicBool) {
    while let Ok(body) = waiting.recv() {
        let mut tries = 0;
        let counter = loop {
            match call(agent, to, &body) {
                Ok(()) => break &calls.made,
                Err(e) => {
                    tracing::warn!("{to}: {e}");
                    let Some(&pause) = RETRY.get(tries) else { break &calls.failed };
                    tries += 1;
                    let until = Instant::now() + pause;
                    while Instant::now() < until && !ending.load(Ordering::Relaxed) {
                        std::thread::sleep(Duration::from_millis(50));
                    }
                    if ending.load(Ordering::Relaxed) {
                        break &calls.failed;
                    }
                }
            }
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

fn agent(tls: Option<TlsConfig>) -> Agent {
    let mut config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .max_response_header_size(MAX_HEAD)
        .timeout_resolve(Some(PATIENCE))
        .timeout_connect(Some(PATIENCE))
        .timeout_send_request(Some(PATIENCE))
        .timeout_send_body(Some(PATIENCE))
        .timeout_recv_response(Some(PATIENCE))
        .proxy(None)
        .max_idle_connections(0)
        .user_agent(concat!("foldnet/", env!("CARGO_PKG_VERSION")));
    if let Some(tls) = tls {
        config = config.tls_config(tls);
    }
    config.build().new_agent()
}

fn call(agent: &Agent, to: &Address, body: &str) -> Result<(), String> {
    let mut request = agent.post(to.url.as_str()).content_type("application/json");
    if let Some(Login { user, password }) = &to.login {
        let value = http_auth::basic::encode_credentials(user, password);
        request = request.header_raw("Authorization", value.as_bytes());
    }
    match request.send(body).map_err(|e| e.to_string())?.status() {
        status if status.is_success() => Ok(()),
        status => Err(format!("the answer is HTTP {status}")),
    }
}
