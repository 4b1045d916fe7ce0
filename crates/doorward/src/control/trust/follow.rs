//! Reads again what others have written meanwhile: authorities, lists, certificates of ours.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rules::Service;

use super::ClientsTls;
use super::service::files_of;
use crate::control::model::Config;
use crate::control::run::{Control, folder_of, unix_now};
use crate::observe::log;

/// All files that say whom we believe, and what we show to services, relative to `folder`.
pub(crate) fn files<'a>(
    config: &Config,
    services: impl Iterator<Item = &'a Service>,
    folder: &Path,
) -> Vec<PathBuf> {
    let asked = config.listen.asking().flat_map(|(_, written)| written.files());
    let asked = asked.map(|file| folder.join(file));
    asked.chain(services.flat_map(|service| files_of(service, folder))).collect()
}

impl Control {
    /// Looks whether such files have changed, and whether revocation lists have expired. What cannot be
    /// read is said, and what was read before stays in use.
    pub(in crate::control) fn look_at_trust(&mut self) {
        if self.compiled.trusted_files.look() {
            self.read_trust();
        }
        for (_, clients) in &self.compiled.clients_tls {
            for expired in clients.newly_expired(unix_now()) {
                log::error(
                    "tls",
                    format!("{expired}: no client is let in before there is a newer one"),
                );
            }
        }
    }

    fn read_trust(&mut self) {
        let folder = folder_of(self.loader.path());
        let services = self.compiled.rules.services().iter().map(|service| &**service);
        let found = &mut self.compiled.services_tls;
        let mut wrongs = self.loader.services_tls.reload(services, &folder, found);
        for (address, written) in self.compiled.config.listen.asking() {
            let clients = self.compiled.clients_tls.iter_mut().find(|(known, _)| *known == address);
            match (ClientsTls::read(written, &folder), clients) {
                (Ok(read), Some((_, clients))) => *clients = Arc::new(read),
                (Ok(_), None) => {}
                (Err(wrong), _) => wrongs.push(wrong.text()),
            }
        }
        match self.tls.config(&self.compiled.config, &self.compiled.clients_tls) {
            Ok(https) => self.https = https,
            Err(error) => wrongs.push(error.to_string()),
        }
        for wrong in &wrongs {
            log::error("tls", format!("{wrong}; what was read before stays in use"));
        }
        // Checks of instances go by TLS, too.
        self.start_services();
        self.publish();
        // Not before it holds.
        if wrongs.is_empty() {
            log::info("tls", "authorities, lists and certificates were read again");
        }
    }
}
