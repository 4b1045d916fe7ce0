//! The life of the process: start, reload, drain.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use config::Secret;
use serde::Serialize;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot, watch};

use super::acme::Keeper;
use super::authority;
use super::certificates::{Https, TlsServer};
use super::compile;
use super::endpoints::{Standing, Telling, Vain};
use super::health::Checker;
use super::listeners::{Listeners, Speaks};
use super::load::{Compiled, Loaded, Loader};
use super::model::Config;
use super::notify;
use super::process::{EndpointsChanged, Supervision};
use super::registry::{Found, Registry};
use super::resolve::{Resolved, Resolver};
use super::snapshot::{Address, Published, Snapshot};
use super::start::{Greeting, Running};
use super::watch as files;
use super::workers::Workers;
use crate::data::store::Store;
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
    /// What changed in the file and only takes effect at the next start.
    pub(crate) needs_restart: Vec<&'static str>,
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
    /// What changed in the file and only takes effect at the next start.
    pub(crate) needs_restart: Vec<&'static str>,
    pub(crate) listening: Vec<SocketAddr>,
    pub(crate) listening_https: Vec<SocketAddr>,
    /// Listeners of `[[tcp]]`: each as it is written, and where it really is.
    #[serde(skip)]
    pub(crate) tcp: Vec<(SocketAddr, SocketAddr)>,
    pub(crate) draining: bool,
}

/// What can happen to control.
pub(crate) enum Event {
    Reload(oneshot::Sender<Reloaded>),
    Resolved(Resolved),
    /// What an operator says about an endpoint of the service of this name.
    Told(Box<str>, Telling, oneshot::Sender<Result<Standing, Vain>>),
    Instances(EndpointsChanged),
}

/// How often `dev` looks whether a file has changed, and everyone whether a retired endpoint is
/// free of requests.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// How long services may take to be ready before the greeting comes without them.
const GREETING_LIMIT: Duration = Duration::from_secs(5);

/// How long workers may take to let go of what they were told to cut off.
const END_LIMIT: Duration = Duration::from_secs(1);

/// What the process is told from outside.
pub(crate) struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Takes signals from now on; before, each would end the process at once.
    ///
    /// # Errors
    /// If they cannot be received.
    pub(crate) fn take() -> io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits until the process is to end.
    pub(crate) async fn end(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// What a running process cannot change.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Fixed {
    workers: Option<u16>,
    admin: SocketAddr,
    token: Option<Secret>,
    cache_disk: Option<String>,
}

impl Fixed {
    pub(crate) fn of(config: &Config) -> Self {
        Self {
            workers: config.runtime.workers.as_ref().map(|workers| **workers),
            admin: config.admin.listen.0,
            token: config.admin.token.as_deref().cloned(),
            cache_disk: config.cache.disk.as_ref().map(|disk| disk.path.clone()),
        }
    }

    /// What differs in `wanted`, by its name in the configuration.
    fn changes(&self, wanted: &Self) -> Vec<&'static str> {
        let changes = [
            (self.workers != wanted.workers, "[runtime] workers"),
            (self.admin != wanted.admin, "[admin] listen"),
            (self.token != wanted.token, "[admin] token"),
            (self.cache_disk != wanted.cache_disk, "[cache] disk"),
        ];
        let changed = changes.into_iter().filter(|(changed, _)| *changed);
        changed.map(|(_, name)| name).collect()
    }
}

/// Everything that lives as long as the process.
pub(crate) struct Control {
    pub(crate) loader: Loader,
    pub(crate) compiled: Compiled,
    pub(crate) registry: Registry,
    pub(crate) found: Found,
    pub(crate) published: Arc<Published>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) workers: Workers,
    pub(crate) store: Arc<Store>,
    pub(crate) listeners: Listeners,
    pub(crate) resolver: Resolver,
    pub(crate) checker: Checker,
    pub(crate) supervision: Supervision,
    pub(crate) explain_token: Arc<str>,
    pub(crate) tls: TlsServer,
    pub(crate) keeper: Keeper,
    /// How handshakes with clients are made at the moment.
    pub(crate) https: Option<Arc<Https>>,
    pub(crate) dev: bool,
    /// Of the snapshot. The configuration has a number of its own: a snapshot is also made when an
    /// instance or an address comes or goes.
    pub(crate) version: u64,
    pub(crate) status: watch::Sender<ConfigStatus>,
    /// What the process was started with.
    pub(crate) fixed: Fixed,
    /// The listener that started services call. It stays the same while it is open: another one
    /// would restart them all.
    pub(crate) door: Option<SocketAddr>,
    /// Who is to be greeted, with what, and since when that waits.
    pub(crate) greeting: Option<(Greeting, Running, Instant)>,
    /// Replaced snapshots that may still be in use. Whoever lets go of a large one last pays for it,
    /// and that is not to be a worker.
    pub(crate) retired: Vec<Arc<Snapshot>>,
}

impl Control {
    /// Runs until the process is to end; returns when everything is drained, or the time limit is
    /// over.
    pub(crate) async fn run(
        mut self,
        mut events: mpsc::UnboundedReceiver<Event>,
        mut signals: Signals,
    ) {
        let mut look = tokio::time::interval(LOOK_EVERY);
        let mut look_at_files = tokio::time::interval(files::LOOK_EVERY);
        let mut last_look = self.loader.seen().clone();
        loop {
            tokio::select! {
                _ = signals.hangup.recv() => {
                    self.reload();
                }
                _ = signals.terminate.recv() => break,
                _ = signals.interrupt.recv() => break,
                _ = look.tick() => {
                    self.release_retired();
                    self.greet();
                    if self.dev {
                        let now = self.loader.look();
                        // A file that changed since the last look may still be being written.
                        if now == last_look && now != *self.loader.seen() {
                            self.reload();
                        }
                        last_look = now;
                    }
                }
                _ = look_at_files.tick() => {
                    self.look_at_files();
                    self.look_at_trust();
                    self.look_at_answers();
                }
                Some(event) = events.recv() => self.on_event(event),
            }
        }
        self.drain(signals).await;
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::Reload(reply) => {
                // Whoever asked may have gone; the reload stands.
                let _ = reply.send(self.reload());
            }
            Event::Told(service, telling, reply) => {
                let _ = reply.send(self.tell(&service, &telling));
            }
            Event::Resolved(resolved) => {
                let lists = matches!(resolved, Resolved::Listed(..));
                self.found.take(resolved);
                if lists {
                    self.resolve();
                }
                self.publish();
            }
            Event::Instances(changed) => {
                self.found.instances.insert(changed.service.as_ref().into(), changed.ready);
                self.publish();
            }
        }
    }

    /// Reads the configuration again. With problems nothing changes, and everyone is told.
    pub(crate) fn reload(&mut self) -> Reloaded {
        let began = Instant::now();
        notify::reloading();
        let loaded = self.loader.load();
        let outcome = self.apply(loaded);
        notify::systemd("READY=1");
        let milliseconds = began.elapsed().as_secs_f64() * 1000.0;
        let version = self.metrics.config_version();
        match outcome {
            Ok(warnings) => {
                self.metrics.config_refused.store(0, Ordering::Relaxed);
                if !warnings.is_empty() {
                    log::warn("config", warnings.trim_end());
                }
                log::info("config", format!("version {version} applied in {milliseconds:.1} ms"));
                let restart = self.status.borrow().needs_restart.clone();
                if !restart.is_empty() {
                    let what = restart.join(", ");
                    log::warn("config", format!("a change of {what} takes a restart"));
                }
                Reloaded {
                    applied: true,
                    version,
                    milliseconds,
                    report: warnings,
                    needs_restart: restart,
                }
            }
            Err(report) => {
                self.metrics.reload_failures.fetch_add(1, Ordering::Relaxed);
                self.metrics.config_refused.store(1, Ordering::Relaxed);
                log::error("config", format!("refused; version {version} stays in use\n{report}"));
                self.status.send_modify(|status| status.refused = Some(report.clone()));
                Reloaded {
                    applied: false,
                    version,
                    milliseconds,
                    report,
                    needs_restart: Vec::new(),
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
                "{address}: a change of `proxy-protocol` or `http3`, or between HTTP, HTTPS and TCP, takes a restart\n"
            ));
        }
        if self.dev {
            authority::provide(&compiled, &self.tls.certificates)?;
        }
        let https = self
            .tls
            .config(&compiled.config, &compiled.clients_tls)
            .map_err(|error| error.to_string())?;
        self.listeners
            .apply(&wanted, &self.workers)
            .map_err(|unavailable| format!("{}\n", io::Error::from(unavailable)))?;
        self.compiled = compiled;
        self.https = https;
        self.tls.certificates.set_files(&self.compiled.certificates);
        let folder = folder_of(self.loader.path());
        self.keeper.apply(compile::acme(&self.compiled, &folder, self.dev));
        log::set_level(self.compiled.config.log.level);
        self.store.resize(&self.compiled.config.cache);
        self.start_services();
        self.publish();
        self.metrics.reloads.fetch_add(1, Ordering::Relaxed);
        let (version, listening) =
            (self.metrics.config_version(), self.listeners.bound(Speaks::Http));
        let listening_https = self.listeners.bound(Speaks::Https);
        let tcp = self.listeners.bound_tcp();
        let rules = Arc::clone(&self.compiled.rules);
        let needs_restart = self.fixed.changes(&Fixed::of(&self.compiled.config));
        self.status.send_modify(|status| {
            status.version = version;
            status.routes = rules.routes().len();
            status.services = rules.services().len();
            status.loaded_unix = unix_now();
            status.refused = None;
            status.needs_restart = needs_restart;
            status.listening = listening;
            status.listening_https = listening_https;
            status.tcp = tcp;
        });
        Ok(report)
    }

    /// Reads files again that others have written.
    fn look_at_files(&mut self) {
        let mut changed = false;
        for file in &mut self.compiled.certificates {
            changed |= file.look();
        }
        if changed {
            self.tls.certificates.set_files(&self.compiled.certificates);
        }
    }

    /// Wants the processes and names of the current rules.
    pub(crate) fn start_services(&mut self) {
        let rules = &self.compiled.rules;
        let folder = folder_of(self.loader.path());
        let bound = self.listeners.bound(Speaks::Http);
        let open = self.door.filter(|door| bound.contains(door));
        self.door = open.or(bound.first().copied());
        let door_url = compile::door_url(self.door);
        let processes = compile::processes(rules, &self.compiled.services_tls, &folder, &door_url);
        self.supervision.apply(processes);
        self.found.forget_unwritten(rules.services());
        self.resolve();
    }

    /// Keeps found where the services of the current rules are.
    pub(super) fn resolve(&mut self) {
        let services = self.compiled.rules.services().iter();
        let written = services.flat_map(|service| self.found.written(service));
        let written = written.map(|(written, _)| written);
        let dns = compile::dns(&self.compiled.config);
        self.resolver.apply(written, dns, &folder_of(self.loader.path()));
    }

    /// Makes and publishes a snapshot of what is known now.
    pub(crate) fn publish(&mut self) {
        self.version += 1;
        let snapshot = self.snapshot();
        self.checker.apply(&snapshot.services, &folder_of(self.loader.path()));
        self.retired.push(self.published.publish(snapshot));
    }

    fn snapshot(&mut self) -> Snapshot {
        let Compiled { config, rules, services_tls, .. } = &self.compiled;
        Snapshot {
            version: self.version,
            services: self.registry.services(
                rules.services(),
                services_tls,
                &self.found,
                compile::zone(config),
            ),
            route_metrics: self.registry.routes(rules.routes()),
            tcp_metrics: self.registry.tcp(rules.tcp().entries()),
            rules: Arc::clone(rules),
            limits: compile::limits(config),
            trust: compile::trust(config),
            access: compile::access(config, self.dev),
            tls: self.https.clone(),
            http_answers: self.keeper.answers(),
            explain_token: Arc::clone(&self.explain_token),
        }
    }

    /// Greets whoever waits for it, once all started services are ready or had time for it.
    fn greet(&mut self) {
        let Some((_, running, since)) = &mut self.greeting else {
            return;
        };
        let snapshot = self.published.current();
        let services = snapshot.services.iter();
        let waiting = services.filter(|one| one.is_started && one.endpoints.is_empty());
        running.waiting = waiting.map(|one| one.rules.name.to_string()).collect();
        let patient = since.elapsed() < GREETING_LIMIT;
        if (running.waiting.is_empty() || !patient)
            && let Some((greeting, running, _)) = self.greeting.take()
        {
            greeting(&running, &self.loader);
        }
    }

    /// Drops snapshots that nobody uses any more, and tells the supervisor which retired instances
    /// have no request left.
    fn release_retired(&mut self) {
        self.retired.retain(|snapshot| Arc::strong_count(snapshot) > 1);
        for address in self.registry.forget_unused() {
            if let Address::Tcp(address) = address {
                self.supervision.drained(address);
            }
        }
    }

    /// Stops accepting, lets requests finish within the time limit, then stops the services. Told
    /// again, it waits for nothing and nobody.
    async fn drain(mut self, mut signals: Signals) {
        notify::systemd("STOPPING=1");
        let limit = Duration::from(*self.compiled.config.runtime.drain);
        log::info("control", format!("draining, for {} s at most", limit.as_secs()));
        self.status.send_modify(|status| status.draining = true);
        self.listeners.stop();
        self.workers.drain();
        let told_again = tokio::select! {
            () = self.workers.ended() => {
                log::info("control", "all requests are finished");
                false
            }
            () = tokio::time::sleep(limit) => {
                let open = self.metrics.connections.load(Ordering::Relaxed);
                log::warn("control", format!("the time is over: {open} connections are cut off"));
                false
            }
            () = signals.end() => true,
        };
        self.workers.cut_off();
        // A worker that is stuck in a system call is not waited for.
        let _ = tokio::time::timeout(END_LIMIT, self.workers.ended()).await;
        if !told_again {
            tokio::select! {
                () = self.supervision.stop() => return,
                () = signals.end() => {}
            }
        }
        log::warn("control", "told to stop again: not waiting any longer");
    }
}

/// The folder of a file; `.` for a bare name.
pub(crate) fn folder_of(path: &Path) -> PathBuf {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
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

    /// Says something about an endpoint of `service`.
    pub(crate) async fn tell(
        &self,
        service: &str,
        telling: Telling,
    ) -> Option<Result<Standing, Vain>> {
        let (reply, told) = oneshot::channel();
        self.0.send(Event::Told(service.into(), telling, reply)).ok()?;
        told.await.ok()
    }
}
