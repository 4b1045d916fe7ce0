//! What is kept of one certificate: its history, where its order stands, its key and chain.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest;
use instant_acme::CertificateIdentifier;
use rules::acme::{Held, History};
use serde::{Deserialize, Serialize};

use super::order::certified;
use super::settings::Settings;
use super::storage::Storage;
use super::trouble::Trouble;
use crate::control::certificates::Certificate;
use crate::control::model::KeyKind;
use crate::observe::log;

/// One wanted certificate, as it is kept in `NAME.json`; key and chain are in `NAME.pem`.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub(crate) struct Record {
    /// What its files are called.
    #[serde(skip)]
    pub(crate) stem: String,
    /// The names that are wanted.
    #[serde(skip)]
    pub(crate) names: Vec<String>,
    /// What is in use.
    #[serde(skip)]
    pub(crate) certificate: Option<Arc<Certificate>>,
    /// When the files that it was read from were written.
    #[serde(skip)]
    written: [Option<SystemTime>; 2],
    pub(crate) history: History,
    /// The directory of the authority that the one in use is from.
    directory: String,
    /// Which kind of key it has.
    key: KeyKind,
    /// Always the same for this certificate: see [`rules::acme::plan`].
    pub(crate) chance: Option<u32>,
    /// An order that has not ended.
    pub(crate) pending: Option<Pending>,
    /// Records that are in DNS and are to be removed.
    pub(crate) dns_records: Vec<(String, String)>,
    /// What the failures and the order are about: with anything else, they are forgotten.
    attempt: String,
}

/// An order that has not ended.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Pending {
    /// Its URL.
    pub(crate) order: String,
    /// The key that is to be certified, in PEM, once it has been sent.
    pub(crate) key: Option<String>,
}

/// By which attempts are told apart that ask for something else, or in another way.
fn fingerprint(settings: &Settings, names: &[String]) -> String {
    let how = Settings { certificates: vec![names.to_vec()], ..settings.clone() };
    let digest = digest::digest(&digest::SHA256, format!("{how:?}").as_bytes());
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Record {
    /// What is kept of the certificate for `names`.
    ///
    /// # Errors
    /// If what is kept cannot be read.
    pub(crate) fn load(
        storage: &Storage,
        settings: &Settings,
        names: &[String],
        now: u64,
    ) -> Result<Self, String> {
        let stem = names[0].replacen('*', "_", 1);
        let written = written(storage, &stem);
        let text = storage.read(&format!("{stem}.json"))?;
        let read = text.map(|text| serde_json::from_str::<Self>(&text));
        let mut record = match read {
            None => Self::default(),
            Some(Ok(record)) => record,
            Some(Err(error)) => {
                log::warn("acme", format!("{stem}.json is not understood and begun anew: {error}"));
                Self::default()
            }
        };
        record.stem = stem;
        record.written = written;
        record.names = names.to_vec();
        let attempt = fingerprint(settings, names);
        if record.attempt != attempt {
            // Whoever changed something has mended something, or wants something else.
            record.history.failure = None;
            record.pending = None;
            record.attempt = attempt;
        }
        if record.chance.is_none() {
            let mut bytes = [0; 4];
            // Without it certificates are renewed at the same time, which works as well.
            let _ = aws_lc_rs::rand::fill(&mut bytes);
            record.chance = Some(u32::from_be_bytes(bytes));
        }
        record.load_certificate(storage, settings, now)?;
        Ok(record)
    }

    /// Whether its files are still those that it was read from.
    pub(crate) fn is_as_read(&self, storage: &Storage) -> bool {
        self.written == written(storage, &self.stem)
    }

    fn load_certificate(
        &mut self,
        storage: &Storage,
        settings: &Settings,
        now: u64,
    ) -> Result<(), String> {
        let file = format!("{}.pem", self.stem);
        let Some(pem) = storage.read(&file)? else {
            self.history.held = None;
            return Ok(());
        };
        let origin = storage.folder().join(&file).display().to_string();
        match certified(&pem).and_then(|key| Certificate::new(key, &origin)) {
            Ok(certificate) => {
                let written =
                    storage.written(&file).and_then(|at| at.duration_since(UNIX_EPOCH).ok());
                let obtained = match self.history.held {
                    Some(held) => held.obtained,
                    None => written.map_or(now, |since| since.as_secs()),
                };
                // Its record may be lost: then it is believed to be of this authority.
                let is_of = self.directory.is_empty()
                    || self.directory == settings.directory && self.key == settings.key;
                let fits = is_of && covers(&certificate, &self.names);
                self.hold(certificate, obtained, fits);
            }
            Err(error) => {
                log::warn(
                    "acme",
                    format!("{origin} cannot be used, and is ordered again: {error}"),
                );
                self.history.held = None;
            }
        }
        Ok(())
    }

    fn hold(&mut self, certificate: Certificate, obtained: u64, fits: bool) {
        self.history.held = Some(Held {
            not_before: certificate.not_before_unix.try_into().unwrap_or(0),
            not_after: certificate.not_after_unix.try_into().unwrap_or(0),
            obtained,
            fits,
        });
        self.certificate = Some(Arc::new(certificate));
    }

    /// Takes over the certificate in `pem`, which the authority has just given.
    ///
    /// # Errors
    /// If it is not what was asked for, or cannot be kept.
    pub(crate) fn take(
        &mut self,
        storage: &Storage,
        settings: &Settings,
        pem: &str,
        now: u64,
    ) -> Result<(), Trouble> {
        let file = format!("{}.pem", self.stem);
        let origin = storage.folder().join(&file).display().to_string();
        let wrong = |error: String| {
            Trouble::new(
                format!("what the authority gave cannot be used: {error}"),
                "it is tried again",
            )
        };
        let certificate = certified(pem).and_then(|key| Certificate::new(key, &origin));
        let certificate = certificate.map_err(wrong)?;
        if !covers(&certificate, &self.names) {
            return Err(wrong(format!("it is for {}", certificate.names.join(", "))));
        }
        storage.write(&file, pem).map_err(disk)?;
        self.directory.clone_from(&settings.directory);
        self.key = settings.key;
        self.history.succeeded(Held { not_before: 0, not_after: 0, obtained: now, fits: true });
        self.hold(certificate, now, true);
        self.save(storage)
    }

    /// Keeps what is known.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(crate) fn save(&self, storage: &Storage) -> Result<(), Trouble> {
        let text = serde_json::to_string_pretty(self).unwrap_or_default();
        storage.write(&format!("{}.json", self.stem), &text).map_err(disk)
    }

    /// By which the authority knows the certificate in use (RFC 9773, 4.1).
    pub(crate) fn identifier(&self) -> Option<CertificateIdentifier<'static>> {
        let leaf = self.certificate.as_ref()?.key.cert.first()?;
        CertificateIdentifier::try_from(leaf).ok().map(CertificateIdentifier::into_owned)
    }

    /// The same for an order that replaces it, if it is of the same authority.
    pub(crate) fn replaced(&self, settings: &Settings) -> Option<CertificateIdentifier<'static>> {
        self.identifier().filter(|_| self.directory == settings.directory)
    }

    pub(crate) fn chance(&self) -> u32 {
        self.chance.unwrap_or_default()
    }
}

fn written(storage: &Storage, stem: &str) -> [Option<SystemTime>; 2] {
    ["json", "pem"].map(|extension| storage.written(&format!("{stem}.{extension}")))
}

fn disk(error: String) -> Trouble {
    Trouble::new(error, "look whether the disk is full, and whether this user may write there")
}

/// Whether a certificate is for all of `names`, and for nothing else.
fn covers(certificate: &Certificate, names: &[String]) -> bool {
    let has = |name: &String| certificate.names.iter().any(|other| **other == **name);
    names.iter().all(has) && certificate.names.len() == names.len()
}
