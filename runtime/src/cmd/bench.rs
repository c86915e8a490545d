//! `runtime bench`: how fast, where the time goes, and how much memory.

use std::io::BufRead;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use foldnet::Session;
use foldnet_archive::Input;
use foldnet_backends::bench::{
    Iterations, Statistics, core_frequency, limit_now, measure, median, noise, share_of_limit,
};
use foldnet_image::frame::{Colors, Fitter, Format, Frame, FrameError, View};
use serde_json::{Value, json};

#[cfg(any(feature = "rknn", feature = "tract"))]
use super::read;
use super::throughput::Throughput;
use super::{Engine, Failure, Output, bytes, fitted};

/// Measure the speed of an archive on this machine
///
/// Times inferences on one image of noise, then each layer. "Of limit" is the share of
/// the rate that the processor's multiply-accumulate instructions reach on registers alone. That rate is
/// measured right before and after each round, on as many cores as there are threads; the table shows the
/// median of the rounds. On Arm, the limit is one instruction per cycle. A note below the table explains
/// values above 100 %.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  runtime bench model.nnef.tgz\n  runtime bench model.nnef.tgz --threads 2 --float\n  \
                  runtime bench model.nnef.tgz --streams 0"
)]
pub struct Cmd {
    /// Archive from `converter quantize`
    archive: PathBuf,
    /// Number of threads; 0 is one per core
    #[arg(long, value_name = "N", default_value_t = 1)]
    threads: usize,
    /// Also classify this many images at once, each on one thread; 0 is one per core
    #[arg(long, value_name = "N", conflicts_with = "serve_stdin")]
    streams: Option<usize>,
    /// Number of inferences to time [default: as many as fit into three seconds]
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u32).range(1..))]
    iterations: Option<u32>,
    /// Number of inferences before timing starts
    #[arg(long, value_name = "W", default_value_t = 5)]
    warmup: u32,
    /// Also time the network in f32 (tract, one thread)
    #[cfg(feature = "tract")]
    #[arg(long)]
    float: bool,
    #[command(flatten)]
    engine: Engine,
    /// Also time the NPU
    #[cfg(feature = "rknn")]
    #[arg(long, value_enum, default_value_t = By::Cpu)]
    backend: By,
    #[cfg(feature = "rknn")]
    #[command(flatten)]
    npu: super::npu::Flags,
    /// Read `run K` lines from standard input and time K inferences for each
    ///
    /// Prints one line for each: {"ms":[…]}, in milliseconds.
    #[arg(long)]
    serve_stdin: bool,
}

#[cfg(feature = "rknn")]
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum By {
    /// Only the CPU
    Cpu,
    /// A Rockchip NPU beside it
    Rknn,
}

/// What the NPU does.
struct Npu {
    about: String,
    cores: usize,
    /// Pictures that a core takes at once.
    batch: usize,
    times: Statistics,
    /// With all cores at once, in batches.
    pictures_s: f64,
    celsius: Option<f64>,
    load: Option<String>,
}

/// Times that each layer is timed, whatever the iterations, so that the work besides them is always
/// the same.
const LAYER_ROUNDS: usize = 10;
/// Time for the timed inferences when their number is not given.
const BUDGET: Duration = Duration::from_secs(3);
/// Frames that are fitted.
const FITS: Iterations = Iterations::Exactly(50);

/// A layer's part in an inference.
struct Layer {
    name: String,
    kind: &'static str,
    macs: u64,
    ms: f64,
    share: f64,
    /// Multiply-accumulates per second, in 10⁹.
    gmac_s: f64,
    /// Part of the instruction's limit; `None` where none is known.
    of_limit: Option<f64>,
}

/// Everything measured.
struct Figures {
    times: Statistics,
    iterations: usize,
    float_median_ms: Option<f64>,
    /// A camera's frame as the network's pixels.
    fit_ms: f64,
    npu: Option<Npu>,
    throughput: Option<Throughput>,
    first_result_ms: f64,
    frequency: Option<f64>,
    /// Multiply-accumulates per second of all threads' cores at best.
    limit: Option<f64>,
    of_limit: Option<f64>,
    layers: Vec<Layer>,
}

impl Cmd {
    /// Runs the command.
    pub fn run(self, output: &Output) -> Result<(), Failure> {
        let start = Instant::now();
        let (manifest, mut session) = self.engine.load(&self.archive, self.threads)?;
        let pixels = noise(session.input().len());
        session.run(&pixels);
        let first_result_ms = start.elapsed().as_secs_f64() * 1e3;
        for _ in 0..self.warmup {
            session.run(&pixels);
        }
        if self.serve_stdin {
            return serve(&mut session, &pixels, output);
        }
        let mut figures = self.measure(&mut session, &pixels, first_result_ms)?;
        figures.fit_ms = fit_ms(manifest.input).map_err(Failure::internal)?;
        figures.npu = self.npu(&pixels)?;
        if let Some(streams) = self.streams {
            let (images, one) = (self.iterations.map(|n| n as usize), figures.times.median_ms / 1e3);
            let one = Duration::from_secs_f64(one);
            figures.throughput = Some(Throughput::measure(&session, streams, &pixels, images, one)?);
        }
        if output.json() { output.data(&figures.json(&session)) } else { figures.print(output, &session) }
    }

    fn measure(
        &self,
        session: &mut Session,
        pixels: &[u8],
        first_result_ms: f64,
    ) -> Result<Figures, Failure> {
        let iterations = self.iterations();
        let durations = measure(iterations, || {
            session.run(pixels);
            Ok::<(), Failure>(())
        })?;
        let frequency = core_frequency();
        let Rounds { layers, limit, of_limit } = rounds(session, pixels);
        let times = Statistics::of(&durations);
        Ok(Figures {
            times,
            iterations: durations.len(),
            float_median_ms: self.float_median_ms(pixels, iterations)?,
            fit_ms: 0.0,
            npu: None,
            throughput: None,
            first_result_ms,
            frequency,
            limit,
            of_limit,
            layers,
        })
    }

    #[cfg(feature = "tract")]
    fn float_median_ms(&self, pixels: &[u8], iterations: Iterations) -> Result<Option<f64>, Failure> {
        if !self.float {
            return Ok(None);
        }
        let (network, _) = read(&self.archive)?;
        let mut float = foldnet_tract::Float::new(&network)?;
        for _ in 0..self.warmup {
            float.logits(pixels)?;
        }
        let durations = measure(iterations, || float.logits(pixels).map(|_| ()))?;
        Ok(Some(Statistics::of(&durations).median_ms))
    }

    #[cfg(feature = "rknn")]
    fn npu(&self, pixels: &[u8]) -> Result<Option<Npu>, Failure> {
        use foldnet::backend::Backend;
        use foldnet_backends::rknn::Device;
        if self.backend == By::Cpu {
            return Ok(None);
        }
        let (network, manifest) = read(&self.archive)?;
        let mut rknn = self.npu.open(&network, &manifest, true)?;
        for _ in 0..self.warmup {
            rknn.run(pixels)?;
        }
        let durations = measure(self.iterations(), || rknn.run(pixels).map(|_| ()))?;
        let pictures = vec![pixels; durations.len().max(rknn.cores() * rknn.batch())];
        rknn.logits(&pictures[..rknn.cores() * rknn.batch()])?;
        let start = Instant::now();
        rknn.logits(&pictures)?;
        let pictures_s = pictures.len() as f64 / start.elapsed().as_secs_f64();
        let (device, times) = (Device::below("/"), Statistics::of(&durations));
        let (about, cores, batch) = (rknn.about(), rknn.cores(), rknn.batch());
        let npu = Npu {
            about,
            cores,
            batch,
            times,
            pictures_s,
            celsius: device.temperature(),
            load: device.load(),
        };
        Ok(Some(npu))
    }

    #[cfg(not(feature = "rknn"))]
    fn npu(&self, _: &[u8]) -> Result<Option<Npu>, Failure> {
        Ok(None)
    }

    fn iterations(&self) -> Iterations {
        match self.iterations {
            Some(n) => Iterations::Exactly(n as usize),
            None => Iterations::For(BUDGET),
        }
    }

    #[cfg(not(feature = "tract"))]
    fn float_median_ms(&self, _: &[u8], _: Iterations) -> Result<Option<f64>, Failure> {
        Ok(None)
    }
}

/// The median time that it takes to make a network's pixels of a camera's 640×480 YUYV frame of noise.
fn fit_ms(input: Input) -> Result<f64, FrameError> {
    let mut frame = Frame::default();
    let bytes = frame.shape(Format::Yuyv, 640, 480, Colors::default())?;
    bytes.copy_from_slice(&noise(bytes.len()));
    let mut fitter = Fitter::new(input, View::default());
    let mut pixels = Vec::new();
    fitter.fit(&mut frame, &mut pixels)?;
    Ok(Statistics::of(&measure(FITS, || fitter.fit(&mut frame, &mut pixels))?).median_ms)
}

/// Answers `run K` with K inferences, until the input ends.
fn serve(session: &mut Session, pixels: &[u8], output: &Output) -> Result<(), Failure> {
    for line in std::io::stdin().lock().lines() {
        let line = line.map_err(|e| Failure::input(format!("standard input: {e}")))?;
        let count = match line.split_whitespace().collect::<Vec<_>>()[..] {
            [] => continue,
            ["run", count] => count.parse().ok().filter(|n| (1..=1_000_000).contains(n)),
            _ => None,
        };
        let count: usize =
            count.ok_or_else(|| Failure::input(format!("standard input: {line:?} is not `run K`")))?;
        let durations = measure(Iterations::Exactly(count), || {
            session.run(pixels);
            Ok::<(), Failure>(())
        })?;
        let ms: Vec<f64> = durations.iter().map(|d| d.as_secs_f64() * 1e3).collect();
        output.line(json!({ "ms": ms }))?;
        output.flush()?;
    }
    Ok(())
}

/// What the rounds over the layers say.
struct Rounds {
    layers: Vec<Layer>,
    limit: Option<f64>,
    of_limit: Option<f64>,
}

/// Times each layer [`LAYER_ROUNDS`] times, with the limit measured around each round; see [`share_of_limit`].
fn rounds(session: &mut Session, pixels: &[u8]) -> Rounds {
    let mut times: Vec<Vec<Duration>> = vec![Vec::with_capacity(LAYER_ROUNDS); session.steps().len()];
    let mut limits = Vec::with_capacity(LAYER_ROUNDS);
    let mut round = Vec::new();
    for _ in 0..LAYER_ROUNDS {
        let before = limit_now(session.set());
        session.run_timed(pixels, &mut round);
        let after = limit_now(session.set());
        // What disturbs such a measurement makes it less.
        limits.extend(before.zip(after).map(|(a, b)| a.max(b) * session.threads() as f64));
        times.iter_mut().zip(&round).for_each(|(step, &time)| step.push(time));
    }
    let medians: Vec<f64> = times.iter().map(|times| Statistics::of(times).median_ms).collect();
    let total: f64 = medians.iter().sum();
    let share = |macs: u64, seconds: &dyn Fn(usize) -> f64| {
        share_of_limit(macs, limits.iter().enumerate().map(|(round, &limit)| (seconds(round), limit)))
    };
    let layer = |(step, (&ms, times)): (&foldnet::StepInfo, (&f64, &Vec<Duration>))| Layer {
        name: step.name.clone(),
        kind: step.kind.word(),
        macs: step.macs,
        ms,
        share: ms / total,
        gmac_s: step.macs as f64 / ms / 1e6,
        of_limit: (step.macs > 0).then(|| share(step.macs, &|round| times[round].as_secs_f64())).flatten(),
    };
    let layers = session.steps().iter().zip(medians.iter().zip(&times)).map(layer).collect();
    let all = |round: usize| times.iter().map(|times| times[round].as_secs_f64()).sum::<f64>();
    let of_limit = share(session.macs(), &all);
    Rounds { layers, limit: median(limits), of_limit }
}

/// Whether any share, as printed, is more than 100 %.
fn above_limit(mut shares: impl Iterator<Item = Option<f64>>) -> bool {
    shares.any(|share| share.is_some_and(|share| (100.0 * share).round() > 100.0))
}

/// Why a layer can exceed the limit with this set.
fn why_more(session: &Session) -> &'static str {
    match session.set().name() {
        "avx2" | "neon" => {
            "this kernel set computes 3×3 layers of stride 1 by Winograd's method, which takes fewer \
             multiplications than are counted here"
        }
        _ if session.set().peak_macs_per_second().is_none() => {
            "the limit assumes one multiply-accumulate instruction per cycle, and this processor starts more"
        }
        _ => {
            "this processor was disturbed while its limit was measured (other programs, another clock rate); \
             repeat when it is idle"
        }
    }
}

impl Npu {
    fn json(&self) -> Value {
        json!({
            "about": self.about, "cores": self.cores, "batch": self.batch, "median_ms": self.times.median_ms,
            "p90_ms": self.times.p90_ms, "p99_ms": self.times.p99_ms, "pictures_s": self.pictures_s,
            "celsius": self.celsius, "load": self.load,
        })
    }

    fn words(&self, cpu_median_ms: f64) -> String {
        let t = &self.times;
        let heat = self.celsius.map_or(String::new(), |c| format!(", {c:.1} °C"));
        let batch = if self.batch > 1 { format!(" in batches of {}", self.batch) } else { String::new() };
        let load = self.load.as_ref().map_or(String::new(), |l| format!(", {l}"));
        format!(
            "NPU ({}): median {:.3} ms, p90 {:.3}, p99 {:.3}, {:.2} times as fast as the CPU; on {} core{}{batch} {:.1} images/s{heat}{load}",
            self.about,
            t.median_ms,
            t.p90_ms,
            t.p99_ms,
            cpu_median_ms / t.median_ms,
            self.cores,
            if self.cores == 1 { "" } else { "s" },
            self.pictures_s,
        )
    }
}

impl Figures {
    fn json(&self, session: &Session) -> Value {
        let layers: Vec<Value> = self
            .layers
            .iter()
            .map(|l| {
                json!({
                    "name": l.name, "kind": l.kind, "macs": l.macs, "ms": l.ms, "share": l.share,
                    "gmac_s": l.gmac_s, "of_limit": l.of_limit,
                })
            })
            .collect();
        json!({
            "median_ms": self.times.median_ms,
            "p90_ms": self.times.p90_ms,
            "p99_ms": self.times.p99_ms,
            "min_ms": self.times.min_ms,
            "float_median_ms": self.float_median_ms,
            "fit_ms": self.fit_ms,
            "npu": self.npu.as_ref().map(Npu::json),
            "throughput": self.throughput.as_ref().map(Throughput::json),
            "first_result_ms": self.first_result_ms,
            "arena_bytes": session.arena_bytes(),
            "scratch_bytes": session.scratch_bytes(),
            "weight_bytes": session.weight_bytes(),
            "iterations": self.iterations,
            "threads": session.threads(),
            "kernels": session.set().name(),
            "frequency_ghz": self.frequency.map(|f| f / 1e9),
            "limit_gmac_s": self.limit.map(|limit| limit / 1e9),
            "of_limit": self.of_limit,
            "layers": layers,
        })
    }

    fn print(&self, output: &Output, session: &Session) -> Result<(), Failure> {
        self.print_layers(output)?;
        if above_limit(self.layers.iter().map(|layer| layer.of_limit)) {
            output.line(format_args!("more than 100 %: {}", why_more(session)))?;
        }
        let t = &self.times;
        let threads = session.threads();
        output.line("")?;
        output.line(format!(
            "median {:.3} ms, p90 {:.3}, p99 {:.3}, min {:.3}; {:.1} images/s  ({} inferences, {threads} thread{}, {})",
            t.median_ms,
            t.p90_ms,
            t.p99_ms,
            t.min_ms,
            1e3 / t.median_ms,
            self.iterations,
            if threads == 1 { "" } else { "s" },
            session.set().name(),
        ))?;
        let gmac_s = session.macs() as f64 / t.median_ms / 1e6;
        let limit = match (self.limit, self.of_limit, session.set().peak_macs_per_second()) {
            (Some(limit), Some(share), peak) => format!(
                ": {:.0} % of {:.0} GMAC/s, {}",
                100.0 * share,
                limit / 1e9,
                if peak.is_some() { "measured on registers" } else { "one instruction per cycle" },
            ),
            _ => String::new(),
        };
        output.line(format!("{gmac_s:.1} GMAC/s of {:.1} MMAC{limit}", session.macs() as f64 / 1e6))?;
        output.line(format!(
            "memory: arena {}, scratch {}, plan with weights {}; {:.1} ms from archive to first result",
            bytes(session.arena_bytes()),
            bytes(session.scratch_bytes()),
            bytes(session.weight_bytes()),
            self.first_result_ms
        ))?;
        output.line(format!(
            "a camera's 640×480 frame to the network's pixels: {:.3} ms, {:.1} % of an inference",
            self.fit_ms,
            100.0 * self.fit_ms / t.median_ms
        ))?;
        if let Some(float) = self.float_median_ms {
            output.line(format!(
                "f32 (tract, 1 thread): median {float:.3} ms; int8 is {:.2} times as fast",
                float / t.median_ms
            ))?;
        }
        if let Some(throughput) = &self.throughput {
            output.line(throughput.words())?;
        }
        if let Some(npu) = &self.npu {
            output.line(npu.words(t.median_ms))?;
        }
        Ok(())
    }

    fn print_layers(&self, output: &Output) -> Result<(), Failure> {
        let width = self.layers.iter().map(|l| l.name.chars().count()).max().unwrap_or(0).clamp(5, 36);
        output.line(format!(
            "{:>4} {:width$} {:9} {:>10} {:>7} {:>9} {:>9}",
            "step", "layer", "operator", "ms", "share", "GMAC/s", "of limit"
        ))?;
        for (i, l) in self.layers.iter().enumerate() {
            let rate = if l.macs > 0 { format!("{:.2}", l.gmac_s) } else { String::new() };
            let limit = l.of_limit.map_or(String::new(), |share| format!("{:.0} %", 100.0 * share));
            output.line(format!(
                "{i:>4} {} {:9} {:>10.4} {:>5.1} % {rate:>9} {limit:>9}",
                fitted(&l.name, width),
                l.kind,
                l.ms,
                100.0 * l.share
            ))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_the_limit_is_explained() {
        assert!(above_limit([Some(0.4), None, Some(1.01)].into_iter()));
        assert!(!above_limit([Some(1.0), Some(1.004), None].into_iter()));
    }
}
