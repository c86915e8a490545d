//! Chooses the faster of two backends, and the CPU if the other one fails.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use foldnet::backend::{Backend, BackendError, Memory};

use crate::bench::noise;

/// The number of timed runs of each; the fastest counts.
const RUNS: usize = 5;
const CPU: &str = "cpu";
const OTHER: &str = "other";

/// Asks another backend as long as it answers and is faster, and otherwise the CPU.
pub struct Auto {
    other: Option<Box<dyn Backend>>,
    cpu: Box<dyn Backend>,
    scores: Vec<f32>,
    /// Pixels of one image, if the other backend has no memory for them or is gone.
    own: Vec<u8>,
}

impl Auto {
    /// Chooses the backend that is faster on one image of noise of `pixels` bytes. The choice is read from the
    /// file `memory`, or else measured and written there. Without another backend, the CPU is used.
    pub fn new(
        other: Option<Box<dyn Backend>>,
        mut cpu: Box<dyn Backend>,
        pixels: usize,
        memory: Option<&Path>,
    ) -> Result<Self, BackendError> {
        let (scores, own) = (Vec::new(), vec![0; pixels]);
        let Some(mut other) = other else { return Ok(Self { other: None, cpu, scores, own }) };
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
        Ok(Self { other: (choice == OTHER).then_some(other), cpu, scores, own })
    }

    /// Returns whether the other backend is in use.
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
                Err(error) => self.give_up(&error),
            }
        }
        self.cpu.classify(pixels)
    }

    fn memory(&mut self) -> Option<&mut dyn Memory> {
        Some(self)
    }
}

impl Auto {
    /// Warns once, and uses only the CPU from now on.
    fn give_up(&mut self, error: &BackendError) {
        tracing::warn!("{error}; going on with the CPU");
        self.other = None;
    }
}

impl Memory for Auto {
    fn pixels(&mut self) -> &mut [u8] {
        match self.other.as_mut().and_then(|o| o.memory()) {
            Some(memory) => memory.pixels(),
            None => &mut self.own,
        }
    }

    fn classify(&mut self) -> Result<&[f32], BackendError> {
        if let Some(other) = &mut self.other {
            let answer = match other.memory() {
                Some(memory) => memory.classify(),
                None => other.classify(&self.own),
            };
            match answer {
                Ok(scores) => {
                    self.scores.clear();
                    self.scores.extend_from_slice(scores);
                    return Ok(&self.scores);
                }
                Err(error) => {
                    // The other backend's memory can still be read.
                    if let Some(memory) = other.memory() {
                        self.own.copy_from_slice(memory.pixels());
                    }
                    self.give_up(&error);
                }
            }
        }
        self.cpu.classify(&self.own)
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

/// Stores the choice. If that fails, the choice is measured again next time.
fn remember(file: &Path, choice: &str) {
    let folder = file.parent().unwrap_or(Path::new("."));
    let kept =
        std::fs::create_dir_all(folder).and_then(|()| foldnet_archive::write_file(file, choice.as_bytes()));
    if let Err(error) = kept {
        tracing::info!("{}: {error}", file.display());
    }
}

/// Returns the user's cache folder for Foldnet, or `None` if neither `XDG_CACHE_HOME` nor `HOME` is set.
pub fn cache() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|v| Path::new(v).is_absolute()).map(PathBuf::from);
    let base = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")))?;
    Some(base.join("foldnet"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU8, Ordering};

    use super::*;

    /// Answers slowly with 1, 2, 3, …, until it fails.
    struct Counting {
        count: f32,
        last: f32,
        time: Duration,
        scores: [f32; 1],
        /// Its own memory, and the pixels of its last request.
        memory: Option<[u8; 1]>,
        seen: Arc<AtomicU8>,
    }

    impl Counting {
        fn boxed(first: f32, last: f32, ms: u64) -> Box<dyn Backend> {
            Box::new(Self::new(first, last, ms))
        }

        fn new(first: f32, last: f32, ms: u64) -> Self {
            let (time, seen) = (Duration::from_millis(ms), Arc::default());
            Self { count: first, last, time, scores: [0.0], memory: None, seen }
        }
    }

    impl Backend for Counting {
        fn about(&self) -> String {
            "counts".into()
        }

        fn classify(&mut self, pixels: &[u8]) -> Result<&[f32], BackendError> {
            self.seen.store(pixels[0], Ordering::Relaxed);
            std::thread::sleep(self.time);
            if self.count >= self.last {
                return Err(BackendError::new("test", "gone"));
            }
            self.count += 1.0;
            self.scores = [self.count];
            Ok(&self.scores)
        }

        fn memory(&mut self) -> Option<&mut dyn Memory> {
            self.memory.is_some().then_some(self as &mut dyn Memory)
        }
    }

    impl Memory for Counting {
        fn pixels(&mut self) -> &mut [u8] {
            self.memory.as_mut().unwrap()
        }

        fn classify(&mut self) -> Result<&[f32], BackendError> {
            let pixels = self.memory.unwrap();
            Backend::classify(self, &pixels)
        }
    }

    #[test]
    fn the_cpu_goes_on_with_what_stands_in_the_others_memory() {
        for memory in [Some([0]), None] {
            let (cpu, mut other) = (Counting::new(0.0, 1e6, 20), Counting::new(100.0, 106.0, 0));
            other.memory = memory;
            let (cpu_saw, other_saw) = (cpu.seen.clone(), other.seen.clone());
            let mut auto = Auto::new(Some(Box::new(other)), Box::new(cpu), 1, None).unwrap();
            let mut answer = |pixel: u8| {
                let memory = auto.memory().unwrap();
                memory.pixels()[0] = pixel;
                let scores = memory.classify().unwrap().to_vec();
                assert_eq!(memory.pixels(), [pixel], "it stays to be seen");
                (scores[0], cpu_saw.load(Ordering::Relaxed), other_saw.load(Ordering::Relaxed))
            };
            let measured_with = noise(1)[0];
            assert_eq!(answer(7), (106.0, measured_with, 7));
            // The other backend fails on this image: the CPU gets it and all later images.
            assert_eq!(answer(8), (6.0, 8, 8));
            assert_eq!(answer(9), (7.0, 9, 8));
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
        // Five runs were for the measurement; after the sixth the other backend fails.
        assert_eq!(Backend::classify(&mut auto, &[0]).unwrap(), [106.0]);
        assert_eq!(Backend::classify(&mut auto, &[0]).unwrap(), [6.0]);
        assert!(!auto.uses_other());

        // The choice is read, not measured: first the other backend answers, then the CPU, as written in the file.
        let mut again = Auto::new(Some(quick()), slow(), 1, Some(&file)).unwrap();
        assert_eq!(Backend::classify(&mut again, &[0]).unwrap(), [101.0]);
        std::fs::write(&file, CPU).unwrap();
        let mut again = Auto::new(Some(quick()), slow(), 1, Some(&file)).unwrap();
        assert_eq!(Backend::classify(&mut again, &[0]).unwrap(), [1.0]);
        // A backend that fails while it is measured is not chosen, and the choice is not stored.
        std::fs::remove_file(&file).unwrap();
        let broken = Auto::new(Some(Counting::boxed(0.0, 0.0, 0)), slow(), 1, Some(&file)).unwrap();
        assert!(!broken.uses_other() && !file.exists());
    }
}
