//! Where the names of a network's classes come from, as flags.

use std::path::PathBuf;

use clap::Args;
use foldnet_dataset::{Dataset, DatasetError, LabelsBy, Matching, known, read_labels};

use crate::provenance::Recorder;

/// How classes are named, and class folders matched with them.
#[derive(Args, Clone, Debug, Default)]
pub struct LabelFlags {
    /// Class names: a text file with one a line, numbered lines, CSV, JSON or YAML; or the built-in imagenet, cifar10 or cifar100. Without it, the model's metadata, a recognized ImageNet network or the class folders give them
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// Ignore class names from the model, from class folders and from the built-in lists
    #[arg(long, conflicts_with = "labels")]
    no_labels: bool,
    /// Class folders, sorted by name, are the network's classes in this order, whatever they are called
    #[arg(long)]
    labels_by_order: bool,
}

impl LabelFlags {
    /// The names that the caller states.
    pub fn stated(&self, outputs: usize) -> anyhow::Result<Option<Vec<String>>> {
        let Some(path) = &self.labels else { return Ok(None) };
        if !path.exists()
            && let Some(names) = path.to_str().and_then(built_in)
        {
            let fits = foldnet_dataset::check_count(names.len(), outputs);
            fits.map_err(|problem| anyhow::anyhow!("--labels {}: {problem}", path.display()))?;
            return Ok(Some(names));
        }
        Ok(Some(read_labels(path, outputs)?.names))
    }

    /// The file, if there is one.
    pub fn file(&self) -> Option<&PathBuf> {
        self.labels.as_ref()
    }

    /// Records them for [`crate::provenance`].
    pub fn record(&self, to: &mut Recorder) -> anyhow::Result<()> {
        to.switch("no-labels", self.no_labels);
        to.switch("labels-by-order", self.labels_by_order);
        match &self.labels {
            Some(path) if !path.exists() => to.value("labels", path.to_str()),
            path => to.file("labels", path.as_deref())?,
        }
        Ok(())
    }

    /// Whether the caller states the names.
    pub fn are_stated(&self) -> bool {
        self.labels.is_some()
    }

    /// Whether names may be found anywhere else.
    pub fn may_be_found(&self) -> bool {
        !self.no_labels
    }

    /// How class folders are matched.
    pub fn matching(&self) -> Matching {
        if self.labels_by_order { Matching::ByOrder } else { Matching::ByName }
    }

    /// Numbers the images by a network's `classes` classes. Returns the names that the class folders give to a network
    /// without names, and the sentence to print then.
    pub fn number(
        &self,
        dataset: &mut Dataset,
        labels: &[String],
        classes: usize,
    ) -> Result<Option<(Vec<String>, String)>, DatasetError> {
        let by = dataset.match_labels(labels, classes, self.matching())?;
        Ok(if labels.is_empty() { self.folder_names(dataset, by) } else { None })
    }

    /// The names that class folders give to a network of `classes` classes that has none, and the
    /// sentence that tells so.
    fn folder_names(&self, dataset: &Dataset, by: LabelsBy) -> Option<(Vec<String>, String)> {
        let names = dataset.classes();
        let given = self.may_be_found() && by == LabelsBy::Order && names.len() > 1;
        given.then(|| {
            let words = format!(
                "labels: the {} class folders' names in sorted order, as Keras and PyTorch number them (--labels FILE or \
                 --no-labels changes that)",
                names.len()
            );
            (names.to_vec(), words)
        })
    }
}

fn built_in(name: &str) -> Option<Vec<String>> {
    match name {
        "imagenet" => Some(known::imagenet_1k()),
        "cifar10" => Some(known::CIFAR_10.map(String::from).to_vec()),
        "cifar100" => Some(known::cifar_100()),
        _ => None,
    }
}
