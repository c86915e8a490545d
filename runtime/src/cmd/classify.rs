//! `runtime classify`: images in, labels out.

use std::path::{Path, PathBuf};
use std::time::Instant;

use foldnet_archive::Scores;
use foldnet_cli::is_device;
use foldnet_dataset::DatasetError;
use foldnet_image::{Image, fit};
use serde::Serialize;

use super::backend::{Choice, Loaded};
use super::explain::Explainer;
use super::images::Images;
use super::{Exit, Failure, Output, check_outputs, count, fitted, printable};

/// Classify images
///
/// Prints the most likely labels of each image. The archive contains how images are resized. Images that cannot be read
/// are reported and skipped.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  runtime classify model.nnef.tgz picture.jpg\n  \
                        runtime classify model.nnef.tgz photos/ --top 1 --json\n  \
                        runtime classify model.nnef.tgz picture.jpg --explain heat.png\n  \
                        runtime classify model.nnef.tgz picture.jpg --teach pets.teach")]
pub struct Cmd {
    /// Archive from `converter quantize`
    archive: PathBuf,
    /// Images, folders, CIFAR .bin or .npy files; `-` reads an image from standard input
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,
    /// Number of labels to print for each image
    #[arg(long, value_name = "K", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..))]
    top: u16,
    /// Answer with the classes of a teaching file from `runtime teach`
    #[arg(long, value_name = "FILE")]
    teach: Option<PathBuf>,
    /// Write a PNG that shows which parts of the image speak for the best label
    ///
    /// Takes one image, and a network whose last layer follows global average pooling.
    #[arg(long, value_name = "FILE", conflicts_with = "teach")]
    explain: Option<PathBuf>,
    #[command(flatten)]
    choice: Choice,
    /// Exit with code 2 if an image cannot be read
    #[arg(long)]
    strict: bool,
}

/// A line of `--json`.
#[derive(Serialize)]
struct Line<'a> {
    image: &'a str,
    labels: &'a [Label],
    ms: f64,
}

#[derive(Serialize)]
struct Label {
    label: String,
    index: usize,
    score: f32,
}

impl Cmd {
    /// Runs the command.
    pub fn run(self, output: &Output) -> Result<(), Failure> {
        if let Some(file) = &self.explain {
            return self.explain(file, output);
        }
        let mut classifier = self.choice.load(&self.archive, self.teach.as_deref())?;
        let mut report = Report::new(&self, output, &classifier);
        for argument in &self.images {
            if let Err(problem) = report.argument(argument, &mut classifier) {
                // An argument that cannot be read is skipped, anything else ends the program.
                if problem.downcast_ref::<DatasetError>().is_none() {
                    return Err(problem);
                }
                report.skip(&problem.message());
            }
        }
        report.end(self.strict)
    }

    /// Classifies one image, and writes its heat map.
    fn explain(&self, file: &Path, output: &Output) -> Result<(), Failure> {
        let one = |count| Failure::input(format_args!("--explain takes one image, not {count}"));
        let [argument] = &self.images[..] else { return Err(one(self.images.len())) };
        check_outputs(&[&self.archive, argument], &[("--explain", file)])?;
        if !file.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("png")) && !is_device(file) {
            let file = file.display();
            return Err(Failure::input(format_args!(
                "--explain {file}: the file is an image in PNG; give a name that ends in .png"
            )));
        }
        let images = Images::open(argument)?;
        if images.count() != 1 {
            return Err(one(images.count()));
        }
        let mut explainer = Explainer::load(&self.archive, &self.choice)?;
        let mut classifier = self.choice.load(&self.archive, None)?;
        let mut report = Report::new(self, output, &classifier);
        report.widths(images.widest(), &classifier);
        for (name, picture) in images.iter() {
            if let Ok(picture) = &picture {
                let class = explainer.write(picture, &classifier, file)?;
                let label = classifier.scores.name(&classifier.manifest, class);
                let shown = file.display().to_string();
                output.say(format_args!("{}: what speaks for {}", printable(&shown), printable(&label)));
            }
            report.item(name, picture, &mut classifier)?;
        }
        report.end(self.strict)
    }
}

impl Loaded {
    /// The `top` most likely labels, and the milliseconds from decoded image to scores. Scores are
    /// shares of 1 (a network that ends in logits gets the function that it lacks), or plain numbers where
    /// the output means numbers.
    fn classify(&mut self, picture: &Image, top: usize) -> Result<(Vec<Label>, f64), Failure> {
        let start = Instant::now();
        let pixels = fit(picture, &self.manifest.input);
        let mut scores = Vec::new();
        self.scores.fill(self.backend.classify(&pixels)?, &mut scores);
        let ms = start.elapsed().as_secs_f64() * 1e3;
        let mut order: Vec<usize> = (0..scores.len()).collect();
        if self.scores.are_shares() {
            order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
        }
        let name = |&index: &usize| Label {
            label: self.scores.name(&self.manifest, index),
            index,
            score: scores[index],
        };
        Ok((order.iter().take(top).map(name).collect(), ms))
    }
}

/// What is printed, and what has been.
struct Report<'a> {
    output: &'a Output,
    scores: Scores,
    top: usize,
    name_width: usize,
    label_width: usize,
    classified: usize,
    skipped: usize,
    ms: f64,
}

/// More labels than this stand one below the other.
const IN_A_ROW: usize = 3;

impl<'a> Report<'a> {
    fn new(cmd: &Cmd, output: &'a Output, classifier: &Loaded) -> Self {
        Self {
            output,
            scores: classifier.scores,
            top: match classifier.scores.len() {
                // Numbers have no order, and none is likelier than another.
                all if !classifier.scores.are_shares() => all,
                all => usize::from(cmd.top).min(all),
            },
            name_width: 0,
            label_width: 0,
            classified: 0,
            skipped: 0,
            ms: 0.0,
        }
    }

    fn argument(&mut self, argument: &Path, classifier: &mut Loaded) -> Result<(), Failure> {
        let images = Images::open(argument)?;
        if let Some(left_out) = images.left_out() {
            self.output.say(format_args!("{}: {left_out}", printable(&argument.display().to_string())));
        }
        self.widths(images.widest(), classifier);
        images.iter().try_for_each(|(name, picture)| self.item(name, picture, classifier))
    }

    /// Columns only ever widen, so that arguments line up as far as one pass can have it.
    fn widths(&mut self, name: usize, classifier: &Loaded) {
        self.name_width = self.name_width.max(name.min(48));
        let labels = classifier.manifest.labels.iter().map(|l| l.chars().count()).max();
        self.label_width = labels.unwrap_or(10).min(24);
    }

    fn item(
        &mut self,
        name: String,
        picture: Result<Image, foldnet_image::ImageError>,
        classifier: &mut Loaded,
    ) -> Result<(), Failure> {
        let picture = match picture {
            Ok(picture) => picture,
            Err(problem) => {
                self.skip(&format!("{name}: {problem}"));
                return Ok(());
            }
        };
        let (labels, ms) = classifier.classify(&picture, self.top)?;
        self.classified += 1;
        self.ms += ms;
        if self.output.json() {
            let line = Line { image: &name, labels: &labels, ms };
            self.output.data(&line)?;
        } else {
            self.human(&name, &labels)?;
        }
        // Each answer is visible when it is there: a reader may wait for it.
        self.output.flush()
    }

    fn human(&mut self, name: &str, labels: &[Label]) -> Result<(), Failure> {
        let entry =
            |l: &Label| format!("{} {}", fitted(&l.label, self.label_width), self.scores.show(l.score));
        if labels.len() <= IN_A_ROW {
            let row: Vec<String> = labels.iter().map(entry).collect();
            return self.output.line(format!("{}  {}", fitted(name, self.name_width), row.join("   ")));
        }
        self.output.line(printable(name))?;
        for label in labels {
            self.output.line(format!("    {}", entry(label)))?;
        }
        Ok(())
    }

    fn skip(&mut self, what: &str) {
        self.skipped += 1;
        self.output.warn(format_args!("skipped: {}", printable(what)));
    }

    fn end(self, strict: bool) -> Result<(), Failure> {
        let n = self.classified;
        let each = if n > 0 { format!(", {:.2} ms each", self.ms / n as f64) } else { String::new() };
        let skipped = if self.skipped > 0 { format!(", {} skipped", self.skipped) } else { String::new() };
        self.output.say(format_args!("{} classified{each}{skipped}", count(n, "image")));
        // Each image has been named.
        let failed = self.classified == 0 || (strict && self.skipped > 0);
        if failed { Err(Failure::silent(Exit::BadInput)) } else { Ok(()) }
    }
}
