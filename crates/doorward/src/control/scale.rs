//! Has as many instances as are needed: looks at what services do, asks the rule, tells the supervisor.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rules::scale::{Decision, Scaler, Seen, Target};
use rules::service::{Scaling, Source};

use super::hook::Hooked;
use super::process::{InstanceStatus, Role, StateName, Supervision};
use super::snapshot::{Published, Service};
use crate::data::deadline::SWEEP;
use crate::metrics::Metrics;
use crate::observe::log;

/// How often is looked; the rule is made for it. Who waits for an instance does not wait for this.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Clock ticks of a second, as the kernel tells them to programs on every architecture of today
/// (`USER_HZ`).
const TICKS_PER_S: f32 = 100.0;

/// What was counted of a service when it was last looked at.
#[derive(Clone, Copy, Debug, Default)]
struct Counted {
    at_ms: u64,
    running: u64,
    answers: u64,
    waited_us: u64,
    /// Clock ticks of all instances that were there.
    cpu_ticks: u64,
}

/// One service that may have more or fewer instances.
#[derive(Default)]
struct Scaled {
    scaler: Scaler,
    counted: Counted,
    /// Clock ticks of each process.
    ticks: HashMap<u32, u64>,
    /// Who is told, if it runs on other machines.
    hooked: Hooked,
}

/// Scales services for as long as the process lives.
pub(crate) async fn keep_scaled(
    published: Arc<Published>,
    metrics: Arc<Metrics>,
    supervision: Supervision,
    folder: PathBuf,
) {
    let mut scaled: HashMap<Box<str>, Scaled> = HashMap::new();
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = published.wanted() => {}
        }
        let snapshot = published.current();
        let may_change = |service: &&Arc<Service>| match &service.rules.source {
            Source::Run(run) => run.scale.min < run.scale.max,
            Source::Endpoints(_) => service.rules.scaling.is_some(),
        };
        let services: Vec<_> = snapshot.services.iter().filter(may_change).collect();
        scaled.retain(|name, _| services.iter().any(|service| *service.rules.name == **name));
        if services.is_empty() {
            continue;
        }
        let instances = supervision.status().await;
        for service in services {
            let name = &service.rules.name;
            if let Some(scaling) = &service.rules.scaling {
                let scaled = scaled.entry(name.clone()).or_default();
                scaled.look_elsewhere(service, scaling, metrics.now_ms(), &folder).await;
                continue;
            }
            let of_service = instances.iter().filter(|one| *one.service == **name);
            let there: Vec<_> = of_service.filter(|one| one.role == Role::Incumbent).collect();
            let scaled = scaled.entry(name.clone()).or_default();
            scaled.look(service, &there, metrics.now_ms(), &supervision);
        }
    }
}

impl Scaled {
    fn look(
        &mut self,
        service: &Service,
        there: &[&InstanceStatus],
        now_ms: u64,
        supervision: &Supervision,
    ) {
        let Source::Run(run) = &service.rules.source else { return };
        let ready = there.iter().filter(|one| one.state == StateName::Ready).count() as u32;
        let starting = there.len() as u32 - ready;
        let by_cpu = matches!(run.scale.target, Target::Cpu(_));
        let cpu_ticks = if by_cpu { self.spent(there) } else { 0 };
        let seen = self.see(service, (ready, starting), now_ms, cpu_ticks);
        let Decision { instances, why } = self.scaler.decide(&run.scale, &seen);
        if instances as usize != there.len() {
            let name = &service.rules.name;
            let text = format!("`{name}`: from {} to {instances} instances: {why}", there.len());
            log::info("scale", text);
            supervision.scale(name, instances);
        }
    }

    /// Tells the hook of a service that runs on other machines how many there are to be.
    async fn look_elsewhere(
        &mut self,
        service: &Service,
        scaling: &Scaling,
        now_ms: u64,
        folder: &Path,
    ) {
        let ready = service.endpoints.len() as u32;
        let starting = self.hooked.starting(ready);
        let seen = self.see(service, (ready, starting), now_ms, 0);
        let decision = self.scaler.decide(&scaling.policy, &seen);
        self.hooked.follow(service, scaling, decision, now_ms, folder).await;
    }

    fn see(
        &mut self,
        service: &Service,
        (ready, starting): (u32, u32),
        now_ms: u64,
        cpu_ticks: u64,
    ) -> Seen {
        let before = self.counted;
        let shards = &service.metrics.shards;
        self.counted = Counted {
            at_ms: now_ms,
            running: shards.iter().map(|shard| shard.running.read()).sum(),
            answers: shards.iter().flat_map(|shard| shard.first_byte.buckets()).sum(),
            waited_us: shards.iter().map(|shard| shard.first_byte.sum_us()).sum(),
            cpu_ticks: before.cpu_ticks + cpu_ticks,
        };
        let held: u64 = shards.iter().map(|shard| shard.held.read()).sum();
        // The first time there is nothing to compare with.
        let past_ms = if before.at_ms == 0 { 0 } else { now_ms - before.at_ms };
        let sweeps = (past_ms as f32 / SWEEP.as_millis() as f32).max(1.0);
        let counted = &self.counted;
        let per_sweep = counted.running.saturating_sub(before.running) as f32 / sweeps;
        let answers = counted.answers.saturating_sub(before.answers);
        let waited_us = counted.waited_us.saturating_sub(before.waited_us);
        let spent_s = cpu_ticks as f32 / TICKS_PER_S;
        Seen {
            now_ms,
            ready,
            starting,
            running: if past_ms == 0 { 0.0 } else { per_sweep } + held as f32,
            cpu: spent_s * 1000.0 / (past_ms.max(1) as f32) / (ready.max(1) as f32),
            latency_ms: if answers == 0 { 0.0 } else { waited_us as f32 / 1000.0 / answers as f32 },
        }
    }

    /// Clock ticks that the processes spent since they were last looked at; who is new has spent none.
    fn spent(&mut self, there: &[&InstanceStatus]) -> u64 {
        let mut ticks = HashMap::new();
        let mut spent = 0;
        for pid in there.iter().filter_map(|one| one.pid) {
            let Some(now) = read_ticks(pid) else { continue };
            spent += now.saturating_sub(self.ticks.get(&pid).copied().unwrap_or(now));
            ticks.insert(pid, now);
        }
        self.ticks = ticks;
        spent
    }
}

/// The clock ticks that a process has spent, in user and in system mode (proc(5), `stat`).
fn read_ticks(pid: u32) -> Option<u64> {
    let text =
        std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat")).ok()?;
    // The name stands in brackets, and may have any character in it.
    let (_, fields) = text.rsplit_once(") ")?;
    let mut fields = fields.split(' ').skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_process_spends_is_read() {
        let pid = std::process::id();
        let before = read_ticks(pid).expect("we run");
        let began = std::time::Instant::now();
        while read_ticks(pid).expect("we run") < before + 2 {
            assert!(began.elapsed() < Duration::from_secs(60), "nothing is spent");
        }
        assert_eq!(read_ticks(0), None);
    }
}
