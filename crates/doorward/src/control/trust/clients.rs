//! Which certificates of clients are taken.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use config::{At, Place, Report};
use rules::identity::Told;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{Error, RootCertStore};

use super::pem;
use crate::control::certificates::day;
use crate::control::certificates::files::Flaw;
use crate::control::model::ClientCertificate;

/// What is asked of clients at a listener.
#[derive(Debug)]
pub(crate) struct ClientsTls {
    pub(crate) verifier: Arc<dyn ClientCertVerifier>,
    /// Whether clients have to show one.
    pub(crate) is_required: bool,
    /// What services are told of clients.
    pub(crate) told: Told,
    /// The revocation lists: each one's file, and by when it needs to be replaced, in seconds since
    /// 1970.
    lists: Vec<(Box<str>, i64)>,
    /// Whether it was said that one has expired.
    said: AtomicBool,
}

/// What is wrong with one of the files, and where it is named.
pub(crate) struct Wrong {
    place: Place,
    flaw: Flaw,
}

impl ClientsTls {
    /// Reads the files that `written` names, relative to `folder`.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub(crate) fn read(written: &ClientCertificate, folder: &Path) -> Result<Self, Wrong> {
        let at = |file: &At<String>| {
            let place = file.place();
            move |flaw| Wrong { place, flaw }
        };
        let mut roots = RootCertStore::empty();
        for root in pem::authorities(folder, &written.roots).map_err(at(&written.roots))? {
            // They have just been found to be authorities.
            let _ = roots.add(root);
        }
        let (mut ders, mut lists) = (Vec::new(), Vec::new());
        for file in &written.crls {
            for list in pem::revocation_lists(folder, file).map_err(at(file))? {
                lists.extend(list.next_unix.map(|next| (file.as_str().into(), next)));
                ders.push(list.der);
            }
        }
        let provider = Arc::new(aws_lc_rs::default_provider());
        // Who is on no list that is still good may have been on the next one: no list, no entry.
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
            .with_crls(ders)
            .enforce_revocation_expiration();
        let builder = if *written.required { builder } else { builder.allow_unauthenticated() };
        let verifier = builder.build().map_err(|error| {
            let place = written.crls.first().map_or(written.roots.place(), At::place);
            let flaw = (error.to_string(), "look at it with `openssl crl -noout -text -in FILE`");
            Wrong { place, flaw }
        })?;
        Ok(Self {
            verifier,
            is_required: *written.required,
            told: written.forward,
            lists,
            said: AtomicBool::new(false),
        })
    }

    /// The revocation lists that need to be replaced at `unix` seconds, each with a word about it.
    pub(crate) fn expired(&self, unix: u64) -> impl Iterator<Item = String> {
        let now = i64::try_from(unix).unwrap_or(i64::MAX);
        let expired = self.lists.iter().filter(move |(_, next)| *next < now);
        expired.map(|(file, next)| format!("{file}: the revocation list expired on {}", day(*next)))
    }

    /// The same, if it was not said before.
    pub(super) fn newly_expired(&self, unix: u64) -> Vec<String> {
        let expired: Vec<String> = self.expired(unix).collect();
        match !expired.is_empty() && !self.said.swap(true, Ordering::Relaxed) {
            true => expired,
            false => Vec::new(),
        }
    }

    /// Whether `chain` would be taken now.
    ///
    /// # Errors
    /// Why not.
    pub(crate) fn check(&self, chain: &[CertificateDer<'static>]) -> Result<(), Error> {
        let (own, others) = chain.split_first().ok_or(Error::NoCertificatesPresented)?;
        self.verifier.verify_client_cert(own, others, UnixTime::now()).map(drop)
    }
}

impl Wrong {
    /// In a line.
    pub(super) fn text(&self) -> String {
        let (what, advice) = &self.flaw;
        format!("{what}: {advice}")
    }

    pub(crate) fn report(self, report: &mut Report) {
        let (what, advice) = self.flaw;
        report.error(self.place, what).help(advice);
    }
}

/// Reads what is asked of clients, with all that is wrong with it; `unix` is now.
pub(crate) fn load(
    written: &At<ClientCertificate>,
    folder: &Path,
    unix: u64,
    report: &mut Report,
) -> Option<Arc<ClientsTls>> {
    match ClientsTls::read(written, folder) {
        Ok(read) => {
            let place = written.crls.first().map_or(written.place(), At::place);
            for expired in read.expired(unix) {
                report
                    .warning(place, expired)
                    .help("no client is let in before there is a newer one");
            }
            Some(Arc::new(read))
        }
        Err(wrong) => {
            wrong.report(report);
            None
        }
    }
}
