//! The files that have the bodies of fixed answers: read with the configuration, so that an outage finds
//! them in memory.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use config::Report;
use rules::Service;
use rules::service::Fallback;

/// The largest file of a fixed answer. It is a page that says sorry, and lies in memory for as long as
/// the configuration is in use.
const ANSWER_BYTES_MAX: u64 = 1024 * 1024;

/// Reads the files that `service` names, or reports what is wrong with them; whether all are there.
pub(super) fn read(service: &mut Service, folder: &Path, report: &mut Report) -> bool {
    let mut whole = true;
    let guard = service.policy.breaker.as_mut();
    for one in guard.into_iter().flat_map(|guard| &mut guard.fallback) {
        let Fallback::Answer { reply, file: Some(file) } = one else { continue };
        match content(&folder.join(&**file)) {
            Ok(body) => reply.body = body.into(),
            Err(why) => {
                report
                    .error(&*file, format!("the answer in `{}` cannot be read: {why}", **file))
                    .help("it is looked for beside the configuration file");
                whole = false;
            }
        }
    }
    whole
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
