//! Reads the inputs of `converter quantize`: the model, the images, and the record of both.

use std::path::{MAIN_SEPARATOR, Path};

use foldnet_kernels::Shape;

use super::Cmd;
use crate::cmd::images::{Reader, check_labels, open, spread};
use crate::cmd::model::{FloatModel, named};
use crate::cmd::{Failure, Talk};
use crate::convert::images::{Images, Sample};
use crate::convert::reading::{Evidence, decide};
use crate::convert::verdict::images_are;
use crate::image::Pixels;
use crate::provenance::{
    EXTERNAL, From, ImageHash, ImageSet, ModelSource, Provenance, Recorder, classes_hash,
};
use crate::quantize::recipe::Progress;

const CALIBRATION: &[u8] = include_bytes!("../../../assets/calibration.bin");

/// The images of a conversion, and what identifies them.
pub struct Read {
    /// The images.
    pub images: Images,
    /// The names of those from files, in their order.
    pub names: Vec<String>,
    /// Their hashes.
    pub set: ImageSet,
}

impl Cmd {
    /// Reads the images. Labels may come with them, which then are the model's.
    pub fn images(&self, model: &mut FloatModel, talk: &Talk) -> Result<Read, Failure> {
        let own = |from, images: Images| Read {
            set: ImageSet::own(from, images.calibrate.len(), images.check.len()),
            images,
            names: Vec::new(),
        };
        let read = if self.synthetic {
            talk.warn("calibrating on noise (--synthetic): do not trust this archive's answers");
            own(From::Noise, Images::noise(&model.input))
        } else if let Some(path) = &self.images {
            self.read(path, model, talk)?
        } else {
            own(From::BuiltIn, Images::every_fifth(built_in_images()))
        };
        let images = &read.images;
        if images.check.is_empty() && !self.synthetic {
            talk.warn(format!(
                "{} too few to trust the ranges found on them; give about a hundred",
                images_are(images.calibrate.len())
            ));
        }
        Ok(read)
    }

    /// The record of the flags that influence the archive, and of the files that they name.
    pub fn recorder(&self) -> anyhow::Result<Recorder> {
        let mut recorder = Recorder::default();
        self.input.record(&mut recorder)?;
        self.names.record(&mut recorder)?;
        recorder.value("output", self.meaning.kind().map(|kind| kind.name()));
        recorder.value("threshold", Some(self.applies.threshold));
        recorder.value("calibration", Some(self.calibration.name()));
        recorder.value("effort", Some(self.effort.name()));
        recorder.value("max-images", Some(self.max_images));
        recorder.switch("synthetic", self.synthetic);
        recorder.value("max-drop", self.max_drop);
        recorder.switch("per-class", self.per_class);
        recorder.switch("for-npu", self.for_npu);
        recorder.switch("no-equalization", self.no_equalization);
        recorder.switch("no-bias-correction", self.no_bias_correction);
        Ok(recorder)
    }

    /// The record of everything that influences the archive.
    pub fn provenance(&self, model: &FloatModel, images: ImageSet) -> anyhow::Result<Provenance> {
        let mut recorder = self.recorder()?;
        for file in &model.external {
            recorder.file(EXTERNAL, Some(file))?;
        }
        let source = &model.source;
        let (from, name) = match self.model.as_deref() {
            None => (From::BuiltIn, source.file.clone()),
            Some(path) if named(path).is_some() => (From::Publisher, path.to_string_lossy().into_owned()),
            Some(_) => (From::File, source.file.clone()),
        };
        let exported = Some(model.read_sha256.clone()).filter(|hash| *hash != source.sha256);
        Ok(Provenance {
            converter: env!("CARGO_PKG_VERSION").into(),
            flags: recorder.flags,
            model: ModelSource { from, name, sha256: source.sha256.clone(), exported },
            images,
            files: recorder.files,
        })
    }

    /// The images of a folder or file, labelled where their classes are the network's.
    fn read(&self, path: &Path, model: &mut FloatModel, talk: &Talk) -> Result<Read, Failure> {
        let mut dataset = open(path, talk)?;
        let folders = dataset.classes().to_vec();
        let evidence = Evidence::of(model, &folders);
        let classes = decide(&evidence, self.meaning.kind())?.kind.classes(evidence.outputs);
        let mut labelled = classes > 0;
        if labelled {
            match self.names.number(&mut dataset, &model.labels, classes) {
                Err(error) if self.names.are_stated() => return Err(error.into()),
                // Folders may only group the images.
                Err(error) => {
                    labelled = false;
                    talk.say(format!("labels are not used: {error}"));
                }
                Ok(Some((names, note))) => {
                    talk.say(note);
                    model.labels = names;
                }
                Ok(None) => {}
            }
        }
        let mut reader = Reader::new(&dataset, &model.input, talk);
        talk.stage("reading", dataset.len().min(self.max_images as usize));
        let (mut samples, mut names, mut hashes) = (Vec::new(), Vec::new(), Vec::new());
        for number in spread(dataset.len(), self.max_images as usize) {
            for mut sample in reader.read([number]) {
                let content = dataset.content(number)?;
                hashes.push(if path.is_dir() {
                    ImageHash::of(&sample.name.replace(MAIN_SEPARATOR, "/"), None, &content)
                } else {
                    ImageHash::of("", sample.label, &content)
                });
                names.push(sample.name.clone());
                sample.label = sample.label.filter(|_| labelled);
                let held_out = model.held_out.as_ref().is_some_and(|rule| rule.contains(&content));
                samples.push((sample, held_out));
            }
            talk.tick();
        }
        reader.check(samples.len(), self.strict)?;
        if let Err(error) = check_labels(samples.iter().map(|(sample, _)| sample), classes) {
            if self.names.are_stated() {
                return Err(error.into());
            }
            talk.warn(format!("labels are not used: {error}"));
            samples.iter_mut().for_each(|(sample, _)| sample.label = None);
        }
        let images = match &model.held_out {
            Some(_) => Images::by_training(samples),
            None => Images::every_fifth(samples.into_iter().map(|(sample, _)| sample).collect()),
        };
        let set = ImageSet {
            classes: classes_hash(&folders),
            ..ImageSet::of(From::File, images.calibrate.len(), &hashes)
        };
        Ok(Read { images: Images { folders, skipped: reader.skipped, ..images }, names, set })
    }
}

/// The images built in: CIFAR records.
fn built_in_images() -> Vec<Sample> {
    CALIBRATION
        .chunks_exact(3073)
        .enumerate()
        .map(|(i, record)| {
            let plane = &record[1..];
            let pixels: Vec<u8> =
                (0..1024).flat_map(|p| [plane[p], plane[1024 + p], plane[2048 + p]]).collect();
            Sample {
                name: format!("built-in[{i}]"),
                label: Some(record[0].into()),
                pixels: Pixels::new(Shape::new(32, 32, 3), pixels).expect("a record holds a whole image"),
            }
        })
        .collect()
}
