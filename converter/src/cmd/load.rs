//! Reads models and archives, told apart by their first bytes.

use std::io::Read;
use std::path::Path;

use anyhow::Context;
use foldnet_archive::Input;

use super::model::{Around, FloatModel, InputFlags, Int8Model, Model, named};
use crate::foreign;

/// Whether this is an archive, by its first bytes.
fn is_archive(path: &Path) -> anyhow::Result<bool> {
    if named(path).is_some() || foreign::exported_folder(path).is_some() {
        return Ok(false);
    }
    let mut magic = [0; 2];
    let mut file = foldnet_archive::open_file(path).with_context(|| path.display().to_string())?;
    let read = file.read(&mut magic).with_context(|| path.display().to_string())?;
    Ok(read == 2 && magic == [0x1f, 0x8b])
}

impl Model {
    /// Reads either.
    pub fn load(path: &Path, flags: &InputFlags, around: Around<'_>) -> anyhow::Result<Self> {
        if !is_archive(path)? {
            return Ok(Self::Float(Box::new(FloatModel::load(path, flags, around)?)));
        }
        flags.warn_unused(around.talk);
        Self::archive(path, flags)
    }

    /// Reads two that are compared. A float model that does not state its preprocessing has the archive's.
    pub fn load_both(
        [a, b]: [&Path; 2],
        flags: &InputFlags,
        around: Around<'_>,
    ) -> anyhow::Result<(Self, Self)> {
        match (is_archive(a)?, is_archive(b)?) {
            (true, true) => {
                flags.warn_unused(around.talk);
                Ok((Self::archive(a, flags)?, Self::archive(b, flags)?))
            }
            (true, false) => {
                let archive = Self::archive(a, flags)?;
                let float = Self::beside(b, &archive, flags, around)?;
                Ok((archive, float))
            }
            (false, true) => {
                let archive = Self::archive(b, flags)?;
                Ok((Self::beside(a, &archive, flags, around)?, archive))
            }
            (false, false) => Ok((Self::load(a, flags, around)?, Self::load(b, flags, around)?)),
        }
    }

    fn archive(path: &Path, flags: &InputFlags) -> anyhow::Result<Self> {
        let bytes = std::fs::metadata(path).with_context(|| path.display().to_string())?.len();
        let (network, mut manifest) = foldnet_archive::read(path)?;
        if let Some(resize) = flags.resize {
            manifest.input.resize = resize;
        }
        Ok(Self::Int8(Box::new(Int8Model { network, manifest, bytes })))
    }

    /// The float model that is compared with an archive.
    fn beside(path: &Path, archive: &Self, flags: &InputFlags, around: Around<'_>) -> anyhow::Result<Self> {
        let recorded = archive.input();
        let around = Around { recorded: Some(recorded), ..around };
        let float = FloatModel::load(path, flags, around)?;
        let own = &float.input;
        let bgr = |input: &Input| input.preprocess == "caffe";
        if (&own.mean, &own.std, bgr(own)) != (&recorded.mean, &recorded.std, bgr(recorded)) {
            around.talk.warn(format!(
                "the archive records the preprocessing {}, but {} is read with {}: the answers differ for this alone",
                in_words(recorded),
                float.source.file,
                in_words(own)
            ));
        }
        Ok(Self::Float(Box::new(float)))
    }
}

/// A preprocessing as `--preprocess` takes it.
fn in_words(input: &Input) -> String {
    let list = |values: &[f32]| values.iter().map(f32::to_string).collect::<Vec<_>>().join(",");
    match &input.preprocess[..] {
        "custom" => format!("{}/{}", list(&input.mean), list(&input.std)),
        name => name.into(),
    }
}
