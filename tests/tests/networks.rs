//! Every network that people have, as its framework exports it: converted, run, and held against ONNX
//! Runtime. Prints the network table, a part of it with `FOLDNET_NETWORK=resnet50`:
//!
//! ```text
//! cargo test --release -p foldnet-tests --test networks -- --nocapture
//! ```
//!
//! Calibrated on a handful of seeded pictures and without search, so that the table takes minutes: the
//! figures say that a structure survives int8, not how well a trained network does. Random weights make
//! near ties, so that agreement is printed and the logits' signal to noise is judged.

use std::path::Path;
use std::time::{Duration, Instant};

use foldnet_archive::testing::manifest;
use foldnet_archive::{Network, Step};
use foldnet_converter::float::FloatNet;
use foldnet_converter::graph::{Graph, Node, Op};
use foldnet_converter::import;
use foldnet_converter::pass::{Preprocess, fold, prepend};
use foldnet_converter::quantize::recipe::Silent;
use foldnet_converter::quantize::score::Distance;
use foldnet_converter::quantize::{Effort, Options, quantize};
use foldnet_kernels::dispatch;
use foldnet_runtime::Session;
use foldnet_tests::networks::{Fixture, fixtures};

/// How far float logits may be from ONNX Runtime's, of the golden logits' largest. The deepest networks
/// magnify the order of summation to a third of this.
const FLOAT_TOLERANCE: f32 = 1e-3;
/// The least signal to noise of int8 logits, dB.
const LEAST_SQNR: f64 = 10.0;
/// Multiply-accumulates that one network's pictures may cost, for calibrating and again for trying.
const MACS: u64 = 6_000_000_000;

#[test]
fn every_network_converts_and_runs() {
    let only = std::env::var("FOLDNET_NETWORK").unwrap_or_default();
    println!(
        "{:18} {:34} {:>8} {:>5} {:>9} {:>7} {:>9}",
        "source", "network", "f32 off", "steps", "agreement", "SQNR", "speed-up"
    );
    let mut failures = Vec::new();
    for fixture in fixtures().into_iter().filter(|f| f.name.contains(&only)) {
        match row(&fixture) {
            Ok(row) => println!("{:18} {:34} {row}", fixture.source, fixture.name),
            Err(problem) => {
                println!("{:18} {:34} {problem}", fixture.source, fixture.name);
                failures.push(format!("{}: {problem}", fixture.name));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

fn row(fixture: &Fixture) -> Result<String, String> {
    let imported = import::read(&fixture.onnx(), Path::new(".")).map_err(|e| e.to_string())?;
    let off = float_difference(fixture, &imported.graph)?;
    let mut graph = imported.graph;
    prepend(&mut graph, &preprocess(fixture)).map_err(|e| e.to_string())?;
    fold(&mut graph);
    let pictures =
        |from: u64, count: u64| (from..from + count).map(|s| fixture.pixels(s)).collect::<Vec<_>>();
    let count = (MACS / macs(&graph).max(1)).clamp(2, 16);
    let options = Options { effort: Effort::Low, ..Options::default() };
    let outcome = quantize(&graph, &pictures(100, count), options, &Silent).map_err(|e| e.to_string())?;
    round_trip(fixture, &outcome.network)?;

    let float = FloatNet::new(&graph).map_err(|e| e.to_string())?;
    let mut session = Session::new(&outcome.network, dispatch::best(), 1).map_err(|e| e.to_string())?;
    let (mut truth, mut ours) = (Vec::new(), Vec::new());
    let (mut float_time, mut time) = (Duration::MAX, Duration::MAX);
    for pixels in pictures(200, count) {
        let start = Instant::now();
        truth.push(float.run(&pixels).map_err(|e| e.to_string())?.swap_remove(graph.output));
        float_time = float_time.min(start.elapsed());
        let start = Instant::now();
        ours.push(session.run(&pixels).to_vec());
        time = time.min(start.elapsed());
    }
    let distance = Distance::between(&truth, &ours, graph.activation);
    if distance.sqnr < LEAST_SQNR {
        return Err(format!("{:.1} dB signal to noise, less than {LEAST_SQNR}", distance.sqnr));
    }
    Ok(format!(
        "{off:8.1e} {:5} {:7.1} % {:4.1} dB {:8.1}×",
        outcome.network.steps.len(),
        100.0 * distance.agreement,
        distance.sqnr,
        float_time.as_secs_f64() / time.as_secs_f64()
    ))
}

/// The graph as imported against ONNX Runtime, as a share of the largest logit.
fn float_difference(fixture: &Fixture, graph: &Graph) -> Result<f32, String> {
    let activation = format!("{:?}", graph.activation).to_lowercase();
    if activation != fixture.activation {
        return Err(format!("ends in {activation}, not in {}", fixture.activation));
    }
    let net = FloatNet::new(graph).map_err(|e| e.to_string())?;
    let values = net.run_floats(&fixture.input(1)).map_err(|e| e.to_string())?;
    let (ours, golden) = (&values[graph.output], fixture.golden());
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

fn macs(graph: &Graph) -> u64 {
    let of = |node: &Node| match &node.op {
        Op::Conv(conv) => (conv.weights.len() * node.shape.pixels()) as u64,
        _ => 0,
    };
    graph.nodes.iter().map(of).sum()
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
