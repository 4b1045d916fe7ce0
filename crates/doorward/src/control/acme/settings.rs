//! What the configuration wants from an authority, ready to be done.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use config::{At, Report};
use rules::Rules;
use rules::acme::{Challenge, wrong_name};

use super::session::read_roots;
use crate::control::model::{Acme, Config, KeyKind, eab_key};

/// What is wanted from the authority. Two that are equal want the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) directory: String,
    /// As URLs: `mailto:...`.
    pub(crate) contact: Vec<String>,
    pub(crate) challenge: Challenge,
    pub(crate) hook: Option<Hook>,
    /// The id and the key of an external account.
    pub(crate) external_account: Option<(String, Vec<u8>)>,
    pub(crate) roots: Option<PathBuf>,
    pub(crate) key: KeyKind,
    pub(crate) state: PathBuf,
    /// The names of each certificate, in lower case.
    pub(crate) certificates: Vec<Vec<String>>,
}

/// A command that writes to DNS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hook {
    pub(crate) words: Vec<String>,
    pub(crate) folder: PathBuf,
}

impl Settings {
    /// What `config` wants, if it wants anything; paths in it are relative to `folder`.
    pub(crate) fn of(config: &Config, rules: &Rules, folder: &Path) -> Option<Self> {
        let acme = config.tls.as_ref()?.acme.as_ref()?;
        let mail = |address: &str| match address.starts_with("mailto:") {
            true => address.to_owned(),
            false => format!("mailto:{address}"),
        };
        let contact = acme.contact.iter().flat_map(|contact| &contact.0);
        let account = acme.external_account.as_ref();
        Some(Self {
            directory: acme.directory_url().to_owned(),
            contact: contact.map(|address| mail(address)).collect(),
            challenge: *acme.challenge,
            hook: acme.hook().map(|words| Hook { words, folder: folder.to_owned() }),
            external_account: account
                .and_then(|account| Some((account.id.clone(), eab_key(&account.key)?))),
            roots: acme.roots.as_ref().map(|roots| folder.join(&***roots)),
            key: acme.key,
            state: folder.join(&**acme.state),
            certificates: certificates(acme, rules),
        })
    }
}

/// The names of each wanted certificate.
pub(crate) fn certificates(acme: &Acme, rules: &Rules) -> Vec<Vec<String>> {
    if let Some(names) = &acme.names {
        let together = names.iter();
        let lower = |name: &At<String>| name.to_ascii_lowercase();
        return together.map(|names| names.0.iter().map(lower).collect()).collect();
    }
    let mut hosts: Vec<String> = rules.routes().iter().flat_map(|route| route.hosts()).collect();
    hosts.sort_unstable();
    hosts.dedup();
    hosts.retain(|host| wrong_name(host, *acme.challenge).is_none());
    hosts.into_iter().map(|host| vec![host]).collect()
}

/// Reports what keeps the authority from certifying anything, as far as that can be seen from here.
pub(crate) fn check(config: &Config, rules: &Rules, folder: &Path, report: &mut Report) {
    let Some(acme) = config.tls.as_ref().and_then(|tls| tls.acme.as_ref()) else {
        return;
    };
    if acme.names.is_none() {
        check_hosts(acme, rules, report);
    }
    if let Some(roots) = &acme.roots
        && let Err(error) = read_roots(&folder.join(&***roots))
    {
        report.error(roots, error).help("name a file with certificates in PEM");
    }
    if let (Some(hook), Some(words)) = (&acme.dns_hook, acme.hook())
        && let Err(help) = executable(&words[0], folder)
    {
        report.error(hook, format!("`{}` cannot be run", words[0])).help(help);
    }
}

fn check_hosts(acme: &At<Acme>, rules: &Rules, report: &mut Report) {
    let mut hosts: Vec<String> = rules.routes().iter().flat_map(|route| route.hosts()).collect();
    hosts.sort_unstable();
    hosts.dedup();
    if hosts.is_empty() {
        report
            .error(acme, "there is no name to certify: no route is for a host")
            .help("add `names = [\"www.example.com\"]`");
    }
    for host in hosts {
        if let Some(help) = wrong_name(&host, *acme.challenge) {
            let name = acme.challenge.name();
            let message =
                format!("`{host}`, which a route is for, cannot be certified by `{name}`");
            report.error(acme, message).help(format!("{help}; or list `names`"));
        }
    }
}

/// Whether `program` can be started; advice if it cannot.
fn executable(program: &str, folder: &Path) -> Result<(), &'static str> {
    let may_run = |path: &Path| {
        path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.mode() & 0o111 != 0)
    };
    if program.contains('/') {
        let path = folder.join(program);
        return match path.exists() {
            false => Err("there is no such file; paths are relative to the configuration"),
            true if may_run(&path) => Ok(()),
            true => Err("it is no executable file: `chmod +x` makes it one"),
        };
    }
    let paths = std::env::var_os("PATH").unwrap_or_default();
    match std::env::split_paths(&paths).any(|folder| may_run(&folder.join(program))) {
        true => Ok(()),
        false => Err("it is in no folder of PATH"),
    }
}
