//! Every network that people have, as its framework exports it: converted, run, and held against ONNX
//! Runtime. Prints the network table (`cargo test --release -p foldnet-tests --test networks -- --nocapture`).

use std::path::Path;
use std::time::Instant;

use foldnet_converter::float::FloatNet;
use foldnet_converter::import;
use foldnet_tests::networks::{Fixture, fixtures};

/// How far float logits may be from ONNX Runtime's, of the golden logits' largest.
const FLOAT_TOLERANCE: f32 = 2e-4;

#[test]
fn every_network_is_imported_as_onnx_runtime_understands_it() {
    let only = std::env::var("FOLDNET_NETWORK").unwrap_or_default();
    let mut failures = Vec::new();
    for fixture in fixtures().into_iter().filter(|f| f.name.contains(&only)) {
        let start = Instant::now();
        match import_and_compare(&fixture) {
            Ok(line) => println!("{:36} {line} {:.1} s", fixture.name, start.elapsed().as_secs_f32()),
            Err(problem) => {
                println!("{:36} {problem}", fixture.name);
                failures.push(fixture.name);
            }
        }
    }
    assert!(failures.is_empty(), "{failures:?}");
}

fn import_and_compare(fixture: &Fixture) -> Result<String, String> {
    let imported = import::read(&fixture.onnx(), Path::new(".")).map_err(|e| e.to_string())?;
    let net = FloatNet::new(&imported.graph).map_err(|e| e.to_string())?;
    let values = net.run_floats(&fixture.input(1)).map_err(|e| e.to_string())?;
    let (ours, golden) = (&values[imported.graph.output], fixture.golden());
    if ours.len() != golden.len() {
        return Err(format!("{} logits, ONNX Runtime has {}", ours.len(), golden.len()));
    }
    let range = golden.iter().fold(0.0f32, |m, v| m.max(v.abs()));
    let difference = ours.iter().zip(&golden).fold(0.0f32, |m, (a, b)| m.max((a - b).abs()));
    if difference > FLOAT_TOLERANCE * range {
        return Err(format!("differs by {difference} from ONNX Runtime, of logits up to {range}"));
    }
    Ok(format!("{} nodes, {:.1e} off", imported.nodes, difference / range))
}
