//! Tries candidates and keeps the one with the least noise.

use foldnet_archive::Network;

use super::draft::{Choices, Nearest, Source, draft};
use super::progress::step;
use super::{Decision, Effort, Options, Progress};
use crate::calibrate::{Method, Observation};
use crate::graph::NodeId;
use crate::image::Pixels;
use crate::quantize::apart::{Ranges, apart, settle, tune};
use crate::quantize::build::Draft;
use crate::quantize::equalize::{self, RULES};
use crate::quantize::fuse::SlotId;
use crate::quantize::rounding::{self, Rounder};
use crate::quantize::score::{Distance, Measure, logits};
use crate::quantize::{QuantizeError, bias};

/// A draft with its network and measured error.
#[derive(Clone)]
pub struct Candidate {
    pub choices: Choices,
    pub factors: equalize::Factors,
    pub draft: Draft,
    pub network: Network,
    pub distance: Distance,
}

/// The images on which candidates are tried.
pub struct Trial {
    pub images: Vec<Pixels>,
    /// The answers of the float network.
    pub truth: Vec<Vec<f32>>,
    pub measure: Measure,
}

/// The state of a search.
pub struct Search<'a> {
    source: Source<'a>,
    options: Options,
    /// The images for measuring.
    images: &'a [Pixels],
    trial: Trial,
    /// Rounds by inputs during the search, if that is affordable.
    rounder: Option<Rounder>,
    nearest: Nearest,
    budget: u64,
    cost: u64,
    best: Candidate,
    /// Whether a pass after the search, which is not part of the choices, has changed the best network.
    changed_later: bool,
    decisions: Vec<Decision>,
}

/// The factors on a range that are tried.
const STRETCHES: [f32; 4] = [0.9, 1.1, 1.25, 0.8];
/// The largest number of images that decide.
const TRIAL: usize = 256;

/// Returns the number of images per trial: one trial should cost at most a twentieth of the budget.
fn affordable(macs: u64, effort: Effort) -> usize {
    ((effort.budget() / 20 / macs.max(1)) as usize).clamp(8, TRIAL)
}

impl Trial {
    /// Measures the distance of a network's answers from the float network's.
    fn error(&self, network: &Network) -> Result<Distance, QuantizeError> {
        Ok(Distance::between(&self.truth, &logits(network, &self.images)?, self.measure))
    }

    /// Keeps as many images as are affordable, spread evenly.
    fn fewer(self, macs: u64, effort: Effort) -> Self {
        let n = self.images.len().min(affordable(macs, effort));
        let chosen = |i: usize| i * self.images.len() / n;
        Self {
            truth: (0..n).map(|i| self.truth[chosen(i)].clone()).collect(),
            images: (0..n).map(|i| self.images[chosen(i)].clone()).collect(),
            measure: self.measure,
        }
    }
}

impl<'a> Search<'a> {
    /// Starts with a draft without any decisions.
    pub fn new(
        source: Source<'a>,
        images: &'a [Pixels],
        trial: Trial,
        options: Options,
    ) -> Result<Self, QuantizeError> {
        let choices = Choices::first(source.classes.len(), source.fusion, options.method);
        let factors = vec![None; source.graph.nodes.len()];
        let nearest = Nearest::default();
        let draft = draft(source, &choices, &factors, None, &nearest);
        let network = draft.network()?;
        let macs = network.macs().max(1);
        let trial = trial.fewer(macs, options.effort);
        let distance = trial.error(&network)?;
        Ok(Self {
            source,
            options,
            images,
            cost: macs * trial.images.len() as u64,
            trial,
            rounder: None,
            nearest,
            budget: options.effort.budget(),
            best: Candidate { choices, factors, draft, network, distance },
            changed_later: false,
            decisions: Vec::new(),
        })
    }

    /// Runs every pass that the options enable.
    pub fn run(&mut self, progress: &dyn Progress) -> Result<(), QuantizeError> {
        let Options { effort, rounding, method, bias, .. } = self.options;
        let searching = effort != Effort::Low;
        if rounding && searching && self.may_round_throughout() {
            self.round_throughout(progress)?;
        }
        if searching {
            self.equalize(progress)?;
            if method == Method::Auto {
                self.ranges(progress)?;
                self.equalize(progress)?;
            }
        }
        if rounding && searching {
            progress.stage("rounding", 1);
            self.rounding()?;
            step(progress)?;
        }
        if bias {
            self.bias(progress)?;
        }
        Ok(())
    }

    /// Returns whether the best network follows from its choices with every layer rounded by its inputs, and no
    /// later pass has changed it.
    pub fn follows_from_plan(&self) -> bool {
        self.rounder.is_some() && !self.changed_later
    }

    /// Returns the best candidate and the decisions that led to it.
    pub fn finish(self) -> (Candidate, Vec<Decision>) {
        (self.best, self.decisions)
    }

    /// Measures the network that follows from choices.
    fn attempt(&mut self, choices: Choices) -> Result<Candidate, QuantizeError> {
        self.budget = self.budget.saturating_sub(self.cost);
        let factors = choices.factors(self.source);
        let draft = draft(self.source, &choices, &factors, self.rounder.as_ref(), &self.nearest);
        let network = draft.network()?;
        let distance = self.trial.error(&network)?;
        Ok(Candidate { choices, factors, draft, network, distance })
    }

    /// Makes a candidate the best, whatever its error.
    fn adopt(&mut self, candidate: Candidate) {
        self.best = candidate;
    }

    /// Tries choices; adopts them if the answers carry less noise.
    fn try_choices(&mut self, choices: Choices) -> Result<(), QuantizeError> {
        if choices == self.best.choices {
            return Ok(());
        }
        let candidate = self.attempt(choices)?;
        if candidate.distance.sqnr > self.best.distance.sqnr {
            self.adopt(candidate);
        }
        Ok(())
    }

    fn affordable(&self) -> bool {
        self.budget >= self.cost
    }

    fn decide(&mut self, pass: &str, before: f64, note: String) {
        self.decisions.push(Decision::new(pass, before, self.best.distance.sqnr, note));
    }

    /// Returns whether the weights of every candidate can be rounded by inputs.
    fn may_round_throughout(&self) -> bool {
        let work = rounding::work(self.source.graph, self.source.fusion);
        work * RULES.len() as u64 <= self.budget / 10
    }

    /// Rounds every candidate's weights by inputs from now on, starting with the best one's.
    fn round_throughout(&mut self, progress: &dyn Progress) -> Result<(), QuantizeError> {
        let before = self.best.distance.sqnr;
        self.rounder = Some(self.rounder(self.images, progress, "rounding")?);
        let again = self.attempt(self.best.choices.clone())?;
        self.adopt(again);
        self.decide("rounding by inputs", before, "every layer".into());
        Ok(())
    }

    fn rounder(
        &self,
        images: &[Pixels],
        progress: &dyn Progress,
        stage: &str,
    ) -> Result<Rounder, QuantizeError> {
        progress.stage(stage, images.len());
        let Source { graph, fusion, .. } = self.source;
        let care = self.options.effort.care();
        Ok(Rounder::new(graph, fusion, images, care, &|| progress.tick())?)
    }

    /// Repeats the decisions with ranges, equalization and rounding measured on all images: the images left out
    /// for deciding are no longer needed for that.
    pub fn refit(
        &mut self,
        observation: &Observation,
        images: &[Pixels],
        progress: &dyn Progress,
    ) -> Result<(), QuantizeError> {
        let rounder = self.rounder(images, progress, "rounding on all")?;
        let source = Source { observation, ..self.source };
        let choices = self.best.choices.clone();
        let factors = choices.factors(source);
        let draft = draft(source, &choices, &factors, Some(&rounder), &Nearest::default());
        let network = draft.network()?;
        let distance = self.trial.error(&network)?;
        self.adopt(Candidate { choices, factors, draft, network, distance });
        self.decisions.push(Decision {
            pass: "final fit".into(),
            // The best of many tries on some images looks too good on those.
            before: None,
            after: distance.sqnr,
            kept: true,
            note: format!("the decisions above, measured again on all {} images", images.len()),
        });
        Ok(())
    }

    /// Returns the best network with residuals and affine maps as separate steps.
    pub fn for_npu(&mut self, images: &[Pixels], progress: &dyn Progress) -> Result<Network, QuantizeError> {
        progress.stage("rounding as an NPU", 2);
        let network = &self.best.network;
        let parts = apart(network, &Ranges::measure(network, &self.affordable_images(images, 256))?);
        step(progress)?;
        let before = self.trial.error(&parts)?.sqnr;
        let trials = self.options.effort.budget() / 2 / self.cost.max(1);
        let quality = |n: &Network| Ok(self.trial.error(n)?.sqnr);
        let mut tuned = tune(parts, network.tensors.len(), trials, &quality)?;
        // Other scales have other multiples.
        settle(&mut tuned);
        step(progress)?;
        let after = self.trial.error(&tuned)?.sqnr;
        let fused = self.best.distance.sqnr;
        let note = format!(
            "{} tensors; rounded once, it is {fused:.2} dB",
            tuned.tensors.len() - network.tensors.len()
        );
        let pass = "rounding as an NPU".into();
        self.decisions.push(Decision { pass, before: Some(before), after, kept: true, note });
        Ok(tuned)
    }

    fn equalize(&mut self, progress: &dyn Progress) -> Result<(), QuantizeError> {
        let classes = self.source.classes.len();
        if classes == 0 {
            return Ok(());
        }
        let before = self.best.distance.sqnr;
        progress.stage("equalization", RULES.len() - 1 + classes);
        for rule in 1..RULES.len() {
            let rules = vec![rule; classes];
            self.try_choices(Choices { rules, ..self.best.choices.clone() })?;
            step(progress)?;
        }
        for class in 0..classes {
            for rule in 0..RULES.len() {
                if self.budget < self.cost * 4 {
                    break;
                }
                let mut choices = self.best.choices.clone();
                choices.rules[class] = rule;
                self.try_choices(choices)?;
            }
            step(progress)?;
        }
        let used = self.best.choices.rules.iter().filter(|&&r| r > 0).count();
        let note = format!("{used} of {classes} classes of tensors scaled per channel");
        self.decide("equalization", before, note);
        Ok(())
    }

    fn ranges(&mut self, progress: &dyn Progress) -> Result<(), QuantizeError> {
        let before = self.best.distance.sqnr;
        let slots: Vec<SlotId> = self.source.fusion.scaled().collect();
        let all = self.source.fusion.slots.len();
        progress.stage("ranges", slots.len() + 1);
        for method in Method::ALL {
            let methods = vec![method; all];
            self.try_choices(Choices { methods, ..self.best.choices.clone() })?;
        }
        for stretch in STRETCHES {
            let stretch = vec![stretch; all];
            self.try_choices(Choices { stretch, ..self.best.choices.clone() })?;
        }
        step(progress)?;
        for &slot in &slots {
            for method in Method::ALL {
                if self.affordable() {
                    let mut choices = self.best.choices.clone();
                    choices.methods[slot] = method;
                    self.try_choices(choices)?;
                }
            }
            for stretch in STRETCHES {
                if self.affordable() {
                    let mut choices = self.best.choices.clone();
                    choices.stretch[slot] *= stretch;
                    self.try_choices(choices)?;
                }
            }
            step(progress)?;
        }
        self.decide("ranges", before, format!("{} tensors", slots.len()));
        Ok(())
    }

    fn rounding(&mut self) -> Result<(), QuantizeError> {
        let before = self.best.distance.sqnr;
        let mut next = self.best.clone();
        let take = self.affordable_images(self.images, 512);
        let care = self.options.effort.care();
        let layers = rounding::round_with_inputs(&mut next.draft, &self.best.network, &take, care)?;
        if layers > 0 {
            next.network = next.draft.network()?;
            next.distance = self.trial.error(&next.network)?;
            if next.distance.sqnr > before {
                self.adopt(next);
                self.changed_later = true;
            }
        }
        self.decide("rounding by inputs", before, format!("{layers} layers"));
        Ok(())
    }

    /// Returns evenly spread images, as many as a twelfth of the whole effort allows.
    fn affordable_images(&self, images: &[Pixels], most: usize) -> Vec<Pixels> {
        let macs = self.best.network.macs().max(1);
        let affordable = (Effort::Normal.budget() / 12 / macs) as usize;
        let n = images.len().min(most).min(affordable.max(16));
        (0..n).map(|i| images[i * images.len() / n].clone()).collect()
    }

    fn bias(&mut self, progress: &dyn Progress) -> Result<(), QuantizeError> {
        const STEPS: usize = 4;
        let before = self.best.distance.sqnr;
        let images = self.affordable_images(self.images, 1024);
        let mut current = self.best.clone();
        let observation = self.source.observation;
        let factors = self.best.factors.clone();
        let means = move |node: NodeId| {
            let mut means = observation.channels(node)?.means();
            if let Some(factors) = &factors[node] {
                means.iter_mut().zip(factors).for_each(|(m, f)| *m *= f64::from(*f));
            }
            Some(means)
        };
        progress.stage("bias correction", STEPS);
        for _ in 0..STEPS {
            bias::correct(&mut current.draft, &current.network, &images, 0.8, &means)?;
            current.network = current.draft.network()?;
            current.distance = self.trial.error(&current.network)?;
            if current.distance.sqnr > self.best.distance.sqnr {
                self.adopt(current.clone());
                self.changed_later = true;
            }
            step(progress)?;
        }
        self.decide("bias correction", before, format!("{} images", images.len()));
        Ok(())
    }
}
