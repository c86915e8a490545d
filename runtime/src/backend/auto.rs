//! The faster of two backends, and the CPU when the other fails.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::{Backend, BackendError};
use crate::bench::noise;

/// Runs that each is timed for; the fastest counts.
const RUNS: usize = 5;
const CPU: &str = "cpu";
const OTHER: &str = "other";

/// Asks another backend as long as it answers and is faster, else the CPU.
pub struct Auto {
    other: Option<Box<dyn Backend>>,
    cpu: Box<dyn Backend>,
    scores: Vec<f32>,
}

impl Auto {
    /// Takes the faster on one picture of noise of `pixels` bytes, as remembered in the file `memory`, or else
    /// as measured and remembered there. Without another backend there is nothing to choose.
    pub fn new(
        other: Option<Box<dyn Backend>>,
        mut cpu: Box<dyn Backend>,
        pixels: usize,
        memory: Option<&Path>,
    ) -> Result<Self, BackendError> {
        let Some(mut other) = other else { return Ok(Self { other: None, cpu, scores: Vec::new() }) };
        let remembered = memory.and_then(|file| std::fs::read_to_string(file).ok());
        let choice = match remembered.as_deref() {
            Some(CPU) => CPU,
            Some(OTHER) => OTHER,
            _ => {
                let pixels = noise(pixels);
                let cpu_time = fastest(&mut *cpu, &pixels)?;
                match fastest(&mut *other, &pixels) {
                    Ok(time) => {
                        let choice = if time < cpu_time { OTHER } else { CPU };
                        if let Some(file) = memory {
                            remember(file, choice);
                        }
                        choice
                    }
                    Err(error) => {
                        tracing::warn!("{error}; going on with the CPU");
                        CPU
                    }
                }
            }
        };
        tracing::info!("auto: {choice} is the faster");
        Ok(Self { other: (choice == OTHER).then_some(other), cpu, scores: Vec::new() })
    }

    /// Whether the other backend is in use.
    pub fn uses_other(&self) -> bool {
        self.other.is_some()
    }
}

impl Backend for Auto {
    fn about(&self) -> String {
        self.other.as_ref().unwrap_or(&self.cpu).about()
    }

    fn classify(&mut self, pixels: &[u8]) -> Result<&[f32], BackendError> {
        if let Some(other) = &mut self.other {
            match other.classify(pixels) {
                Ok(scores) => {
                    self.scores.clear();
                    self.scores.extend_from_slice(scores);
                    return Ok(&self.scores);
                }
                // Said once: from now on there is no other.
                Err(error) => tracing::warn!("{error}; going on with the CPU"),
            }
            self.other = None;
        }
        self.cpu.classify(pixels)
    }
}

fn fastest(backend: &mut dyn Backend, pixels: &[u8]) -> Result<Duration, BackendError> {
    let mut best = Duration::MAX;
    for _ in 0..RUNS {
        let start = Instant::now();
        backend.classify(pixels)?;
        best = best.min(start.elapsed());
    }
    Ok(best)
}

/// A choice that cannot be kept is measured again the next time.
fn remember(file: &Path, choice: &str) {
    let folder = file.parent().unwrap_or(Path::new("."));
    let kept =
        std::fs::create_dir_all(folder).and_then(|()| foldnet_archive::write_file(file, choice.as_bytes()));
    if let Err(error) = kept {
        tracing::info!("{}: {error}", file.display());
    }
}

/// The user's cache folder for us; `None` where neither `XDG_CACHE_HOME` nor `HOME` says.
pub fn cache() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|v| Path::new(v).is_absolute()).map(PathBuf::from);
    let base = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")))?;
    Some(base.join("foldnet"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers 1, 2, 3, …, until it fails; takes its time.
    struct Counting {
        count: f32,
        last: f32,
        time: Duration,
        scores: [f32; 1],
    }

    impl Counting {
        fn boxed(first: f32, last: f32, ms: u64) -> Box<dyn Backend> {
            Box::new(Self { count: first, last, time: Duration::from_millis(ms), scores: [0.0] })
        }
    }

    impl Backend for Counting {
        fn about(&self) -> String {
            "counts".into()
        }

        fn classify(&mut self, _: &[u8]) -> Result<&[f32], BackendError> {
            std::thread::sleep(self.time);
            if self.count >= self.last {
                return Err(BackendError::Tract("gone".into()));
            }
            self.count += 1.0;
            self.scores = [self.count];
            Ok(&self.scores)
        }
    }

    #[test]
    fn the_choice_is_remembered_and_the_cpu_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("deep/choice");
        let (slow, quick) = (|| Counting::boxed(0.0, 1e6, 20), || Counting::boxed(100.0, 106.0, 0));
        let mut auto = Auto::new(Some(quick()), slow(), 1, Some(&file)).unwrap();
        assert!(auto.uses_other());
        assert_eq!(std::fs::read_to_string(&file).unwrap(), OTHER);
        // Five runs were for the measurement; after the sixth the other fails.
        assert_eq!(auto.classify(&[0]).unwrap(), [106.0]);
        assert_eq!(auto.classify(&[0]).unwrap(), [6.0]);
        assert!(!auto.uses_other());

        // Remembered, not measured: the first answer of the other, and the CPU where that was written.
        let mut again = Auto::new(Some(quick()), slow(), 1, Some(&file)).unwrap();
        assert_eq!(again.classify(&[0]).unwrap(), [101.0]);
        std::fs::write(&file, CPU).unwrap();
        let mut again = Auto::new(Some(quick()), slow(), 1, Some(&file)).unwrap();
        assert_eq!(again.classify(&[0]).unwrap(), [1.0]);
        // What fails while it is measured is not chosen, and that is not remembered.
        std::fs::remove_file(&file).unwrap();
        let broken = Auto::new(Some(Counting::boxed(0.0, 0.0, 0)), slow(), 1, Some(&file)).unwrap();
        assert!(!broken.uses_other() && !file.exists());
    }
}
