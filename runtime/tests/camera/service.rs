//! A service among others: signals, the service manager, the archive replaced while it runs.

use std::process::Command;

use crate::place::{Place, Running};

#[test]
fn signals_stop_and_reload() {
    let place = Place::new();
    let mut running = Running::start(&place, "--input photos");
    running.says("photos: 3 images");
    let archive = place.path("net.nnef.tgz");
    let good = std::fs::read(&archive).unwrap();
    std::fs::write(&archive, &good[..good.len() / 2]).unwrap();
    running.signal("-HUP");
    running.says("is refused, the old network goes on");
    std::fs::write(&archive, &good).unwrap();
    running.signal("-HUP");
    running.says("was read again");
    let rest = running.ends_well();
    assert!(rest.contains("frames classified"), "{rest}");
    // Also while it waits for a camera that never comes.
    let mut waiting = Running::start(&place, "--device /dev/video250 --wait -v");
    waiting.says("waiting");
    waiting.ends_well();
}

/// A service manager that listens, in a thread of its own: its queue is short, and full it takes no more.
struct Manager(std::sync::mpsc::Receiver<String>);

impl Manager {
    fn new(place: &Place) -> Self {
        let socket = std::os::unix::net::UnixDatagram::bind(place.path("notify")).unwrap();
        let (send, heard) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 256];
            while let Ok(n) = socket.recv(&mut buffer) {
                if send.send(String::from_utf8_lossy(&buffer[..n]).into_owned()).is_err() {
                    return;
                }
            }
        });
        Self(heard)
    }

    fn start(&self, place: &Place, words: &str) -> Running {
        let mut command = place.command(words);
        command.env("NOTIFY_SOCKET", place.path("notify")).env("WATCHDOG_USEC", "100000");
        Running::of(command)
    }

    /// The next thing it is told.
    fn hears(&self) -> String {
        self.0.recv_timeout(std::time::Duration::from_secs(60)).unwrap()
    }
}

#[test]
fn a_service_manager_is_told() {
    // With frames, with a pace that leaves long pauses, and without a camera: it lives, and it ends.
    for words in ["--input photos", "--input photos --fps-max 0.01", "--device /dev/video250 --wait"] {
        let place = Place::new();
        let manager = Manager::new(&place);
        let running = manager.start(&place, words);
        assert_eq!(manager.hears(), "READY=1");
        for _ in 0..10 {
            assert_eq!(manager.hears(), "WATCHDOG=1", "{words}");
        }
        running.ends_well();
        let last = std::iter::repeat_with(|| manager.hears()).find(|said| said != "WATCHDOG=1");
        assert_eq!(last.as_deref(), Some("STOPPING=1"));
    }
}

/// Splits a unit file into its settings.
fn settings() -> Vec<(&'static str, &'static str)> {
    include_str!("../../camera/service/foldnet-camera.service")
        .lines()
        .filter_map(|l| l.split_once('='))
        .filter(|(k, _)| !k.starts_with('#'))
        .collect()
}

#[test]
fn the_unit_starts_what_there_is() {
    let place = Place::new();
    let settings = settings();
    let get = |key: &str| settings.iter().find(|(k, _)| *k == key).unwrap_or_else(|| panic!("no {key}")).1;
    assert_eq!(get("Type"), "notify");
    let seconds: u64 = get("WatchdogSec").parse().unwrap();
    // The pause that the program makes at most is a tenth of a second.
    assert!(seconds >= 1);
    let start = get("ExecStart").strip_prefix("/usr/local/bin/runtime ").unwrap();
    let mut words = start.split(' ');
    assert_eq!((words.next(), words.next()), (Some("camera"), Some("/etc/foldnet/model.nnef.tgz")));
    let options: Vec<&str> = words.filter(|w| !w.starts_with('$')).collect();
    let mut running = Running::start(&place, &format!("--device /dev/video250 {}", options.join(" ")));
    running.says("waiting for /dev/video250");
    running.ends_well();
    for key in [
        "ProtectSystem",
        "NoNewPrivileges",
        "DevicePolicy",
        "SystemCallFilter",
        "MemoryDenyWriteExecute",
        "CapabilityBoundingSet",
    ] {
        get(key);
    }
}

#[test]
fn under_the_journal_lines_have_priorities() {
    use std::os::unix::fs::MetadataExt;
    let place = Place::new();
    let file = std::fs::File::create(place.path("journal")).unwrap();
    let about = file.metadata().unwrap();
    let mut command = place.command("--device /dev/video250 --wait -v");
    command.env("JOURNAL_STREAM", format!("{}:{}", about.dev(), about.ino())).stderr(file);
    let mut child = command.spawn().unwrap();
    let said = || std::fs::read_to_string(place.path("journal")).unwrap();
    while !said().contains("trying again") {
        assert!(child.try_wait().unwrap().is_none(), "{}", said());
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert!(Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
    assert!(child.wait().unwrap().success());
    assert!(said().lines().any(|l| l.starts_with("<4>") && l.contains("waiting for it")), "{}", said());
    assert!(said().lines().any(|l| l.starts_with("<6>")), "{}", said());
}
