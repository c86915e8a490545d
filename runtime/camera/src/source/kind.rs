//! The kinds of places that frames come from. Each source's file declares its own; the table in the
//! parent module lists them.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::Path;

use super::{KINDS, Source, SourceError, Wishes, video};

/// An opened source, or why there is none.
pub type Opened = Result<Box<dyn Source>, SourceError>;

/// A kind of source.
#[derive(Debug)]
pub struct Kind {
    /// Whether what a user wrote is a place of this kind. The first kind of the table that claims it gets it.
    pub claims: fn(&OsStr) -> bool,
    /// How a place is shown, without a login.
    pub shown: fn(&OsStr) -> String,
    /// Whether frames come by themselves, so that a silence means that the source is frozen.
    pub is_live: bool,
    /// Whether frames are images that have nothing to do with each other.
    pub is_stills: bool,
    /// Opens a place.
    pub open: fn(&OsStr, &Wishes) -> Opened,
}

/// What to open.
#[derive(Clone, Debug)]
pub struct Place {
    kind: &'static Kind,
    at: OsString,
}

impl PartialEq for Place {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.kind, other.kind) && self.at == other.at
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&(self.kind.shown)(&self.at))
    }
}

impl Place {
    /// A place of this kind, whatever it looks like.
    pub(super) fn of(kind: &'static Kind, at: OsString) -> Self {
        Self { kind, at }
    }

    /// What a user wrote: the first kind that claims it is taken.
    ///
    /// # Errors
    /// [`SourceError::Unusable`] for an address of a scheme that is not read.
    pub fn new(what: impl AsRef<OsStr>) -> Result<Self, SourceError> {
        let at = what.as_ref();
        if let Some(kind) = KINDS.iter().find(|kind| (kind.claims)(at)) {
            return Ok(Self::of(kind, at.into()));
        }
        let what = at.to_string_lossy();
        Err(SourceError::unusable(match scheme(at) {
            None | Some("file") => format!("{what}: give the path alone"),
            Some(scheme) => format!(
                "{}: {scheme}:// is not read here; {}",
                crate::address::without_login(&what),
                video::advice(&what)
            ),
        }))
    }

    /// Whether it is a set of images that have nothing to do with each other.
    pub fn is_stills(&self) -> bool {
        self.kind.is_stills
    }

    /// Whether frames come by themselves, so that a silence means that the source is frozen.
    pub fn is_live(&self) -> bool {
        self.kind.is_live
    }

    /// Opens it.
    ///
    /// # Errors
    /// [`SourceError::Lost`] where it may be there later, [`SourceError::Unusable`] where it can never be used.
    pub fn open(&self, wishes: &Wishes) -> Opened {
        (self.kind.open)(&self.at, wishes)
    }
}

/// The scheme of an address; paths have none.
pub fn scheme(at: &OsStr) -> Option<&str> {
    let (scheme, _) = at.to_str()?.split_once("://")?;
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    is_scheme.then_some(scheme)
}

/// How places are shown that are paths.
pub fn shown_as_path(at: &OsStr) -> String {
    Path::new(at).display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_told_by_their_looks() {
        let told = |what: &str| {
            let place = Place::new(what).unwrap();
            (place.is_live(), place.is_stills(), place.to_string())
        };
        assert_eq!(told("-"), (false, false, "standard input".into()));
        assert_eq!(told("/dev/video7"), (true, false, "/dev/video7".into()));
        assert_eq!(told("http://me:secret@cam/live"), (true, false, "http://cam/live".into()));
        assert_eq!(told("https://cam/"), (true, false, "https://cam/".into()));
        assert_eq!(told("my photos"), (false, true, "my photos".into()));
        assert_eq!(told("./http:/x"), (false, true, "./http:/x".into()));
        for unread in ["rtsp://me:secret@cam/live", "file:///tmp/a.png"] {
            let said = Place::new(unread).unwrap_err().to_string();
            assert!(!said.contains("secret") && said.contains("://"), "{said}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn paths_need_not_be_text() {
        use std::os::unix::ffi::OsStrExt;
        let place = Place::new(OsStr::from_bytes(b"photos\xff")).unwrap();
        assert!(place.is_stills());
        assert!(matches!(place.open(&Wishes::default()), Err(SourceError::Lost(_))));
    }
}
