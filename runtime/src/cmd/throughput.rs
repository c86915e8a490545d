//! `runtime bench --streams`: images per second when several are classified at once.

use std::time::{Duration, Instant};

use foldnet::Session;
use foldnet::streams::Streams;
use foldnet_backends::bench::Statistics;
use serde_json::{Value, json};

use super::{Failure, at_threads, count};

/// Time for the images when their number is not given.
const BUDGET: Duration = Duration::from_secs(3);

/// What several streams do together.
pub struct Throughput {
    streams: usize,
    images: usize,
    images_s: f64,
    times: Statistics,
}

impl Throughput {
    /// Classifies as many images as given, or as fit into three seconds if one takes `one`.
    pub fn measure(
        session: &Session,
        streams: usize,
        pixels: &[u8],
        images: Option<usize>,
        one: Duration,
    ) -> Result<Self, Failure> {
        let mut streams =
            Streams::new(session, streams).map_err(|error| at_threads(error.into(), "--streams"))?;
        let n = streams.len();
        let images = images.unwrap_or_else(|| {
            let each = (BUDGET.as_secs_f64() / one.as_secs_f64().max(1e-9)).ceil() as usize;
            each.clamp(5, 100_000) * n
        });
        // Every stream's memory is touched before the time counts.
        streams.sessions().iter_mut().for_each(|session| {
            session.run(pixels);
        });
        let start = Instant::now();
        let times = streams.map(images, |session, _| {
            let start = Instant::now();
            session.run(pixels);
            start.elapsed()
        });
        let images_s = images as f64 / start.elapsed().as_secs_f64();
        Ok(Self { streams: n, images, images_s, times: Statistics::of(&times) })
    }

    /// For scripts.
    pub fn json(&self) -> Value {
        json!({
            "streams": self.streams, "images": self.images, "images_s": self.images_s,
            "median_ms": self.times.median_ms, "p99_ms": self.times.p99_ms,
        })
    }

    /// For people.
    pub fn words(&self) -> String {
        format!(
            "{} of one thread: {:.1} images/s; each image median {:.3} ms, p99 {:.3}  ({} images)",
            count(self.streams, "stream"),
            self.images_s,
            self.times.median_ms,
            self.times.p99_ms,
            self.images
        )
    }
}
