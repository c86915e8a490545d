//! Classifies several images at once, for throughput.
//!
//! A session of several threads divides each step among them and waits for the slowest at the step's end. Sessions
//! of one thread each never wait: together they classify more images per second, although each image takes longer.
//! They share the packed weights, so each further session costs only its activations.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::pool::PoolError;
use crate::session::Session;

/// Sessions of one thread each that share their weights.
pub struct Streams(Vec<Session>);

impl Streams {
    /// Creates this many streams of the network of `session`; 0 means one per core.
    pub fn new(session: &Session, streams: usize) -> Result<Self, PoolError> {
        let streams = match streams {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            n if n > crate::pool::MAX_THREADS => return Err(PoolError::TooMany(n)),
            n => n,
        };
        (0..streams).map(|_| session.stream()).collect::<Result<_, _>>().map(Self)
    }

    /// Returns the number of streams.
    #[expect(clippy::len_without_is_empty, reason = "there is at least one")]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns the streams.
    pub fn sessions(&mut self) -> &mut [Session] {
        &mut self.0
    }

    /// Runs `work` for each number below `count` on the first free stream. Returns the results in the order of the
    /// numbers. Starts threads, which costs some tens of microseconds.
    ///
    /// # Panics
    /// Panics if `work` does.
    pub fn map<T: Send>(&mut self, count: usize, work: impl Fn(&mut Session, usize) -> T + Sync) -> Vec<T> {
        let next = AtomicUsize::new(0);
        let results: Mutex<Vec<Option<T>>> = Mutex::new((0..count).map(|_| None).collect());
        let run = |session: &mut Session| {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return;
                }
                let result = work(session, number);
                results.lock().expect("nobody panics with the lock")[number] = Some(result);
            }
        };
        let (first, others) = self.0.split_first_mut().expect("there is at least one");
        std::thread::scope(|scope| {
            let run = &run;
            others.iter_mut().take(count.saturating_sub(1)).for_each(|session| {
                scope.spawn(move || run(session));
            });
            run(first);
        });
        let results = results.into_inner().expect("nobody panicked with the lock");
        results.into_iter().map(|result| result.expect("every number was taken")).collect()
    }
}

#[cfg(test)]
mod tests {
    use foldnet_archive::testing::every_step;
    use foldnet_kernels::dispatch;

    use super::*;

    #[test]
    fn streams_answer_in_order_what_a_session_answers() {
        let mut session = Session::new(&every_step(), dispatch::best(), 1).unwrap();
        let len = session.input().len();
        let image = |number: usize| -> Vec<u8> { (0..len).map(|i| (i * (number + 3)) as u8).collect() };
        let expected: Vec<Vec<f32>> = (0..40).map(|n| session.run(&image(n)).to_vec()).collect();
        let features: Vec<Option<Vec<f32>>> =
            (0..40).map(|n| session.features(&image(n)).map(<[f32]>::to_vec)).collect();
        for streams in [1, 2, 5] {
            let mut streams = Streams::new(&session, streams).unwrap();
            assert_eq!(streams.map(40, |session, n| session.run(&image(n)).to_vec()), expected);
            let found = streams.map(40, |session, n| session.features(&image(n)).map(<[f32]>::to_vec));
            assert_eq!(found, features);
            assert_eq!(streams.map(0, |_, n| n), [0; 0]);
            assert_eq!(streams.map(1, |_, n| n), [0]);
        }
    }

    #[test]
    fn weights_are_shared() {
        let session = Session::new(&every_step(), dispatch::best(), 1).unwrap();
        let mut streams = Streams::new(&session, 3).unwrap();
        assert_eq!(streams.len(), 3);
        let plan = session.plan_bytes().as_ptr();
        assert!(streams.sessions().iter().all(|stream| stream.plan_bytes().as_ptr() == plan));
        assert!(matches!(Streams::new(&session, 257), Err(PoolError::TooMany(257))));
    }
}
