//! Asks endpoints whether they are well, those that Doorward started and those that it did not.
//!
//! [`Checked::ask`] is one question, [`proof`] what follows from the answers, and [`checker`] keeps asking
//! those endpoints that run already. Instances are asked by their state machine.

mod checker;
pub(crate) mod command;
pub(crate) mod get;
mod h2;
mod proof;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use config::Share;
use rules::Fault;
use rules::service::{Ask, Health, Protocol};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use super::process::spelled;
use super::snapshot::Address;
use super::trust::EndpointTls;

use crate::data::tls::no_tls;

pub(crate) use checker::Checker;
pub(crate) use proof::{Findings, Standing};

/// Who is asked, what, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Checked {
    pub(crate) health: Health,
    pub(crate) protocol: Protocol,
    /// How it is called by TLS, if it is.
    pub(crate) tls: Option<EndpointTls>,
    /// What stands in `Host`; the address if there is none.
    pub(crate) host: Option<Box<str>>,
    /// Where commands run.
    pub(crate) directory: PathBuf,
}

/// Between checks of an endpoint that has just passed for the first time: what is good is soon to be
/// used.
pub(crate) const UNPROVEN_CHECK_EVERY: Duration = Duration::from_millis(100);

impl Checked {
    /// Whether connections are accepted, every two seconds: what is asked of an instance whose service
    /// says nothing.
    pub(crate) fn connections(protocol: Protocol) -> Self {
        Self {
            health: Health {
                ask: Ask::Connection,
                every: Duration::from_secs(2),
                jitter: Share::from_percent(10),
                timeout: Duration::from_secs(2),
                unhealthy_after: 3,
                healthy_after: 1,
            },
            protocol,
            tls: None,
            host: None,
            directory: PathBuf::from("."),
        }
    }

    /// Asks the endpoint at `address`, once.
    ///
    /// # Errors
    /// Why it is not well, as a clause.
    pub(crate) async fn check(&self, address: &Address) -> Result<(), String> {
        let limit = self.health.timeout;
        match tokio::time::timeout(limit, self.ask(address)).await {
            Ok(answered) => answered,
            Err(_) => Err(format!("no answer within {}", spelled(limit))),
        }
    }

    async fn ask(&self, address: &Address) -> Result<(), String> {
        if let Ask::Command(words) = &self.health.ask {
            return command::check(words, &address.to_string(), &self.directory).await;
        }
        match address {
            Address::Tcp(address) => {
                let stream = TcpStream::connect(address).await.map_err(clause)?;
                // While nobody listens on it, our own end may by chance be given this very port: TCP
                // then connects to itself.
                if stream.local_addr().is_ok_and(|own| own == *address) {
                    return Err(REFUSED.to_owned());
                }
                self.ask_behind_tls(stream, &address.to_string()).await
            }
            Address::Unix(path) => {
                let stream = UnixStream::connect(path).await.map_err(clause)?;
                self.ask_behind_tls(stream, "localhost").await
            }
        }
    }

    async fn ask_behind_tls(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        address: &str,
    ) -> Result<(), String> {
        let Some(tls) = &self.tls else { return self.ask_on(stream, address).await };
        let connector = TlsConnector::from(Arc::clone(&tls.config));
        let stream = connector.connect(tls.name.clone(), stream).await;
        let stream = stream.map_err(|error| Fault::NoTls(no_tls(&error)).reason().to_owned())?;
        self.ask_on(stream, address).await
    }

    async fn ask_on(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        address: &str,
    ) -> Result<(), String> {
        let authority = self.host.as_deref().unwrap_or(address);
        match (&self.health.ask, self.protocol) {
            (Ask::Connection | Ask::Command(_), _) => Ok(()),
            (Ask::Get(get), Protocol::Http1) => get::check(stream, authority, get).await,
            (Ask::Get(get), Protocol::H2) => h2::get(stream, authority, get).await,
            (Ask::Grpc(service), _) => h2::call(stream, authority, service).await,
        }
    }
}

/// Bytes of an answer's body that are read.
const BODY_BYTES_MAX: usize = 64 * 1024;

const REFUSED: &str = "the connection was refused";

/// What `error` says about the endpoint.
fn clause(error: std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::ConnectionRefused | std::io::ErrorKind::NotFound => REFUSED.to_owned(),
        std::io::ErrorKind::ConnectionReset => "the connection was reset".to_owned(),
        _ => error.to_string(),
    }
}

/// Whether `body` has the text that is wanted, if one is.
fn check_body(body: &[u8], wanted: Option<&str>) -> Result<(), String> {
    match wanted {
        Some(text) if !body.windows(text.len().max(1)).any(|part| part == text.as_bytes()) => {
            Err(format!("the answer has no `{text}` in it"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_searched() {
        assert!(check_body(b"all is ok here", Some("ok")).is_ok());
        assert!(check_body(b"", None).is_ok());
        assert_eq!(check_body(b"o k", Some("ok")), Err("the answer has no `ok` in it".to_owned()));
    }
}
