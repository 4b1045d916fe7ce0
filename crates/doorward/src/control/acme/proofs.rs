//! How it is shown to an authority that a name leads here: answers that stand ready while it looks.

use std::collections::HashMap;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::process::Command;

use super::settings::Hook;
use super::trouble::Trouble;

/// Where authorities look for answers over HTTP (RFC 8555, 8.3).
const WELL_KNOWN: &[u8] = b"/.well-known/acme-challenge/";

/// How long a hook may take: DNS is slow.
const HOOK_LIMIT: Duration = Duration::from_secs(600);

/// What of a hook's words is shown when it fails.
const HOOK_WORDS_MAX: usize = 300;

/// The answers to HTTP-01 that stand ready. While none does, looking costs a load.
#[derive(Debug, Default)]
pub(crate) struct HttpAnswers {
    count: AtomicUsize,
    by_token: Mutex<HashMap<String, String>>,
}

impl HttpAnswers {
    /// The answer to a request for `path`, if an authority may be waiting for it.
    pub(crate) fn find(&self, path: &[u8]) -> Option<String> {
        if self.count.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let token = std::str::from_utf8(path.strip_prefix(WELL_KNOWN)?).ok()?;
        let answers = self.by_token.lock().unwrap_or_else(PoisonError::into_inner);
        answers.get(token).cloned()
    }

    pub(super) fn put(&self, token: &str, answer: &str) {
        let mut answers = self.by_token.lock().unwrap_or_else(PoisonError::into_inner);
        answers.insert(token.to_owned(), answer.to_owned());
        self.count.store(answers.len(), Ordering::Relaxed);
    }

    pub(super) fn remove(&self, token: &str) {
        let mut answers = self.by_token.lock().unwrap_or_else(PoisonError::into_inner);
        answers.remove(token);
        self.count.store(answers.len(), Ordering::Relaxed);
    }
}

impl HttpAnswers {
    /// Takes all of them away.
    pub(super) fn clear(&self) {
        self.count.store(0, Ordering::Relaxed);
        self.by_token.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// Where the record for `name` belongs (RFC 8555, 8.4).
pub(super) fn record_name(name: &str) -> String {
    format!("_acme-challenge.{}", name.strip_prefix("*.").unwrap_or(name))
}

impl Hook {
    /// Has a record written or removed: `verb` is `add` or `remove`.
    pub(super) async fn call(&self, verb: &str, name: &str, value: &str) -> Result<(), Trouble> {
        let program = &self.words[0];
        // A path is relative to the configuration; a bare name is looked for.
        let path = match program.contains('/') {
            true => self.folder.join(program),
            false => program.into(),
        };
        let running = Command::new(path)
            .args(&self.words[1..])
            .args([verb, name, value])
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .output();
        let output = match tokio::time::timeout(HOOK_LIMIT, running).await {
            Ok(Ok(output)) => output,
            Ok(Err(error)) => {
                let error = format!("`dns-hook` cannot be started: {program}: {error}");
                return Err(Trouble::new(error, "look at `dns-hook` in `[tls.acme]`"));
            }
            Err(_) => {
                let minutes = HOOK_LIMIT.as_secs() / 60;
                let error =
                    format!("`dns-hook` has not ended within {minutes} minutes: it is killed");
                return Err(Trouble::new(error, "it is to return when the record can be seen"));
            }
        };
        if output.status.success() {
            return Ok(());
        }
        let said = [output.stderr, output.stdout].concat();
        let said = String::from_utf8_lossy(&said);
        let said: String = said.trim().chars().take(HOOK_WORDS_MAX).collect();
        let how = match output.status.code() {
            Some(code) => format!("`dns-hook {verb}` ended with {code}"),
            None => format!("`dns-hook {verb}` was killed"),
        };
        let error = if said.is_empty() { how } else { format!("{how}: {said}") };
        Err(Trouble::new(
            error,
            "look at what `dns-hook` needs: it ran as this user, in this folder",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_stand_only_while_they_are_wanted() {
        let answers = HttpAnswers::default();
        let path = b"/.well-known/acme-challenge/token";
        assert_eq!(answers.find(path), None);
        answers.put("token", "token.thumb");
        assert_eq!(answers.find(path).as_deref(), Some("token.thumb"));
        assert_eq!(answers.find(b"/.well-known/acme-challenge/other"), None);
        assert_eq!(answers.find(b"/.well-known/acme-challenge/"), None);
        assert_eq!(answers.find(b"/token"), None);
        answers.remove("token");
        assert_eq!(answers.find(path), None);
    }

    #[test]
    fn a_wildcard_is_shown_at_the_name_below_it() {
        assert_eq!(record_name("*.example.com"), "_acme-challenge.example.com");
        assert_eq!(record_name("www.example.com"), "_acme-challenge.www.example.com");
    }
}
