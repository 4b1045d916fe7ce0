//! The account at an authority: made once, kept, gone back to.

use std::path::Path;

use aws_lc_rs::digest;
use instant_acme::{Account, AccountCredentials, Error, ExternalAccountKey, NewAccount};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde::{Deserialize, Serialize};

use super::http::Client;
use super::keeper::House;
use super::trouble::Trouble;
use crate::observe::log;

/// The account, as it is kept.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct KeptAccount {
    directory: String,
    contact: Vec<String>,
    credentials: AccountCredentials,
}

impl House {
    pub(super) fn account_file(&self) -> String {
        let digest = digest::digest(&digest::SHA256, self.settings.directory.as_bytes());
        let digits = digest.as_ref()[..8].iter().map(|byte| format!("{byte:02x}"));
        format!("account-{}.json", digits.collect::<String>())
    }

    /// The account at the authority, which is made if there is none.
    pub(super) async fn session(&mut self) -> Result<(Client, Account), Trouble> {
        if let Some((client, account)) = &self.session {
            return Ok((client.clone(), account.clone()));
        }
        let client = Client::new(roots(self.settings.roots.as_deref())?);
        let file = self.account_file();
        let kept = self.storage.read(&file);
        let kept = kept.map_err(|error| Trouble::new(error, "let only this user read it"))?;
        let kept = kept.and_then(|text| serde_json::from_str::<KeptAccount>(&text).ok());
        let opened = match kept {
            Some(kept) => self.return_to(kept, &client, &file).await,
            None => self.register(&client, &file).await,
        };
        match opened {
            Ok(account) => {
                self.session = Some((client.clone(), account.clone()));
                Ok((client, account))
            }
            Err(trouble) => {
                let retry_after = client.take_retry_after();
                Err(Trouble { is_of_account: true, retry_after, ..trouble })
            }
        }
    }

    async fn register(&self, client: &Client, file: &str) -> Result<Account, Trouble> {
        let settings = &self.settings;
        let contact: Vec<&str> = settings.contact.iter().map(String::as_str).collect();
        let wanted = NewAccount {
            contact: &contact,
            terms_of_service_agreed: true,
            only_return_existing: false,
        };
        let external = settings.external_account.as_ref();
        let external = external.map(|(id, key)| ExternalAccountKey::new(id.clone(), key));
        let builder = Account::builder_with_http(Box::new(client.clone()));
        let made = builder.create(&wanted, settings.directory.clone(), external.as_ref()).await;
        let (account, credentials) =
            made.map_err(|error| Trouble::of(&error, settings.challenge))?;
        log::info("acme", format!("an account was made: {}", account.id()));
        self.keep_account(file, credentials)?;
        Ok(account)
    }

    async fn return_to(
        &self,
        kept: KeptAccount,
        client: &Client,
        file: &str,
    ) -> Result<Account, Trouble> {
        let settings = &self.settings;
        let trouble = |error: Error| Trouble::of(&error, settings.challenge);
        let text = serde_json::to_string(&kept.credentials).unwrap_or_default();
        let builder = Account::builder_with_http(Box::new(client.clone()));
        let account = builder.from_credentials(kept.credentials).await.map_err(trouble)?;
        if kept.contact != settings.contact {
            let contact: Vec<&str> = settings.contact.iter().map(String::as_str).collect();
            account.update_contacts(&contact).await.map_err(trouble)?;
            if let Ok(credentials) = serde_json::from_str(&text) {
                self.keep_account(file, credentials)?;
            }
        }
        Ok(account)
    }

    fn keep_account(&self, file: &str, credentials: AccountCredentials) -> Result<(), Trouble> {
        let kept = KeptAccount {
            directory: self.settings.directory.clone(),
            contact: self.settings.contact.clone(),
            credentials,
        };
        let text = serde_json::to_string_pretty(&kept).unwrap_or_default();
        let written = self.storage.write(file, &text);
        written.map_err(|error| Trouble::new(error, "look whether the disk is full"))
    }
}

/// By what the authority is verified: the certificates in the file at `path`, or those of the system.
fn roots(path: Option<&Path>) -> Result<RootCertStore, Trouble> {
    let mut roots = RootCertStore::empty();
    match path {
        Some(path) => {
            let certificates = read_roots(path);
            let certificates =
                certificates.map_err(|error| Trouble::new(error, "look at `roots`"))?;
            roots.add_parsable_certificates(certificates);
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    match roots.is_empty() {
        false => Ok(roots),
        true => Err(Trouble::new(
            "there is no certificate by which the authority could be verified",
            "install the package `ca-certificates`, or set `roots`",
        )),
    }
}

/// The certificates in the file at `path`.
///
/// # Errors
/// What is wrong with it.
pub(super) fn read_roots(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let shown = path.display();
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read {
        Ok(certificates) if certificates.is_empty() => {
            Err(format!("{shown}: no certificate in PEM"))
        }
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(format!("{shown}: {error}")),
    }
}
