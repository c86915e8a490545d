//! `POST`s a JSON object to an address when a rule fires.
//!
//! ```text
//! {"rule": "cat > 0.8 for 5 frames", "label": "cat", "score": 0.93, "frame": 1207, "time": 1795651200.123}
//! ```
//! In a thread of its own: three tries, then the call is given up and said. At most [`WAITING`] calls
//! wait; more are given up at once. At the end those that wait are still made, once, within a few seconds.

use std::io::{BufRead, BufReader, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use serde::Serialize;

use super::{FAREWELL, ended};
use crate::rule::{Rule, Watch};
use crate::url::Url;
use crate::{Listener, Model, Report};
use foldnet_image::frame::Frame;

/// Calls that may wait.
pub const WAITING: usize = 32;
/// How long connecting, asking and the answer may take, each.
const PATIENCE: Duration = Duration::from_secs(5);
/// Waits before the second and the third try.
const RETRY: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(4)];
/// The longest first line of an answer.
const MAX_LINE: u64 = 4096;

#[derive(Serialize)]
struct Call<'a> {
    rule: &'a str,
    label: &'a str,
    score: f32,
    frame: u64,
    time: f64,
}

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
    rules: Vec<Rule>,
    watches: Vec<Watch>,
    labels: Vec<String>,
    /// Gone at the end, which ends the thread.
    waiting: Option<SyncSender<String>>,
    thread: Option<JoinHandle<()>>,
    /// Whether there is no time left to try again.
    ending: Arc<AtomicBool>,
    calls: Arc<Calls>,
}

impl Webhook {
    /// Starts the thread that calls.
    pub fn start(
        url: &str,
        rules: Vec<Rule>,
        tls: impl FnOnce() -> Result<Arc<ClientConfig>, String>,
    ) -> Result<Self, String> {
        let url = Url::parse(url, &[("http", 80), ("https", 443)])?;
        let tls = if url.scheme == "https" { Some(tls()?) } else { None };
        let (waiting, receive) = sync_channel(WAITING);
        let (calls, ending) = (Arc::new(Calls::default()), Arc::new(AtomicBool::new(false)));
        let (their_calls, their_ending) = (calls.clone(), ending.clone());
        let thread = std::thread::Builder::new()
            .name("webhook".into())
            .spawn(move || call_all(&url, tls.as_ref(), &receive, &their_calls, &their_ending))
            .map_err(|e| e.to_string())?;
        let (watches, labels, waiting, thread) = (Vec::new(), Vec::new(), Some(waiting), Some(thread));
        Ok(Self { rules, watches, labels, waiting, thread, ending, calls })
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
        self.labels.clone_from(&model.labels);
        self.watches = self.rules.iter().map(|rule| Watch::new(rule.clone(), &self.labels)).collect();
        for rule in self.rules.iter().filter(|rule| rule.class(&self.labels).is_none()) {
            tracing::warn!("the network has no label for the rule {:?}", rule.text);
        }
    }

    fn frame(&mut self, _frame: &Frame, _pixels: &[u8], report: &Report) -> bool {
        for watch in &mut self.watches {
            let Some((class, score)) = watch.push(&report.scores) else { continue };
            let time = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64());
            let (rule, label) = (watch.rule.text.as_str(), self.labels[class].as_str());
            let call = Call { rule, label, score, frame: report.number, time };
            let waits = match (&self.waiting, serde_json::to_string(&call)) {
                (Some(waiting), Ok(body)) => waiting.try_send(body).is_ok(),
                _ => false,
            };
            if !waits {
                self.calls.failed.fetch_add(1, Ordering::Relaxed);
                tracing::warn!("{rule:?} fired, but too many calls are waiting");
            }
        }
        true
    }
}

fn call_all(
    url: &Url,
    tls: Option<&Arc<ClientConfig>>,
    waiting: &Receiver<String>,
    calls: &Calls,
    ending: &AtomicBool,
) {
    while let Ok(body) = waiting.recv() {
        let mut tries = 0;
        let counter = loop {
            match call(url, tls, &body) {
                Ok(()) => break &calls.made,
                Err(e) => {
                    tracing::warn!("{}: {e}", url.shown());
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

fn call(url: &Url, tls: Option<&Arc<ClientConfig>>, body: &str) -> Result<(), String> {
    let stream = url.connect(PATIENCE).map_err(|e| e.to_string())?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(|e| e.to_string())?;
    stream.set_write_timeout(Some(PATIENCE)).map_err(|e| e.to_string())?;
    let Some(tls) = tls else { return talk(url, stream, body) };
    let name = ServerName::try_from(url.name().to_string()).map_err(|e| e.to_string())?;
    let connection = ClientConnection::new(tls.clone(), name).map_err(|e| e.to_string())?;
    talk(url, StreamOwned::new(connection, stream), body)
}

fn talk(url: &Url, mut stream: impl Read + Write, body: &str) -> Result<(), String> {
    let Url { host, port, path, .. } = url;
    let (login, length) = (url.authorization(), body.len());
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: {host}:{port}\r\n{login}Content-Type: application/json\r\n\
         Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).and_then(|()| stream.flush()).map_err(|e| e.to_string())?;
    let mut line = Vec::new();
    BufReader::new(stream.take(MAX_LINE)).read_until(b'\n', &mut line).map_err(|e| e.to_string())?;
    let line = String::from_utf8_lossy(&line);
    let code = line.strip_prefix("HTTP/1.").and_then(|rest| rest.split(' ').nth(1)).unwrap_or("");
    if code.len() == 3 && code.starts_with('2') {
        Ok(())
    } else {
        Err(format!("the answer is {:?}", line.trim_end()))
    }
}
