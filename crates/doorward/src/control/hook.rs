//! Tells others how many instances of a service there are to be: a command, or a program that takes
//! `POST`. What they start comes back as endpoints: by a file, a name, or the API.

use std::path::Path;
use std::sync::atomic::Ordering;

use rules::scale::{Decision, Telling};
use rules::service::{Hook, Scaling};
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::health::{command, get};
use super::process::spelled;
use super::snapshot::Service;
use crate::observe::log;

/// The hook of one service.
#[derive(Default)]
pub(super) struct Hooked {
    telling: Telling,
    /// The call that is under way.
    call: Option<JoinHandle<Result<(), String>>>,
}

/// What a hook is told.
struct Told {
    service: String,
    instances: u32,
    current: u32,
    why: &'static str,
}

impl Hooked {
    /// Instances that have been asked for and are not there yet.
    pub(super) fn starting(&self, ready: u32) -> u32 {
        self.telling.starting(ready)
    }

    /// Tells the hook what was decided, if it is to be told now. To be asked every second.
    pub(super) async fn follow(
        &mut self,
        service: &Service,
        scaling: &Scaling,
        decision: Decision,
        now_ms: u64,
        folder: &Path,
    ) {
        let (name, metrics) = (&service.rules.name, &service.metrics);
        if let Some(call) = self.call.take_if(|call| call.is_finished()) {
            // It is over, so nothing is waited for here.
            let answer = call.await.unwrap_or_else(|_| Err("it broke off".to_owned()));
            metrics.hook_calls[usize::from(answer.is_ok())].fetch_add(1, Ordering::Relaxed);
            self.telling.end(answer.is_ok(), now_ms);
            if let Err(why) = answer {
                log::warn("scale", format!("`{name}`: the hook failed: {why}; it is told again"));
            }
        }
        let ready = service.endpoints.len() as u32;
        metrics.instances_wanted.store(u64::from(decision.instances), Ordering::Relaxed);
        let Some(instances) = self.telling.due(decision.instances, ready, now_ms) else { return };
        let why = decision.why;
        let text =
            format!("`{name}`: {instances} instances are asked for, {ready} are there: {why}");
        log::info("scale", text);
        let told = Told { service: name.to_string(), instances, current: ready, why };
        let (hook, timeout) = (scaling.hook.clone(), scaling.timeout);
        let folder = folder.to_owned();
        self.call = Some(tokio::spawn(async move {
            let calling = tell(&hook, &told, &folder);
            let late = |_| Err(format!("it took longer than {}", spelled(timeout)));
            tokio::time::timeout(timeout, calling).await.unwrap_or_else(late)
        }));
    }
}

async fn tell(hook: &Hook, told: &Told, folder: &Path) -> Result<(), String> {
    match hook {
        Hook::Command(words) => {
            let [instances, current] =
                [told.instances, told.current].map(|count| count.to_string());
            let words = words.iter().map(|word| {
                word.replace("{service}", &told.service).replace("{instances}", &instances)
            });
            let environment = [
                ("SERVICE", &*told.service),
                ("INSTANCES", &*instances),
                ("CURRENT", &*current),
                ("REASON", told.why),
            ];
            command::run(words, &environment, folder).await
        }
        Hook::Post { authority, target } => post(authority, target, told).await,
    }
}

async fn post(authority: &str, target: &str, told: &Told) -> Result<(), String> {
    let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let address = if has_port { authority.to_owned() } else { format!("{authority}:80") };
    let stream = TcpStream::connect(&address).await;
    let mut stream = stream.map_err(|error| format!("`{address}`: {error}"))?;
    let body = json!({
        "service": told.service,
        "instances": told.instances,
        "current": told.current,
        "reason": told.why,
    });
    let body = body.to_string();
    let request = format!(
        "POST {target} HTTP/1.1\r\nHost: {authority}\r\nUser-Agent: doorward-scale\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.map_err(|error| error.to_string())?;
    let head = get::read_head(&mut stream, &mut Vec::new()).await?;
    match head.status {
        200..=299 => Ok(()),
        status => Err(format!("`{target}` answered {status}")),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;

    use super::*;

    /// The longest that is waited here.
    const PATIENCE: Duration = Duration::from_secs(20);

    fn told() -> Told {
        Told { service: "a".to_owned(), instances: 4, current: 2, why: "because" }
    }

    #[tokio::test]
    async fn a_command_hears_it_in_words_and_variables() {
        let script = "test \"$1 $2 $SERVICE $INSTANCES $CURRENT $REASON\" = 'a 4 a 4 2 because'";
        let words = ["sh", "-c", script, "sh", "{service}", "{instances}"].map(Box::from);
        assert_eq!(tell(&Hook::Command(words.into()), &told(), Path::new("/")).await, Ok(()));
    }

    #[tokio::test]
    async fn a_program_hears_it_as_json() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let authority = listener.local_addr().expect("a port").to_string();
        for (status, expected) in
            [("204 No Content", Ok(())), ("500 No", Err("`/s?x` answered 500"))]
        {
            let hook = Hook::Post { authority: (*authority).into(), target: "/s?x".into() };
            let serve = async {
                let (mut stream, _) = listener.accept().await.expect("a connection");
                let mut request = vec![0; 4096];
                let count = stream.read(&mut request).await.expect("a request");
                let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
                stream.write_all(answer.as_bytes()).await.expect("it listens");
                String::from_utf8_lossy(&request[..count]).into_owned()
            };
            let told = told();
            let both = async { tokio::join!(tell(&hook, &told, Path::new("/")), serve) };
            let (result, request) = tokio::time::timeout(PATIENCE, both).await.expect("in time");
            assert_eq!(result, expected.map_err(ToOwned::to_owned));
            assert!(request.starts_with("POST /s?x HTTP/1.1\r\n"), "{request}");
            let (_, body) = request.split_once("\r\n\r\n").expect("a head");
            let body: serde_json::Value = serde_json::from_str(body).expect("JSON");
            let expected = serde_json::json!({
                "service": "a", "instances": 4, "current": 2, "reason": "because"
            });
            assert_eq!(body, expected);
        }
    }
}
