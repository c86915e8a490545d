//! The converter, in this process.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foldnet_converter::cmd::{self, Failure, Listener};
use foldnet_converter::quantize::recipe::Progress;
use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;

use crate::error::QuantizeError;

/// What hears a conversion: `listener(kind, words, done, total)`, where `kind` is `stage`, `note` or `warning`.
struct Heard {
    listener: Py<PyAny>,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    stage: String,
    done: usize,
    total: usize,
    /// The exception that ended it: the listener's own, or an interrupt.
    raised: Option<PyErr>,
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Heard {
    /// Calls the listener, with the state unlocked: it may take long, and other threads tick meanwhile.
    fn call(&self, kind: &str, words: &str, done: usize, total: usize) {
        if lock(&self.state).raised.is_some() {
            return;
        }
        let called = Python::attach(|py| self.listener.call1(py, (kind, words, done, total)).map(drop));
        if let Err(error) = called {
            lock(&self.state).raised.get_or_insert(error);
        }
    }
}

impl Progress for Heard {
    fn stage(&self, name: &str, ticks: usize) {
        {
            let mut state = lock(&self.state);
            (state.stage, state.done, state.total) = (name.to_owned(), 0, ticks);
        }
        self.call("stage", name, 0, ticks);
    }

    fn tick(&self) {
        let (stage, done, total) = {
            let mut state = lock(&self.state);
            state.done += 1;
            (state.stage.clone(), state.done, state.total)
        };
        self.call("stage", &stage, done, total);
    }

    fn note(&self, words: &str) {
        self.call("note", words, 0, 0);
    }

    fn stopped(&self) -> bool {
        // Handlers of signals run here, so that an interrupt ends the conversion.
        if let Err(error) = Python::attach(|py| py.check_signals()) {
            lock(&self.state).raised.get_or_insert(error);
        }
        lock(&self.state).raised.is_some()
    }
}

impl Listener for Heard {
    fn warn(&self, words: &str) {
        self.call("warning", words, 0, 0);
    }
}

/// Runs `converter quantize` with these arguments. Returns the archive's path, and the report as JSON.
#[pyfunction]
pub fn quantize(
    py: Python<'_>,
    arguments: Vec<PathBuf>,
    listener: Py<PyAny>,
) -> PyResult<(OsString, String)> {
    let state = Arc::new(Mutex::new(State::default()));
    let heard = Heard { listener, state: Arc::clone(&state) };
    let result = py.detach(|| cmd::quantize(arguments, heard));
    if let Some(raised) = lock(&state).raised.take() {
        return Err(raised);
    }
    let (archive, report) = result.map_err(failed)?;
    let report = serde_json::to_string(&report).map_err(|error| QuantizeError::new_err(error.to_string()))?;
    Ok((archive.into_os_string(), report))
}

fn failed(failure: Failure) -> PyErr {
    let error = match failure {
        Failure::Limit(words) => return QuantizeError::new_err(words),
        Failure::Input(error) | Failure::Fault(error) => error,
    };
    // As the program prints it: causes whose text the error contains are not repeated.
    let mut words = error.to_string();
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        if !words.contains(&cause) {
            words = format!("{words}: {cause}");
        }
    }
    if error.chain().any(|cause| cause.is::<foldnet_converter::cmd::UsageError>()) {
        return crate::error::value(words);
    }
    let refused = error.chain().find_map(|cause| {
        let io = cause.downcast_ref::<io::Error>()?;
        io.raw_os_error()
    });
    match refused {
        Some(number) => PyOSError::new_err((number, words)),
        None => QuantizeError::new_err(words),
    }
}
