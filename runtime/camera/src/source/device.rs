//! A V4L2 camera of this machine, by its path in `/dev`.

use std::ffi::OsString;

use super::kind::{Kind, Place, shown_as_path};

/// See the module.
pub static KIND: Kind = Kind {
    claims: |at| at.as_encoded_bytes().starts_with(b"/dev/"),
    shown: shown_as_path,
    is_live: true,
    is_stills: false,
    #[cfg(target_os = "linux")]
    open: |at, wishes| {
        let camera = super::v4l::Camera::open(at.as_ref(), wishes)?;
        Ok(Box::new(camera))
    },
    #[cfg(not(target_os = "linux"))]
    open: |_, _| Err(super::SourceError::unusable("cameras need Linux")),
};

impl Place {
    /// A camera, also where its path is not in `/dev`.
    pub fn device(path: impl Into<OsString>) -> Self {
        Self::of(&KIND, path.into())
    }
}
