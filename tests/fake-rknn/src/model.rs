//! The models that the fake loads.

use foldnet_archive::{Manifest, Network};
use serde::{Deserialize, Serialize};

const MAGIC: &[u8; 8] = b"FAKERKNN";

/// What goes wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// Nothing.
    #[default]
    None,
    /// `rknn_init` fails.
    Init,
    /// `rknn_init` finds no device.
    NoDevice,
    /// `rknn_init` finds library and driver at odds.
    DriverMismatch,
    /// `rknn_create_mem` has no memory.
    Memory,
    /// `rknn_run` ends with a time-out, always.
    Timeout,
    /// The third `rknn_run` of a context finds the device gone, and so do all later ones.
    Lost,
    /// `rknn_dup_context` fails.
    Dup,
}

impl Fault {
    /// The fault that the environment demands.
    pub fn from_environment() -> Option<Self> {
        let word = std::env::var("FAKE_RKNN_FAULT").ok()?;
        Self::deserialize(serde::de::value::StrDeserializer::<serde::de::value::Error>::new(&word)).ok()
    }
}

/// What stands before the archive.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Header {
    target: String,
    toolkit: String,
    fault: Fault,
    scale: f32,
    zero: i8,
}

/// A model.
pub struct Model {
    /// The chip it is for.
    pub target: String,
    /// The toolkit's version.
    pub toolkit: String,
    /// What goes wrong with it.
    pub fault: Fault,
    /// Real logits are (q − zero) · scale.
    pub scale: f32,
    /// See `scale`.
    pub zero: i8,
    /// What it computes.
    pub network: Network,
}

impl Model {
    /// The file's bytes; `manifest` only has to be one that an archive can have.
    pub fn pack(&self, manifest: &Manifest) -> Vec<u8> {
        let header = Header {
            target: self.target.clone(),
            toolkit: self.toolkit.clone(),
            fault: self.fault,
            scale: self.scale,
            zero: self.zero,
        };
        let header = toml::to_string(&header).expect("plain data");
        let plain = Manifest { npu: Vec::new(), ..manifest.clone() };
        let length = (header.len() as u32).to_le_bytes();
        [&MAGIC[..], &length, header.as_bytes(), &foldnet_archive::pack(&self.network, &plain)].concat()
    }

    /// Reads it back; `None` when it is damaged.
    pub fn unpack(bytes: &[u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(MAGIC)?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let (header, archive) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        let header: Header = toml::from_str(std::str::from_utf8(header).ok()?).ok()?;
        let (network, _) = foldnet_archive::unpack(archive, "fake.rknn".as_ref()).ok()?;
        let Header { target, toolkit, fault, scale, zero } = header;
        Some(Self { target, toolkit, fault, scale, zero, network })
    }

    /// A logit as the fake's int8 has it.
    pub fn quantize(&self, logit: f32) -> i8 {
        ((logit / self.scale).round_ties_even() + f32::from(self.zero)).clamp(-128.0, 127.0) as i8
    }
}
