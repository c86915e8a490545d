//! The models that the fake loads.

use foldnet_archive::{Manifest, Network, NpuModel};
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

/// How the logits lie in the output.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Logits {
    /// Half precision, in blocks of 8.
    Half,
    /// int8, in blocks of 16; real logits are (q − zero) · scale.
    Int8 {
        /// See above.
        scale: f32,
        /// See above.
        zero: i8,
    },
}

/// What stands before the archive.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Header {
    target: String,
    toolkit: String,
    batch: u32,
    rows: usize,
    fault: Fault,
    logits: Logits,
}

/// A model.
pub struct Model {
    /// The chip it is for.
    pub target: String,
    /// The toolkit's version.
    pub toolkit: String,
    /// Images that it takes at once.
    pub batch: u32,
    /// Rows of the input start at multiples of so many pixels.
    pub rows: usize,
    /// What goes wrong with it.
    pub fault: Fault,
    /// How it gives the logits.
    pub logits: Logits,
    /// What it computes.
    pub network: Network,
}

impl Model {
    /// The file's bytes; `manifest` only has to be one that an archive can have.
    pub fn pack(&self, manifest: &Manifest) -> Vec<u8> {
        let header = Header {
            target: self.target.clone(),
            toolkit: self.toolkit.clone(),
            batch: self.batch,
            rows: self.rows,
            fault: self.fault,
            logits: self.logits,
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
        let Header { target, toolkit, batch, rows, fault, logits } = header;
        Some(Self { target, toolkit, batch, rows: rows.max(1), fault, logits, network })
    }

    /// A model of this network for a sound RK3588.
    pub fn of(network: Network) -> Self {
        let (target, toolkit) = ("rk3588".into(), "2.3.2".into());
        Self { target, toolkit, batch: 1, rows: 16, fault: Fault::None, logits: Logits::Half, network }
    }

    /// A manifest that holds this model, built for that chip, beside those that it holds.
    pub fn manifest(&self, mut manifest: Manifest) -> Manifest {
        let model = self.pack(&manifest);
        let (target, batch, toolkit) = (self.target.clone(), self.batch, self.toolkit.clone());
        let sha256 = foldnet_archive::digest(&model);
        manifest.npu.push(NpuModel { target, batch, toolkit, sha256, agreement: 1.0, images: 1, model });
        manifest
    }
}

impl Logits {
    /// Bytes of a logit.
    pub fn size(self) -> usize {
        if self == Self::Half { 2 } else { 1 }
    }

    /// Writes a logit.
    pub fn write(self, logit: f32, to: &mut [u8]) {
        match self {
            Self::Half => {
                // The largest that is not above: an NPU may round towards zero.
                let mut bits = 0;
                for bit in (0..15).rev() {
                    let more: u16 = bits | 1 << bit;
                    if more < 0x7c00 && half(more) <= logit.abs() {
                        bits = more;
                    }
                }
                to.copy_from_slice(&(bits | u16::from(logit < 0.0) << 15).to_le_bytes());
            }
            Self::Int8 { scale, zero } => {
                let q = (logit / scale).round_ties_even() + f32::from(zero);
                to[0] = q.clamp(-128.0, 127.0) as i8 as u8;
            }
        }
    }

    /// The logit that these bytes stand for.
    pub fn logit(self, bytes: &[u8]) -> f32 {
        match self {
            Self::Half => {
                let bits = u16::from_le_bytes([bytes[0], bytes[1]]);
                half(bits & 0x7fff) * if bits < 0x8000 { 1.0 } else { -1.0 }
            }
            Self::Int8 { scale, zero } => (f32::from(bytes[0] as i8) - f32::from(zero)) * scale,
        }
    }

    /// Channels of a block.
    pub fn block(self) -> usize {
        if self == Self::Half { 8 } else { 16 }
    }
}

/// A half-precision number, by its definition.
fn half(bits: u16) -> f32 {
    let (exponent, fraction) = (i32::from(bits >> 10), f32::from(bits & 0x3ff));
    match exponent {
        0 => fraction * 2.0_f32.powi(-24),
        _ => (1024.0 + fraction) * 2.0_f32.powi(exponent - 25),
    }
}
