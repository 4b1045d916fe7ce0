//! The token of the admin API: given, or made and kept in a private file.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Where the token of the configuration at `config` is kept: beside it, so that the command line
/// finds it.
pub(crate) fn path(config: &Path) -> PathBuf {
    let folder = config.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new(".")).join(".doorward").join("admin-token")
}

/// The token in the file at `path`, which is made if it is missing.
///
/// # Errors
/// If it can be neither read nor made.
pub(crate) fn load_or_make(path: &Path) -> io::Result<String> {
    match fs::read_to_string(path) {
        Ok(token) if !token.trim().is_empty() => return Ok(token.trim().to_owned()),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let token = make()?;
    if let Some(folder) = path.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        // The folder of a configuration is often a repository. Without this file it works, too.
        let _ = fs::write(folder.join(".gitignore"), "*\n");
    }
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    writeln!(file, "{token}")?;
    Ok(token)
}

/// 128 bits from the kernel, as hex.
///
/// # Errors
/// If the kernel's random source cannot be read.
pub(crate) fn make() -> io::Result<String> {
    let mut bytes = [0; 16];
    fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
