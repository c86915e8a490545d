//! The page of the live camera, its interface for programs, and its metrics.
//!
//! One thread serves everybody. A viewer who is slow gets fewer pictures, one who does not read at all
//! is cut off after [`STALLED`]; nobody holds more than one picture of ours. Where cores are short the
//! network goes first. Connections, heads and
//! bodies are bounded, and so is the time for them.

pub mod access;
mod guesses;
mod history;
pub mod hub;
mod metrics;
mod recall;
mod routes;
pub mod rules;
pub mod state;
mod streams;
mod teach;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::sync::{Notify, Semaphore};

use access::Access;
use guesses::Peer;
use hub::Hub;

/// The most connections at a time; more wait.
const CONNECTIONS: usize = 256;
/// How long a request's head may take.
const HEAD: Duration = Duration::from_secs(5);
/// Bytes of a head.
const MAX_HEAD: usize = 16 << 10;
/// How long a viewer may refuse to take a picture.
pub const STALLED: Duration = Duration::from_secs(15);

/// Told when a connection's viewer does not read.
#[derive(Clone, Default)]
struct Stalled(Arc<Notify>);

/// Listens, and serves in a thread of its own until the program ends. Returns the address, whose port
/// is the system's choice when it was 0.
pub fn start(listen: SocketAddr, access: Access, hub: Arc<Hub>) -> std::io::Result<SocketAddr> {
    let listener = std::net::TcpListener::bind(listen)?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name("serve".into()).spawn(move || {
        foldnet::cores::step_back();
        runtime.block_on(async {
            match tokio::net::TcpListener::from_std(listener) {
                Ok(listener) => accept(listener, routes::router(access, hub)).await,
                Err(e) => tracing::error!("the page cannot be served: {e}"),
            }
        });
    })?;
    Ok(address)
}

async fn accept(listener: tokio::net::TcpListener, router: axum::Router) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(permit) = room.clone().acquire_owned().await else { return };
        let (stream, peer) = match listener.accept().await {
            Ok((stream, peer)) => (stream, Peer(peer.ip())),
            Err(e) => {
                // Out of descriptors, most likely: wait for others to end.
                tracing::warn!("a connection was not taken: {e}");
                tokio::time::sleep(Duration::from_millis(200)).await;
                continue;
            }
        };
        let stalled = Stalled::default();
        let router = router.clone().layer(Extension(stalled.clone())).layer(Extension(peer));
        let service = TowerToHyperService::new(router);
        tokio::spawn(async move {
            let _permit = permit;
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD)
                .max_buf_size(MAX_HEAD)
                .serve_connection(TokioIo::new(stream), service);
            tokio::select! {
                // What a client does wrong is no concern of ours.
                _ = connection => {}
                () = stalled.0.notified() => {}
            }
        });
    }
}
