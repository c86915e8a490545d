//! Slows down and logs addresses that guess tokens.
//!
//! The first wrong tokens cost nothing, because people mistype. Each further one doubles the time for which the page
//! ignores the address. It ignores the right token, too: otherwise the answer would reveal which token is right.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Wrong tokens that cost nothing.
const FREE: u32 = 5;
/// The first wait, and the longest.
const WAIT: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(10)];
/// The time without a wrong token after which an address is forgotten.
const FORGET: Duration = Duration::from_secs(600);
/// The largest number of addresses that are remembered.
const ADDRESSES: usize = 1024;

/// The address at the other end of a connection.
#[derive(Clone, Copy)]
pub struct Peer(pub IpAddr);

struct Count {
    wrong: u32,
    last: Instant,
    until: Instant,
}

/// Counts the wrong tokens of each address.
#[derive(Default)]
pub struct Guesses(Mutex<HashMap<IpAddr, Count>>);

impl Guesses {
    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, Count>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns how much longer this address must wait.
    pub fn wait(&self, peer: IpAddr) -> Option<Duration> {
        let until = self.lock().get(&peer)?.until;
        Some(until.saturating_duration_since(Instant::now())).filter(|wait| !wait.is_zero())
    }

    /// Records that the address sent the right token.
    pub fn right(&self, peer: IpAddr) {
        self.lock().remove(&peer);
    }

    /// Records that the address sent a wrong token.
    pub fn wrong(&self, peer: IpAddr) {
        let now = Instant::now();
        let mut counts = self.lock();
        if counts.len() >= ADDRESSES && !counts.contains_key(&peer) {
            counts.retain(|_, count| now.saturating_duration_since(count.last) < FORGET);
            // If there are still too many, drop the address that has been silent longest.
            let oldest = counts.iter().min_by_key(|(_, count)| count.last).map(|(peer, _)| *peer);
            if let Some(oldest) = oldest.filter(|_| counts.len() >= ADDRESSES) {
                counts.remove(&oldest);
            }
        }
        let count = counts.entry(peer).or_insert(Count { wrong: 0, last: now, until: now });
        if now.saturating_duration_since(count.last) >= FORGET {
            count.wrong = 0;
        }
        count.wrong = count.wrong.saturating_add(1);
        count.last = now;
        if count.wrong > FREE {
            let doubled = WAIT[0].saturating_mul(1 << (count.wrong - FREE - 1).min(10));
            count.until = now + doubled.min(WAIT[1]);
        }
        // Log each of the first, then fewer, so that a flood does not fill the disk.
        if count.wrong <= FREE || count.wrong.is_power_of_two() {
            tracing::warn!("{peer} brought a wrong token ({} so far)", count.wrong);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_guesses_waits_longer_each_time() {
        let guesses = Guesses::default();
        let (bad, good): (IpAddr, IpAddr) = ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap());
        for _ in 0..FREE {
            guesses.wrong(bad);
            assert_eq!(guesses.wait(bad), None);
        }
        guesses.wrong(bad);
        let first = guesses.wait(bad).unwrap();
        assert!(first <= WAIT[0]);
        for _ in 0..40 {
            guesses.wrong(bad);
        }
        let last = guesses.wait(bad).unwrap();
        assert!(last > first && last <= WAIT[1]);
        assert_eq!(guesses.wait(good), None);
        guesses.right(bad);
        assert_eq!(guesses.wait(bad), None);
    }

    #[test]
    fn no_more_addresses_are_known_than_have_room() {
        let guesses = Guesses::default();
        for n in 0..2 * ADDRESSES as u32 {
            guesses.wrong(IpAddr::from(n.to_be_bytes()));
        }
        assert_eq!(guesses.lock().len(), ADDRESSES);
    }
}
