//! `converter reproduce`: makes an archive again from the inputs that it records, and compares the bytes.

use std::ffi::OsString;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use clap::Args;
use foldnet_archive::{Manifest, Network, digest};
use serde::Serialize;

use super::quantize::{self, Read};
use super::{Failure, Talk, files};
use crate::provenance::{EXTERNAL, From, Provenance, differences, file_hash};

/// Make an archive again from its recorded inputs
///
/// An archive records hashes of the model and the images that it was made from, the flags, and the version of the
/// converter. This command names each input that is not the recorded one. If there is none, it quantizes again and
/// compares the bytes. Exits with code 3 if an input or the archive differs.
#[derive(Args)]
#[command(after_help = "Examples:\n  converter reproduce cifar.nnef.tgz\n  \
                        converter reproduce mine.nnef.tgz --model model.onnx --images photos/")]
pub struct Cmd {
    /// Archive from `converter quantize`
    archive: PathBuf,
    /// Float model that the archive was made from [default: the built-in one]
    #[arg(long, value_name = "MODEL")]
    model: Option<PathBuf>,
    /// Images that the archive was made with [default: those built in]
    #[arg(long)]
    images: Option<PathBuf>,
    /// File with the class names that `converter quantize --labels` was given
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// Python file that `converter quantize --custom` was given
    #[arg(long, value_name = "MODULE.py")]
    custom: Option<PathBuf>,
    /// Weights that `converter quantize --weights` was given
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// Python to export with [default: python3]
    #[arg(long, value_name = "PROGRAM")]
    python: Option<String>,
    /// Also write the archive that was made, whether it is the same or not
    #[arg(long = "out", short = 'o', value_name = "OUT.nnef.tgz")]
    output: Option<PathBuf>,
}

/// The recorded flags that are passed on, with a value. An archive is anybody's text, so nothing else is.
const VALUES: [&str; 10] = [
    "preprocess",
    "resize",
    "input-size",
    "output-name",
    "output",
    "threshold",
    "calibration",
    "effort",
    "max-images",
    "max-drop",
];
/// Likewise, without a value.
const SWITCHES: [&str; 7] = [
    "no-labels",
    "labels-by-order",
    "synthetic",
    "per-class",
    "for-npu",
    "no-equalization",
    "no-bias-correction",
];
/// The lists of class names that `--labels` knows by name. Another value could name any file.
const LISTS: [&str; 3] = ["imagenet", "cifar10", "cifar100"];

/// The result for scripts.
#[derive(Serialize)]
struct Outcome<'a> {
    archive: &'a Path,
    same: bool,
    /// SHA-256 of the archive, and of the one that was made; none if inputs differ.
    sha256: String,
    made: Option<String>,
    differences: &'a [String],
}

impl Cmd {
    /// See the module.
    pub fn run(self, talk: &Talk) -> Result<(), Failure> {
        let inputs = [&self.model, &self.images, &self.labels, &self.custom, &self.weights];
        let inputs = inputs.into_iter().flatten().chain([&self.archive]).map(PathBuf::as_path);
        let outputs: Vec<(&str, &Path)> = self.output.iter().map(|path| ("-o", path.as_path())).collect();
        files::check(&inputs.collect::<Vec<_>>(), &outputs)?;
        let bytes = read(&self.archive)?;
        let (network, manifest) = foldnet_archive::unpack(&bytes[..], &self.archive)?;
        let recorded = self.recorded(&manifest)?;
        let quantize = quantize::Cmd::parse(self.arguments(&recorded)?)
            .with_context(|| format!("{}: provenance.toml", self.archive.display()))?;

        self.same_inputs(&bytes, &differences(&recorded, &self.files(&recorded, &quantize)?, &[]), talk)?;
        let mut model = quantize.load(talk)?;
        let Read { images, names, set } = quantize.images(&mut model, talk)?;
        let now = quantize.provenance(&model, set)?;
        talk.clear();
        self.same_inputs(&bytes, &differences(&recorded, &now, &names), talk)?;
        let mut made = quantize.converted(&model, &images, now, talk)?;
        // Models for NPUs were added afterwards.
        if !manifest.npu.is_empty() {
            made.manifest.npu.clone_from(&manifest.npu);
            made.archive = foldnet_archive::pack(&made.network, &made.manifest);
        }
        if let Some(path) = &self.output {
            foldnet_archive::write_file(path, &made.archive)
                .with_context(|| format!("{}: the archive was not written", path.display()))?;
        }
        if made.archive == bytes {
            self.report(&bytes, Some(&made.archive), &[], talk);
            return Ok(());
        }
        // Both as they are read: an archive names tensors in its own way.
        let (again, _) = foldnet_archive::unpack(&made.archive[..], &self.archive)?;
        let differ = members((&network, &manifest), (&again, &made.manifest));
        self.report(&bytes, Some(&made.archive), &differ, talk);
        Err(Failure::Limit(format!("{}: {}", self.archive.display(), self.why(&recorded))))
    }

    /// The record with the hashes of the files as they are now. They are compared before anything is read from them, so
    /// that a wrong file is named as such, whatever would become of it.
    fn files(&self, recorded: &Provenance, quantize: &quantize::Cmd) -> anyhow::Result<Provenance> {
        let mut now = recorded.clone();
        let recorder = quantize.recorder()?;
        now.flags = recorder.flags;
        now.files.retain(|file| file.role == EXTERNAL);
        now.files.extend(recorder.files);
        if let (From::File, Some(path)) = (recorded.model.from, &self.model)
            && path.is_file()
        {
            now.model.sha256 = file_hash(path)?;
            now.model.name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        }
        Ok(now)
    }

    /// Reports inputs that differ, if there are any.
    fn same_inputs(&self, archive: &[u8], differ: &[String], talk: &Talk) -> Result<(), Failure> {
        if differ.is_empty() {
            return Ok(());
        }
        self.report(archive, None, differ, talk);
        let (name, count) = (self.archive.display(), foldnet_cli::count(differ.len(), "difference"));
        Err(Failure::Limit(format!("{name}: {count} in the inputs; nothing was converted")))
    }

    fn recorded(&self, manifest: &Manifest) -> anyhow::Result<Provenance> {
        let archive = self.archive.display();
        let text = manifest.provenance.as_deref().ok_or_else(|| {
            anyhow!(
                "{archive} does not record what it was made from, because an earlier release made it; quantize the \
                 model again"
            )
        })?;
        Provenance::parse(text).with_context(|| archive.to_string())
    }

    /// The arguments of `converter quantize`.
    fn arguments(&self, recorded: &Provenance) -> anyhow::Result<Vec<OsString>> {
        let archive = self.archive.display();
        let mut arguments = Vec::new();
        for (name, value) in &recorded.flags {
            let name = name.as_str();
            if VALUES.contains(&name) || (name == "labels" && LISTS.contains(&value.as_str())) {
                arguments.push(format!("--{name}={value}").into());
            } else if SWITCHES.contains(&name) && value == "true" {
                arguments.push(format!("--{name}").into());
            } else {
                return Err(anyhow!(
                    "{archive}: provenance.toml records the flag --{name} with the value {value:?}, which this \
                     release does not know"
                ));
            }
        }
        let model = &recorded.model;
        let given = |flag: &str, path: Option<&PathBuf>, from: From, what: String| match (from, path) {
            (From::File | From::Publisher, None) => {
                Err(anyhow!("{archive} was made {what}; give the same with --{flag}"))
            }
            (From::BuiltIn | From::Noise, Some(_)) => {
                Err(anyhow!("{archive} was made {what}; leave --{flag} out"))
            }
            _ => Ok(()),
        };
        let source = match model.from {
            From::BuiltIn => "from the built-in model".into(),
            _ => format!("from {} (SHA-256 {})", model.name, model.sha256),
        };
        given("model", self.model.as_ref(), model.from, source)?;
        let images = &recorded.images;
        let set = match images.from {
            From::BuiltIn => "with the built-in images".into(),
            From::Noise => "with generated noise".into(),
            _ => format!("with {} images", images.calibration + images.check),
        };
        given("images", self.images.as_ref(), images.from, set)?;
        let python = self.python.as_ref().map(PathBuf::from);
        for (flag, path) in [
            ("images", &self.images),
            ("labels", &self.labels),
            ("custom", &self.custom),
            ("weights", &self.weights),
            ("python", &python),
        ] {
            if let Some(path) = path {
                let mut argument = OsString::from(format!("--{flag}="));
                argument.push(path);
                arguments.push(argument);
            }
        }
        if let Some(model) = &self.model {
            arguments.extend(["--".into(), model.into()]);
        }
        Ok(arguments)
    }

    /// Prints the result.
    fn report(&self, archive: &[u8], made: Option<&[u8]>, differences: &[String], talk: &Talk) {
        let sha256 = digest(archive);
        match differences {
            [] => talk
                .human(format!("{}: made again, the same bytes (SHA-256 {sha256})", self.archive.display())),
            several => several.iter().for_each(|difference| talk.human(difference)),
        }
        let same = made == Some(archive);
        talk.result(&Outcome { archive: &self.archive, same, sha256, made: made.map(digest), differences });
    }

    /// Why equal inputs did not give equal bytes.
    fn why(&self, recorded: &Provenance) -> String {
        let this = env!("CARGO_PKG_VERSION");
        if recorded.converter == this {
            return "the inputs and the version are the recorded ones, but not the archive. Another build or another \
                    processor may have made it; please report this"
                .into();
        }
        format!(
            "version {} of the converter made the archive, and this is {this}. Other versions may convert \
             differently",
            recorded.converter
        )
    }
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    foldnet_archive::open_file(path)
        .and_then(|mut file| file.read_to_end(&mut bytes))
        .with_context(|| path.display().to_string())?;
    Ok(bytes)
}

/// Which parts of the two archives differ.
fn members((network, manifest): (&Network, &Manifest), (again, new): (&Network, &Manifest)) -> Vec<String> {
    let parts = [
        ("the network (graph.nnef and its weights)", network == again),
        ("foldnet.toml: source", manifest.source == new.source),
        ("foldnet.toml: input", manifest.input == new.input),
        ("foldnet.toml: calibration", manifest.calibration == new.calibration),
        ("foldnet.toml: labels", manifest.labels == new.labels),
        ("foldnet.toml: output", manifest.output == new.output),
        ("proof.toml", manifest.proof == new.proof),
        ("provenance.toml", manifest.provenance == new.provenance),
    ];
    let mut differ: Vec<String> =
        parts.iter().filter(|(_, same)| !same).map(|(part, _)| format!("differs: {part}")).collect();
    if differ.is_empty() {
        differ.push("differs: only how the members are packed; their content is the same".into());
    }
    differ
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provenance::sample;

    fn cmd() -> Cmd {
        Cmd {
            archive: "a.nnef.tgz".into(),
            model: Some("-m.onnx".into()),
            images: Some("photos".into()),
            labels: None,
            custom: None,
            weights: None,
            python: None,
            output: None,
        }
    }

    #[test]
    fn recorded_flags_and_given_files_are_passed_on() {
        let arguments = cmd().arguments(&sample()).unwrap();
        assert_eq!(arguments, ["--effort=normal", "--per-class", "--images=photos", "--", "-m.onnx"]);
    }

    #[test]
    fn an_archive_cannot_name_files_or_programs() {
        for (name, value) in [
            ("python", "sh"),
            ("out", "/etc/passwd"),
            ("labels", "/etc/passwd"),
            ("keep-onnx", "x"),
            ("per-class", "x"),
        ] {
            let mut recorded = sample();
            recorded.flags.insert(name.into(), value.into());
            let said = cmd().arguments(&recorded).unwrap_err().to_string();
            assert!(said.contains(&format!("--{name}")) && said.contains("does not know"), "{said}");
        }
        let mut recorded = sample();
        recorded.flags.insert("labels".into(), "imagenet".into());
        assert!(cmd().arguments(&recorded).unwrap().contains(&"--labels=imagenet".into()));
    }

    #[test]
    fn missing_and_needless_inputs_are_named() {
        let said = |cmd: Cmd, recorded: &Provenance| cmd.arguments(recorded).unwrap_err().to_string();
        assert!(said(Cmd { model: None, ..cmd() }, &sample()).contains("from model.onnx (SHA-256"));
        assert!(
            said(Cmd { images: None, ..cmd() }, &sample())
                .contains("with 2 images; give the same with --images")
        );
        let mut built_in = sample();
        built_in.model.from = From::BuiltIn;
        assert!(said(cmd(), &built_in).contains("leave --model out"));
    }
}
