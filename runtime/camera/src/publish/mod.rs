//! What is told to other machines: labels over MQTT, and rules that fire to webhooks.
//!
//! The camera's thread hands over what is new and goes on; whoever is away or slow misses what became
//! old meanwhile, and memory stays bounded.

pub mod mqtt;
pub mod tls;
pub mod webhook;

use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long a good-bye, or what is still to be told at the end, may take.
const FAREWELL: Duration = Duration::from_secs(3);

/// Waits for a thread that was told to end, but not for ever; whether it has ended.
fn ended<T>(thread: &JoinHandle<T>, patience: Duration) -> bool {
    let begin = Instant::now();
    while !thread.is_finished() {
        if begin.elapsed() >= patience {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    true
}
