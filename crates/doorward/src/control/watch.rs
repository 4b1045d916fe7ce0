//! Files that others write while we run: when to read them again.
//!
//! They are looked at, not listened to: a look is right for files that are replaced, for links that
//! are turned (as Kubernetes and certbot do), and for file systems that tell nobody; and it finds what
//! a listener would have missed.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// How often files are looked at. A file counts as changed when two looks have found it the same, since
/// it may still be being written.
pub(crate) const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What tells whether a file was written meanwhile: when it last was, its length, and which one it is.
/// `None` if it is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp(Option<(SystemTime, u64, u64)>);

/// Files and folders, each with its stamp.
pub(crate) type Stamps = BTreeMap<PathBuf, Stamp>;

impl Stamp {
    pub(crate) fn of(path: &Path) -> Self {
        let stamp =
            |metadata: fs::Metadata| Ok((metadata.modified()?, metadata.len(), metadata.ino()));
        Self(fs::metadata(path).and_then(stamp).ok())
    }
}

/// Files whose content somebody uses.
#[derive(Clone, Debug)]
pub(crate) struct Watch {
    /// As they were when they were used last.
    used: Stamps,
    /// As they were at the last look.
    last: Stamps,
}

impl Watch {
    /// To be made before the files are read.
    pub(crate) fn new(paths: impl IntoIterator<Item = PathBuf>) -> Self {
        let used: Stamps = paths.into_iter().map(|path| (path.clone(), Stamp::of(&path))).collect();
        Self { last: used.clone(), used }
    }

    /// Looks. Whether the files are to be read again now: they are others than those that were used, and
    /// the same as at the last look.
    pub(crate) fn look(&mut self) -> bool {
        let now: Stamps = self.used.keys().map(|path| (path.clone(), Stamp::of(path))).collect();
        let settled = now == self.last;
        let changed = settled && now != self.used;
        if changed {
            self.used.clone_from(&now);
        }
        self.last = now;
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_changed_once_it_stays_the_same() {
        let folder = std::env::temp_dir().join(format!("doorward-watch-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        let path = folder.join("file");
        let mut watch = Watch::new([path.clone()]);
        assert!(!watch.look());
        for content in ["one", "twofold"] {
            fs::write(&path, content).expect("a file");
            assert!(!watch.look(), "it may still be being written");
            assert!(watch.look());
            assert!(!watch.look());
        }
        // Another file of the same length at the same time.
        let other = folder.join("other");
        fs::write(&other, "twofold").expect("a file");
        let times = fs::FileTimes::new()
            .set_modified(fs::metadata(&path).expect("it").modified().expect("a time"));
        fs::File::options().write(true).open(&other).expect("it").set_times(times).expect("times");
        fs::rename(&other, &path).expect("a file");
        assert!(!watch.look() && watch.look());
        fs::remove_dir_all(&folder).expect("a folder");
    }
}
