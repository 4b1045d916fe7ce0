//! Asks a command of the operator's own whether an endpoint is well.

use std::path::Path;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::Command;

/// Kills what is left of a command when it is no longer waited for.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(pid) = self.0 {
            // It may be gone already.
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}

/// Runs the command of `words` about the endpoint at `address`.
pub(super) async fn check(
    words: &[Box<str>],
    address: &str,
    directory: &Path,
) -> Result<(), String> {
    let words = words.iter().map(|word| word.replace("{endpoint}", address));
    run(words, &[("ENDPOINT", address)], directory).await
}

/// Runs the command of `words` to its end, which is to be a good one.
pub(crate) async fn run(
    mut words: impl Iterator<Item = String>,
    environment: &[(&str, &str)],
    directory: &Path,
) -> Result<(), String> {
    let program = words.next().unwrap_or_default();
    let child = Command::new(&program)
        .args(words)
        .envs(environment.iter().copied())
        .current_dir(directory)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .kill_on_drop(true)
        .spawn();
    let mut child = child.map_err(|error| format!("`{program}` cannot be run: {error}"))?;
    let _group = Group(child.id().and_then(|id| Pid::from_raw(id.cast_signed())));
    match child.wait().await {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(match status.code() {
            Some(code) => format!("`{program}` ended with {code}"),
            None => format!("`{program}` was ended by a signal"),
        }),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn only_a_command_that_succeeds_is_content() {
        let run = |text: &str| {
            let words = ["sh", "-c", text, "sh", "{endpoint}"].map(Box::from);
            async move { check(&words, "127.0.0.1:70", Path::new("/")).await }
        };
        assert_eq!(run("test $1 = 127.0.0.1:70 && test $ENDPOINT = $1").await, Ok(()));
        assert_eq!(run("exit 3").await, Err("`sh` ended with 3".to_owned()));
        assert_eq!(run("kill -9 $$").await, Err("`sh` was ended by a signal".to_owned()));
        let missing = check(&["/nowhere".into()], "", Path::new("/")).await;
        assert!(missing.is_err_and(|why| why.starts_with("`/nowhere` cannot be run: ")));
    }

    #[tokio::test]
    async fn what_is_not_waited_for_is_killed_with_its_children() {
        let folder = std::env::temp_dir().join(format!("doorward-check-{}", std::process::id()));
        let script = format!("sleep 1000 & echo $! > {}; wait", folder.display());
        let words = ["sh".into(), "-c".into(), script.into_boxed_str()];
        let checking = check(&words, "", Path::new("/"));
        assert!(tokio::time::timeout(Duration::from_millis(300), checking).await.is_err());
        let pid = loop {
            // A busy machine may not have begun it; then there is nothing to kill either.
            let Ok(text) = std::fs::read_to_string(&folder) else { return };
            if let Ok(pid) = text.trim().parse::<i32>() {
                break pid;
            }
        };
        let _ = std::fs::remove_file(&folder);
        // It may take a moment, and another process may reap it.
        let state = || std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        while !(state().is_empty() || state().contains(") Z ")) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}
