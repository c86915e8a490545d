//! `max_drop`: chooses the parts to keep in 16 bits so that no more accuracy is lost than allowed.

use foldnet::Session;
use foldnet_archive::{Manifest, Network};
use foldnet_backends::bench::{Iterations, Statistics, measure};

use super::ConvertError;
use super::check::Check;
use crate::image::Pixels;
use crate::quantize::equalize;
use crate::quantize::mixed::{self, Found, Mixed};
use crate::quantize::recipe::{Outcome, Progress};
use crate::quantize::sensitivity::Share;
use crate::report::{KeptPart, KeptReport};

/// The number of runs; their median is the time of an inference.
const RUNS: usize = 15;

/// Finds the fewest parts to keep in 16 bits; returns the points that are lost even with all of them if those are
/// not enough.
pub fn keep(
    outcome: &Outcome,
    shares: &[Share],
    images: &[Pixels],
    limit: f64,
    check: &Check<'_>,
    progress: &dyn Progress,
) -> Result<Result<Mixed, f64>, ConvertError> {
    let exact = equalize::apply(&outcome.graph, &outcome.factors);
    progress.stage("keeping", 1);
    let lost = |network: &Network| -> Result<f64, ConvertError> {
        Ok(check.answers(network)?.drop().map_or(f64::INFINITY, |d| d.points))
    };
    let found = mixed::keep(&outcome.draft, &exact, shares, images, limit, lost)?;
    progress.tick();
    Ok(match found {
        Found::Yes(mixed) => Ok(*mixed),
        Found::No(left) => Err(left),
    })
}

/// Returns the kept parts and their cost, for the report.
pub fn report(
    outcome: &Outcome,
    mixed: &Mixed,
    limit: f64,
    before: f64,
    manifest: &Manifest,
) -> Result<KeptReport, ConvertError> {
    let int8 = Manifest { format: outcome.network.format(), ..manifest.clone() };
    let part = |p: &mixed::Part| KeptPart {
        name: outcome.graph.nodes[p.node].name.clone(),
        what: if p.weights { "weights" } else { "values" },
        sqnr: p.sqnr,
        macs: p.macs,
        parameters: p.parameters,
    };
    Ok(KeptReport {
        limit,
        drop_before: before,
        drop: mixed.drop,
        tried: mixed.tried,
        parts: mixed.parts.iter().map(part).collect(),
        macs_before: outcome.network.macs(),
        macs: mixed.network.macs(),
        bytes_before: foldnet_archive::pack(&outcome.network, &int8).len() as u64,
        // The archive is not packed yet.
        bytes: 0,
        ms_before: milliseconds(&outcome.network)?,
        ms: milliseconds(&mixed.network)?,
    })
}

/// Returns the median of a few inferences on one thread.
fn milliseconds(network: &Network) -> Result<f64, ConvertError> {
    let mut session = Session::new(network, foldnet_kernels::dispatch::best(), 1)?;
    let pixels = vec![128; network.input().len()];
    let times = measure(Iterations::Exactly(RUNS), || {
        session.run(&pixels);
        Ok::<(), ConvertError>(())
    })?;
    Ok(Statistics::of(&times).median_ms)
}
