//! The folder where accounts, keys and certificates are kept: for this user only, whole or not at
//! all, and looked after by one process at a time.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::{FlockOperation, flock};

use crate::observe::log;

/// The largest file that is read; a chain with its key takes less than a hundredth.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// What others may do with a file or folder.
const OTHERS: u32 = 0o077;

/// The file that the process holds locked that orders certificates.
const LOCK: &str = "lock";

pub(crate) struct Storage {
    folder: PathBuf,
    /// Held as long as this process may order.
    lock: Option<File>,
}

impl Storage {
    /// The folder at `path`, which is made if it is missing.
    ///
    /// # Errors
    /// What is wrong with it, with what to do.
    pub(crate) fn open(path: &Path) -> Result<Self, String> {
        let wrong = |error: &io::Error| {
            let path = path.display();
            match error.kind() {
                io::ErrorKind::PermissionDenied => format!(
                    "{path} cannot be used: this user may not; set `state` of `[tls.acme]` to a folder \
                     of its own"
                ),
                io::ErrorKind::ReadOnlyFilesystem => format!(
                    "{path} is on a file system that cannot be written; set `state` of `[tls.acme]` to \
                     another folder"
                ),
                _ => format!("{path} cannot be used: {error}"),
            }
        };
        make_private(path).map_err(|error| wrong(&error))?;
        Ok(Self { folder: path.to_owned(), lock: None })
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Tries to become the process that orders certificates; whether it is now.
    ///
    /// # Errors
    /// If the folder cannot be written.
    pub(crate) fn try_lock(&mut self) -> Result<bool, String> {
        if self.lock.is_some() {
            return Ok(true);
        }
        let path = self.folder.join(LOCK);
        let wrong = |error: &io::Error| format!("{} cannot be written: {error}", path.display());
        let file =
            OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
        let file = file.map_err(|error| wrong(&error))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                self.lock = Some(file);
                Ok(true)
            }
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
            Err(error) => Err(wrong(&error.into())),
        }
    }

    /// The file called `name`; `None` if there is none. One that others could read is closed to them.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn read(&self, name: &str) -> Result<Option<String>, String> {
        let path = self.folder.join(name);
        let wrong = |error: io::Error| format!("{} cannot be read: {error}", path.display());
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(wrong(error)),
        };
        let mode = file.metadata().map_err(wrong)?.mode();
        if mode & OTHERS != 0 {
            log::warn("acme", format!("{} was open to others: it is closed", path.display()));
            file.set_permissions(Permissions::from_mode(0o600)).map_err(wrong)?;
        }
        let mut text = String::new();
        file.take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(wrong)?;
        Ok(Some(text))
    }

    /// When the file called `name` was written last.
    pub(crate) fn written(&self, name: &str) -> Option<SystemTime> {
        fs::metadata(self.folder.join(name)).and_then(|metadata| metadata.modified()).ok()
    }

    /// Replaces the file called `name`: whoever reads it finds the old one or the new one.
    ///
    /// # Errors
    /// What went wrong; the old one is there still.
    pub(crate) fn write(&self, name: &str, content: &str) -> Result<(), String> {
        let path = self.folder.join(name);
        let new = self.folder.join(format!("{name}.new"));
        let write = || -> io::Result<()> {
            let mut file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&new)?;
            // It may be left from a process that ended too early, whatever it let others do.
            file.set_permissions(Permissions::from_mode(0o600))?;
            file.write_all(content.as_bytes())?;
            file.sync_all()?;
            fs::rename(&new, &path)?;
            File::open(&self.folder)?.sync_all()
        };
        write().map_err(|error| format!("{} cannot be written: {error}", path.display()))
    }

    /// Removes the file called `name`, if it is there.
    pub(crate) fn remove(&self, name: &str) {
        // What cannot be removed is found again, and read as it is.
        let _ = fs::remove_file(self.folder.join(name));
    }
}

/// Makes the folder at `path`, or closes it to others if it is there.
pub(crate) fn make_private(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    let metadata = fs::metadata(path)?;
    let mode = metadata.mode();
    if mode & OTHERS != 0 {
        fs::set_permissions(path, Permissions::from_mode(0o700))?;
        log::warn("acme", format!("{} was open to others: it is closed", path.display()));
    }
    // The folder of a configuration is often a repository. Without this file it works, too.
    let ignored = path.join(".gitignore");
    if !ignored.exists() {
        let _ = fs::write(ignored, "*\n");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_private_and_whole() {
        let folder = std::env::temp_dir().join(format!("doorward-storage-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).expect("it can be made");
        fs::set_permissions(&folder, Permissions::from_mode(0o755)).expect("it is ours");
        let mut storage = Storage::open(&folder).expect("it is ours");
        assert_eq!(fs::metadata(&folder).expect("there").mode() & 0o777, 0o700);

        assert_eq!(storage.read("key"), Ok(None));
        storage.write("key", "secret").expect("it can be written");
        assert_eq!(storage.read("key"), Ok(Some("secret".to_owned())));
        let path = folder.join("key");
        assert_eq!(fs::metadata(&path).expect("there").mode() & 0o777, 0o600);
        fs::set_permissions(&path, Permissions::from_mode(0o644)).expect("it is ours");
        assert_eq!(storage.read("key"), Ok(Some("secret".to_owned())));
        assert_eq!(fs::metadata(&path).expect("there").mode() & 0o777, 0o600);

        assert_eq!(storage.try_lock(), Ok(true));
        let mut other = Storage::open(&folder).expect("it is ours");
        assert_eq!(other.try_lock(), Ok(false));
        drop(storage);
        assert_eq!(other.try_lock(), Ok(true));
        fs::remove_dir_all(&folder).expect("it is ours");
    }
}
