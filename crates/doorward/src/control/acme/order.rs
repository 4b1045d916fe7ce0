//! One order, from its beginning or from where an earlier process left it, to the certificate.

use std::sync::Arc;
use std::time::Duration;

use instant_acme::{
    Account, AuthorizationStatus, ChallengeStatus, ChallengeType, Error, Identifier, NewOrder,
    Order, OrderStatus, RetryPolicy,
};
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};
use rules::acme::Challenge;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::ATTEMPTS_MAX;
use super::proofs::{HttpAnswers, record_name};
use super::record::{Pending, Record};
use super::settings::Settings;
use super::storage::Storage;
use super::trouble::Trouble;
use crate::control::certificates::Certificates;
use crate::control::model::KeyKind;
use crate::observe::log;

/// How an order is looked at until the authority has decided: soon at first, then twice a minute. Real
/// ones take seconds; one that takes longer is looked at again at the next attempt.
const PATIENCE: RetryPolicy = RetryPolicy::new()
    .initial_delay(Duration::from_millis(250))
    .backoff(1.5)
    .timeout(Duration::from_secs(120));

/// What an order needs.
pub(super) struct Desk<'a> {
    pub(super) settings: &'a Settings,
    pub(super) account: &'a Account,
    pub(super) storage: &'a Storage,
    pub(super) http: &'a HttpAnswers,
    pub(super) certificates: &'a Certificates,
}

/// What stands ready while the authority looks, to be taken away again.
enum Proof {
    Http { token: String, answer: String },
    TlsAlpn { name: String, digest: Vec<u8> },
    Dns { record: String, value: String },
}

impl Desk<'_> {
    /// Gets a certificate for `names`: its key and chain, in PEM. What an earlier attempt has reached is
    /// in `record`, and what this one reaches is noted there.
    pub(super) async fn obtain(
        &self,
        names: &[String],
        record: &mut Record,
    ) -> Result<String, Trouble> {
        self.clean_up(record).await;
        let mut order = self.begin(names, record).await?;
        let mut proofs = Vec::new();
        let obtained = self.carry_out(&mut order, names, record, &mut proofs).await;
        for proof in proofs {
            self.take_back(proof, record).await;
        }
        // An order that failed stays failed; one that is not decided goes on.
        if obtained.as_ref().map_or_else(|trouble| !trouble.order_goes_on, |_| true) {
            record.pending = None;
        }
        obtained
    }

    /// Removes records of DNS that an earlier process did not live to remove.
    async fn clean_up(&self, record: &mut Record) {
        for (name, value) in std::mem::take(&mut record.dns_records) {
            self.take_back(Proof::Dns { record: name, value }, record).await;
        }
    }

    /// The order that an earlier attempt began, or a new one.
    async fn begin(&self, names: &[String], record: &mut Record) -> Result<Order, Trouble> {
        if let Some(pending) = &record.pending {
            let resumed = self.account.order(pending.order.clone()).await;
            match resumed {
                Ok(mut order) => {
                    let goes_on = match order.state().status {
                        OrderStatus::Pending | OrderStatus::Ready => true,
                        // Only the key that was sent is certified.
                        OrderStatus::Processing | OrderStatus::Valid => pending.key.is_some(),
                        OrderStatus::Invalid => false,
                    };
                    if goes_on {
                        log::info("acme", format!("{}: an earlier order goes on", names[0]));
                        return Ok(order);
                    }
                }
                Err(Error::Api(_)) => {}
                Err(error) => return Err(self.trouble(&error)),
            }
            record.pending = None;
        }
        let identifiers: Vec<Identifier> = names.iter().cloned().map(Identifier::Dns).collect();
        let plain = NewOrder::new(&identifiers);
        let replaced = record.replaced(self.settings);
        let order = match replaced {
            None => self.account.new_order(&plain).await,
            Some(replaced) => {
                let replacing = NewOrder::new(&identifiers).replaces(replaced);
                match self.account.new_order(&replacing).await {
                    // It may not know renewal information, or the certificate, any more (RFC 9773, 5).
                    Err(error) if !is_rate_limit(&error) => self.account.new_order(&plain).await,
                    ordered => ordered,
                }
            }
        }
        .map_err(|error| self.trouble(&error))?;
        record.pending = Some(Pending { order: order.url().to_owned(), key: None });
        record.save(self.storage)?;
        Ok(order)
    }

    async fn carry_out(
        &self,
        order: &mut Order,
        names: &[String],
        record: &mut Record,
        proofs: &mut Vec<Proof>,
    ) -> Result<String, Trouble> {
        if order.state().status == OrderStatus::Pending {
            self.prove(order, record, proofs).await?;
            let ready = order.poll_ready(&PATIENCE).await;
            match ready {
                Ok(OrderStatus::Ready) => {}
                // What a request was refused for is not what the order was refused for.
                Err(error) if order.state().status != OrderStatus::Invalid => {
                    return Err(self.trouble(&error));
                }
                _ => return Err(self.refusal(order.url()).await),
            }
        }
        if order.state().status == OrderStatus::Ready {
            let kept = record.pending.as_ref().and_then(|pending| pending.key.clone());
            let (key, request) =
                certificate_request(kept, names.to_vec(), self.settings.key).await?;
            // Before it is sent: what is certified must not be lost.
            record.pending = Some(Pending { order: order.url().to_owned(), key: Some(key) });
            record.save(self.storage)?;
            order.finalize_csr(&request).await.map_err(|error| self.trouble(&error))?;
        }
        let chain = order.poll_certificate(&PATIENCE).await;
        let chain = chain.map_err(|error| self.trouble(&error))?;
        let key = record.pending.as_ref().and_then(|pending| pending.key.as_deref());
        Ok(format!("{}\n{}", key.unwrap_or_default().trim_end(), chain))
    }

    /// Has the answers to all challenges stand ready, and tells the authority so.
    async fn prove(
        &self,
        order: &mut Order,
        record: &mut Record,
        proofs: &mut Vec<Proof>,
    ) -> Result<(), Trouble> {
        let wanted = match self.settings.challenge {
            Challenge::Http01 => ChallengeType::Http01,
            Challenge::TlsAlpn01 => ChallengeType::TlsAlpn01,
            Challenge::Dns01 => ChallengeType::Dns01,
        };
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization.map_err(|error| self.trouble(&error))?;
            if authorization.status == AuthorizationStatus::Valid {
                continue;
            }
            let name = authorization.identifier().to_string();
            let Some(mut challenge) = authorization.challenge(wanted.clone()) else {
                let error = format!(
                    "{name}: the authority does not offer `{}`",
                    self.settings.challenge.name()
                );
                return Err(Trouble::new(error, "choose another `challenge`"));
            };
            let answer = challenge.key_authorization();
            let proof = match self.settings.challenge {
                Challenge::Http01 => Proof::Http {
                    token: challenge.token.clone(),
                    answer: answer.as_str().to_owned(),
                },
                Challenge::TlsAlpn01 => {
                    Proof::TlsAlpn { name: name.clone(), digest: answer.digest().as_ref().to_vec() }
                }
                Challenge::Dns01 => {
                    Proof::Dns { record: record_name(&name), value: answer.dns_value() }
                }
            };
            let shown = self.show(&proof, record).await;
            proofs.push(proof);
            shown.map_err(|trouble| trouble.about(&name))?;
            if challenge.status == ChallengeStatus::Pending {
                // An earlier process may have said so already.
                let ready = challenge.set_ready().await;
                ready.map_err(|error| self.trouble(&error).about(&name))?;
            }
        }
        Ok(())
    }

    async fn show(&self, proof: &Proof, kept: &mut Record) -> Result<(), Trouble> {
        match proof {
            Proof::Http { token, answer } => self.http.put(token, answer),
            Proof::TlsAlpn { name, digest } => {
                let shown = alpn_certificate(name, digest)?;
                self.certificates.challenge(name, Some(Arc::new(shown)));
            }
            Proof::Dns { record, value } => {
                // Before it is there: whoever comes after us is to remove it.
                kept.dns_records.push((record.clone(), value.clone()));
                kept.save(self.storage)?;
                let hook = self.settings.hook.as_ref();
                hook.expect("check asks for one with dns-01").call("add", record, value).await?;
            }
        }
        Ok(())
    }

    async fn take_back(&self, proof: Proof, kept: &mut Record) {
        match proof {
            Proof::Http { token, .. } => self.http.remove(&token),
            Proof::TlsAlpn { name, .. } => self.certificates.challenge(&name, None),
            Proof::Dns { record, value } => {
                if let Some(hook) = &self.settings.hook
                    && let Err(trouble) = hook.call("remove", &record, &value).await
                {
                    // The record is of no use to anybody; a person may want to remove it.
                    log::warn("acme", format!("{record} is left in DNS: {}", trouble.error));
                }
                kept.dns_records.retain(|(at, what)| (at, what) != (&record, &value));
            }
        }
    }

    /// Why the authority refused the order at `url`.
    async fn refusal(&self, url: &str) -> Trouble {
        let mut refusal = self.find_refusal(url).await;
        for _ in 1..ATTEMPTS_MAX {
            match &refusal {
                Err(error) if self.trouble(error).kind == "badNonce" => {}
                _ => break,
            }
            refusal = self.find_refusal(url).await;
        }
        let refusal = refusal.unwrap_or_else(|error| self.trouble(&error));
        Trouble { order_goes_on: false, ..refusal }
    }

    /// What the first challenge that failed says.
    async fn find_refusal(&self, url: &str) -> Result<Trouble, Error> {
        let mut order = self.account.order(url.to_owned()).await?;
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let authorization = authorization?;
            let name = authorization.identifier().to_string();
            let failed =
                authorization.challenges.iter().find(|one| one.status == ChallengeStatus::Invalid);
            if let Some(problem) = failed.and_then(|challenge| challenge.error.as_ref()) {
                return Ok(Trouble::of_problem(problem, self.settings.challenge).about(&name));
            }
        }
        Ok(match &order.state().error {
            Some(problem) => Trouble::of_problem(problem, self.settings.challenge),
            None => Trouble::new("the authority refused and did not say why", "it is tried again"),
        })
    }

    fn trouble(&self, error: &Error) -> Trouble {
        Trouble::of(error, self.settings.challenge)
    }
}

fn is_rate_limit(error: &Error) -> bool {
    let kind = match error {
        Error::Api(problem) => problem.r#type.as_deref(),
        _ => None,
    };
    kind.is_some_and(|kind| kind.ends_with(":rateLimited"))
}

/// What cannot go wrong with a working library and enough memory.
fn broken(error: impl std::fmt::Display) -> Trouble {
    Trouble::new(error.to_string(), "look at `key`")
}

/// A request for a certificate of `names`, and the key it is for, in PEM: `kept`, or a new one.
async fn certificate_request(
    kept: Option<String>,
    names: Vec<String>,
    kind: KeyKind,
) -> Result<(String, Vec<u8>), Trouble> {
    let making = move || -> Result<(String, Vec<u8>), rcgen::Error> {
        let key = match kept {
            Some(pem) => KeyPair::from_pem(&pem)?,
            None => new_key(kind)?,
        };
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name = DistinguishedName::new();
        let request = params.serialize_request(&key)?;
        Ok((key.serialize_pem(), request.der().to_vec()))
    };
    // An RSA key of 4096 bits takes seconds.
    let made = tokio::task::spawn_blocking(making).await;
    made.map_err(broken)?.map_err(broken)
}

fn new_key(kind: KeyKind) -> Result<KeyPair, rcgen::Error> {
    match kind {
        KeyKind::EcdsaP256 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256),
        KeyKind::EcdsaP384 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384),
        KeyKind::Rsa2048 => {
            KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048)
        }
        KeyKind::Rsa4096 => {
            KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_4096)
        }
    }
}

/// The certificate that shows control over `name` in a handshake (RFC 8737, 3).
fn alpn_certificate(name: &str, digest: &[u8]) -> Result<CertifiedKey, Trouble> {
    let making = || -> Result<(Vec<u8>, Vec<u8>), rcgen::Error> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(vec![name.to_owned()])?;
        params.distinguished_name = DistinguishedName::new();
        params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
        Ok((params.self_signed(&key)?.der().to_vec(), key.serialize_der()))
    };
    let (certificate, key) = making().map_err(broken)?;
    let key = PrivateKeyDer::Pkcs8(key.into());
    let key = any_supported_type(&key).map_err(broken)?;
    Ok(CertifiedKey::new(vec![CertificateDer::from(certificate)], key))
}

/// Reads what [`Desk::obtain`] returned.
pub(super) fn certified(pem: &str) -> Result<CertifiedKey, String> {
    let key = PrivateKeyDer::from_pem_slice(pem.as_bytes());
    let key = key.map_err(|_| "there is no private key".to_owned())?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    let chain = chain.map_err(|_| "the PEM is broken".to_owned())?;
    if chain.is_empty() {
        return Err("there is no certificate".to_owned());
    }
    let key = any_supported_type(&key).map_err(|error| error.to_string())?;
    let certified = CertifiedKey::new(chain, key);
    certified.keys_match().map_err(|_| "the key is that of another certificate".to_owned())?;
    Ok(certified)
}
