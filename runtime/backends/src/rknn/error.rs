//! Why the NPU does not answer.

use std::path::PathBuf;

use foldnet::backend::BackendError;
use rknn_sys::*;

use super::device::{Device, Trouble};

/// Why the NPU does not answer; each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum RknnError {
    /// The archive was not built for this chip.
    #[error(
        "the archive holds no model for {wanted} (it has: {have}); `converter export --rknn {example}` puts one in"
    )]
    NoModel {
        /// This machine's chip, or "an NPU".
        wanted: String,
        /// What there is, or "none".
        have: String,
        /// A chip for the example.
        example: String,
    },
    /// There is no library.
    #[error("{0}. Install Rockchip's librknnrt, or name it with --npu-library")]
    Library(#[from] LoadError),
    /// There is no device.
    #[error(
        "the kernel shows no NPU (neither /dev/rknpu nor a DRM device of the driver RKNPU): it needs Rockchip's kernel with the rknpu driver"
    )]
    NoDevice,
    /// The device is not for this user.
    #[error("{node} may not be opened: add the user to the group {group} (`sudo usermod -aG {group} $USER`), then log in again", node = node.display())]
    Permission {
        /// The device's file.
        node: PathBuf,
        /// Its group.
        group: String,
    },
    /// The library is older than the toolkit that built the model.
    #[error(
        "librknnrt {library} is older than the toolkit {toolkit} that built the model; install librknnrt {toolkit} or later"
    )]
    LibraryTooOld {
        /// The library's version.
        library: String,
        /// The toolkit's.
        toolkit: String,
    },
    /// The kernel's driver is too old.
    #[error(
        "the NPU driver {driver} is too old, librknnrt needs {least} or later: update the board's kernel"
    )]
    DriverTooOld {
        /// Its version.
        driver: String,
        /// The oldest that will do.
        least: &'static str,
    },
    /// Library and driver, or driver and model, are at odds.
    #[error(
        "library, NPU driver and model do not go together ({0}); update the board's kernel and librknnrt"
    )]
    Versions(Error),
    /// Built for another chip.
    #[error("the model for {0} does not run on this chip")]
    OtherChip(String),
    /// Not a model.
    #[error("the model is damaged ({0}); export it again")]
    Damaged(Error),
    /// The NPU did not answer in time.
    #[error("the NPU does not answer in time: it is busy, or hangs ({0})")]
    Busy(Error),
    /// The NPU was there and is gone.
    #[error("the NPU is gone ({0})")]
    Lost(Error),
    /// No memory for the NPU.
    #[error("the NPU has no memory left ({0}); close other programs that use it")]
    Memory(Error),
    /// What the model reads or writes is not what the archive says.
    #[error("the model does not fit the archive: {0}")]
    Misfit(String),
    /// Anything else.
    #[error("{0}")]
    Other(Error),
}

impl From<RknnError> for BackendError {
    fn from(error: RknnError) -> Self {
        Self::new("NPU", error)
    }
}

impl RknnError {
    /// For an error of `rknn_init`; `device` tells why there may be none.
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

    /// For an error of any later call.
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
