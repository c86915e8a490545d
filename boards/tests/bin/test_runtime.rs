//! What the tests flash in place of `runtime`: the archive's first label says how it behaves. `crash` and
//! `hang` fail at the first classification, `other-bits` when its arithmetic is checked, `no-camera` only as a service;
//! `early` is from before that check.
//!
//! Compiled by itself, so that it costs no second build of everything else. It reads the label off the
//! archive's bytes, which `archive_at` stores uncompressed.

use std::time::Duration;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let archive = std::fs::read(&arguments[2]).unwrap_or_default();
    let text = String::from_utf8_lossy(&archive);
    let label = text.split_once("labels = [\"").and_then(|(_, rest)| rest.split_once('"'));
    let Some((behaviour, _)) = label else {
        eprintln!("runtime: not an archive");
        std::process::exit(2);
    };
    match (arguments[1].as_str(), behaviour) {
        ("classify", "crash") => std::process::abort(),
        ("classify", "hang") => std::thread::sleep(Duration::from_secs(3600)),
        ("classify", _) => {
            assert!(std::fs::read(&arguments[3]).is_ok_and(|b| b.starts_with(b"BM")), "no picture");
            println!("{{\"image\":\"x\",\"labels\":[{{\"label\":{behaviour:?},\"score\":1.0}}]}}");
        }
        ("verify", "other-bits") => {
            eprintln!("runtime: avx2 computes other bits");
            std::process::exit(3);
        }
        ("verify", behaviour) if behaviour != "early" => {}
        ("camera", "no-camera") => {
            eprintln!("runtime: the camera is on fire");
            std::process::exit(1);
        }
        // The tests end the service; what they leave behind ends itself.
        ("camera", _) => std::thread::sleep(Duration::from_secs(600)),
        _ => std::process::exit(2),
    }
}
