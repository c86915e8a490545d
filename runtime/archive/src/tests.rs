//! Archives survive a round trip, and damaged ones are refused.

use std::io::Read;
use std::path::Path;

use proptest::prelude::*;

use crate::testing::{every_step, manifest, manifest_of, networks};
use crate::*;

fn unpack_bytes(bytes: &[u8]) -> Result<(Network, Manifest), ArchiveError> {
    unpack(bytes, Path::new("test.nnef.tgz"))
}

#[test]
fn labels_that_do_not_fit_the_outputs_are_refused() {
    let network = every_step();
    let read = |labels: usize| {
        let labels = (0..labels).map(|l| l.to_string()).collect();
        unpack_bytes(&pack(&network, &Manifest { labels, ..manifest() }))
    };
    assert!(read(0).is_ok() && read(network.classes()).is_ok());
    for wrong in [1, network.classes() - 1, network.classes() + 1] {
        let error = read(wrong).unwrap_err().to_string();
        assert!(error.contains(&format!("{wrong} label")) && error.contains("outputs"), "{error}");
    }
}

#[test]
fn round_trip_keeps_every_number() {
    for network in networks() {
        let manifest = manifest_of(&network);
        network.validate().unwrap();
        let bytes = pack(&network, &manifest);
        let (network2, manifest2) = unpack_bytes(&bytes).unwrap();
        assert_eq!(network, network2);
        assert_eq!(manifest, manifest2);
        assert_eq!(bytes, pack(&network2, &manifest2), "same network, same bytes");
    }
}

#[test]
fn models_for_npus_are_kept_and_checked() {
    let model = b"any bytes".to_vec();
    let npu = NpuModel {
        target: "rk3588".into(),
        batch: 1,
        toolkit: "2.3.2".into(),
        sha256: digest(&model),
        agreement: 0.998,
        images: 500,
        model,
    };
    let with = |npu: NpuModel| Manifest { npu: vec![npu], ..manifest() };
    let (_, read) = unpack_bytes(&pack(&every_step(), &with(npu.clone()))).unwrap();
    assert_eq!(read, with(npu.clone()));
    // A model for many images at once is in the archive as well.
    let many =
        NpuModel { batch: 8, model: b"more bytes".to_vec(), sha256: digest(b"more bytes"), ..npu.clone() };
    let both = Manifest { npu: vec![npu.clone(), many], ..manifest() };
    assert_eq!(unpack_bytes(&pack(&every_step(), &both)).unwrap().1, both);

    let refused = |npu: NpuModel| unpack_bytes(&pack(&every_step(), &with(npu))).unwrap_err().to_string();
    let swapped = refused(NpuModel { model: b"others".to_vec(), ..npu.clone() });
    assert!(swapped.contains("npu/rk3588.rknn is not what foldnet.toml says"), "{swapped}");
    for batch in [0, crate::MAX_BATCH + 1] {
        let said = refused(NpuModel { batch, ..npu.clone() });
        assert!(said.contains(&format!("a batch of {batch} is not in 1…64")), "{said}");
    }
    let outside = refused(NpuModel { target: "rk/3588".into(), ..npu });
    assert!(outside.contains("names no chip"), "{outside}");
}

#[test]
fn provenance_is_kept_as_it_is_and_may_be_anything() {
    let text = "converter = \"9.9\"\nlater = \"unknown here\"\n".to_owned();
    let manifest = Manifest { provenance: Some(text), ..manifest() };
    assert_eq!(unpack_bytes(&pack(&every_step(), &manifest)).unwrap().1, manifest);
}

#[test]
fn a_proof_is_a_member_that_earlier_releases_do_not_see() {
    let proof = Proof { images: 4, logits: digest(b"logits") };
    let proved = Manifest { proof: Some(proof), ..manifest() };
    let bytes = pack(&every_step(), &proved);
    assert_eq!(unpack_bytes(&bytes).unwrap().1, proved);
    let member = |name: &str| {
        let mut tar = tar::Archive::new(flate2::read::GzDecoder::new(&bytes[..]));
        let mut text = String::new();
        let mut entries = tar.entries().unwrap().map(Result::unwrap);
        let mut found = entries.find(|e| e.path_bytes() == name.as_bytes()).unwrap();
        found.read_to_string(&mut text).unwrap();
        text
    };
    assert!(!member("foldnet.toml").contains("proof") && member("proof.toml").contains("images = 4"));
    for (text, why) in
        [("images = 4", "logits"), ("images = 4\nlogits = \"\"\nmore = 1", "more"), ("\u{0}", "proof.toml")]
    {
        let mut tar =
            tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
        let mut source = tar::Archive::new(flate2::read::GzDecoder::new(&bytes[..]));
        for entry in source.entries().unwrap().map(Result::unwrap) {
            let (mut header, path) = (entry.header().clone(), entry.path().unwrap().into_owned());
            if path.as_os_str() == "proof.toml" {
                header.set_size(text.len() as u64);
                tar.append_data(&mut header, path, text.as_bytes()).unwrap();
            } else {
                tar.append_data(&mut header, path, entry).unwrap();
            }
        }
        let damaged = tar.into_inner().unwrap().finish().unwrap();
        let error = unpack_bytes(&damaged).unwrap_err().to_string();
        assert!(error.contains("proof.toml") && error.contains(why), "{error}");
    }
}

#[test]
fn another_version_is_refused_by_name() {
    let newer = Manifest { format: 99, ..manifest() };
    let error = unpack_bytes(&pack(&every_step(), &newer)).unwrap_err().to_string();
    assert!(
        error.contains("format 99") && error.contains(&format!("reads formats {OLDEST_FORMAT} to {FORMAT}")),
        "{error}"
    );
}

#[test]
fn not_archives() {
    for bytes in [&b""[..], b"x", b"\x1f\x8b", b"PK\x03\x04 a zip"] {
        assert!(matches!(unpack_bytes(bytes), Err(ArchiveError::NotAnArchive(..))));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_cut_archive_is_refused(cut in 0usize..2000) {
        let bytes = pack(&every_step(), &manifest());
        let len = cut % (bytes.len() - 8);
        prop_assert!(unpack_bytes(&bytes[..len]).is_err());
    }

    /// The compressed stream has a checksum, so damage that is not detected has changed nothing.
    #[test]
    fn a_flipped_byte_is_an_error_or_changes_nothing(at in any::<usize>(), flip in 1u8..) {
        let mut bytes = pack(&every_step(), &manifest());
        let at = at % bytes.len();
        bytes[at] ^= flip;
        if let Ok(read) = unpack_bytes(&bytes) {
            prop_assert_eq!(read, (every_step(), manifest()));
        }
    }

    #[test]
    fn a_damaged_graph_is_an_error_or_a_sound_network(at in 0usize..20_000, with in any::<u8>()) {
        let networks = networks();
        let network = &networks[at % networks.len()];
        let (text, tensors) = crate::write_graph::write_graph(network);
        let mut bytes = text.into_bytes();
        let at = at % bytes.len();
        bytes[at] = with;
        if let Ok(text) = String::from_utf8(bytes) {
            let mut files = crate::dat::Files(tensors.into_iter().collect());
            if let Ok(network) = crate::read_graph::read_graph(&text, &mut files) {
                network.validate().unwrap();
            }
        }
    }

    #[test]
    fn damaged_tensor_files_never_panic(file in 0usize..100, at in 0usize..300, with in any::<u8>()) {
        let (text, mut tensors) = crate::write_graph::write_graph(&every_step());
        let n = tensors.len();
        let bytes = &mut tensors[file % n].1;
        let at = at % bytes.len();
        bytes[at] = with;
        let mut files = crate::dat::Files(tensors.into_iter().collect());
        let _ = crate::read_graph::read_graph(&text, &mut files);
    }
}
