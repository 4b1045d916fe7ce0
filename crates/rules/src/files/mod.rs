//! Serving files: which file a request means, and what to answer once it is found.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use wire::RequestHead;

/// A directory of files, ready to be served.
#[derive(Clone, Debug)]
pub struct Files {
    root: PathBuf,
}

/// A file to be looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Relative to the root; has no `..`, no empty and no absolute part.
    pub path: String,
    role: Role,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Asked,
}

/// What the engine found under a candidate's path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// A regular file.
    File {
        /// Its size.
        bytes: u64,
        /// When it was last written.
        modified: Option<SystemTime>,
    },
    /// A directory.
    Directory,
    /// Nothing, or something that is neither.
    Nothing,
}

/// What to answer, as data for the engine to carry out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileAnswer {
    /// The status.
    pub status: u16,
    /// The field lines, without those that frame the body.
    pub fields: Vec<(&'static str, Vec<u8>)>,
    /// The value of `Content-Length`; the sum of the parts but in answer to `HEAD`. `None` for 304.
    pub bytes: Option<u64>,
    /// What the body is made of, in order.
    pub parts: Vec<Part>,
}

/// A stretch of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// These bytes.
    Bytes(Vec<u8>),
    /// These bytes of the file.
    File(std::ops::Range<u64>),
}

impl Files {
    /// The directory.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// What to answer if `found` is under the path of `candidate`; `None`: try the next candidate.
    /// When all were tried, the fault is [`FileNotFound`](crate::Fault::FileNotFound).
    #[must_use]
    pub fn answer(
        &self,
        _candidate: &Candidate,
        _found: Found,
        _request: &RequestHead,
    ) -> Option<FileAnswer> {
        None
    }
}
