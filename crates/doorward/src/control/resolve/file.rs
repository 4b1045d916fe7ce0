//! Watches files of endpoints.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use rules::service::{Endpoint, Ranked};
use tokio::sync::mpsc;

use super::Resolved;
use crate::observe::log;

/// How often a file is looked at. What writes it, such as a deployment, is slower.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// What changes when a file does: when it was written, how long it is, and which one it is.
type Look = (SystemTime, u64, u64);

fn look(path: &PathBuf) -> Option<Look> {
    use std::os::unix::fs::MetadataExt;
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len(), metadata.ino()))
}

/// Tells what stands in the file at `path` whenever that changes. `source` is as it is written in the
/// configuration.
pub(super) async fn keep_read(
    source: Endpoint,
    path: PathBuf,
    found: mpsc::UnboundedSender<Resolved>,
) {
    let mut last_look = look(&path);
    let mut read: Option<Option<Look>> = None;
    loop {
        let now = look(&path);
        // A file that changed since the last look may still be being written.
        if now == last_look && read != Some(now) {
            read = Some(now);
            match std::fs::read_to_string(&path) {
                Ok(text) => match Ranked::read_list(&text) {
                    Ok(endpoints) => {
                        let text = format!("{}: endpoints: {}", path.display(), endpoints.len());
                        log::info("endpoints", text);
                        let resolved = Resolved::Listed(source.clone(), endpoints);
                        if found.send(resolved).is_err() {
                            return;
                        }
                    }
                    Err((line, advice)) => complain(&path, &format!("line {line}: {advice}")),
                },
                Err(error) => complain(&path, &error.to_string()),
            }
        }
        last_look = now;
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn complain(path: &std::path::Path, why: &str) {
    let text = format!("{}: {why}; the endpoints that were known stay", path.display());
    log::warn("endpoints", text);
}
