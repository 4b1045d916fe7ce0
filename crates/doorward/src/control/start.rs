//! Puts the house together: workers, listeners, services, the admin side.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

use super::acme::Keeper;
use super::authority;
use super::certificates::TlsServer;
use super::health::Checker;
use super::listeners::{Listeners, Speaks, Unavailable};
use super::load::{Compiled, Loader};
use super::process::{BuildSpec, Entries, Sink, journal, run_builds, supervisor};
use super::registry::{Found, Registry};
use super::resolve::Resolver;
use super::run::{
    ConfigStatus, Control, ControlHandle, Event, Fixed, Signals, folder_of, unix_now,
};
use super::snapshot::{Published, Snapshot};
use super::workers::{Shared, Workers, runtime};
use super::{compile, notify, scale, token};
use crate::admin::Admin;
use crate::cli::trust;
use crate::data::listen::{self, Listener, PerClient};
use crate::data::store::Store;
use crate::metrics::Metrics;
use crate::observe::access::AccessSink;
use crate::observe::log;
use crate::observe::progress::Progress;
use crate::observe::trails::Trails;

/// What a starter may want to tell its user.
pub(crate) struct Running {
    pub(crate) path: PathBuf,
    pub(crate) listening: Vec<SocketAddr>,
    /// The same for HTTPS.
    pub(crate) listening_https: Vec<SocketAddr>,
    pub(crate) admin: SocketAddr,
    /// The root of the local authority, if it is used and this machine does not trust it.
    pub(crate) untrusted_root: Option<PathBuf>,
    /// Where the token is kept, if it was made.
    pub(crate) token_path: Option<PathBuf>,
    /// The services that were started and are not ready yet.
    pub(crate) waiting: Vec<String>,
}

/// Called in `dev` when everything is up, or has had enough time for it.
pub(crate) type Greeting = Box<dyn FnOnce(&Running, &Loader)>;

/// Runs `compiled` until the process is told to stop; for a developer if there is a `greeting`.
///
/// # Errors
/// Whatever keeps it from starting: an address in use, threads, files.
pub(crate) fn start(
    loader: Loader,
    compiled: Compiled,
    greeting: Option<Greeting>,
) -> io::Result<()> {
    raise_descriptor_limit();
    let configured = compiled.config.runtime.workers.as_ref().map(|workers| usize::from(**workers));
    let count = match configured {
        Some(count) => count,
        None => thread::available_parallelism()?.get(),
    };
    // The control thread has a worker of its own, for the admin side.
    let metrics = Metrics::new(count + 1);
    count_panics(&metrics);
    log::set_level(compiled.config.log.level);
    let access = AccessSink::start()?;
    let shown = access.clone();
    let runtime = runtime()?;
    let ran = runtime.block_on(async move {
        let assembling = assemble(loader, compiled, count, metrics, shown, greeting);
        Box::pin(assembling).await
    });
    // What is still running here is killed with it, such as services that were not waited for.
    drop(runtime);
    access.finish(LAST_WORDS_LIMIT);
    ran
}

/// How long the logs may take to be written when everything else has ended.
const LAST_WORDS_LIMIT: Duration = Duration::from_secs(1);

async fn assemble(
    loader: Loader,
    compiled: Compiled,
    count: usize,
    metrics: Arc<Metrics>,
    access: AccessSink,
    greeting: Option<Greeting>,
) -> io::Result<()> {
    let dev = greeting.is_some();
    let mut signals = Signals::take()?;
    // What cannot work is found before anything is built or started.
    let admin_socket = bind_admin(compiled.config.admin.listen.0).await?;
    let mut listeners = Listeners::new();
    let wanted = compile::listen_specs(&compiled.config);
    listeners.probe(&wanted)?;
    let (sink, mut entries) = journal();
    if dev {
        let builds = compile::builds(&compiled.rules, &folder_of(loader.path()));
        tokio::select! {
            built = build(&builds, &sink, &mut entries) => built?,
            () = signals.end() => return Ok(()),
        }
    }
    tokio::task::spawn_local(show_services(entries));
    let (token, token_path) = admin_token(&loader, &compiled)?;
    let token: Arc<str> = token.into();
    let (events, received) = mpsc::unbounded_channel();
    let (supervision, changes, supervisor) = supervisor(sink);
    tokio::task::spawn_local(supervisor.run());
    pass_on(changes, events.clone(), Event::Instances);
    let (resolved, resolutions) = mpsc::unbounded_channel();
    pass_on(resolutions, events.clone(), Event::Resolved);

    let tls = TlsServer::new(Arc::default()).map_err(io::Error::other)?;
    tls.certificates.set_files(&compiled.certificates);
    let root = match dev {
        true => authority::provide(&compiled, &tls.certificates).map_err(io::Error::other)?,
        false => None,
    };
    let untrusted_root = root.filter(|root| !trust::is_trusted(root)).map(|root| root.path);
    let keeper = Keeper::start(Arc::clone(&tls.certificates));
    keeper.apply(compile::acme(&compiled, &folder_of(loader.path()), dev));
    let mut registry = Registry::new(count + 1, metrics.started);
    let found = Found::default();
    let snapshot = Snapshot {
        version: 1,
        services: registry.services(
            compiled.rules.services(),
            &compiled.services_tls,
            &found,
            compile::zone(&compiled.config),
        ),
        route_metrics: registry.routes(compiled.rules.routes()),
        tcp_metrics: registry.tcp(compiled.rules.tcp().entries()),
        rules: Arc::clone(&compiled.rules),
        limits: compile::limits(&compiled.config),
        trust: compile::trust(&compiled.config),
        access: compile::access(&compiled.config, dev),
        tls: tls.config(&compiled.config, &compiled.clients_tls)?,
        http_answers: keeper.answers(),
        explain_token: Arc::clone(&token),
    };
    let store = Arc::new(Store::new(&compiled.config.cache, &folder_of(loader.path())));
    let https = snapshot.tls.clone();
    let shared = Shared {
        published: Arc::new(Published::new(snapshot)),
        metrics: Arc::clone(&metrics),
        access,
        trails: Trails::default(),
        per_client: PerClient::default(),
        store: Arc::clone(&store),
        flights: Arc::default(),
    };
    let workers = Workers::start(count, &shared)?;
    listeners.apply(&wanted, &workers)?;
    for unused in listeners.unused() {
        let text = format!("systemd opened {unused}, which is not in `[listen]`: it is not used");
        log::warn("listen", text);
    }
    let (status, status_seen) = watch::channel(ConfigStatus {
        path: loader.path().display().to_string(),
        version: 1,
        routes: compiled.rules.routes().len(),
        services: compiled.rules.services().len(),
        loaded_unix: unix_now(),
        refused: None,
        needs_restart: Vec::new(),
        listening: listeners.bound(Speaks::Http),
        listening_https: listeners.bound(Speaks::Https),
        tcp: listeners.bound_tcp(),
        draining: false,
    });
    let admin = Admin {
        token: Arc::clone(&token),
        control: ControlHandle::new(events),
        published: Arc::clone(&shared.published),
        metrics: Arc::clone(&metrics),
        supervision: supervision.clone(),
        trails: shared.trails.clone(),
        store: Arc::clone(&store),
        certificates: Arc::clone(&tls.certificates),
        acme: keeper.status.clone(),
        status: status_seen,
    };
    let (stop_admin, admin_address) = serve_admin(&shared, count, admin, admin_socket)?;
    let running = Running {
        path: loader.path().to_owned(),
        listening: listeners.bound(Speaks::Http),
        listening_https: listeners.bound(Speaks::Https),
        admin: admin_address,
        untrusted_root,
        token_path,
        waiting: Vec::new(),
    };
    let mut control = Control {
        fixed: Fixed::of(&compiled.config),
        door: None,
        greeting: None,
        retired: Vec::new(),
        loader,
        compiled,
        registry,
        found,
        published: Arc::clone(&shared.published),
        metrics,
        workers,
        store,
        listeners,
        resolver: Resolver::new(resolved),
        checker: Checker::default(),
        supervision,
        explain_token: token,
        tls,
        keeper,
        https,
        dev,
        version: 1,
        status,
    };
    control.start_services();
    tokio::task::spawn_local(scale::keep_scaled(
        Arc::clone(&shared.published),
        Arc::clone(&control.metrics),
        control.supervision.clone(),
        folder_of(control.loader.path()),
    ));
    tokio::task::spawn_local(Arc::clone(&control.store).sweep_for_ever());
    let services = &control.published.current().services;
    control.checker.apply(services, &folder_of(control.loader.path()));
    notify::systemd("READY=1");
    let tcp: Vec<_> = control.listeners.bound_tcp();
    if !tcp.is_empty() {
        let addresses: Vec<String> = tcp.iter().map(|(_, bound)| bound.to_string()).collect();
        log::info("listen", format!("tcp on {}", addresses.join(", ")));
    }
    if !running.listening_https.is_empty() {
        let addresses: Vec<String> =
            running.listening_https.iter().map(ToString::to_string).collect();
        log::info("listen", format!("https on {}", addresses.join(", ")));
    }
    let addresses: Vec<String> = running.listening.iter().map(ToString::to_string).collect();
    log::info("listen", format!("http on {}, admin on {admin_address}", addresses.join(", ")));
    control.greeting = greeting.map(|greeting| (greeting, running, Instant::now()));
    control.run(received, signals).await;
    stop_admin.send_replace(true);
    Ok(())
}

async fn bind_admin(address: SocketAddr) -> io::Result<TcpListener> {
    let bound = TcpListener::bind(address).await;
    bound.map_err(|error| Unavailable::tcp(address, error).into())
}

/// Serves the admin side on this thread.
fn serve_admin(
    shared: &Shared,
    index: usize,
    admin: Admin,
    socket: TcpListener,
) -> io::Result<(watch::Sender<bool>, SocketAddr)> {
    let address = socket.local_addr()?;
    let worker = shared.worker(index);
    tokio::task::spawn_local(Rc::clone(&worker).keep_time());
    let listener = Rc::new(Listener::of_admin(address, admin));
    let (stop, stopped) = watch::channel(false);
    // Operators have counts of their own: clients must not be able to lock them out.
    let per_client = PerClient::default();
    tokio::task::spawn_local(listen::accept(worker, listener, socket, per_client, stopped));
    Ok((stop, address))
}

fn admin_token(loader: &Loader, compiled: &Compiled) -> io::Result<(String, Option<PathBuf>)> {
    if let Some(token) = &compiled.config.admin.token {
        return Ok((token.reveal().to_owned(), None));
    }
    let path = token::path(loader.path());
    match token::load_or_make(&path) {
        Ok(token) => Ok((token, Some(path))),
        Err(error) => {
            let path = path.display();
            log::warn("admin", format!("the token cannot be kept in {path}: {error}"));
            Ok((token::make()?, None))
        }
    }
}

/// Passes on what comes out of one channel into the one that control listens to.
fn pass_on<T: 'static>(
    mut from: mpsc::UnboundedReceiver<T>,
    to: mpsc::UnboundedSender<Event>,
    wrap: fn(T) -> Event,
) {
    tokio::task::spawn_local(async move {
        while let Some(news) = from.recv().await {
            if to.send(wrap(news)).is_err() {
                break;
            }
        }
    });
}

/// How often it is shown that a build goes on.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);

/// Runs `builds` and shows what they print.
async fn build(builds: &[BuildSpec], sink: &Sink, entries: &mut Entries) -> io::Result<()> {
    let mut running = pin!(run_builds(builds, sink));
    let mut progress = Progress::new();
    let mut tick = tokio::time::interval(PROGRESS_EVERY);
    let built = loop {
        tokio::select! {
            built = &mut running => break built,
            entry = entries.next() => progress.hear(&entry),
            _ = tick.tick() => progress.tick(),
        }
    };
    while let Some(entry) = entries.take() {
        progress.hear(&entry);
    }
    progress.finish();
    built.map_err(|failure| io::Error::other(failure.to_string()))
}

/// Shows what services print and what happens to them.
async fn show_services(mut entries: Entries) {
    loop {
        log::service(&entries.next().await);
    }
}

/// Descriptors up to the hard limit: each client may take two.
fn raise_descriptor_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Failing to raise it leaves what the system gave.
    let _ = setrlimit(Resource::Nofile, limit);
}

/// A panic ends one connection; it is counted and said.
fn count_panics(metrics: &Arc<Metrics>) {
    let metrics = Arc::clone(metrics);
    std::panic::set_hook(Box::new(move |panic| {
        metrics.bugs.fetch_add(1, Ordering::Relaxed);
        log::error("bug", panic.to_string());
        if thread::current().name() == Some("main") {
            // It ends the process; a worker's does not.
            log::finish(LAST_WORDS_LIMIT);
        }
    }));
}
