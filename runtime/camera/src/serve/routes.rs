//! What is served.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use bytes::Bytes;

use super::access::{Access, Verdict};
use super::guesses::{Guesses, Peer};
use super::hub::Hub;
use super::{metrics, recall, rules, streams, teach};
use crate::source::Place;

const PAGE: &str = concat!(
    include_str!("page/head.html"),
    "<style>\n",
    include_str!("page/style.css"),
    "</style>\n",
    include_str!("page/body.html"),
    "<script>\n\"use strict\";\n",
    include_str!("page/page.js"),
    include_str!("page/history.js"),
    include_str!("page/teach.js"),
    include_str!("page/unknown.js"),
    include_str!("page/rules.js"),
    include_str!("page/watch.js"),
    "</script>\n</html>\n",
);
const LOGIN: &str = include_str!("page/login.html");
const ICON: &str = include_str!("icon.svg");
const OPENAPI: &str = include_str!("openapi.json");
/// Bytes of a request's body.
const MAX_BODY: usize = 4096;
/// How often a stream shows that it lives when there is nothing to say.
pub const HEARTBEAT: Duration = Duration::from_secs(5);

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
        .route("/api/teach", get(teach::list))
        .route("/api/teach/frames", post(teach::frames))
        .route("/api/teach/images", post(teach::images))
        .route("/api/teach/rename", post(teach::rename))
        .route("/api/teach/remove", post(teach::remove))
        .route("/api/teach/mix", post(teach::mix))
        .route("/api/teach/rate", post(teach::rate))
        .route("/api/teach/unknown", get(teach::groups).post(teach::name_group))
        .route("/api/teach/unknown/forget", post(teach::forget_group))
        .route("/api/teach/undo", post(teach::undo))
        .route("/api/teach/file", get(teach::export).put(teach::import))
        .route("/api/history", get(recall::json))
        .route("/api/history.csv", get(recall::table))
        .route("/api/rules", put(rules::put))
        .route("/stream", get(streams::page))
        .route("/events", get(streams::events))
        .route("/live.mjpg", get(streams::live))
        .route("/seen.mjpg", get(streams::seen))
        .route("/metrics", get(scrape))
        .with_state(hub)
        .layer(from_fn_with_state(Arc::new(Door { access, guesses: Guesses::default() }), guard))
}

pub fn typed(kind: &'static str, body: impl Into<Body>) -> Response {
    ([(header::CONTENT_TYPE, kind)], body.into()).into_response()
}

/// Who may come in, and who tries.
struct Door {
    access: Access,
    guesses: Guesses,
}

async fn guard(State(door): State<Arc<Door>>, request: Request, next: Next) -> Response {
    let access = &door.access;
    let peer = request.extensions().get::<Peer>().map(|peer| peer.0);
    let wait = peer.and_then(|peer| door.guesses.wait(peer));
    let verdict = match wait {
        // Not even looked at: else it would tell which token is right.
        Some(_) if access.has_token() => Verdict::WrongToken,
        _ => access.judge(request.headers(), request.uri().query()),
    };
    let is_page = request.uri().path() == "/";
    let mut response = match (&verdict, wait) {
        (Verdict::Welcome | Verdict::WelcomeByAddress, _) => {
            if let Some(peer) = peer {
                door.guesses.right(peer);
            }
            next.run(request).await
        }
        (Verdict::WrongToken, Some(wait)) => {
            let text = format!("Too many wrong tokens: try again in {} s", wait.as_secs() + 1);
            refuse(StatusCode::TOO_MANY_REQUESTS, &text, is_page)
        }
        (Verdict::WrongToken, None) => {
            if let Some(peer) = peer {
                door.guesses.wrong(peer);
            }
            refuse(StatusCode::UNAUTHORIZED, "This token is wrong", is_page)
        }
        (Verdict::NoToken, _) => refuse(StatusCode::UNAUTHORIZED, "This page needs a token", is_page),
        (Verdict::WrongHost, _) => {
            (StatusCode::FORBIDDEN, "this page can only be opened by the names of this machine\n")
                .into_response()
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
            "default-src 'none'; img-src 'self' data: blob:; connect-src 'self'; style-src 'unsafe-inline'; \
             script-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
        // A page of another site must not show the camera's images.
        (header::HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Says why not: to a person with a field for the token, to a program in a line.
fn refuse(code: StatusCode, why: &str, is_page: bool) -> Response {
    if is_page {
        let mut page = typed("text/html; charset=utf-8", LOGIN.replace("WHY", why));
        *page.status_mut() = code;
        return page;
    }
    (code, format!("{why}\n")).into_response()
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

/// A body of at most so many bytes, which must come in this time.
pub async fn body(request: Request, most: usize, patience: Duration) -> Result<Bytes, Response> {
    match tokio::time::timeout(patience, axum::body::to_bytes(request.into_body(), most)).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(_)) => {
            let text = format!("too large: at most {} kB\n", most / 1000);
            Err((StatusCode::PAYLOAD_TOO_LARGE, text).into_response())
        }
        Err(_) => Err(StatusCode::REQUEST_TIMEOUT.into_response()),
    }
}

/// The refusal of what is not declared as this, so that no form of another site can send it.
pub fn undeclared(request: &Request, kind: &str) -> Option<Response> {
    let is = |v: &HeaderValue| v.as_bytes().starts_with(kind.as_bytes());
    if request.headers().get(header::CONTENT_TYPE).is_some_and(is) {
        return None;
    }
    Some((StatusCode::UNSUPPORTED_MEDIA_TYPE, format!("the body must be {kind}\n")).into_response())
}

/// A small JSON body.
pub async fn read<T: serde::de::DeserializeOwned>(request: Request) -> Result<T, Response> {
    read_large(request, MAX_BODY, HEARTBEAT).await
}

/// A JSON body of at most so many bytes.
pub async fn read_large<T: serde::de::DeserializeOwned>(
    request: Request,
    most: usize,
    patience: Duration,
) -> Result<T, Response> {
    if let Some(refusal) = undeclared(&request, "application/json") {
        return Err(refusal);
    }
    let body = body(request, most, patience).await?;
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
        assert!(routes.len() >= 18);
        for route in &routes {
            assert!(documented.iter().any(|d| d == route), "{route} is not documented");
        }
        assert_eq!(documented.len(), routes.len());
        let fields = serde_json::to_value(super::super::state::State::default()).unwrap();
        let schema = &document["components"]["schemas"]["State"]["properties"];
        for field in fields.as_object().unwrap().keys() {
            assert!(schema[field].is_object(), "{field} is not documented");
        }
    }
}
