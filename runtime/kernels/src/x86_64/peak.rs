//! Measures the CPU's limit, for "% of peak".

/// Returns the MACs per second of `run(times)`, which issues `16 · times` instructions of `macs` each; the fastest
/// of a few tries. Returns `None` without a clock.
#[cfg(feature = "std")]
pub(super) fn measure(macs: f64, run: impl Fn(usize)) -> Option<f64> {
    const TIMES: usize = 4096;
    let seconds = (0..3)
        .map(|_| {
            let start = std::time::Instant::now();
            run(TIMES);
            start.elapsed().as_secs_f64()
        })
        .fold(f64::MAX, f64::min);
    Some(16.0 * TIMES as f64 * macs / seconds)
}

/// Returns `None`: there is no clock without the standard library.
#[cfg(not(feature = "std"))]
pub(super) fn measure(_: f64, _: impl Fn(usize)) -> Option<f64> {
    None
}
