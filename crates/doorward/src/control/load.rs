//! From files on disk to what can be compiled, with everything that is wrong on the way.
//!
//! `check`, `run` and a reload all come through here, so they find the same problems.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use config::{At, Document, Entry, Files, Memo, Place, Reader, Report, Table, Value};
use rules::Rules;
use rules::route::{Route, RouteConfig};
use rules::service::{Service, ServiceConfig};

use super::certificates::files::{InFiles, Which};
use super::model::{Config, Purpose, Tcp};
use super::run::{folder_of, unix_now};
use super::trust::{self, ByService, ClientsTls, ServicesTls};
use super::watch::{Stamp, Stamps, Watch};
use super::{acme, answers};

/// The file that is meant where a folder is named.
const FILE_NAME: &str = "doorward.toml";

/// The largest file that is read: ten times what 200,000 routes take.
const FILE_BYTES_MAX: u64 = 256 << 20;

/// Reads one configuration, again and again; routes that did not change are not compiled again.
pub(crate) struct Loader {
    path: PathBuf,
    routes: Memo<Arc<Route>>,
    /// What did not change of it is kept.
    pub(crate) services_tls: ServicesTls,
    /// The first file, if it is on no disk.
    text: Option<Arc<str>>,
    purpose: Purpose,
    /// What the last reading looked at, as it was just before.
    seen: Stamps,
}

/// A configuration, read and checked in all its parts.
pub(crate) struct Loaded {
    /// What is wrong, and the names of all files that were read.
    pub(crate) report: Report,
    /// All but the routes. Where something is wrong, its default.
    pub(crate) config: Config,
    /// The compiled routes and services, if nothing at all is wrong.
    pub(crate) rules: Option<Arc<Rules>>,
    /// The certificates that are in files.
    pub(crate) certificates: Vec<InFiles>,
    /// How services are called by TLS.
    pub(crate) services_tls: ByService,
    /// Which certificates of clients are taken, by the address of the listener.
    pub(crate) clients_tls: Vec<(SocketAddr, Arc<ClientsTls>)>,
    /// Where the last two are from.
    pub(crate) trusted_files: Watch,
    /// Where the bodies of fixed answers are from.
    pub(crate) answer_files: Watch,
}

/// A configuration that may be used.
pub(crate) struct Compiled {
    pub(crate) config: Config,
    pub(crate) rules: Arc<Rules>,
    pub(crate) certificates: Vec<InFiles>,
    pub(crate) services_tls: ByService,
    pub(crate) clients_tls: Vec<(SocketAddr, Arc<ClientsTls>)>,
    pub(crate) trusted_files: Watch,
    pub(crate) answer_files: Watch,
}

impl Loaded {
    /// The configuration, if it may be used.
    pub(crate) fn compiled(self) -> Option<Compiled> {
        let Self {
            report: _,
            config,
            rules,
            certificates,
            services_tls,
            clients_tls,
            trusted_files,
            answer_files,
        } = self;
        Some(Compiled {
            config,
            rules: rules?,
            certificates,
            services_tls,
            clients_tls,
            trusted_files,
            answer_files,
        })
    }
}

impl Loader {
    /// For the configuration in the file `path`, or in the folder `path`.
    pub(crate) fn new(path: &Path) -> Self {
        let path = if path.is_dir() { path.join(FILE_NAME) } else { path.to_owned() };
        Self {
            path,
            routes: Memo::default(),
            services_tls: ServicesTls::default(),
            text: None,
            purpose: Purpose::Look,
            seen: Stamps::new(),
        }
    }

    /// For a configuration that stands in no file; `name` is what problems call it.
    pub(crate) fn of_text(name: &str, text: &str) -> Self {
        Self { text: Some(text.into()), ..Self::new(Path::new(name)) }
    }

    /// The same, to be read for `purpose`.
    pub(crate) fn to(self, purpose: Purpose) -> Self {
        Self { purpose, ..self }
    }

    /// Whether the configuration stands in a file.
    pub(crate) fn is_file(&self) -> bool {
        self.text.is_none()
    }

    /// What people call the configuration.
    pub(crate) fn name(&self) -> String {
        match self.is_file() {
            true => self.path.display().to_string(),
            false => "this".to_owned(),
        }
    }

    /// The first file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The files and folders that the last reading looked at, even in vain, as they were just before:
    /// while they are the same, so is the configuration.
    pub(crate) fn seen(&self) -> &Stamps {
        &self.seen
    }

    /// The same files and folders as they are now.
    pub(crate) fn look(&self) -> Stamps {
        let now = |path: &PathBuf| (path.clone(), Stamp::of(path));
        self.seen.keys().map(now).collect()
    }

    /// Reads the configuration as it is now.
    pub(crate) fn load(&mut self) -> Loaded {
        let mut report = Report::new();
        let disk = Disk::new(self);
        let folder = folder_of(&self.path);
        let document =
            read(&disk, &self.path, &mut self.routes, &mut report, &mut |value, report| {
                let mut config: RouteConfig = report.read(value)?;
                anchor(&mut config, &folder);
                Route::build(&config, report).map(Arc::new)
            });
        self.seen = disk.seen.into_inner();
        let mut rest = document.rest;
        let written = take_services(&mut rest);
        let (service, services, answer_files) = load_services(written, &folder, &mut report);
        let problems = report.problems().len();
        let config = report.salvage::<Config>(&rest).unwrap_or_default();
        let whole = report.problems().len() == problems;
        config.check(&mut report);
        if whole {
            config.check_together(self.purpose, &mut report);
        }
        let certificates = load_certificates(&config, &folder, &mut report);
        let compiled = services.iter().filter_map(|(_, compiled)| compiled.as_deref());
        let trusted_files = Watch::new(trust::trusted_files(&config, compiled, &folder));
        let good = services
            .iter()
            .filter_map(|(name, compiled)| Some((service.get(name)?, &**compiled.as_ref()?)));
        let services_tls = self.services_tls.load(good, &folder, &mut report);
        let clients_tls = load_clients(&config, &folder, &mut report);
        let routes: Vec<_> =
            document.items.into_iter().map(|item| (item.place, item.value)).collect();
        if whole {
            check_certificates(&config, &routes, &mut report);
        }
        let tcp: Vec<_> = config.tcp.iter().map(Tcp::text).collect();
        let rules = Rules::build(&routes, &services, &tcp, &mut report);
        let secure = config.tls.as_ref().map(|tls| tls.secure()).unwrap_or_default();
        let rules = rules.map(|mut rules| {
            rules.secure = secure;
            Arc::new(rules)
        });
        if let Some(rules) = &rules {
            acme::check(&config, rules, &folder, &mut report);
        }
        let rules = rules.filter(|_| !report.has_errors());
        let config = Config { service, ..config };
        Loaded {
            report,
            config,
            rules,
            certificates,
            services_tls,
            clients_tls,
            trusted_files,
            answer_files,
        }
    }

    /// The routes as they are written now. Only the machine spelling needs them: compiled routes are
    /// kept without what they were compiled from, which is three times as large.
    pub(crate) fn routes_as_written(&self) -> Vec<RouteConfig> {
        let mut routes = Memo::default();
        let document = read(
            &Disk::new(self),
            &self.path,
            &mut routes,
            &mut Report::new(),
            &mut |value, report| report.read::<RouteConfig>(value),
        );
        document.items.into_iter().map(|item| item.value).collect()
    }
}

/// Makes the directory of files relative to where the program runs; it is written relative to the
/// configuration.
fn anchor(config: &mut RouteConfig, folder: &Path) {
    let Some(files) = &mut config.files else {
        return;
    };
    // An empty one is wrong, and is to be found so.
    if !files.root.is_empty() {
        let root = folder.join(&**files.root).to_string_lossy().into_owned();
        let mut anchored = (**files).clone();
        anchored.root = At::new(root, files.root.place());
        *files = At::new(anchored, files.place());
    }
}

/// Reads all files of a configuration from disk.
fn read<T: Clone>(
    disk: &Disk,
    path: &Path,
    routes: &mut Memo<T>,
    report: &mut Report,
    build: &mut dyn FnMut(&Value, &mut Report) -> Option<T>,
) -> Document<T> {
    let reader = Reader {
        files: disk,
        variables: &|name| std::env::var(name).ok(),
        items: "route",
        shared: &["service", "tcp"],
    };
    reader.read(&path.to_string_lossy(), routes, report, build)
}

/// Takes the services out of `rest`, so that a wrong one does not hide what others say.
fn take_services(rest: &mut Value) -> Vec<Entry> {
    let Some(rest) = rest.as_table_mut() else {
        return Vec::new();
    };
    let is_table = |entry: &Entry| entry.value.as_table().is_some();
    if !rest.find("service").is_some_and(is_table) {
        return Vec::new();
    }
    let service = rest.take("service").map(|mut entry| {
        let table = entry.value.as_table_mut();
        table.map(std::mem::take).map_or_else(Vec::new, |table: Table| table.into_iter().collect())
    });
    let mut services = service.unwrap_or_default();
    services.sort_by(|a, b| a.key.cmp(&b.key));
    services
}

/// The services as written, and as compiled: `None` for a wrong one, so that routes which name it make
/// no second mistake. Also the files of their fixed answers.
fn load_services(
    written: Vec<Entry>,
    folder: &Path,
    report: &mut Report,
) -> (Configs, Services, Watch) {
    let (mut configs, mut built) = (Configs::new(), Vec::new());
    for Entry { key, value } in written {
        let config = report.read::<ServiceConfig>(&value);
        let service = config.as_ref().and_then(|config| Service::build(&key, config, report));
        built.push((key.clone(), service));
        configs.extend(config.map(|config| (key, config)));
    }
    let services = built.iter().filter_map(|(_, service)| service.as_ref());
    let files = Watch::new(services.flat_map(|service| answers::files(service, folder)));
    let compiled = built.into_iter().map(|(key, service)| {
        let whole = |mut one| answers::read(&mut one, folder, report).then(|| Arc::new(one));
        (key, service.and_then(whole))
    });
    (configs, compiled.collect(), files)
}

/// The certificates that the configuration names, as they are in their files.
fn load_certificates(config: &Config, folder: &Path, report: &mut Report) -> Vec<InFiles> {
    let mut certificates = Vec::new();
    for written in config.tls.iter().flat_map(|tls| &tls.certificates) {
        match InFiles::read(folder, &written.cert, &written.key) {
            Ok(certificate) => {
                if let Some(odd) = certificate.current.oddity(unix_now()) {
                    report
                        .warning(&written.cert, format!("{}: {odd}", *written.cert))
                        .help("clients will not take it");
                }
                certificates.push(certificate);
            }
            Err(wrong) => {
                let place = match wrong.file {
                    Which::Cert => &written.cert,
                    Which::Key => &written.key,
                };
                report.error(place, wrong.what).help(wrong.advice);
            }
        }
    }
    certificates
}

/// What is asked of clients, at each listener that asks for a certificate.
fn load_clients(
    config: &Config,
    folder: &Path,
    report: &mut Report,
) -> Vec<(SocketAddr, Arc<ClientsTls>)> {
    let asking = config.listen.asking();
    let read = asking.filter_map(|(address, written)| {
        Some((address, trust::load_clients(written, folder, unix_now(), report)?))
    });
    read.collect()
}

/// Reports routes that are for clients with certificates where no listener asks for any.
fn check_certificates(config: &Config, routes: &[(Place, Arc<Route>)], report: &mut Report) {
    if config.listen.asking().next().is_some() {
        return;
    }
    if let Some((place, _)) = routes.iter().find(|(_, route)| route.wants_certificate) {
        report
            .error(
                *place,
                "this route is for clients with a certificate, and no listener asks for one",
            )
            .help(
                "write `https = { address = \"0.0.0.0:8443\", client-certificate = { roots = \
                 \"FILE\" } }` in `[listen]`",
            );
    }
}

type Configs = BTreeMap<At<String>, ServiceConfig>;
type Services = Vec<(At<String>, Option<Arc<Service>>)>;

/// Files as they are on disk.
struct Disk {
    /// The first file, if it is none.
    given: Option<(PathBuf, Arc<str>)>,
    seen: RefCell<Stamps>,
}

impl Disk {
    fn new(loader: &Loader) -> Self {
        let given = loader.text.clone().map(|text| (loader.path.clone(), text));
        Self { given, seen: RefCell::default() }
    }

    /// Notes that `path` is about to be looked at.
    fn see(&self, path: &str) {
        let stamp = Stamp::of(Path::new(path));
        self.seen.borrow_mut().insert(path.into(), stamp);
    }
}

impl Files for Disk {
    fn read(&self, path: &str) -> Result<Arc<str>, String> {
        let why = |err: io::Error| match err.kind() {
            io::ErrorKind::NotFound => "no such file".to_owned(),
            io::ErrorKind::IsADirectory => "it is a folder".to_owned(),
            io::ErrorKind::PermissionDenied => "this user may not".to_owned(),
            io::ErrorKind::InvalidData => "it is not UTF-8".to_owned(),
            _ => err.to_string(),
        };
        if let Some((_, text)) = self.given.as_ref().filter(|(given, _)| given == Path::new(path)) {
            return Ok(Arc::clone(text));
        }
        self.see(path);
        let file = File::open(path).map_err(why)?;
        // A pipe has no size, and is read as far as it goes.
        let bytes = file.metadata().map_or(0, |metadata| metadata.len());
        // One byte more: the end is seen without growing.
        let room = usize::try_from(bytes.min(FILE_BYTES_MAX) + 1).unwrap_or_default();
        let mut text = String::with_capacity(room);
        file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(why)?;
        if text.len() as u64 > FILE_BYTES_MAX {
            return Err(format!("it has more than {} MiB", FILE_BYTES_MAX >> 20));
        }
        Ok(text.into())
    }

    fn list(&self, folder: &str) -> Result<Vec<String>, String> {
        let folder = if folder.is_empty() { "." } else { folder };
        self.see(folder);
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(err) => return Err(err.to_string()),
        };
        // A name that is not UTF-8 cannot be meant by a pattern that is.
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        Ok(names.collect())
    }
}
