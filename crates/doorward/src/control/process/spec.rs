//! What a service is started with, as the configuration says it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rules::service::Protocol;

use crate::control::health::Checked;

/// One service that Doorward starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServiceSpec {
    pub(crate) name: Arc<str>,
    pub(crate) command: CommandLine,
    /// Added to Doorward's own environment; `{port}` stands for the port here too.
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) directory: PathBuf,
    /// Where the service reaches the others: `DOORWARD_URL`.
    pub(crate) door_url: String,
    /// How many are started, and how many there may be later.
    pub(crate) instances: u32,
    pub(crate) instances_max: u32,
    pub(crate) checked: Checked,
    /// How long a process may take until it is healthy for the first time.
    pub(crate) start_limit: Duration,
    /// How long a process may take to stop after SIGTERM.
    pub(crate) stop_grace: Duration,
    /// How long an instance that left the endpoints waits for `drained` before it is stopped.
    pub(crate) drain_limit: Duration,
}

impl ServiceSpec {
    /// A service with every setting at its default.
    pub(crate) fn new(name: &str, command: CommandLine) -> Self {
        Self {
            name: name.into(),
            command,
            environment: BTreeMap::new(),
            directory: PathBuf::from("."),
            door_url: String::new(),
            instances: 1,
            instances_max: 1,
            checked: Checked::connections(Protocol::Http1),
            start_limit: Duration::from_secs(60),
            stop_grace: Duration::from_secs(10),
            drain_limit: Duration::from_secs(30),
        }
    }

    /// The most instances that there may be.
    pub(super) fn most(&self) -> usize {
        self.instances.max(self.instances_max) as usize
    }

    /// Whether a running process of `self` is just as `other` wants it. What remains (limits, checks,
    /// numbers) can change under it.
    pub(super) fn starts_like(&self, other: &Self) -> bool {
        self.command == other.command
            && self.environment == other.environment
            && self.directory == other.directory
            && self.door_url == other.door_url
    }

    /// The program and its arguments.
    pub(super) fn words(&self, port: u16) -> Vec<String> {
        let words = self.command.words.iter();
        words.map(|word| with_port(word, port)).collect()
    }

    /// What is set for the child. Doorward's own four come last: they are always true.
    pub(super) fn variables(&self, instance: u32, port: u16) -> Vec<(String, String)> {
        let configured = self.environment.iter();
        let configured = configured.map(|(name, value)| (name.clone(), with_port(value, port)));
        let own =
            [port.to_string(), self.name.to_string(), instance.to_string(), self.door_url.clone()];
        let own = OWN_VARIABLES.iter().map(ToString::to_string).zip(own);
        configured.chain(own).collect()
    }
}

/// Set by Doorward for every child; the configuration cannot set them.
const OWN_VARIABLES: [&str; 4] = ["PORT", "SERVICE", "INSTANCE", "DOORWARD_URL"];

fn with_port(text: &str, port: u16) -> String {
    text.replace("{port}", &port.to_string())
}

/// A command in words: no shell runs it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct CommandLine {
    words: Vec<String>,
}

impl CommandLine {
    /// The program and its arguments.
    pub(crate) fn of(words: Vec<String>) -> Self {
        Self { words }
    }

    pub(super) fn all(&self) -> Vec<String> {
        self.words.clone()
    }
}

impl fmt::Display for CommandLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = self.words.iter().map(String::as_str);
        f.write_str(&shlex::try_join(words).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_reaches_words_and_variables_and_ours_win() {
        let words = ["serve", "--listen=:{port}", "{other}"].map(ToOwned::to_owned);
        let command = CommandLine::of(words.into());
        let mut spec = ServiceSpec::new("shop", command);
        spec.door_url = "http://door".to_owned();
        spec.environment = [("URLS", "http://*:{port}"), ("PORT", "1")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        assert_eq!(spec.words(70), ["serve", "--listen=:70", "{other}"]);
        let variables: BTreeMap<_, _> = spec.variables(2, 70).into_iter().collect();
        let expected = [
            ("DOORWARD_URL", "http://door"),
            ("INSTANCE", "2"),
            ("PORT", "70"),
            ("SERVICE", "shop"),
            ("URLS", "http://*:70"),
        ];
        assert!(
            variables.iter().map(|(n, v)| (n.as_str(), v.as_str())).eq(expected),
            "{variables:?}"
        );
    }
}
