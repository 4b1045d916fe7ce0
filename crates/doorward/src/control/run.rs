//! The life of the process: start, reload, drain.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot, watch};

use super::compile;
use super::listeners::Listeners;
use super::load::{Compiled, Loaded, Loader};
use super::notify;
use super::process::{EndpointsChanged, Supervision};
use super::registry::{Found, Registry};
use super::resolve::{Resolved, Resolver};
use super::snapshot::{Address, Published, Snapshot};
use super::workers::Workers;
use crate::metrics::Metrics;
use crate::observe::log;

/// How a reload went.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Reloaded {
    pub(crate) applied: bool,
    pub(crate) version: u64,
    pub(crate) milliseconds: f64,
    /// What is wrong, as `check` shows it; also the warnings about what was applied.
    pub(crate) report: String,
}

/// How the configuration stands, for `status`.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct ConfigStatus {
    pub(crate) path: String,
    pub(crate) version: u64,
    pub(crate) routes: usize,
    pub(crate) services: usize,
    pub(crate) loaded_unix: u64,
    /// The problems of the newest file, if it was refused.
    pub(crate) refused: Option<String>,
    pub(crate) listening: Vec<SocketAddr>,
    pub(crate) draining: bool,
}

/// What can happen to control.
pub(crate) enum Event {
    Reload(oneshot::Sender<Reloaded>),
    Resolved(Resolved),
    Instances(EndpointsChanged),
}

/// How often `dev` looks whether a file has changed, and everyone whether a retired endpoint is
/// free of requests.
const LOOK_EVERY: Duration = Duration::from_millis(300);

/// Everything that lives as long as the process.
pub(crate) struct Control {
    pub(crate) loader: Loader,
    pub(crate) compiled: Compiled,
    pub(crate) registry: Registry,
    pub(crate) found: Found,
    pub(crate) published: Arc<Published>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) workers: Workers,
    pub(crate) listeners: Listeners,
    pub(crate) resolver: Resolver,
    pub(crate) supervision: Supervision,
    pub(crate) explain_token: Arc<str>,
    pub(crate) dev: bool,
    pub(crate) version: u64,
    pub(crate) status: watch::Sender<ConfigStatus>,
}

impl Control {
    /// Runs until the process is to end; returns when everything is drained, or the time limit is
    /// over.
    ///
    /// # Errors
    /// If signals cannot be received.
    pub(crate) async fn run(
        mut self,
        mut events: mpsc::UnboundedReceiver<Event>,
    ) -> io::Result<()> {
        let mut hangup = signal(SignalKind::hangup())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut look = tokio::time::interval(LOOK_EVERY);
        let mut files = self.stamp_files();
        loop {
            tokio::select! {
                _ = hangup.recv() => {
                    self.reload();
                    files = self.stamp_files();
                }
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                _ = look.tick() => {
                    self.release_retired();
                    if self.dev {
                        let now = self.stamp_files();
                        if now != files {
                            files = now;
                            self.reload();
                        }
                    }
                }
                Some(event) = events.recv() => self.on_event(event),
            }
        }
        self.drain(terminate, interrupt).await;
        Ok(())
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::Reload(reply) => {
                // Whoever asked may have gone; the reload stands.
                let _ = reply.send(self.reload());
            }
            Event::Resolved(resolved) => {
                self.found.names.insert(resolved.name, resolved.addresses);
                self.publish();
            }
            Event::Instances(changed) => {
                self.found
                    .instances
                    .insert(changed.service.as_ref().into(), changed.ready);
                self.publish();
            }
        }
    }

    /// Reads the configuration again. With problems nothing changes, and everyone is told.
    pub(crate) fn reload(&mut self) -> Reloaded {
        let began = Instant::now();
        notify::systemd("RELOADING=1");
        let loaded = self.loader.load();
        let outcome = self.apply(loaded);
        notify::systemd("READY=1");
        let milliseconds = began.elapsed().as_secs_f64() * 1000.0;
        let version = self.version;
        match outcome {
            Ok(warnings) => {
                self.metrics.reloads.fetch_add(1, Ordering::Relaxed);
                self.metrics.config_refused.store(0, Ordering::Relaxed);
                if !warnings.is_empty() {
                    log::warn("config", warnings.trim_end());
                }
                log::info(
                    "config",
                    format!("version {version} applied in {milliseconds:.1} ms"),
                );
                Reloaded {
                    applied: true,
                    version,
                    milliseconds,
                    report: warnings,
                }
            }
            Err(report) => {
                self.metrics.reload_failures.fetch_add(1, Ordering::Relaxed);
                self.metrics.config_refused.store(1, Ordering::Relaxed);
                log::error(
                    "config",
                    format!("refused; version {version} stays in use\n{report}"),
                );
                self.status
                    .send_modify(|status| status.refused = Some(report.clone()));
                Reloaded {
                    applied: false,
                    version,
                    milliseconds,
                    report,
                }
            }
        }
    }

    fn apply(&mut self, loaded: Loaded) -> Result<String, String> {
        let report = loaded.report.to_string();
        let compiled = loaded.compiled().ok_or_else(|| report.clone())?;
        let wanted = compile::listen_specs(&compiled.config);
        if let Some(address) = self.listeners.changed_protocol(&wanted) {
            return Err(format!(
                "{address}: a change of `proxy-protocol` takes a restart\n"
            ));
        }
        self.listeners
            .apply(&wanted, &self.workers)
            .map_err(|(address, error)| format!("cannot listen on {address}: {error}\n"))?;
        if compiled.config.runtime.workers != self.compiled.config.runtime.workers {
            log::warn("config", "a change of `workers` takes a restart");
        }
        self.compiled = compiled;
        self.start_services();
        self.publish();
        let (version, listening) = (self.version, self.listeners.bound());
        let rules = Arc::clone(&self.compiled.rules);
        self.status.send_modify(|status| {
            status.version = version;
            status.routes = rules.routes().len();
            status.services = rules.services().len();
            status.loaded_unix = unix_now();
            status.refused = None;
            status.listening = listening;
        });
        Ok(report)
    }

    /// Wants the processes and names of the current rules.
    pub(crate) fn start_services(&mut self) {
        let rules = &self.compiled.rules;
        let folder = folder_of(self.loader.path());
        let door_url = compile::door_url(&self.listeners.bound());
        self.supervision
            .apply(compile::processes(rules, &folder, &door_url));
        self.resolver
            .apply(rules.services().iter().map(|service| &**service));
    }

    /// Makes and publishes a snapshot of what is known now.
    pub(crate) fn publish(&mut self) {
        self.version += 1;
        let snapshot = self.snapshot();
        self.published.publish(snapshot);
    }

    fn snapshot(&mut self) -> Snapshot {
        let Compiled { config, rules } = &self.compiled;
        Snapshot {
            version: self.version,
            services: self.registry.services(rules.services(), &self.found),
            route_metrics: self.registry.routes(rules.routes()),
            rules: Arc::clone(rules),
            limits: compile::limits(config),
            trust: compile::trust(config),
            access: compile::access(config, self.dev),
            explain_token: Arc::clone(&self.explain_token),
        }
    }

    /// Tells the supervisor which retired instances have no request left.
    fn release_retired(&mut self) {
        for address in self.registry.forget_unused() {
            if let Address::Tcp(address) = address {
                self.supervision.drained(address);
            }
        }
    }

    /// When each file of the configuration was last written.
    fn stamp_files(&self) -> HashMap<PathBuf, Option<SystemTime>> {
        let stamp = |path: &Path| {
            let modified = std::fs::metadata(path).and_then(|metadata| metadata.modified());
            (path.to_owned(), modified.ok())
        };
        if self.dev {
            self.loader.seen().map(stamp).collect()
        } else {
            HashMap::new()
        }
    }

    /// Stops accepting, lets requests finish within the time limit, then stops the services.
    async fn drain(
        mut self,
        mut terminate: tokio::signal::unix::Signal,
        mut interrupt: tokio::signal::unix::Signal,
    ) {
        notify::systemd("STOPPING=1");
        let limit = Duration::from(*self.compiled.config.runtime.drain);
        log::info(
            "control",
            format!("draining, for {} s at most", limit.as_secs()),
        );
        self.status.send_modify(|status| status.draining = true);
        self.listeners.stop();
        self.workers.drain();
        let ended = async {
            while !self.workers.have_ended() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::select! {
            () = ended => log::info("control", "all requests are finished"),
            () = tokio::time::sleep(limit) => log::warn("control", "the time limit for draining is over"),
            _ = terminate.recv() => log::warn("control", "told to stop again: not waiting any longer"),
            _ = interrupt.recv() => log::warn("control", "told to stop again: not waiting any longer"),
        }
        self.supervision.stop().await;
    }
}

/// The folder of a file; `.` for a bare name.
pub(crate) fn folder_of(path: &Path) -> PathBuf {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new(".")).to_owned()
}

pub(crate) fn unix_now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

/// Kept for the admin side: a way to ask control for something.
#[derive(Clone)]
pub(crate) struct ControlHandle(mpsc::UnboundedSender<Event>);

impl ControlHandle {
    pub(crate) fn new(events: mpsc::UnboundedSender<Event>) -> Self {
        Self(events)
    }

    /// Reads the configuration again.
    pub(crate) async fn reload(&self) -> Option<Reloaded> {
        let (reply, reloaded) = oneshot::channel();
        self.0.send(Event::Reload(reply)).ok()?;
        reloaded.await.ok()
    }
}
