//! Every network that people have, as its framework exports it: converted, run, and held against ONNX
//! Runtime. Prints the network table, or with `FOLDNET_NETWORK=resnet152` those rows and all about them:
//!
//! ```text
//! cargo test --release -p foldnet-tests --test networks -- --nocapture
//! ```
//!
//! Calibrated on a handful of seeded images and without search, so that the table takes minutes: the
//! figures say that a structure survives int8, not how well a trained network does. Random weights make
//! near ties, so that agreement is printed and the logits' signal to noise is judged.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use foldnet::Session;
use foldnet_archive::testing::manifest;
use foldnet_archive::{Network, Step};
use foldnet_converter::float::{FloatNet, Grids};
use foldnet_converter::graph::{Graph, Node, Op};
use foldnet_converter::image::Pixels;
use foldnet_converter::import;
use foldnet_converter::pass::{Preprocess, fold, prepend};
use foldnet_converter::quantize::recipe::Silent;
use foldnet_converter::quantize::score::{Distance, Measure};
use foldnet_converter::quantize::{Effort, Options, quantize};
use foldnet_kernels::{Shape, dispatch};
use foldnet_tests::networks::{Fixture, fixtures};

/// How far float logits may be from ONNX Runtime's, of the golden logits' largest. The order of summation alone
/// makes a twentieth of this.
const FLOAT_TOLERANCE: f32 = 1e-4;
/// The least signal to noise of int8 logits, dB.
const LEAST_SQNR: f64 = 10.0;
/// Multiply-accumulates that one network's images may cost, for calibrating and again for trying.
const MACS: u64 = 3_000_000_000;
/// Rows worked on at once.
const LANES: usize = 2;

#[test]
fn every_network_converts_and_runs() {
    let only = std::env::var("FOLDNET_NETWORK").ok();
    let wanted = |f: &Fixture| only.as_ref().is_none_or(|only| f.name.contains(only));
    let fixtures: Vec<Fixture> = fixtures().into_iter().filter(wanted).collect();
    println!(
        "{:18} {:34} {:>8} {:>5} {:>9} {:>7} {:>9}",
        "source", "network", "f32 off", "steps", "agreement", "SQNR", "speed-up"
    );
    let table = Table { only, quantized: Mutex::new(HashSet::new()) };
    let next = AtomicUsize::new(0);
    let (rows, failures) = (Mutex::new(Vec::new()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..LANES {
            scope.spawn(|| {
                while let Some(fixture) = fixtures.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let row = match &fixture.refused {
                        Some(why) => {
                            match refused(fixture, why) {
                                Ok(message) => {
                                    println!("{:18} {:34} refused: {message}", fixture.source, fixture.name)
                                }
                                Err(problem) => {
                                    failures.lock().unwrap().push(format!("{}: {problem}", fixture.name));
                                }
                            }
                            continue;
                        }
                        None => table.row(fixture),
                    };
                    match &row {
                        Ok(row) if row.figures.is_none() => {}
                        Ok(row) => println!("{}", row.line(fixture, "")),
                        Err(problem) => println!("{:18} {:34} {problem}", fixture.source, fixture.name),
                    }
                    match row {
                        Ok(row) => rows.lock().unwrap().push((fixture, row)),
                        Err(problem) => failures.lock().unwrap().push(format!("{}: {problem}", fixture.name)),
                    }
                }
            });
        }
    });
    let rows = rows.into_inner().unwrap();
    for (fixture, row) in rows.iter().filter(|(_, row)| row.figures.is_none()) {
        let same = rows.iter().find(|(_, other)| other.structure == row.structure && other.figures.is_some());
        match same {
            Some((of, other)) => {
                let row = Row { figures: other.figures.clone(), ..row.clone() };
                println!("{}", row.line(fixture, &format!("  folds to the graph of {}", of.name)));
            }
            None => failures.lock().unwrap().push(format!("{}: what it folds to has failed", fixture.name)),
        }
    }
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// What the converter says of a network that it cannot take.
fn refused(fixture: &Fixture, why: &str) -> Result<String, String> {
    match import::read(&fixture.onnx(), Path::new(".")) {
        Ok(_) => Err(format!("it converts now; it was refused because of {why}")),
        Err(error) if error.to_string().contains(why) => {
            let message = error.to_string();
            Ok(message.split("; supported are").next().unwrap_or_default().to_owned())
        }
        Err(error) => Err(format!("refused, but not because of {why}: {error}")),
    }
}

struct Table {
    only: Option<String>,
    /// Structures that are or were quantized.
    quantized: Mutex<HashSet<String>>,
}

/// What was found out about a network.
#[derive(Clone)]
struct Row {
    structure: String,
    /// How far its floats are from ONNX Runtime's; none for one that rounds.
    off: Option<f32>,
    /// Steps, agreement, signal to noise, speed-up; none where another row has them.
    figures: Option<String>,
}

impl Row {
    fn line(&self, fixture: &Fixture, note: &str) -> String {
        let off = self.off.map_or("int8".to_owned(), |off| format!("{off:.1e}"));
        let figures = self.figures.as_deref().unwrap_or_default();
        format!("{:18} {:34} {off:>8} {figures}{note}", fixture.source, fixture.name)
    }
}

impl Table {
    fn row(&self, fixture: &Fixture) -> Result<Row, String> {
        let imported = import::read(&fixture.onnx(), Path::new(".")).map_err(|e| e.to_string())?;
        let mut graph = imported.graph;
        // A model that rounds is no judge of floats; see below.
        let given = !graph.given.is_empty();
        let off = if given { None } else { Some(float_difference(fixture, &graph)?) };
        prepend(&mut graph, &preprocess(fixture)).map_err(|e| e.to_string())?;
        fold(&mut graph);
        let structure = structure(&graph);
        let first = self.quantized.lock().unwrap().insert(structure.clone());
        if self.only.is_none() && !first {
            return Ok(Row { structure, off, figures: None });
        }
        let count = (MACS / macs(&graph).max(1)).clamp(2, 16);
        let options = Options { effort: Effort::Low, ..Options::default() };
        let outcome = quantize(&graph, &images(fixture, graph.input(), 100, count), options, &Silent)
            .map_err(|e| e.to_string())?;
        round_trip(fixture, &outcome.network)?;
        let figures = if given {
            already_quantized(fixture, &outcome.network)?
        } else {
            let (distance, speed) = int8(fixture, &graph, &outcome.network, count)?;
            if distance.sqnr < LEAST_SQNR {
                return Err(format!("{:.1} dB signal to noise, less than {LEAST_SQNR}", distance.sqnr));
            }
            format!(
                "{:5} {:7.1} % {:4.1} dB {speed:8.1}×",
                outcome.network.steps.len(),
                100.0 * distance.agreement.unwrap_or(f64::NAN),
                distance.sqnr
            )
        };
        Ok(Row { structure, off, figures: Some(figures) })
    }
}

fn images(fixture: &Fixture, shape: Shape, from: u64, count: u64) -> Vec<Pixels> {
    (from..from + count).map(|seed| Pixels::new(shape, fixture.pixels(seed)).unwrap()).collect()
}

/// int8 against f32 on images that nothing was calibrated on, and how much faster it is.
fn int8(fixture: &Fixture, graph: &Graph, network: &Network, count: u64) -> Result<(Distance, f64), String> {
    let float = FloatNet::rounded(graph, &Grids::default());
    let mut session = Session::new(network, dispatch::best(), 1).map_err(|e| e.to_string())?;
    let (mut truth, mut ours) = (Vec::new(), Vec::new());
    let (mut float_time, mut time) = (Duration::MAX, Duration::MAX);
    for pixels in images(fixture, graph.input(), 200, count) {
        let start = Instant::now();
        truth.push(float.run(&pixels).map_err(|e| e.to_string())?.swap_remove(0));
        float_time = float_time.min(start.elapsed());
        let start = Instant::now();
        ours.push(session.run(pixels.values()).to_vec());
        time = time.min(start.elapsed());
    }
    let distance = Distance::between(&truth, &ours, Measure::of_graph(graph));
    Ok((distance, float_time.as_secs_f64() / time.as_secs_f64()))
}

/// A model with scales of its own is held against ONNX Runtime's integers: both round the same numbers at
/// nearly the same places.
fn already_quantized(fixture: &Fixture, network: &Network) -> Result<String, String> {
    const LEAST: f64 = 25.0;
    let mut session = Session::new(network, dispatch::best(), 1).map_err(|e| e.to_string())?;
    let golden = fixture.golden();
    // Integer logits end where their calibrated range ends; ours are floats and do not.
    let bounds = golden.iter().fold((f32::MAX, f32::MIN), |(lo, hi), &v| (lo.min(v), hi.max(v)));
    let ours = session.run(&fixture.pixels(1)).iter().map(|v| v.clamp(bounds.0, bounds.1)).collect();
    let distance = Distance::between(&[golden], &[ours], Measure::of(network.activation, network.classes()));
    if distance.sqnr < LEAST {
        return Err(format!("{:.1} dB from ONNX Runtime's integers, less than {LEAST}", distance.sqnr));
    }
    Ok(format!(
        "{:5} {:7.1} % {:4.1} dB  to ONNX Runtime's integers",
        network.steps.len(),
        100.0 * distance.agreement.unwrap_or(f64::NAN),
        distance.sqnr
    ))
}

/// Everything about a graph but its numbers and names.
fn structure(graph: &Graph) -> String {
    let node = |n: &Node| {
        let details = match &n.op {
            Op::Conv(c) => format!("{:?} {:?} {}", c.window, c.dilation, c.groups),
            Op::MaxPool { window, floor_at_zero } => format!("{window:?} {floor_at_zero}"),
            _ => String::new(),
        };
        format!("{} {details} {:?} {};", n.op.kind(), n.inputs, n.shape)
    };
    let head = format!("{:?} {:?} ", graph.activation, graph.given.is_empty());
    head + &graph.nodes.iter().map(node).collect::<String>()
}

/// The graph as imported against ONNX Runtime, as a share of the largest logit.
fn float_difference(fixture: &Fixture, graph: &Graph) -> Result<f32, String> {
    let activation = format!("{:?}", graph.activation).to_lowercase();
    if activation != fixture.activation {
        return Err(format!("ends in {activation}, not in {}", fixture.activation));
    }
    let net = FloatNet::rounded(graph, &Grids::default());
    let ours = net.run_floats(&fixture.input(1)).map_err(|e| e.to_string())?.swap_remove(0);
    let golden = fixture.golden();
    if ours.len() != golden.len() {
        return Err(format!("{} logits, ONNX Runtime has {}", ours.len(), golden.len()));
    }
    let range = golden.iter().fold(0.0f32, |m, v| m.max(v.abs()));
    let off = ours.iter().zip(&golden).fold(0.0f32, |m, (a, b)| m.max((a - b).abs())) / range;
    if off > FLOAT_TOLERANCE {
        return Err(format!("differs from ONNX Runtime by {off} of its largest logit"));
    }
    Ok(off)
}

/// Mean and deviation in the order of RGB.
fn preprocess(fixture: &Fixture) -> Preprocess {
    let given = &fixture.preprocessing;
    let (mut mean, mut std) = (given.mean.to_vec(), given.deviation.to_vec());
    let bgr = given.channels == "bgr";
    if bgr {
        mean.reverse();
        std.reverse();
    }
    Preprocess { name: "fixture".into(), mean, std, bgr }
}

/// Multiply-accumulates.
fn macs(graph: &Graph) -> u64 {
    let macs = |node: &Node| match &node.op {
        Op::Conv(c) => (c.weights.len() * node.shape.pixels()) as u64,
        _ => 0,
    };
    graph.nodes.iter().map(macs).sum()
}

/// The archive holds all of it. Tried where it is quick, and on every kind of step.
fn round_trip(fixture: &Fixture, network: &Network) -> Result<(), String> {
    let rare = |s: &Step| matches!(s, Step::Table(_) | Step::Scale(_) | Step::Dequantize(_));
    if network.parameters() > 8_000_000 && !network.steps.iter().any(rare) {
        return Ok(());
    }
    let mut manifest = manifest();
    manifest.source.file = format!("{}.onnx", fixture.name);
    (manifest.input.height, manifest.input.width) = (network.input().h, network.input().w);
    manifest.labels.clear();
    let bytes = foldnet_archive::pack(network, &manifest);
    match foldnet_archive::unpack(&bytes[..], Path::new("table.nnef.tgz")) {
        Ok((read, _)) => {
            let logits = |network| {
                let mut session = Session::new(network, dispatch::best(), 1).map_err(|e| e.to_string())?;
                Ok::<_, String>(session.run(&fixture.pixels(1)).to_vec())
            };
            // Names and numbers of tensors are the archive's own.
            (logits(&read)? == logits(network)?).then_some(()).ok_or("the archive gives other logits".into())
        }
        Err(e) => Err(format!("the archive cannot be read back: {e}")),
    }
}
