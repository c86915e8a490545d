//! What the tests flash in place of `runtime`: it reads the archive, and its first label says how it
//! behaves. `crash` and `hang` fail at the first classification, `no-camera` only as a service.

use std::path::Path;
use std::time::Duration;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let (manifest, behaviour) = match foldnet_archive::read(Path::new(&arguments[2])) {
        Ok((_, manifest)) => (manifest.clone(), manifest.labels[0].clone()),
        Err(e) => {
            eprintln!("runtime: {e}");
            std::process::exit(2);
        }
    };
    match (arguments[1].as_str(), behaviour.as_str()) {
        ("classify", "crash") => std::process::abort(),
        ("classify", "hang") => std::thread::sleep(Duration::from_secs(3600)),
        ("classify", _) => {
            assert!(std::fs::read(&arguments[3]).is_ok_and(|b| b.starts_with(b"BM")), "no picture");
            println!("{{\"image\":\"x\",\"labels\":[{{\"label\":{:?},\"score\":1.0}}]}}", manifest.labels[0]);
        }
        ("camera", "no-camera") => {
            eprintln!("runtime: the camera is on fire");
            std::process::exit(1);
        }
        // The tests end the service; what they leave behind ends itself.
        ("camera", _) => std::thread::sleep(Duration::from_secs(600)),
        _ => std::process::exit(2),
    }
}
