//! How warm the board is, as Linux tells in `/sys/class/thermal`.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long a reading is taken for the present.
const FRESH: Duration = Duration::from_secs(1);

/// Reads the hottest of the board's sensors, once a second at most.
#[derive(Debug)]
pub struct Thermometer {
    folder: PathBuf,
    last: Option<(Instant, Option<f64>)>,
}

impl Default for Thermometer {
    fn default() -> Self {
        Self { folder: "/sys/class/thermal".into(), last: None }
    }
}

impl Thermometer {
    /// Degrees Celsius; none where no sensor tells.
    pub fn read(&mut self, now: Instant) -> Option<f64> {
        match self.last {
            Some((at, value)) if now.saturating_duration_since(at) < FRESH => value,
            _ => {
                let value = hottest(&self.folder);
                self.last = Some((now, value));
                value
            }
        }
    }
}

/// A sensor's file holds thousandths of a degree. Sensors that are off tell nonsense or fail.
fn hottest(folder: &Path) -> Option<f64> {
    let zones = std::fs::read_dir(folder).ok()?.flatten();
    zones
        .filter(|zone| zone.file_name().to_string_lossy().starts_with("thermal_zone"))
        .filter_map(|zone| std::fs::read_to_string(zone.path().join("temp")).ok()?.trim().parse::<f64>().ok())
        .map(|thousandths| thousandths / 1e3)
        .filter(|celsius| (-55.0..=200.0).contains(celsius))
        .reduce(f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hottest_sensor_that_tells_sense() {
        let folder = tempfile::tempdir().unwrap();
        let mut thermometer = Thermometer { folder: folder.path().into(), last: None };
        let start = Instant::now();
        assert_eq!(thermometer.read(start), None);
        for (zone, text) in [
            ("thermal_zone0", "41500\n"),
            ("thermal_zone1", "52250"),
            ("thermal_zone2", "-274000"),
            ("cooling_device0", "99000"),
            ("thermal_zone3", "?"),
        ] {
            std::fs::create_dir(folder.path().join(zone)).unwrap();
            std::fs::write(folder.path().join(zone).join("temp"), text).unwrap();
        }
        assert_eq!(thermometer.read(start), None, "read once a second");
        assert_eq!(thermometer.read(start + FRESH), Some(52.25));
    }
}
