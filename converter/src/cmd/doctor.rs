//! `converter doctor`: which images spoil a set.

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use clap::Args;
use foldnet_cli::{count, printable};
use foldnet_dataset::Dataset;
use serde::Serialize;

use super::images::{Reader, spread};
use super::model::{Around, InputFlags, Model};
use super::{Failure, Talk, files};
use crate::doctor::features::Extractor;
use crate::doctor::{Findings, Sample, VOTERS, examine, page, table};
use crate::image::Pixels;
use crate::quantize::recipe::Progress;

/// Find images with wrong labels, duplicates and outliers
///
/// Compares images by the features that the network's last layer reads. The network need not know their classes.
#[derive(Args)]
#[command(after_help = "Examples:\n  converter doctor model.nnef.tgz --images photos/\n  \
                        converter doctor model.nnef.tgz --images photos/ --test test/ --csv doctor.csv")]
pub struct Cmd {
    /// ONNX or TFLite model, or archive
    file: PathBuf,
    /// Images: a folder with one subfolder per class, a CIFAR .bin file, or a .npy array
    #[arg(long)]
    images: PathBuf,
    /// Test images, to find copies of them among the training images
    #[arg(long, value_name = "IMAGES")]
    test: Option<PathBuf>,
    #[command(flatten)]
    input: InputFlags,
    /// Largest number of images to use from each set, spread evenly
    #[arg(long, default_value_t = 5000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=50_000))]
    max_images: u32,
    /// Write a page with thumbnails
    #[arg(long, value_name = "OUT.html")]
    report: Option<PathBuf>,
    /// Write all findings as a table
    #[arg(long, value_name = "OUT.csv")]
    csv: Option<PathBuf>,
    /// Exit with code 2 if an image cannot be read
    #[arg(long)]
    strict: bool,
}

/// The result for scripts. Images are indices into `names`, labels into `classes`.
#[derive(Serialize)]
struct Outcome<'a> {
    images: usize,
    skipped: usize,
    features: usize,
    names: Vec<&'a str>,
    labels: &'a [String],
    #[serde(flatten)]
    findings: &'a Findings,
}

/// Images held in memory at once at the network's size.
const IMAGES_AT_ONCE: usize = 64;
/// The longest side of the small copies.
const SMALL: usize = 64;
/// Findings of each kind that the terminal shows.
const SHOWN: usize = 10;

impl Cmd {
    /// See the module.
    pub fn run(self, talk: &Talk) -> Result<(), Failure> {
        self.check(&[])?;
        let model = Model::load(
            &self.file,
            &self.input,
            Around { images: Some(&self.images), ..Around::nothing(talk) },
        )?;
        self.check(model.external())?;
        if let Model::Float(model) = &model {
            talk.say(model.pixels());
            model.notes.iter().for_each(|note| talk.say(note));
        }
        let mut extractor = Extractor::new(&model).map_err(|e| anyhow!("{}: {e}", self.file.display()))?;
        let sets: Vec<(Dataset, bool)> = [Some((&self.images, false)), self.test.as_ref().map(|t| (t, true))]
            .into_iter()
            .flatten()
            .map(|(path, test)| Ok((super::images::open(path, talk)?, test)))
            .collect::<Result<_, Failure>>()?;
        let names = names(&sets, model.labels());
        let mut reading = Reading { model: &model, talk, samples: Vec::new(), skipped: 0 };
        for (dataset, test) in &sets {
            reading.read(dataset, *test, self.max_images as usize, &names, &mut extractor)?;
        }
        let Reading { samples, skipped, .. } = reading;
        talk.clear();
        if self.strict && skipped > 0 {
            return Err(Failure::Input(anyhow!("{} cannot be read (--strict)", count(skipped, "image"))));
        }
        let names = names.all(&samples);
        let findings = examine(&samples, names.len());
        self.write(&findings, &samples, &names)?;
        if !samples.iter().any(|s| s.label.is_some()) {
            talk.say("no labels: duplicates and outliers are all that can be found");
        }
        for line in words(&findings, &samples, &names, extractor.len()) {
            talk.human(line);
        }
        talk.result(&Outcome {
            images: samples.len(),
            skipped,
            features: extractor.len(),
            names: samples.iter().map(|s| &s.name[..]).collect(),
            labels: &names,
            findings: &findings,
        });
        Ok(())
    }

    /// Whether the results can be written, before the work.
    fn check(&self, external: &[PathBuf]) -> anyhow::Result<()> {
        if let Some(report) = &self.report
            && !files::report_kind(report).is_ok_and(|kind| kind == files::ReportKind::Html)
        {
            return Err(anyhow!(
                "--report {}: the name must end in .html; --json prints the findings",
                report.display()
            ));
        }
        let inputs: Vec<&Path> = [Some(&self.file), Some(&self.images), self.test.as_ref()]
            .into_iter()
            .flatten()
            .chain(external)
            .map(PathBuf::as_path)
            .chain(self.input.files())
            .collect();
        let outputs = [("--report", &self.report), ("--csv", &self.csv)];
        let outputs: Vec<(&str, &Path)> =
            outputs.into_iter().filter_map(|(flag, path)| Some((flag, path.as_deref()?))).collect();
        files::check(&inputs, &outputs)
    }

    fn write(&self, findings: &Findings, samples: &[Sample], names: &[String]) -> anyhow::Result<()> {
        let title = self.images.display().to_string();
        let write = |path: &Path, text: String| {
            foldnet_archive::write_file(path, text.as_bytes()).with_context(|| path.display().to_string())
        };
        if let Some(path) = &self.report {
            write(path, page::page(&title, findings, samples, names))?;
        }
        if let Some(path) = &self.csv {
            write(path, table::csv(findings, samples, names))?;
        }
        Ok(())
    }
}

/// The names of classes: those of all class folders, or the network's where labels are numbers.
struct Names<'a> {
    folders: Vec<String>,
    network: &'a [String],
}

fn names<'a>(sets: &[(Dataset, bool)], network: &'a [String]) -> Names<'a> {
    let mut folders: Vec<String> = sets.iter().flat_map(|(set, _)| set.classes().to_vec()).collect();
    folders.sort();
    folders.dedup();
    Names { folders, network }
}

impl Names<'_> {
    /// The label of an image of this set as an index into all names.
    fn index(&self, set: &Dataset, label: usize) -> usize {
        match set.classes().get(label) {
            Some(name) => self.folders.binary_search(name).unwrap_or(label),
            None => label,
        }
    }

    /// A name for each label that occurs.
    fn all(&self, samples: &[Sample]) -> Vec<String> {
        let known = if self.folders.is_empty() { self.network } else { &self.folders };
        let labels = samples.iter().filter_map(|s| s.label).max().map_or(0, |l| l + 1);
        (0..labels).map(|l| known.get(l).cloned().unwrap_or_else(|| format!("class {l}"))).collect()
    }
}

struct Reading<'a> {
    model: &'a Model,
    talk: &'a Talk,
    samples: Vec<Sample>,
    skipped: usize,
}

impl Reading<'_> {
    fn read(
        &mut self,
        dataset: &Dataset,
        test: bool,
        most: usize,
        names: &Names<'_>,
        extractor: &mut Extractor,
    ) -> Result<(), Failure> {
        let numbers: Vec<usize> = spread(dataset.len(), most).collect();
        self.talk.stage("looking at the images", numbers.len());
        let mut reader = Reader::new(dataset, self.model.input(), self.talk);
        let before = self.samples.len();
        for chunk in numbers.chunks(IMAGES_AT_ONCE) {
            let read = reader.read(chunk.iter().copied());
            let pixels: Vec<Pixels> = read.iter().map(|sample| sample.pixels.clone()).collect();
            let features = extractor.features(&pixels).map_err(anyhow::Error::from)?;
            for (sample, features) in read.into_iter().zip(features) {
                let label = sample.label.map(|label| names.index(dataset, label));
                let small = sample.pixels.shrunk(SMALL);
                self.samples.push(Sample { name: sample.name, label, test, features, small });
            }
            chunk.iter().for_each(|_| self.talk.tick());
        }
        self.skipped += reader.skipped;
        reader.check(self.samples.len() - before, false)
    }
}

/// The result for people.
fn words(f: &Findings, samples: &[Sample], names: &[String], features: usize) -> Vec<String> {
    let file = |i: usize| printable(&samples[i].shown()).into_owned();
    let name = |l: usize| printable(&names[l]).into_owned();
    let mut lines =
        vec![format!("{} compared by {}", count(samples.len(), "image"), count(features, "feature"))];
    let mut list = |title: String, all: usize, line: &dyn Fn(usize) -> String| {
        if all > 0 {
            lines.push(title);
            lines.extend((0..all.min(SHOWN)).map(|i| format!("  {}", line(i))));
            lines.extend((all > SHOWN).then(|| format!("  … {} more", all - SHOWN)));
        }
    };
    list(format!("{} wrong:", looks(f.suspects.len())), f.suspects.len(), &|i| {
        let s = &f.suspects[i];
        format!(
            "{}: {}, but {} of the {VOTERS} nearest images are {}",
            file(s.image),
            name(s.label),
            s.votes,
            name(s.suggestion)
        )
    });
    list(format!("{} of near-duplicates:", count(f.duplicates.len(), "pair")), f.duplicates.len(), &|i| {
        let p = &f.duplicates[i];
        let kind = match (p.contradictory, p.leak) {
            (true, true) => ", in training and test images, with different labels",
            (true, _) => ", with different labels",
            (_, true) => ", in training and test images",
            _ => "",
        };
        format!("{} and {}{kind}", file(p.images[0]), file(p.images[1]))
    });
    list(format!("{} unlike all others:", count(f.outliers.len(), "image")), f.outliers.len(), &|i| {
        file(f.outliers[i].image)
    });
    list(format!("{} of classes that overlap:", count(f.overlaps.len(), "pair")), f.overlaps.len(), &|i| {
        let o = &f.overlaps[i];
        let [a, b] = o.classes.map(name);
        let (there, back) = (100.0 * o.there, 100.0 * o.back);
        format!("{a} and {b}: {there:.0} % of {a}'s nearest images are {b}, {back:.0} % of {b}'s are {a}")
    });
    let remarked: Vec<_> = f.classes.iter().filter_map(|c| Some((c, c.remark()?))).collect();
    list(format!("{} to extend:", count(remarked.len(), "class")), remarked.len(), &|i| {
        let (class, remark) = remarked[i];
        format!("{}: {remark} ({})", name(class.class), count(class.images, "image"))
    });
    if lines.len() == 1 {
        lines.push("nothing to look at".into());
    }
    lines
}

fn looks(n: usize) -> String {
    if n == 1 { "1 label looks".into() } else { format!("{n} labels look") }
}
