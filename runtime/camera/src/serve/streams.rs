//! How streams are fed: what goes on without end, to viewers who may be slow.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Extension;
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body::Frame;
use tokio::sync::{mpsc, watch};

use super::hub::Hub;
use super::routes::{HEARTBEAT, typed};
use super::state::State as Known;
use super::{STALLED, Stalled};

/// A body that is fed through a channel of one part.
struct Fed(mpsc::Receiver<Bytes>);

impl http_body::Body for Fed {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.0.poll_recv(context).map(|part| part.map(|bytes| Ok(Frame::data(bytes))))
    }
}

/// Hands a part on; `false` when the viewer is gone or does not read, whose connection ends then.
async fn deliver(send: &mpsc::Sender<Bytes>, stalled: &Stalled, part: Bytes) -> bool {
    match tokio::time::timeout(STALLED, send.send(part)).await {
        Ok(sent) => sent.is_ok(),
        Err(_) => {
            stalled.0.notify_one();
            false
        }
    }
}

/// Feeds a viewer: `start` first, then what `part` makes of the newest value, or of the same one when
/// there is nothing new for a while (`true`). Values that come faster than the viewer reads are left out.
fn feed<T: Clone + Send + Sync + 'static>(
    mut values: watch::Receiver<T>,
    stalled: Stalled,
    keep: impl Send + 'static,
    start: &'static str,
    part: impl Fn(T, bool) -> Bytes + Send + 'static,
) -> Body {
    let (send, receive) = mpsc::channel(1);
    values.mark_changed();
    tokio::spawn(async move {
        let _keep = keep;
        let mut next = Bytes::from_static(start.as_bytes());
        loop {
            if !next.is_empty() && !deliver(&send, &stalled, next).await {
                return;
            }
            next = tokio::select! {
                () = send.closed() => return,
                changed = values.changed() => match changed {
                    Ok(()) => part(values.borrow_and_update().clone(), false),
                    Err(_) => return,
                },
                () = tokio::time::sleep(HEARTBEAT) => part(values.borrow().clone(), true),
            };
        }
    });
    Body::new(Fed(receive))
}

pub async fn events(State(hub): State<Arc<Hub>>, Extension(stalled): Extension<Stalled>) -> Response {
    let part = |state: Arc<Known>, same: bool| match serde_json::to_string(&*state) {
        Ok(json) if !same => Bytes::from(format!("data: {json}\n\n")),
        _ => Bytes::from_static(b": alive\n\n"),
    };
    typed("text/event-stream", feed(hub.state.subscribe(), stalled, (), "", part))
}

/// An event with a name.
fn event(name: &str, data: &str) -> Bytes {
    Bytes::from(format!("event: {name}\ndata: {data}\n\n"))
}

/// An image as an event; nothing where there is none yet.
fn image(name: &str, jpeg: &Bytes) -> Bytes {
    if jpeg.is_empty() { Bytes::new() } else { event(name, &STANDARD.encode(jpeg)) }
}

/// All that a page shows, in one connection: browsers have six to a server, for all of their tabs and windows.
/// With `?heat`, heat maps too.
pub async fn page(
    State(hub): State<Arc<Hub>>,
    Extension(stalled): Extension<Stalled>,
    RawQuery(query): RawQuery,
) -> Response {
    let wants_heat = query.is_some_and(|query| query.split('&').any(|word| word == "heat"));
    let (send, receive) = mpsc::channel(1);
    let counted = hub.stream(wants_heat);
    let (mut state, mut live, mut seen) = (hub.state.subscribe(), hub.live.subscribe(), hub.seen.subscribe());
    let mut heat = hub.heat.subscribe();
    state.mark_changed();
    tokio::spawn(async move {
        let _counted = counted;
        loop {
            let next = tokio::select! {
                () = send.closed() => return,
                Ok(()) = state.changed() => {
                    let state = state.borrow_and_update().clone();
                    serde_json::to_string(&*state).map_or_else(|_| Bytes::new(), |json| event("state", &json))
                }
                Ok(()) = live.changed() => image("live", &live.borrow_and_update()),
                Ok(()) = seen.changed() => image("seen", &seen.borrow_and_update()),
                Ok(()) = heat.changed(), if wants_heat => event("heat", &heat.borrow_and_update()),
                () = tokio::time::sleep(HEARTBEAT) => Bytes::from_static(b"event: alive\ndata:\n\n"),
            };
            if !next.is_empty() && !deliver(&send, &stalled, next).await {
                return;
            }
        }
    });
    typed("text/event-stream", Body::new(Fed(receive)))
}

pub async fn live(State(hub): State<Arc<Hub>>, Extension(stalled): Extension<Stalled>) -> Response {
    pictures(hub.live.subscribe(), stalled, &hub)
}

pub async fn seen(State(hub): State<Arc<Hub>>, Extension(stalled): Extension<Stalled>) -> Response {
    pictures(hub.seen.subscribe(), stalled, &hub)
}

/// What stands before a picture. Browsers show one when they have read the head of the next, so that is
/// sent at once behind each; its length is not known by then.
const BEFORE: &str = "--frame\r\nContent-Type: image/jpeg\r\n\r\n";

fn pictures(values: watch::Receiver<Bytes>, stalled: Stalled, hub: &Arc<Hub>) -> Response {
    let part = |jpeg: Bytes, _| {
        if jpeg.is_empty() {
            return jpeg;
        }
        Bytes::from([&jpeg[..], b"\r\n", BEFORE.as_bytes()].concat())
    };
    let body = feed(values, stalled, hub.stream(false), BEFORE, part);
    typed("multipart/x-mixed-replace; boundary=frame", body)
}
