//! Checks what a board has and lacks, and how to fix it.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use super::{Device, files, service};
use crate::protocol::Finding;

/// 2025-01-01; this program is younger.
const YOUNGER: u64 = 1_735_689_600;
/// Below this much free space a flash may not fit.
const ROOM: u64 = 64 << 20;
/// Above this a processor soon slows down.
const HOT: i64 = 80_000;
/// Where libraries lie.
const LIBRARIES: [&str; 5] =
    ["/usr/lib", "/usr/lib64", "/usr/local/lib", "/usr/lib/aarch64-linux-gnu", "/lib"];

/// Looks at everything.
pub fn look(device: &Device) -> Vec<Finding> {
    vec![
        finding("board", board(), None),
        finding("processor", processor(), None),
        finding("kernel", kernel(), None),
        memory(),
        room(device),
        clock(),
        temperature(),
        cameras(),
        keeper(device),
        npu(),
    ]
}

fn finding(what: &str, found: impl Into<String>, fix: Option<&str>) -> Finding {
    Finding { what: what.into(), found: found.into(), fix: fix.map(Into::into) }
}

fn text(path: &str) -> Option<String> {
    let bytes = fs::read(path).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    Some(text.trim_matches(['\0', '\n', ' ']).to_owned())
}

fn board() -> String {
    text("/proc/device-tree/model")
        .or_else(|| text("/sys/class/dmi/id/product_name"))
        .unwrap_or_else(|| "unknown model".into())
}

fn processor() -> String {
    let info = text("/proc/cpuinfo").unwrap_or_default();
    let get = |keys: [&str; 2]| {
        let line = info.lines().find(|l| keys.iter().any(|k| l.starts_with(k)))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let flags = get(["Features", "flags"]).unwrap_or_default();
    let ours = ["asimd", "asimddp", "i8mm", "avx2", "avx512_vnni", "avx_vnni", "amx_int8"];
    let has: Vec<&str> = ours.into_iter().filter(|o| flags.split(' ').any(|f| f == *o)).collect();
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
    format!("{}, {cores} cores, {}", std::env::consts::ARCH, has.join(" "))
}

fn kernel() -> String {
    text("/proc/sys/kernel/osrelease").unwrap_or_default()
}

fn memory() -> Finding {
    let info = text("/proc/meminfo").unwrap_or_default();
    let line = info.lines().find(|l| l.starts_with("MemAvailable:")).unwrap_or_default();
    let kb: u64 = line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).unwrap_or(0);
    let fix = (kb < 48 << 10).then_some("stop other programs; a ResNet-50 needs about 40 MB");
    finding("free memory", format!("{} MB", kb >> 10), fix)
}

fn room(device: &Device) -> Finding {
    match files::free_bytes(&device.root) {
        Ok(free) => {
            let fix = (free < ROOM)
                .then_some("free some space: a release takes twice its size while it is flashed");
            finding("free space", format!("{} MB", free >> 20), fix)
        }
        Err(e) => finding("free space", e.to_string(), Some("check that the disk is mounted")),
    }
}

fn clock() -> Finding {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let fix = (now < YOUNGER).then_some(
        "set the clock (`timedatectl set-ntp true`) or add a battery for it; flashing works without",
    );
    finding("clock", date(now), fix)
}

/// A day of the Gregorian calendar, UTC, from seconds after 1970: counts days in eras of 400 years that
/// begin in March, so that a leap day is the last of its year.
fn date(seconds: u64) -> String {
    let days = seconds / 86_400 + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let of_month = of_year - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let (hour, minute) = (seconds / 3600 % 24, seconds / 60 % 60);
    format!("{}-{month:02}-{of_month:02} {hour:02}:{minute:02} UTC", year + 400 * era + next)
}

fn temperature() -> Finding {
    let zones = fs::read_dir("/sys/class/thermal").into_iter().flatten().flatten();
    let heat = zones.filter_map(|z| text(z.path().join("temp").to_str()?)?.parse::<i64>().ok()).max();
    match heat {
        Some(heat) => {
            let fix = (heat > HOT).then_some("improve the cooling; the processor will slow down");
            finding("temperature", format!("{} °C", heat / 1000), fix)
        }
        None => finding("temperature", "no sensor", None),
    }
}

fn cameras() -> Finding {
    let entries = fs::read_dir("/dev").into_iter().flatten().flatten();
    let mut nodes: Vec<String> = entries
        .filter_map(|e| e.file_name().into_string().ok())
        .filter(|n| n.strip_prefix("video").is_some_and(|n| n.parse::<u32>().is_ok()))
        .map(|n| format!("/dev/{n}"))
        .collect();
    nodes.sort();
    if nodes.is_empty() {
        let fix = "plug the camera in and check its overlay or driver (`dmesg | grep -i video`)";
        return finding("cameras", "none", Some(fix));
    }
    let closed = nodes.iter().any(|n| {
        fs::File::options()
            .read(true)
            .write(true)
            .open(n)
            .is_err_and(|e| e.kind() == std::io::ErrorKind::PermissionDenied)
    });
    let fix = closed.then_some("give this user access: `sudo usermod -aG video $USER`, then log in again");
    finding("cameras", nodes.join(" "), fix)
}

fn keeper(device: &Device) -> Finding {
    let out = Command::new("systemctl").args(["--user", "is-system-running"]).output();
    match out.as_ref().map(|o| o.stdout.trim_ascii()) {
        Ok(b"running" | b"degraded" | b"starting") => {
            finding("service", "systemd's user units", service::needs_linger(device))
        }
        _ => finding(
            "service",
            "no systemd user units; using Foldnet's own supervisor",
            Some(
                "to start it at boot, add `@reboot ~/.local/share/foldnet/foldnet-agent supervise` with `crontab -e`",
            ),
        ),
    }
}

fn npu() -> Finding {
    let library = LIBRARIES.iter().map(|f| Path::new(f).join("librknnrt.so")).find(|p| p.exists());
    let node = ["/dev/rknpu", "/sys/class/misc/rknpu", "/sys/kernel/debug/rknpu"];
    let driver = node.iter().any(|n| Path::new(n).exists());
    match (library, driver) {
        (Some(path), _) => {
            let version = fs::read(&path).ok().and_then(|bytes| version(&bytes));
            finding("librknnrt", version.unwrap_or_else(|| "unknown version".into()), None)
        }
        (None, true) => finding(
            "librknnrt",
            "not installed, but the kernel has the driver",
            Some("copy librknnrt.so from the board's vendor to /usr/lib"),
        ),
        (None, false) => finding("librknnrt", "not installed; the CPU runs the network", None),
    }
}

/// The library says its version as `librknnrt version: 2.3.0 (…)`.
fn version(bytes: &[u8]) -> Option<String> {
    let mark = b"librknnrt version: ";
    let at = bytes.windows(mark.len()).position(|w| w == mark)? + mark.len();
    let end = bytes[at..].iter().position(|&b| b == 0 || b == b' ').unwrap_or(0);
    Some(String::from_utf8_lossy(&bytes[at..at + end.min(32)]).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_calendar() {
        assert_eq!(date(0), "1970-01-01 00:00 UTC");
        assert_eq!(date(YOUNGER - 1), "2024-12-31 23:59 UTC");
        assert_eq!(date(YOUNGER), "2025-01-01 00:00 UTC");
        assert_eq!(date(951_782_400), "2000-02-29 00:00 UTC");
        assert_eq!(date(4_107_542_400), "2100-03-01 00:00 UTC");
    }

    #[test]
    fn the_library_says_its_version() {
        assert_eq!(version(b"\0librknnrt version: 2.3.0 (c949)\0").as_deref(), Some("2.3.0"));
        assert_eq!(version(b"nothing"), None);
    }
}
