//! The reasons why the NPU does not answer.

use std::path::PathBuf;

use foldnet::backend::BackendError;
use rknn_sys::*;

use super::device::{Device, Trouble};

/// The reason why the NPU does not answer; each message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum RknnError {
    /// The archive was not built for this chip.
    #[error(
        "the archive holds no model for {wanted} (it has: {have}); `converter export --rknn {example}` puts one in"
    )]
    NoModel {
        /// The name of this machine's chip, or "an NPU".
        wanted: String,
        /// The chips for which the archive has models, or "none".
        have: String,
        /// A chip for the example in the message.
        example: String,
    },
    /// The library is missing.
    #[error("{0}. Install Rockchip's librknnrt, or name it with --npu-library")]
    Library(#[from] LoadError),
    /// The device is missing.
    #[error(
        "the kernel shows no NPU (neither /dev/rknpu nor a DRM device of the driver RKNPU): it needs Rockchip's kernel with the rknpu driver"
    )]
    NoDevice,
    /// The user may not open the device.
    #[error("{node} may not be opened: add the user to the group {group} (`sudo usermod -aG {group} $USER`), then log in again", node = node.display())]
    Permission {
        /// The device file.
        node: PathBuf,
        /// The file's group.
        group: String,
    },
    /// The library is older than the toolkit that built the model.
    #[error(
        "librknnrt {library} is older than the toolkit {toolkit} that built the model; install librknnrt {toolkit} or later"
    )]
    LibraryTooOld {
        /// The library's version.
        library: String,
        /// The version of the toolkit.
        toolkit: String,
    },
    /// The kernel's driver is too old.
    #[error(
        "the NPU driver {driver} is too old, librknnrt needs {least} or later: update the board's kernel"
    )]
    DriverTooOld {
        /// The driver's version.
        driver: String,
        /// The oldest supported version.
        least: &'static str,
    },
    /// Library and driver, or driver and model, do not match.
    #[error(
        "library, NPU driver and model do not go together ({0}); update the board's kernel and librknnrt"
    )]
    Versions(Error),
    /// The model was built for another chip.
    #[error("the model for {0} does not run on this chip")]
    OtherChip(String),
    /// The data is not a model.
    #[error("the model is damaged ({0}); export it again")]
    Damaged(Error),
    /// The NPU did not answer in time.
    #[error("the NPU does not answer in time: it is busy, or hangs ({0})")]
    Busy(Error),
    /// The NPU has disappeared.
    #[error("the NPU is gone ({0})")]
    Lost(Error),
    /// The NPU has no memory left.
    #[error("the NPU has no memory left ({0}); close other programs that use it")]
    Memory(Error),
    /// The model's inputs or outputs do not match the archive.
    #[error("the model does not fit the archive: {0}")]
    Misfit(String),
    /// Any other error.
    #[error("{0}")]
    Other(Error),
}

impl From<RknnError> for BackendError {
    fn from(error: RknnError) -> Self {
        Self::new("NPU", error)
    }
}

impl RknnError {
    /// Converts an error of `rknn_init`; `device` explains why there may be no NPU.
    pub(super) fn at_start(error: Error, target: &str, device: &Device) -> Self {
        match error.code {
            RKNN_ERR_FAIL | RKNN_ERR_DEVICE_UNAVAILABLE => match device.trouble() {
                Some(Trouble::Absent) => Self::NoDevice,
                Some(Trouble::Forbidden { node, group }) => Self::Permission { node, group },
                None => Self::Other(error),
            },
            RKNN_ERR_TARGET_PLATFORM_UNMATCH => Self::OtherChip(target.into()),
            RKNN_ERR_MODEL_INVALID => Self::Damaged(error),
            _ => Self::later(error),
        }
    }

    /// Converts an error of any later call.
    pub(super) fn later(error: Error) -> Self {
        match error.code {
            RKNN_ERR_TIMEOUT => Self::Busy(error),
            RKNN_ERR_DEVICE_UNAVAILABLE => Self::Lost(error),
            RKNN_ERR_MALLOC_FAIL => Self::Memory(error),
            RKNN_ERR_DEVICE_UNMATCH
            | RKNN_ERR_INCOMPATILE_PRE_COMPILE_MODEL
            | RKNN_ERR_INCOMPATILE_OPTIMIZATION_LEVEL_VERSION => Self::Versions(error),
            _ => Self::Other(error),
        }
    }
}
