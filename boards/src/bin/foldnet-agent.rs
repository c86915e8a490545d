//! The part of `boards` that runs on a Linux board; see `foldnet_boards::device`.

use std::path::PathBuf;
use std::process::ExitCode;

use foldnet_boards::device::{Device, service, session};

const USAGE: &str = "usage: foldnet-agent session|start|supervise|which [--root FOLDER]";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (command, root) = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [command] => {
            (command, std::env::var_os("HOME").map(|h| PathBuf::from(h).join(".local/share/foldnet")))
        }
        [command, "--root", root] => (command, Some(PathBuf::from(root))),
        _ => ("", None),
    };
    let Some(root) = root.filter(|r| r.is_absolute()) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let done = match command {
        "session" => session::run(root).map_err(|e| e.to_string()),
        "start" => Err(match Device::open(root) {
            Ok(device) => service::start(&device).message,
            Err(refusal) => refusal.message,
        }),
        "supervise" => Device::open(root).and_then(|d| service::supervise(&d)).map_err(|r| r.message),
        // What `start` would run.
        "which" => service::which(root).map(|slot| println!("{slot}")).map_err(|r| r.message),
        _ => Err(USAGE.into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(words) => {
            eprintln!("foldnet-agent: {words}");
            ExitCode::FAILURE
        }
    }
}
