//! SIGINT and SIGTERM ask for an end, SIGHUP for the archive to be read again. The handler does no more
//! than to set a flag.

use std::sync::atomic::{AtomicBool, Ordering};

static STOP: AtomicBool = AtomicBool::new(false);
static RELOAD: AtomicBool = AtomicBool::new(false);

#[cfg(unix)]
extern "C" fn on_signal(signal: libc::c_int) {
    if signal == libc::SIGHUP {
        RELOAD.store(true, Ordering::Relaxed);
    } else if STOP.swap(true, Ordering::Relaxed) {
        // Asked twice: whoever asks does not want to wait.
        // SAFETY: `_exit` may be called in a signal handler.
        unsafe { libc::_exit(130) };
    }
}

/// From now on the signals set the flags.
pub fn listen() {
    #[cfg(unix)]
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        // SAFETY: the handler only touches atomics and calls `_exit`, which signal handlers may.
        unsafe { libc::signal(signal, on_signal as *const () as libc::sighandler_t) };
    }
}

/// Whether an end was asked for.
pub fn stop() -> bool {
    STOP.load(Ordering::Relaxed)
}

/// Asks for the archive to be read again, as SIGHUP does.
pub fn ask_reload() {
    RELOAD.store(true, Ordering::Relaxed);
}

/// Whether a reload was asked for since the last call.
pub fn take_reload() -> bool {
    RELOAD.swap(false, Ordering::Relaxed)
}
