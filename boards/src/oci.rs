//! A container image of `runtime` and an archive, as an OCI layout in a tar file, built without a daemon.
//!
//! One image for each processor, under one index, so that a node takes the one it can run. The program needs
//! nothing but itself, so an image is one layer of two files and a folder for compiled plans. The same input
//! gives the same bytes. Names and media types are those of the OCI image specification 1.0.

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use tar::{EntryType, Header};

use crate::protocol::{ARCHIVE, RUNTIME};
use crate::sum::sha256;

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// The program for one processor.
pub struct Program {
    /// The processor as Go, and so OCI, calls it.
    pub architecture: &'static str,
    /// `runtime`, linked statically.
    pub runtime: Vec<u8>,
}

/// What OCI calls the processor of a Rust target.
pub fn architecture(target: &str) -> Option<&'static str> {
    match crate::protocol::machine(target) {
        "x86_64" => Some("amd64"),
        "aarch64" => Some("arm64"),
        _ => None,
    }
}

/// A tar file that grows, and the blobs that are in it already.
struct Layout {
    tar: tar::Builder<Vec<u8>>,
    blobs: Vec<String>,
}

impl Layout {
    /// Puts in a blob; its descriptor.
    fn blob(&mut self, media_type: &str, bytes: &[u8]) -> std::io::Result<Value> {
        let sum = sha256(bytes);
        if !self.blobs.contains(&sum) {
            put(&mut self.tar, &format!("blobs/sha256/{sum}"), bytes, 0o644)?;
            self.blobs.push(sum.clone());
        }
        Ok(json!({"mediaType": media_type, "digest": format!("sha256:{sum}"), "size": bytes.len()}))
    }

    fn json(&mut self, media_type: &str, value: &Value) -> std::io::Result<Value> {
        self.blob(media_type, value.to_string().as_bytes())
    }
}

/// A file of root's, as old as time itself.
fn put(tar: &mut tar::Builder<Vec<u8>>, name: &str, bytes: &[u8], mode: u32) -> std::io::Result<()> {
    let mut header = Header::new_ustar();
    header.set_size(bytes.len() as u64);
    header.set_mode(mode);
    tar.append_data(&mut header, name, bytes)
}

/// The layer's tar file.
fn layer(runtime: &[u8], archive: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut folder = Header::new_ustar();
    folder.set_entry_type(EntryType::Directory);
    folder.set_mode(0o1777);
    folder.set_size(0);
    tar.append_data(&mut folder, "cache/", std::io::empty())?;
    put(&mut tar, RUNTIME, runtime, 0o755)?;
    put(&mut tar, ARCHIVE, archive, 0o644)?;
    tar.into_inner()
}

/// The image of these programs, one for each processor, that runs `runtime camera` with this archive and
/// these arguments; it is called `tag`.
pub fn image(programs: &[Program], archive: &[u8], args: &[String], tag: &str) -> std::io::Result<Vec<u8>> {
    let mut layout = Layout { tar: tar::Builder::new(Vec::new()), blobs: vec![] };
    put(&mut layout.tar, "oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#, 0o644)?;
    let mut manifests = Vec::new();
    for Program { architecture, runtime } in programs {
        let plain = layer(runtime, archive)?;
        let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
        std::io::Write::write_all(&mut gzip, &plain)?;
        let layer = layout.blob(LAYER, &gzip.finish()?)?;
        let mut entry = vec![format!("/{RUNTIME}"), "camera".into(), format!("/{ARCHIVE}")];
        entry.extend(args.iter().cloned());
        let config = json!({
            "architecture": architecture,
            "os": "linux",
            "config": {"Entrypoint": entry, "Env": ["XDG_CACHE_HOME=/cache"]},
            // Of the layer as it is before it is compressed.
            "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{}", sha256(&plain))]},
        });
        let config = layout.json(CONFIG, &config)?;
        let manifest =
            json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer]});
        let mut manifest = layout.json(MANIFEST, &manifest)?;
        manifest["platform"] = json!({"architecture": architecture, "os": "linux"});
        manifests.push(manifest);
    }
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests});
    let mut index = layout.json(INDEX, &index)?;
    index["annotations"] = json!({"org.opencontainers.image.ref.name": tag});
    let top = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [index]});
    put(&mut layout.tar, "index.json", top.to_string().as_bytes(), 0o644)?;
    layout.tar.into_inner()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Read;

    use super::*;

    fn files(tar: &[u8]) -> BTreeMap<String, Vec<u8>> {
        let mut archive = tar::Archive::new(tar);
        let entries = archive.entries().unwrap().map(|entry| {
            let mut entry = entry.unwrap();
            let name = entry.path().unwrap().display().to_string();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            (name, bytes)
        });
        entries.collect()
    }

    #[test]
    fn every_digest_leads_to_its_bytes() {
        let program = |architecture, runtime: &[u8]| Program { architecture, runtime: runtime.into() };
        let programs = [program("arm64", b"an Arm"), program("amd64", b"an AMD")];
        let make = || image(&programs, b"archive", &["--wait".into()], "latest").unwrap();
        assert_eq!(make(), make(), "the same input gives the same bytes");
        let layout = files(&make());
        let blob = |descriptor: &Value| {
            let sum = descriptor["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap();
            let bytes = &layout[&format!("blobs/sha256/{sum}")];
            assert_eq!(
                (sha256(bytes), bytes.len() as u64),
                (sum.into(), descriptor["size"].as_u64().unwrap())
            );
            bytes
        };
        let json = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap();
        let top = json(&layout["index.json"]);
        assert_eq!(top["manifests"][0]["annotations"]["org.opencontainers.image.ref.name"], "latest");
        let index = json(blob(&top["manifests"][0]));
        assert_eq!(index["manifests"].as_array().unwrap().len(), 2);
        for (entry, program) in index["manifests"].as_array().unwrap().iter().zip(&programs) {
            assert_eq!(entry["platform"]["architecture"], program.architecture);
            let manifest = json(blob(entry));
            let config = json(blob(&manifest["config"]));
            let entry = ["/runtime", "camera", "/model.nnef.tgz", "--wait"];
            assert_eq!(config["config"]["Entrypoint"], json!(entry));
            let mut plain = Vec::new();
            let layer = &manifest["layers"][0];
            flate2::read::GzDecoder::new(&blob(layer)[..]).read_to_end(&mut plain).unwrap();
            assert_eq!(config["rootfs"]["diff_ids"][0], format!("sha256:{}", sha256(&plain)));
            let files = files(&plain);
            assert_eq!(
                (&files["runtime"], &files["model.nnef.tgz"]),
                (&program.runtime, &b"archive".to_vec())
            );
        }
        // Two manifests, configurations and layers, and the index.
        assert_eq!(layout.keys().filter(|k| k.starts_with("blobs/")).count(), 7);
    }
}
