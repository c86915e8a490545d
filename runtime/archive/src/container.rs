//! Reads the archive file: `foldnet.toml`, `graph.nnef`, tensor files and NPU models in a gzipped tar.
//!
//! Sizes are bounded before anything is allocated for them.

use std::collections::HashMap;
use std::io::{BufReader, Read};
use std::path::Path;

use flate2::bufread::GzDecoder;

use crate::dat::Files;
use crate::error::ArchiveError;
use crate::manifest::{FORMAT, MAX_BATCH, Manifest, OLDEST_FORMAT, PROOF, PROVENANCE, Proof, digest};
use crate::open::open_file;
use crate::read_graph::read_graph;
use crate::{GraphError, Network};

/// The largest unpacked size, in bytes, of one file of an archive and of all of them together.
const MAX_ENTRY: u64 = 1 << 29;
const MAX_TOTAL: u64 = 1 << 30;

/// Reads and validates an archive.
pub fn read(path: &Path) -> Result<(Network, Manifest), ArchiveError> {
    let io = |source| ArchiveError::Io { path: path.into(), source };
    unpack(BufReader::new(open_file(path).map_err(io)?), path)
}

/// Reads and validates an archive from any source; `path` is used in messages.
pub fn unpack(from: impl std::io::BufRead, path: &Path) -> Result<(Network, Manifest), ArchiveError> {
    let no = |message: String| ArchiveError::NotAnArchive(path.into(), message);
    let mut files = HashMap::new();
    let mut total = 0;
    let mut tar = tar::Archive::new(GzDecoder::new(from));
    for entry in tar.entries().map_err(|e| no(e.to_string()))? {
        let entry = entry.map_err(|e| no(e.to_string()))?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let size = entry.size();
        total += size;
        if size > MAX_ENTRY || total > MAX_TOTAL {
            return Err(no(format!("{name} claims {size} bytes, too many")));
        }
        let mut bytes = Vec::new();
        entry.take(size).read_to_end(&mut bytes).map_err(|e| no(format!("{name}: {e}")))?;
        if bytes.len() as u64 != size {
            return Err(no(format!("{name} is cut")));
        }
        if files.insert(name.clone(), bytes).is_some() {
            return Err(no(format!("{name} is there twice")));
        }
    }
    // Reads to the end, so that the decompressor checks the stream's checksum.
    let mut rest = tar.into_inner();
    let behind = std::io::copy(&mut rest.by_ref().take(MAX_ENTRY), &mut std::io::sink());
    behind.map_err(|e| no(e.to_string()))?;
    let mut text = |name: &str| {
        let bytes = files.remove(name).ok_or_else(|| no(format!("it holds no {name}")))?;
        String::from_utf8(bytes).map_err(|_| no(format!("{name} is not text")))
    };
    let mut manifest = read_manifest(&text("foldnet.toml")?, path)?;
    let graph = text("graph.nnef")?;
    manifest.proof = files.remove(PROOF).map(|bytes| read_proof(&bytes)).transpose().map_err(no)?;
    manifest.provenance = files.remove(PROVENANCE).map(read_provenance).transpose().map_err(no)?;
    for npu in &mut manifest.npu {
        let member = npu.member();
        npu.model = files.remove(&member).ok_or_else(|| no(format!("it holds no {member}")))?;
        if digest(&npu.model) != npu.sha256 {
            return Err(no(format!("{member} is not what foldnet.toml says (SHA-256)")));
        }
    }
    let mut tensors = Files(
        files.into_iter().filter_map(|(n, b)| n.strip_suffix(".dat").map(|n| (n.to_owned(), b))).collect(),
    );
    let problem = |problem| ArchiveError::Graph { path: path.into(), problem };
    let network = read_graph(&graph, &mut tensors).map_err(problem)?;
    let (shape, input) = (network.input(), &manifest.input);
    if (shape.h, shape.w, shape.c) != (input.height, input.width, input.channels) {
        let message = format!("the graph's input is {shape}, foldnet.toml says otherwise");
        return Err(problem(GraphError::Text { line: 0, message }));
    }
    let (classes, labels) = (network.classes(), manifest.labels.len());
    // A network with one output can distinguish two classes.
    if labels != 0 && labels != classes && (labels, classes) != (2, 1) {
        let plural = if labels == 1 { "" } else { "s" };
        let message = format!(
            "{labels} label{plural} for {classes} outputs. Convert the model again, with one label for each output"
        );
        return Err(ArchiveError::Manifest { path: path.into(), message });
    }
    if let Some(Err(reason)) = manifest.output.map(|kind| kind.check(network.classes())) {
        let message = format!("output: {reason}; the network has {}", network.classes());
        return Err(ArchiveError::Manifest { path: path.into(), message });
    }
    Ok((network, manifest))
}

fn read_proof(bytes: &[u8]) -> Result<Proof, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| format!("{PROOF} is not text"))?;
    toml::from_str(text).map_err(|error| format!("{PROOF}: {error}"))
}

fn read_provenance(bytes: Vec<u8>) -> Result<String, String> {
    String::from_utf8(bytes).map_err(|_| format!("{PROVENANCE} is not text"))
}

fn read_manifest(text: &str, path: &Path) -> Result<Manifest, ArchiveError> {
    let bad = |e: toml::de::Error| ArchiveError::Manifest { path: path.into(), message: e.to_string() };
    // The version is checked first: a later version may have keys that this one does not know.
    let table: toml::Table = text.parse().map_err(bad)?;
    match table.get("format").and_then(toml::Value::as_integer) {
        Some(v) if (i64::from(OLDEST_FORMAT)..=i64::from(FORMAT)).contains(&v) => {}
        Some(v) => {
            let found = u32::try_from(v).unwrap_or(u32::MAX);
            return Err(ArchiveError::Version { path: path.into(), found });
        }
        None => {
            return Err(ArchiveError::Manifest { path: path.into(), message: "no `format`".into() });
        }
    }
    let manifest: Manifest = toml::from_str(text).map_err(bad)?;
    if let Some(npu) = manifest.npu.iter().find(|n| !n.target.bytes().all(|b| b.is_ascii_alphanumeric())) {
        let message = format!("{:?} names no chip", npu.target);
        return Err(ArchiveError::Manifest { path: path.into(), message });
    }
    if let Some(npu) = manifest.npu.iter().find(|n| !(1..=MAX_BATCH).contains(&n.batch)) {
        let message = format!("a batch of {} is not in 1…{MAX_BATCH}", npu.batch);
        return Err(ArchiveError::Manifest { path: path.into(), message });
    }
    if let crate::Resize::Crop { short_side } = manifest.input.resize
        && (short_side == 0 || short_side > foldnet_kernels::MAX_SIDE)
    {
        let message = format!("short_side = {short_side} is out of range");
        return Err(ArchiveError::Manifest { path: path.into(), message });
    }
    Ok(manifest)
}
