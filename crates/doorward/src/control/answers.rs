//! The files that have the bodies of fixed answers: read with the configuration, so that an outage finds
//! them in memory, and again when they change.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use config::{At, Report};
use rules::service::Fallback;
use rules::{Reply, Rules, Service};

use super::run::{Control, folder_of};
use crate::observe::log;

/// The largest file of a fixed answer. It is a page that says sorry, and lies in memory for as long as
/// the configuration is in use.
const ANSWER_BYTES_MAX: u64 = 1024 * 1024;

/// The files that `service` names, relative to `folder`.
pub(super) fn files(service: &Service, folder: &Path) -> impl Iterator<Item = PathBuf> {
    let guard = service.policy.breaker.iter();
    guard.flat_map(|guard| &guard.fallback).filter_map(move |one| match one {
        Fallback::Answer { file: Some(file), .. } => Some(folder.join(&**file)),
        _ => None,
    })
}

/// Reads the files that `service` names, or reports what is wrong with them; whether all are there.
pub(super) fn read(service: &mut Service, folder: &Path, report: &mut Report) -> bool {
    let mut whole = true;
    for (reply, file) in in_files(service) {
        if let Err(why) = fill(reply, file, folder) {
            report.error(file, why).help("it is looked for beside the configuration file");
            whole = false;
        }
    }
    whole
}

impl Control {
    /// Looks whether such files have changed. What cannot be read is said, and what was read before stays
    /// in use.
    pub(super) fn look_at_answers(&mut self) {
        if !self.compiled.answer_files.look() {
            return;
        }
        let folder = folder_of(self.loader.path());
        let mut rules = Rules::clone(&self.compiled.rules);
        let mut wrongs = Vec::new();
        for service in rules.services_mut() {
            for (reply, file) in in_files(service) {
                wrongs.extend(fill(reply, file, &folder).err());
            }
        }
        for wrong in &wrongs {
            log::error("breaker", format!("{wrong}; what was read before stays in use"));
        }
        self.compiled.rules = Arc::new(rules);
        self.publish();
        // Not before it holds.
        if wrongs.is_empty() {
            log::info("breaker", "the files of fixed answers were read again");
        }
    }
}

/// The fixed answers of `service` whose bodies are in files.
fn in_files(service: &mut Service) -> impl Iterator<Item = (&mut Reply, &At<String>)> {
    let guard = service.policy.breaker.iter_mut();
    guard.flat_map(|guard| &mut guard.fallback).filter_map(|one| match one {
        Fallback::Answer { reply, file: Some(file) } => Some((reply, &*file)),
        _ => None,
    })
}

/// Puts the content of `file` into `reply`.
fn fill(reply: &mut Reply, file: &At<String>, folder: &Path) -> Result<(), String> {
    let content = content(&folder.join(&**file));
    let content =
        content.map_err(|why| format!("the answer in `{}` cannot be read: {why}", **file));
    reply.body = content?.into();
    Ok(())
}

fn content(path: &Path) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    let file = File::open(path).map_err(|error| error.to_string())?;
    let read = file.take(ANSWER_BYTES_MAX + 1).read_to_end(&mut body);
    read.map_err(|error| error.to_string())?;
    if body.len() as u64 > ANSWER_BYTES_MAX {
        return Err("it is larger than 1 MiB".to_owned());
    }
    Ok(body)
}
