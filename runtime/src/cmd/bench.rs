//! `runtime bench`: how fast, where the time goes, and how much memory.

mod figures;

use std::io::BufRead;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use foldnet::Session;
use foldnet_archive::Input;
use foldnet_backends::bench::{
    Iterations, Statistics, core_frequency, limit_now, measure, median, noise, share_of_limit,
};
use foldnet_image::frame::{Colors, Fitter, Format, Frame, FrameError, View};
use serde_json::json;

use super::expected::{Expectation, compatible};
use super::submit;
use super::throughput::Throughput;
use super::{Engine, Failure, Output, check_outputs, read};

/// Measure the speed of an archive on this machine
///
/// Times inferences on one image of noise, then each layer. "Of limit" is the share of
/// the rate that the processor's multiply-accumulate instructions reach on registers alone. That rate is
/// measured right before and after each round, on as many cores as there are threads; the table shows the
/// median of the rounds. On Arm, the limit is one instruction per cycle. A note below the table explains
/// values above 100 %.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  runtime bench model.nnef.tgz\n  runtime bench model.nnef.tgz --threads 2\n  \
                  runtime bench model.nnef.tgz --streams 0\n  \
                  runtime bench model.nnef.tgz --board raspberry-pi-4 --submit-file times.json"
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
    /// Board whose expected time is printed [default: the board that this machine is, if the catalogue has it]
    ///
    /// The time is that of `boards fit`, for one thread. It is compared with the measured time if this machine is that
    /// board.
    #[arg(long, value_name = "BOARD", conflicts_with = "serve_stdin")]
    board: Option<String>,
    /// Also write the result and the kind of this machine to a JSON file, which you can send us
    ///
    /// Contains the processor, the kernel set, versions, times and the archive's SHA-256, but no serial numbers and no
    /// names of files, users or hosts. Nothing is sent.
    #[arg(long, value_name = "FILE.json", conflicts_with = "serve_stdin")]
    submit_file: Option<PathBuf>,
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
    expectation: Option<Expectation>,
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
        if let Some(file) = &self.submit_file {
            check_outputs(&[&self.archive], &[("--submit-file", file)])?;
        }
        let compatible = compatible();
        // Read first: an unknown board is an error before anything is measured.
        let expectation = match self.serve_stdin {
            true => None,
            false => Expectation::new(self.board.as_deref(), &read(&self.archive)?.0, &compatible)?,
        };
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
        figures.expectation = expectation;
        if let Some(file) = &self.submit_file {
            let archive = std::fs::read(&self.archive)
                .map_err(|error| Failure::input(format_args!("{}: {error}", self.archive.display())))?;
            submit::write(file, &submit::content(&archive, &session, &compatible, &figures.json(&session)))?;
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
            expectation: None,
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
