//! `runtime teach`: new classes from a few images.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use foldnet::Session;
use foldnet_archive::Manifest;
use foldnet_image::fit;
use foldnet_teach::{
    Example, FalseAlarms, Metric, Other, OwnClasses, OwnExample, TaughtError, TeachError, Teacher, Teaching,
    hash_pixels,
};
use serde_json::json;

use super::backend::own_classes;
use super::images::Images;
use super::{Engine, Exit, Failure, Output, check_outputs, count, fitted, printable, read};

/// Teach a network new classes from a few images
///
/// Writes a teaching file, with which `runtime classify --teach` and `runtime camera --teach` answer with the taught
/// classes. Nothing is trained: images are compared by the features that the last layer reads. 5 to 20 images
/// are enough for a class if they vary as much as later images will. An image that is like no class is `unknown`.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
                        runtime teach model.nnef.tgz --class cat photos/cat --class dog photos/dog -o pets.teach\n  \
                        runtime teach model.nnef.tgz --class cat photos/cat --mix photos/dog -o mixed.teach\n  \
                        runtime teach model.nnef.tgz --normal photos/cat -o normal.teach\n  \
                        runtime teach model.nnef.tgz --from pets.teach --rename cat tabby\n  \
                        runtime teach model.nnef.tgz --from pets.teach")]
pub struct Cmd {
    /// Archive from `converter quantize`
    archive: PathBuf,
    /// Class and its images: a folder, an image, or a CIFAR .bin or .npy file (repeatable)
    #[arg(long, num_args = 2, value_names = ["NAME", "IMAGES"])]
    class: Vec<OsString>,
    /// Images of the normal state; every other image is called `anomaly`
    #[arg(long, value_name = "IMAGES", conflicts_with_all = ["class", "from"])]
    normal: Option<PathBuf>,
    /// Answer with the network's own classes, too; IMAGES show some of them, which need not be sorted (repeatable)
    ///
    /// Without IMAGES, those that --from holds are used. They show how sure the network is of what it knows.
    #[arg(long, value_name = "IMAGES", num_args = 0.., conflicts_with = "normal")]
    mix: Option<Vec<PathBuf>>,
    /// Answer with the taught classes only [default, or as in --from]
    #[arg(long, conflicts_with = "mix", requires = "from")]
    replace: bool,
    /// Share of the taught classes' images that may be called unknown [default: 5%, or as in --from]
    ///
    /// With 0, no image is called unknown. A rate of 1% needs 99 images, 5% needs 19. With fewer images, the command
    /// prints the rate that they allow.
    #[arg(long, value_name = "RATE", value_parser = rate)]
    false_alarms: Option<FalseAlarms>,
    /// Teaching file to show or to change
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// Rename a class of that file (repeatable)
    #[arg(long, num_args = 2, value_names = ["OLD", "NEW"], requires = "from")]
    rename: Vec<String>,
    /// Remove a class of that file (repeatable)
    #[arg(long, value_name = "NAME", requires = "from")]
    remove: Vec<String>,
    /// Teaching file to write [default: that of --from, if it is changed]
    #[arg(short, long, value_name = "FILE", required_unless_present = "from")]
    out: Option<PathBuf>,
    /// Exit with code 2 if an image cannot be read
    #[arg(long)]
    strict: bool,
    /// Number of CPU threads; 0 is one per core
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = "Engine")]
    threads: usize,
    #[command(flatten)]
    engine: Engine,
}

/// `5%`, `0.5 %`, `0.05`.
fn rate(text: &str) -> Result<FalseAlarms, String> {
    let percent = match text.strip_suffix('%') {
        Some(number) => number.trim().parse::<f64>().ok(),
        None => text.parse::<f64>().ok().map(|share| 100.0 * share),
    };
    percent.and_then(FalseAlarms::percent).ok_or_else(|| "a rate is 0% to 50%, or 0 to 0.5".into())
}

/// What a file gets where no rate is given.
const RATE: f64 = 5.0;

impl Cmd {
    /// Runs the command.
    pub fn run(self, output: &Output) -> Result<(), Failure> {
        self.check()?;
        let before = self.from.as_deref().map(foldnet_teach::read).transpose()?;
        let hash = foldnet_teach::hash_archive(&self.archive)?;
        let (network, manifest) = read(&self.archive)?;
        let at_archive =
            |error: TeachError| Failure::input(format_args!("{}: {error}", self.archive.display()));
        let metric = Metric::of(&network).map_err(at_archive)?;
        if let (Some(before), Some(file)) = (&before, &self.from) {
            before
                .check(hash)
                .map_err(|error: TaughtError| Failure::input(format_args!("{}: {error}", file.display())))?;
        }
        let other = if self.normal.is_some() { Other::Anomaly } else { Other::Unknown };
        let mut teacher = match &before {
            Some(before) => before.clone().into_teacher(),
            None => Teacher::new(hash, metric, other),
        };
        for name in &self.remove {
            teacher.remove(name).map_err(|e| Failure::input(format_args!("--remove {name:?}: {e}")))?;
        }
        for names in self.rename.chunks_exact(2) {
            let [from, to] = names else { continue };
            let failure = |e| Failure::input(format_args!("--rename {from:?} {to:?}: {e}"));
            teacher.rename(from, to).map_err(failure)?;
        }
        let session = self.engine.session(&network, self.threads)?;
        let own = own_classes(&manifest, network.activation, network.classes());
        if self.mix.is_some() {
            own.check().map_err(at_archive)?;
        }
        let mut lessons =
            Lessons { teacher, session, manifest, own, output, seen: HashMap::new(), skipped: 0 };
        for (name, images) in self.classes()? {
            lessons.add(Some(&name), &images)?;
        }
        for images in self.mix.iter().flatten() {
            lessons.add(None, images)?;
        }
        let (mut teacher, skipped) = (lessons.teacher, lessons.skipped);
        if self.mix.is_some() || self.replace {
            teacher.mix(!self.replace);
        }
        let asked = match (self.false_alarms, &before) {
            (Some(rate), _) => rate,
            (None, Some(before)) => before.calibration().asked,
            (None, None) => FalseAlarms::percent(RATE).expect("a rate"),
        };
        let teaching = teacher.finish(asked).map_err(Failure::input)?;
        if self.strict && skipped > 0 {
            return Err(Failure::silent(Exit::BadInput));
        }
        let changed = before.as_ref() != Some(&teaching);
        let out = self.out.as_ref().or(self.from.as_ref().filter(|_| changed));
        if let Some(out) = out {
            foldnet_teach::write(out, &teaching)?;
        }
        self.tell(output, &teaching, out.map(PathBuf::as_path))
    }

    /// Whether the file can be written, and replaces no input. That of --from may be replaced.
    fn check(&self) -> Result<(), Failure> {
        let Some(out) = &self.out else { return Ok(()) };
        let classes = self.classes()?;
        let inputs: Vec<&Path> = std::iter::once(&self.archive)
            .chain(classes.iter().map(|(_, images)| images))
            .chain(self.mix.iter().flatten())
            .map(|p| &**p)
            .collect();
        Ok(check_outputs(&inputs, &[("--out", out)])?)
    }

    /// The classes to add, and where their images are.
    fn classes(&self) -> Result<Vec<(String, PathBuf)>, Failure> {
        let pair = |pair: &[OsString]| {
            let name = pair[0].to_str().ok_or_else(|| {
                Failure::input(format_args!("--class {:?}: a name in UTF-8 is needed", pair[0]))
            })?;
            Ok((name.to_owned(), PathBuf::from(&pair[1])))
        };
        let mut classes = self.class.chunks_exact(2).map(pair).collect::<Result<Vec<_>, Failure>>()?;
        classes.extend(self.normal.clone().map(|images| ("normal".into(), images)));
        Ok(classes)
    }

    fn tell(&self, output: &Output, teaching: &Teaching, out: Option<&Path>) -> Result<(), Failure> {
        if output.json() {
            return output.data(&as_json(teaching, out));
        }
        let classes = teaching.classes();
        let width = classes.iter().map(|c| c.name().chars().count()).max().unwrap_or(0).clamp(5, 32);
        output.line(format!("{:width$}  images  prototypes  recognized when held out", "class"))?;
        for class in classes {
            let name = fitted(class.name(), width);
            let (images, prototypes) = (class.examples(), class.prototypes().len());
            let right = if images > 1 { format!("{} of {images}", class.right()) } else { "–".into() };
            output.line(format!("{name}  {images:6}  {prototypes:10}  {right:>24}"))?;
        }
        if teaching.own().examples() > 0 {
            let images = count(teaching.own().examples(), "image");
            let answered = if teaching.own().is_mixed() { "answered, too" } else { "not answered (--mix)" };
            output.line(format!("the network's own classes: {answered}; {images}"))?;
        }
        output.line(teaching.rate_in_words())?;
        if let Some(too_few) = teaching.too_few_in_words() {
            output.warn(too_few);
        }
        if let Some(out) = out {
            let shown = out.display().to_string();
            output.say(format_args!("{}: {} taught", printable(&shown), count_classes(classes.len())));
        }
        Ok(())
    }
}

fn count_classes(n: usize) -> String {
    if n == 1 { "1 class".into() } else { format!("{n} classes") }
}

fn as_json(teaching: &Teaching, out: Option<&Path>) -> serde_json::Value {
    let class = |class: &foldnet_teach::Class| {
        let prototypes: Vec<u32> = class.prototypes().iter().map(|p| p.examples).collect();
        json!({
            "class": class.name(),
            "images": class.examples(),
            "prototypes": prototypes,
            "recognized": (class.examples() > 1).then_some(class.right()),
        })
    };
    let calibration = teaching.calibration();
    let unknown = calibration.rate().map(|rate| {
        json!({
            "label": teaching.other().name(),
            "asked": calibration.asked.share(),
            "images": calibration.examples,
            "expected": rate.expected,
            "low": rate.low,
            "high": rate.high,
        })
    });
    json!({
        "classes": teaching.classes().iter().map(class).collect::<Vec<_>>(),
        "mixed": teaching.own().is_mixed(),
        "own_images": teaching.own().examples(),
        "unknown": unknown,
        "written": out.map(|out| out.display().to_string()),
    })
}

/// Turns images into examples.
struct Lessons<'a> {
    teacher: Teacher,
    session: Session,
    manifest: Manifest,
    own: OwnClasses,
    output: &'a Output,
    /// The images given now, by which a contradiction is named.
    seen: HashMap<u64, String>,
    skipped: usize,
}

impl Lessons<'_> {
    /// Adds the images of a class, or those of the network's own classes.
    fn add(&mut self, class: Option<&str>, from: &Path) -> Result<(), Failure> {
        let images = Images::open(from)?;
        if let Some(left_out) = images.left_out() {
            self.output.say(format_args!("{}: {left_out}", printable(&from.display().to_string())));
        }
        let (mut added, mut again) = (0, 0);
        for (name, image) in images.iter() {
            let image = match image {
                Ok(image) => image,
                Err(problem) => {
                    self.skipped += 1;
                    self.output.warn(format_args!("skipped: {}", printable(&format!("{name}: {problem}"))));
                    continue;
                }
            };
            let pixels = fit(&image, &self.manifest.input);
            let hash = hash_pixels(&pixels);
            match self.example(class, &pixels) {
                Ok(true) => added += 1,
                Ok(false) => again += 1,
                Err(error @ TeachError::Contradiction { .. }) => {
                    let other = self.seen.get(&hash).map_or(String::new(), |n| format!(" (also {n})"));
                    return Err(Failure::input(printable(&format!("{name}{other}: {error}"))));
                }
                Err(error) => return Err(Failure::input(error)),
            }
            self.seen.entry(hash).or_insert(name);
        }
        let of = class.map_or("the network's own classes".into(), |class| format!("class {class:?}"));
        if added + again == 0 {
            let from = from.display().to_string();
            let why = format!("{}: no image of {of} can be read", printable(&from));
            return Err(Failure::input(why));
        }
        if again > 0 {
            let images = count(again, "image");
            self.output.warn(format_args!("{of}: {images} of the same content, counted once"));
        }
        Ok(())
    }

    /// Adds an image, as the network reads it. `false` if it is known.
    fn example(&mut self, class: Option<&str>, pixels: &[u8]) -> Result<bool, TeachError> {
        let (logits, features) = self.session.run_with_features(pixels).ok_or(TeachError::NoFeatures)?;
        match class {
            Some(class) => self.teacher.add(class, Example::new(pixels, features)),
            None => {
                let mut shares = Vec::new();
                self.own.scores.fill(logits, &mut shares);
                self.teacher.add_own(OwnExample::new(pixels, &shares))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read() {
        for (text, share) in [("5%", 0.05), ("0.5 %", 0.005), ("0.05", 0.05), ("0", 0.0), ("50%", 0.5)] {
            assert_eq!(rate(text).unwrap().share(), share, "{text}");
        }
        for bad in ["", "%", "51%", "5", "-1%", "nan", "nan%", "inf", "five"] {
            assert!(rate(bad).is_err(), "{bad}");
        }
    }
}
