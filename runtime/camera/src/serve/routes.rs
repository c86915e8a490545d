//! What is served, and how streams are fed.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use bytes::Bytes;
use http_body::Frame;
use tokio::sync::{mpsc, watch};

use super::access::{Access, Verdict};
use super::hub::Hub;
use super::{STALLED, Stalled, metrics};
use crate::source::Place;

const PAGE: &str = include_str!("page.html");
const ICON: &str = include_str!("icon.svg");
const OPENAPI: &str = include_str!("openapi.json");
/// Bytes of a request's body.
const MAX_BODY: usize = 4096;
/// How often a stream shows that it lives when there is nothing to say.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// All routes, behind the access rule.
pub fn router(access: Access, hub: Arc<Hub>) -> Router {
    Router::new()
        .route("/", get(|| async { typed("text/html; charset=utf-8", PAGE) }))
        .route("/icon.svg", get(|| async { typed("image/svg+xml", ICON) }))
        .route("/openapi.json", get(|| async { typed("application/json", OPENAPI) }))
        .route("/api/state", get(state))
        .route("/api/roi", post(roi))
        .route("/api/cameras", get(cameras))
        .route("/api/camera", post(camera))
        .route("/events", get(events))
        .route("/live.mjpg", get(live))
        .route("/seen.mjpg", get(seen))
        .route("/metrics", get(scrape))
        .with_state(hub)
        .layer(from_fn_with_state(access, guard))
}

fn typed(kind: &'static str, body: impl Into<Body>) -> Response {
    ([(header::CONTENT_TYPE, kind)], body.into()).into_response()
}

async fn guard(State(access): State<Access>, request: Request, next: Next) -> Response {
    let verdict = access.judge(request.headers(), request.uri().query());
    let mut response = match verdict {
        Verdict::Welcome | Verdict::WelcomeByAddress => next.run(request).await,
        Verdict::NoToken => {
            (StatusCode::UNAUTHORIZED, "a token is needed: open the page with ?token=…\n").into_response()
        }
        Verdict::WrongHost => {
            (StatusCode::FORBIDDEN, "this page answers to this machine's own names only\n").into_response()
        }
    };
    let headers = response.headers_mut();
    if verdict == Verdict::WelcomeByAddress
        && let Some(cookie) = access.cookie().and_then(|c| HeaderValue::try_from(c).ok())
    {
        headers.insert(header::SET_COOKIE, cookie);
    }
    let fixed = [
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; img-src 'self'; connect-src 'self'; style-src 'unsafe-inline'; \
             script-src 'unsafe-inline'; frame-ancestors 'none'",
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

async fn state(State(hub): State<Arc<Hub>>) -> Response {
    let state = hub.state.borrow().clone();
    match serde_json::to_string(&*state) {
        Ok(json) => typed("application/json", json),
        Err(e) => (StatusCode::INTERNAL_SERVER_ERROR, e.to_string()).into_response(),
    }
}

async fn scrape(State(hub): State<Arc<Hub>>) -> Response {
    let state = hub.state.borrow().clone();
    match metrics::text(&state) {
        Ok(text) => typed(metrics::CONTENT_TYPE, text),
        Err(e) => (StatusCode::INTERNAL_SERVER_ERROR, e.to_string()).into_response(),
    }
}

/// A small JSON body. One that is not declared as JSON is refused, so that no form of another site can
/// send one.
async fn read<T: serde::de::DeserializeOwned>(request: Request) -> Result<T, Response> {
    let is_json = |v: &HeaderValue| v.as_bytes().starts_with(b"application/json");
    if !request.headers().get(header::CONTENT_TYPE).is_some_and(is_json) {
        return Err(StatusCode::UNSUPPORTED_MEDIA_TYPE.into_response());
    }
    let body = axum::body::to_bytes(request.into_body(), MAX_BODY);
    let body = match tokio::time::timeout(HEARTBEAT, body).await {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => return Err(StatusCode::PAYLOAD_TOO_LARGE.into_response()),
        Err(_) => return Err(StatusCode::REQUEST_TIMEOUT.into_response()),
    };
    serde_json::from_slice(&body).map_err(|e| (StatusCode::BAD_REQUEST, format!("{e}\n")).into_response())
}

/// `{"roi": [x, y, w, h]}` or `{"roi": null}`
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Part {
    roi: Option<[f32; 4]>,
}

async fn roi(State(hub): State<Arc<Hub>>, request: Request) -> Response {
    let good = |r: &[f32; 4]| {
        r.iter().all(|s| (0.0..=1.0).contains(s)) && r[0] < 1.0 && r[1] < 1.0 && r[2] > 0.0 && r[3] > 0.0
    };
    match read::<Part>(request).await {
        Ok(Part { roi }) if roi.as_ref().is_none_or(good) => {
            hub.look(roi);
            StatusCode::NO_CONTENT.into_response()
        }
        Ok(_) => (StatusCode::BAD_REQUEST, "four shares of the image\n").into_response(),
        Err(refusal) => refusal,
    }
}

/// A place that frames may be asked from.
#[derive(serde::Serialize)]
struct Camera {
    camera: String,
    name: String,
}

/// The place that the program was started with, and this machine's cameras. Asking drivers may take a
/// while, so another thread does.
async fn places(hub: Arc<Hub>) -> Vec<(Place, Camera)> {
    let list = move || {
        let start = hub.place.clone();
        let mut all = vec![(start.clone(), Camera { camera: start.to_string(), name: "as started".into() })];
        #[cfg(target_os = "linux")]
        for listed in crate::source::v4l::devices().0 {
            let place = Place::device(listed.device);
            if place == start {
                all[0].1.name = listed.name;
            } else {
                let camera = place.to_string();
                all.push((place, Camera { camera, name: listed.name }));
            }
        }
        all
    };
    tokio::task::spawn_blocking(list).await.unwrap_or_default()
}

async fn cameras(State(hub): State<Arc<Hub>>) -> Response {
    let cameras: Vec<Camera> = places(hub).await.into_iter().map(|(_, camera)| camera).collect();
    match serde_json::to_string(&cameras) {
        Ok(json) => typed("application/json", json),
        Err(e) => (StatusCode::INTERNAL_SERVER_ERROR, e.to_string()).into_response(),
    }
}

/// `{"camera": "/dev/video1"}`
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Choice {
    camera: String,
}

async fn camera(State(hub): State<Arc<Hub>>, request: Request) -> Response {
    let choice = match read::<Choice>(request).await {
        Ok(choice) => choice,
        Err(refusal) => return refusal,
    };
    // Of those listed only: a viewer must not make us open any file there is.
    match places(hub.clone()).await.into_iter().find(|(_, listed)| listed.camera == choice.camera) {
        Some((place, _)) => {
            hub.source.choose(place);
            StatusCode::NO_CONTENT.into_response()
        }
        None => (StatusCode::NOT_FOUND, "no such camera\n").into_response(),
    }
}

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
            if !next.is_empty() {
                match tokio::time::timeout(STALLED, send.send(next)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) => return,
                    Err(_) => return stalled.0.notify_one(),
                }
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

async fn events(State(hub): State<Arc<Hub>>, Extension(stalled): Extension<Stalled>) -> Response {
    let part = |state: Arc<super::hub::State>, same: bool| match serde_json::to_string(&*state) {
        Ok(json) if !same => Bytes::from(format!("data: {json}\n\n")),
        _ => Bytes::from_static(b": alive\n\n"),
    };
    typed("text/event-stream", feed(hub.state.subscribe(), stalled, (), "", part))
}

async fn live(State(hub): State<Arc<Hub>>, Extension(stalled): Extension<Stalled>) -> Response {
    pictures(hub.live.subscribe(), stalled, &hub)
}

async fn seen(State(hub): State<Arc<Hub>>, Extension(stalled): Extension<Stalled>) -> Response {
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
    let body = feed(values, stalled, hub.stream(), BEFORE, part);
    typed("multipart/x-mixed-replace; boundary=frame", body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_is_documented() {
        let document: serde_json::Value = serde_json::from_str(OPENAPI).unwrap();
        let documented: Vec<&String> = document["paths"].as_object().unwrap().keys().collect();
        let source = include_str!("routes.rs");
        let routes: Vec<&str> = source
            .split(".route(\"")
            .skip(1)
            .filter_map(|rest| rest.split_once('"').map(|(path, _)| path))
            .filter(|path| path.starts_with('/'))
            .collect();
        assert!(routes.len() >= 11);
        for route in &routes {
            assert!(documented.iter().any(|d| d == route), "{route} is not documented");
        }
        assert_eq!(documented.len(), routes.len());
        let fields = serde_json::to_value(super::super::hub::State::default()).unwrap();
        let schema = &document["components"]["schemas"]["State"]["properties"];
        for field in fields.as_object().unwrap().keys() {
            assert!(schema[field].is_object(), "{field} is not documented");
        }
    }
}
