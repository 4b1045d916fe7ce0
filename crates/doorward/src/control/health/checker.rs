//! Keeps asking the endpoints of services that run already.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::path::Path;
use std::sync::Arc;

use rules::service::{HostField, Source};
use tokio::task::JoinHandle;

use super::proof::Proof;
use super::{Checked, Standing, UNPROVEN_CHECK_EVERY};
use crate::control::snapshot::{Endpoint, Service};
use crate::observe::log;

/// The checks that run, by the index of their endpoint.
#[derive(Default)]
pub(crate) struct Checker {
    running: HashMap<usize, Running>,
}

struct Running {
    checked: Checked,
    endpoint: Arc<Endpoint>,
    task: JoinHandle<()>,
}

impl Running {
    fn begin(service: &str, endpoint: &Arc<Endpoint>, checked: &Checked) -> Self {
        let asking = keep_asking(service.into(), Arc::clone(endpoint), checked.clone());
        Self {
            checked: checked.clone(),
            endpoint: Arc::clone(endpoint),
            task: tokio::task::spawn_local(asking),
        }
    }

    /// Asks no more; what was found stays for whoever asks otherwise.
    fn end(&self) {
        self.task.abort();
    }
}

impl Checker {
    /// Asks the endpoints of `services` from now on, and no others. What is asked as before goes on.
    pub(crate) fn apply(&mut self, services: &[Arc<Service>], directory: &Path) {
        let mut before = std::mem::take(&mut self.running);
        for service in services {
            let Source::Endpoints(_) = &service.rules.source else { continue };
            let Some(health) = &service.rules.health else { continue };
            let checked = Checked {
                health: health.clone(),
                protocol: service.rules.protocol,
                tls: None,
                host: match &service.rules.host {
                    HostField::Literal(host) => Some(host.clone()),
                    HostField::Preserve | HostField::Endpoint => None,
                },
                directory: directory.to_owned(),
            };
            for endpoint in &service.endpoints {
                let checked = Checked { tls: endpoint.tls.clone(), ..checked.clone() };
                let running = match before.remove(&endpoint.index) {
                    Some(running) if running.checked == checked => running,
                    other => {
                        other.inspect(Running::end);
                        Running::begin(&service.rules.name, endpoint, &checked)
                    }
                };
                self.running.insert(endpoint.index, running);
            }
        }
        for running in before.into_values() {
            running.end();
            running.endpoint.health.stand(Standing::Unasked);
        }
    }
}

async fn keep_asking(service: Box<str>, endpoint: Arc<Endpoint>, checked: Checked) {
    // What was found by other checks a moment ago is as good as any guess.
    let mut proof = Proof::new(match endpoint.health.standing() {
        Standing::Unasked => Standing::Unproven,
        known => known,
    });
    endpoint.health.stand(proof.standing);
    let chance = RandomState::new();
    let mut count = 0_u64;
    loop {
        let answer = checked.check(&endpoint.address).await;
        let was = proof.standing;
        if proof.hear(answer.is_ok(), &checked.health) {
            let shown = endpoint.shown();
            match &answer {
                Ok(()) if was == Standing::Unproven => {
                    log::info("health", format!("`{service}`: {shown} is well"));
                }
                Ok(()) => log::info("health", format!("`{service}`: {shown} is well again")),
                Err(why) => {
                    let checks = checked.health.unhealthy_after;
                    let text =
                        format!("`{service}`: {shown} failed {checks} checks in a row: {why}");
                    log::warn("health", text);
                }
            }
        }
        endpoint.health.note(answer, proof.standing);
        count += 1;
        let pause = checked.health.pause(chance.hash_one(count));
        let pause = if proof.is_hopeful() { UNPROVEN_CHECK_EVERY.min(pause) } else { pause };
        tokio::time::sleep(pause).await;
    }
}
