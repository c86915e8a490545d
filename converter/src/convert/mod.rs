//! Runs a whole conversion in one call: from a float model, images and options to the archive and a report.
//!
//! ```text
//! reading    what the output means, and so how answers are compared
//! quantize   the int8 network, every decision made on calibration images
//! check      its answers against f32's on images that calibration did not see
//! budget     what stays in 16 bits, where more was lost than `max_drop` allows
//! describe   the report's tables
//! verdict    one sentence on all of it
//! ```
//! This module reads and writes no files and prints nothing; it reports its progress to [`Progress`].

pub mod budget;
pub mod check;
mod describe;
pub mod held_out;
pub mod images;
pub mod reading;
pub mod verdict;

use foldnet::{Session, SessionError, proof};
use foldnet_archive::{Calibration, Manifest, Network, OutputKind};

use crate::model::FloatModel;
use crate::provenance::Provenance;
use crate::quantize::recipe::{Options, Outcome, Progress, quantize};
use crate::quantize::sensitivity::Share;
use crate::quantize::{QuantizeError, score::Measure};
use crate::report::{KeptReport, Origin, Report};
use crate::run::RunError;
use check::{Answers, Check, Drop};
use images::Images;
use reading::Evidence;

/// The decisions of the caller.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The options of the quantization itself; its measure follows from the output's meaning.
    pub quantize: Options,
    /// The meaning of the output; if not given, it is decided from the model and its labels.
    pub output: Option<OutputKind>,
    /// The probability from which an independent label applies.
    pub threshold: f64,
    /// The points that may be lost before tensors are kept in 16 bits.
    pub max_drop: Option<f64>,
    /// Whether `max_drop` holds for the recall and the precision of every class, not only on average.
    pub per_class: bool,
    /// Whether the report contains its tables of layers and tensors, which take time.
    pub details: bool,
    /// The record of the inputs, which the archive will contain.
    pub provenance: Option<Provenance>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            quantize: Options::default(),
            output: None,
            threshold: 0.5,
            max_drop: None,
            per_class: false,
            details: false,
            provenance: None,
        }
    }
}

/// The result of a conversion.
pub struct Converted {
    /// The int8 network.
    pub network: Network,
    /// The network's description.
    pub manifest: Manifest,
    /// The bytes of the archive with both.
    pub archive: Vec<u8>,
    /// The report.
    pub report: Report,
    /// The loss on the checked images; `None` if nothing was measured.
    pub drop: Option<Drop>,
}

/// The reason why a conversion fails.
#[derive(Debug, thiserror::Error)]
pub enum ConvertError {
    /// The output cannot have the requested meaning.
    #[error("--output {kind}: {reason}")]
    Output {
        /// The requested meaning.
        kind: OutputKind,
        /// The reason why it does not fit.
        reason: String,
    },
    /// The graph cannot be quantized.
    #[error(transparent)]
    Quantize(#[from] QuantizeError),
    /// A model does not run.
    #[error(transparent)]
    Run(#[from] RunError),
}

impl From<SessionError> for ConvertError {
    fn from(error: SessionError) -> Self {
        Self::Run(error.into())
    }
}

/// The chosen network and its properties.
struct Chosen {
    network: Network,
    answers: Answers,
    /// Each layer's share of the noise, if it was requested or needed.
    shares: Vec<Share>,
    /// The parts that stay in 16 bits.
    kept: Option<KeptReport>,
    notes: Vec<String>,
}

/// Returns the int8 network, or one that keeps parts in 16 bits if int8 loses more than allowed.
fn choose(
    outcome: &Outcome,
    images: &Images,
    settings: &Settings,
    check: &Check<'_>,
    manifest: &mut Manifest,
    progress: &dyn Progress,
) -> Result<Chosen, ConvertError> {
    let network = outcome.for_npu.clone().unwrap_or_else(|| outcome.network.clone());
    let answers = check.answers(&network)?;
    let over = settings.max_drop.zip(answers.drop()).filter(|(limit, drop)| drop.points > *limit);
    let mut shares = Vec::new();
    if over.is_some() || settings.details {
        shares = describe::sensitivity(outcome, &images.calibrate, progress)?;
    }
    let mut chosen = Chosen { network, answers, shares, kept: None, notes: Vec::new() };
    let Some((limit, drop)) = over else { return Ok(chosen) };
    progress.note(&format!("int8 alone: {drop}; searching for what to keep in 16 bits"));
    match budget::keep(outcome, &chosen.shares, &images.calibrate, limit, check, progress)? {
        Ok(mixed) => {
            manifest.format = mixed.network.format();
            chosen.kept = Some(budget::report(outcome, &mixed, limit, drop.points, manifest)?);
            chosen.network = mixed.network;
            chosen.answers = check.answers(&chosen.network)?;
        }
        Err(left) => chosen.notes.push(format!(
            "with everything in 16 bits that can be, {left:.2} points would still be lost; the archive is int8"
        )),
    }
    Ok(chosen)
}

/// Converts a float model.
pub fn convert(
    model: &FloatModel,
    images: &Images,
    settings: &Settings,
    progress: &dyn Progress,
) -> Result<Converted, ConvertError> {
    let evidence = Evidence::of(model, &images.folders);
    let reading = reading::decide(&evidence, settings.output)?;
    let measure = Measure::new(reading.kind).with_threshold(settings.threshold);
    if reading.must_be_told {
        progress.note(&format!("output: {} ({})", reading.kind, reading.reason));
    }
    let options = Options { measure: Some(measure), ..settings.quantize };
    let outcome = quantize(&model.graph, &images.calibrate, options, progress)?;

    let mut manifest = Manifest {
        format: outcome.network.format(),
        source: model.source.clone(),
        input: model.input.clone(),
        calibration: Calibration {
            images: if images.noise { 0 } else { images.calibrate.len() },
            method: settings.quantize.method.name().into(),
            agreement: None,
        },
        labels: model.labels.clone(),
        output: reading.to_store(&evidence),
        proof: None,
        provenance: settings.provenance.as_ref().map(Provenance::text),
        npu: Vec::new(),
    };
    let check = Check::new(model, &images.check, measure, progress)?.per_class(settings.per_class);
    let Chosen { network, answers, shares, mut kept, notes } =
        choose(&outcome, images, settings, &check, &mut manifest, progress)?;
    manifest.calibration.agreement = answers.distance.and_then(|d| d.agreement);
    let mut session = Session::new(&network, foldnet_kernels::dispatch::best(), 1)?;
    manifest.proof = Some(proof::prove(&mut session, proof::IMAGES));
    let archive = foldnet_archive::pack(&network, &manifest);
    if let Some(kept) = &mut kept {
        kept.bytes = archive.len() as u64;
    }

    let saturation = (
        describe::saturation(&mut session, images.check.iter().map(|s| &s.pixels)),
        describe::saturation(&mut session, images.calibrate.iter()),
    );
    let verdict = verdict::judge(&verdict::Facts {
        measure,
        outputs: evidence.outputs,
        images,
        truth: check.truth(),
        distance: answers.distance,
        accuracy: answers.accuracy,
        saturation,
        drop: settings.max_drop.zip(answers.drop()),
    });
    let layers = describe::Layers::of(&network);
    let report = Report {
        verdict,
        origin: Origin {
            converter: env!("CARGO_PKG_VERSION"),
            archive_format: manifest.format,
            date: None,
            command: None,
        },
        output: reading,
        source: model.source.file.clone(),
        sha256: model.source.sha256.clone(),
        preprocess: model.input.preprocess.clone(),
        preprocess_reason: model.reason.clone(),
        layers_folded: model.folded,
        layers_quantized: layers.int8,
        layers_float: layers.float,
        bytes_before: model.bytes,
        bytes: archive.len() as u64,
        macs: network.macs(),
        parameters: network.parameters(),
        arena_bytes: session.arena_bytes(),
        calibration_images: manifest.calibration.images,
        scales_given: model.graph.given.len(),
        skipped: images.skipped,
        centred: outcome.centred,
        passes: outcome.decisions.clone(),
        unseen: images.unseen,
        held_out: answers.distance,
        accuracy: answers.accuracy,
        classes: answers.classes.clone(),
        changed: describe::changed(model, &check, &answers.logits),
        sensitivity: shares.iter().map(|s| describe::share(&outcome, s)).collect(),
        not_folded: describe::not_folded(&outcome),
        kept,
        tensors: if settings.details {
            describe::tensors(&outcome, model, &network, &check, progress)?
        } else {
            Vec::new()
        },
        notes,
    };
    let drop = answers.drop();
    Ok(Converted { network, manifest, archive, report, drop })
}
