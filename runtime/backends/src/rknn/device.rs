//! Finds the system's NPU and reads its state.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// A system, seen through its file tree.
pub struct Device {
    root: PathBuf,
}

/// The reason why the NPU cannot be opened.
#[derive(Debug, PartialEq, Eq)]
pub enum Trouble {
    /// There is no NPU.
    Absent,
    /// The NPU belongs to a group that the user is not in.
    Forbidden {
        /// The device file.
        node: PathBuf,
        /// The group's name, or number.
        group: String,
    },
}

impl Device {
    /// Reads the file tree below this folder; `/` is this machine.
    pub fn below(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// Returns the chip's name in the toolkit's spelling, from the device tree.
    pub fn chip(&self) -> Option<String> {
        let text = fs::read(self.at("proc/device-tree/compatible")).ok()?;
        let mut of_rockchip = text.split(|&b| b == 0).filter_map(|e| e.strip_prefix(b"rockchip,rk"));
        // The board comes first and the chip last; an `s` after the number is a smaller package.
        let number = of_rockchip.next_back()?.iter().take_while(|b| b.is_ascii_digit()).map(|&b| b as char);
        Some(format!("rk{}", number.collect::<String>()))
    }

    /// Returns the NPU's device files.
    fn nodes(&self) -> Vec<PathBuf> {
        let mut nodes: Vec<PathBuf> = Some(self.at("dev/rknpu")).into_iter().filter(|n| n.exists()).collect();
        for entry in fs::read_dir(self.at("sys/class/drm")).into_iter().flatten().flatten() {
            let uevent = fs::read_to_string(entry.path().join("device/uevent")).unwrap_or_default();
            let node = self.at("dev/dri").join(entry.file_name());
            if uevent.lines().any(|l| l == "DRIVER=RKNPU") && node.exists() {
                nodes.push(node);
            }
        }
        nodes.sort();
        nodes
    }

    /// Returns the reason why the NPU cannot be opened, or `None` if it can.
    pub fn trouble(&self) -> Option<Trouble> {
        let nodes = self.nodes();
        let mut trouble = Some(Trouble::Absent);
        for node in nodes {
            match fs::OpenOptions::new().read(true).write(true).open(&node) {
                Ok(_) => return None,
                Err(e) if e.kind() == ErrorKind::PermissionDenied => {
                    let group = self.group(&node);
                    trouble = Some(Trouble::Forbidden { node, group });
                }
                Err(_) => {}
            }
        }
        trouble
    }

    /// Returns the NPU's temperature in °C, if the system publishes it.
    pub fn temperature(&self) -> Option<f64> {
        let zones = fs::read_dir(self.at("sys/class/thermal")).ok()?.flatten();
        let is_npu = |zone: &fs::DirEntry| {
            fs::read_to_string(zone.path().join("type")).is_ok_and(|t| t.trim().starts_with("npu"))
        };
        let zone = zones.into_iter().find(is_npu)?;
        let thousandths: f64 = fs::read_to_string(zone.path().join("temp")).ok()?.trim().parse().ok()?;
        Some(thousandths / 1e3)
    }

    /// Returns the driver's line about the load of each core, if the system publishes it (usually only to root).
    pub fn load(&self) -> Option<String> {
        let line = fs::read_to_string(self.at("sys/kernel/debug/rknpu/load")).ok()?;
        Some(line.trim().to_owned())
    }

    /// Returns the name of the group that owns a file.
    fn group(&self, file: &Path) -> String {
        let id = fs::metadata(file).map_or(0, |m| gid(&m)).to_string();
        let names = fs::read_to_string(self.at("etc/group")).unwrap_or_default();
        let named = |line: &str| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            (fields.nth(1)? == id).then(|| name.to_owned())
        };
        names.lines().find_map(named).unwrap_or(id)
    }
}

/// Returns the group that owns a file.
#[cfg(unix)]
fn gid(metadata: &fs::Metadata) -> u32 {
    std::os::unix::fs::MetadataExt::gid(metadata)
}

/// Returns 0: this system has no groups.
#[cfg(not(unix))]
fn gid(_: &fs::Metadata) -> u32 {
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    #[test]
    fn the_chip_stands_last_in_the_device_tree() {
        let chip = |text| Device::below(tree(&[("proc/device-tree/compatible", text)]).path()).chip();
        assert_eq!(chip("radxa,rock-5b\0rockchip,rk3588\0").as_deref(), Some("rk3588"));
        assert_eq!(chip("rockchip,rk3588s-evb\0rockchip,rk3588s\0").as_deref(), Some("rk3588"));
        assert_eq!(chip("raspberrypi,5-model-b\0brcm,bcm2712\0"), None);
        assert_eq!(Device::below(tree(&[]).path()).chip(), None);
    }

    #[test]
    fn the_npu_is_found_as_a_drm_device_or_by_its_own_name() {
        let gpu = ("sys/class/drm/renderD128/device/uevent", "DRIVER=panthor\n");
        let npu = ("sys/class/drm/renderD129/device/uevent", "DRIVER=RKNPU\nOF_NAME=npu\n");
        let nodes = [("dev/dri/renderD128", ""), ("dev/dri/renderD129", "")];
        let root = tree(&[gpu, nodes[0]]);
        assert_eq!(Device::below(root.path()).trouble(), Some(Trouble::Absent));
        let root = tree(&[gpu, npu, nodes[0], nodes[1]]);
        let device = Device::below(root.path());
        assert_eq!(device.nodes(), [root.path().join("dev/dri/renderD129")]);
        assert_eq!(device.trouble(), None);
        assert_eq!(Device::below(tree(&[("dev/rknpu", "")]).path()).trouble(), None);
    }

    // Even the superuser may not write the kernel's name.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_forbidden_node_names_its_group() {
        let root = tree(&[("etc/group", "root:x:0:\n"), ("dev/null", "")]);
        std::os::unix::fs::symlink("/proc/sys/kernel/ostype", root.path().join("dev/rknpu")).unwrap();
        let device = Device::below(root.path());
        let trouble = Trouble::Forbidden { node: root.path().join("dev/rknpu"), group: "root".into() };
        assert_eq!(device.trouble(), Some(trouble));
        let code = rknn_sys::RKNN_ERR_DEVICE_UNAVAILABLE;
        let error = rknn_sys::Error { call: "rknn_init", code };
        let said = super::super::RknnError::at_start(error, "rk3588", &device).to_string();
        assert!(said.contains("dev/rknpu may not be opened: add the user to the group root"), "{said}");
    }

    #[test]
    fn temperature_and_load_are_shown_where_they_are() {
        let cpu = ("sys/class/thermal/thermal_zone0/type", "soc-thermal\n");
        let npu = ("sys/class/thermal/thermal_zone6/type", "npu-thermal\n");
        let (hot, load) = (("sys/class/thermal/thermal_zone6/temp", "46230\n"), "NPU load:  Core0: 12%,\n");
        let root = tree(&[cpu, npu, hot, ("sys/kernel/debug/rknpu/load", load)]);
        let device = Device::below(root.path());
        assert_eq!(device.temperature(), Some(46.23));
        assert_eq!(device.load().as_deref(), Some("NPU load:  Core0: 12%,"));
        let nothing = Device::below(tree(&[cpu]).path());
        assert_eq!((nothing.temperature(), nothing.load()), (None, None));
    }

    #[test]
    fn groups_have_names() {
        let root = tree(&[("dev/rknpu", "")]);
        let gid_of = fs::metadata(root.path().join("dev/rknpu")).unwrap();
        let gid = gid(&gid_of);
        let device = Device::below(root.path());
        assert_eq!(device.group(&root.path().join("dev/rknpu")), gid.to_string());
        fs::create_dir(root.path().join("etc")).unwrap();
        fs::write(root.path().join("etc/group"), format!("audio:x:99999:\nrender:x:{gid}:pi\n")).unwrap();
        assert_eq!(device.group(&root.path().join("dev/rknpu")), "render");
    }
}
