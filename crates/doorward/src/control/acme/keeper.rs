//! Keeps all wanted certificates: looks what is due, does it, and tells how they stand.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use instant_acme::{Account, Error};
use rules::acme::{Challenge, Plan, Step, Window, next_order, plan};
use serde::Serialize;
use tokio::sync::watch;

use super::ATTEMPTS_MAX;
use super::http::Client;
use super::order::{Desk, certified};
use super::proofs::HttpAnswers;
use super::record::Record;
use super::settings::Settings;
use super::storage::Storage;
use super::trouble::Trouble;
use crate::control::certificates::{Certificate, Certificates, Source};
use crate::control::run::unix_now;
use crate::observe::log;

/// How often to look whether something is due. Clocks are set, and machines sleep: a timer for in
/// sixty days would not know.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How all certificates of the authority stand.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct KeeperStatus {
    pub(crate) certificates: Vec<CertificateState>,
    pub(crate) issued: u64,
    pub(crate) failed: u64,
    /// Why nothing can be done at all.
    pub(crate) trouble: Option<String>,
    /// The same, and what keeps each certificate from coming, as it is told with those of files.
    #[serde(skip)]
    problems: Vec<String>,
}

/// How a certificate stands.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct CertificateState {
    pub(crate) names: Vec<String>,
    /// `valid`, `expired`, `missing`.
    pub(crate) state: &'static str,
    /// What is being done: nothing, or an order.
    pub(crate) ordering: bool,
    pub(crate) not_after_unix: Option<u64>,
    /// When it is ordered or renewed, and why then; an attempt that is due comes at once.
    pub(crate) next_unix: u64,
    pub(crate) next_reason: &'static str,
    /// Attempts in vain since the last success.
    pub(crate) failures: u32,
    pub(crate) error: Option<String>,
    pub(crate) advice: Option<String>,
}

/// Whoever wants something of the authority talks to this.
pub(crate) struct Keeper {
    wanted: watch::Sender<Option<Arc<Settings>>>,
    pub(crate) status: watch::Receiver<KeeperStatus>,
    http: Arc<HttpAnswers>,
}

impl Keeper {
    /// Starts it on this thread. Certificates go to `certificates`.
    pub(crate) fn start(certificates: Arc<Certificates>) -> Self {
        let (wanted, wanted_seen) = watch::channel(None);
        let (status, status_seen) = watch::channel(KeeperStatus::default());
        let http = Arc::new(HttpAnswers::default());
        let worker = Worker { certificates, http: Arc::clone(&http), status };
        tokio::task::spawn_local(worker.run(wanted_seen));
        Self { wanted, status: status_seen, http }
    }

    /// What authorities are to be answered on plain HTTP, if that is how they are shown that names
    /// lead here.
    pub(crate) fn answers(&self) -> Option<Arc<HttpAnswers>> {
        let wanted = self.wanted.borrow();
        let asks = wanted.as_ref().is_some_and(|wanted| wanted.challenge == Challenge::Http01);
        asks.then(|| Arc::clone(&self.http))
    }

    /// From now on this is wanted.
    pub(crate) fn apply(&self, settings: Option<Settings>) {
        self.wanted.send_if_modified(|wanted| {
            let same = wanted.as_deref() == settings.as_ref();
            if !same {
                *wanted = settings.map(Arc::new);
            }
            !same
        });
    }
}

/// Does what is due.
struct Worker {
    certificates: Arc<Certificates>,
    http: Arc<HttpAnswers>,
    status: watch::Sender<KeeperStatus>,
}

/// What is wanted, and how far it is.
pub(super) struct House {
    pub(super) settings: Arc<Settings>,
    pub(super) storage: Storage,
    /// Whether another process does the ordering, as far as it was said.
    follows: bool,
    pub(super) records: Vec<Record>,
    /// Certificates that are kept and not wanted any more, good until those that are wanted come.
    others: Vec<Arc<Certificate>>,
    pub(super) session: Option<(Client, Account)>,
}

impl Worker {
    async fn run(self, mut wanted: watch::Receiver<Option<Arc<Settings>>>) {
        let mut tick = tokio::time::interval(LOOK_EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut house: Option<House> = None;
        loop {
            let settings = wanted.borrow_and_update().clone();
            let due = async {
                tick.tick().await;
                self.look(&mut house, settings.as_ref()).await;
            };
            tokio::select! {
                () = due => {}
                changed = wanted.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    // What was under way is taken up again from what is on disk.
                    self.http.clear();
                    self.certificates.clear_challenges();
                    house = None;
                    tick.reset_immediately();
                }
            }
        }
    }

    async fn look(&self, house: &mut Option<House>, wanted: Option<&Arc<Settings>>) {
        let Some(settings) = wanted else {
            if house.take().is_some() || !self.status.borrow().certificates.is_empty() {
                self.certificates.set(Source::Acme, Vec::new());
                self.status.send_modify(|status| {
                    status.certificates.clear();
                    status.trouble = None;
                });
                self.tell_problems();
            }
            return;
        };
        let now = unix_now();
        let opened = match house {
            Some(house) => house,
            None => match House::open(Arc::clone(settings), now) {
                Ok(opened) => {
                    self.status.send_modify(|status| status.trouble = None);
                    self.publish(&opened);
                    house.insert(opened)
                }
                Err(trouble) => {
                    self.stuck(trouble);
                    return;
                }
            },
        };
        self.work(opened, now).await;
    }

    /// Does what is due most, if anything is.
    async fn work(&self, house: &mut House, now: u64) {
        match house.storage.try_lock() {
            Ok(true) if house.follows => {
                log::info(
                    "acme",
                    "the other process has ended: certificates are ordered from here",
                );
                house.follows = false;
                house.reload(now);
            }
            Ok(true) => {}
            Ok(false) => {
                self.follow(house, now);
                return;
            }
            Err(trouble) => {
                self.stuck(trouble);
                return;
            }
        }
        self.tell(house, None, now);
        let due = |record: &Record| plan(&record.history, record.chance(), now);
        let first = house
            .records
            .iter()
            .enumerate()
            .map(|(at, record)| (at, due(record)))
            .filter(|(_, plan)| plan.at <= now)
            .min_by_key(|(_, plan)| (plan.step == Step::AskWindow, plan.at));
        let Some((at, plan)) = first else {
            return;
        };
        match plan.step {
            Step::AskWindow => house.ask_window(at, now).await,
            Step::Order => {
                self.tell(house, Some(at), now);
                self.order(house, at, plan).await;
            }
        }
        self.tell(house, None, unix_now());
    }

    async fn order(&self, house: &mut House, at: usize, plan: Plan) {
        let names = house.records[at].names.join(", ");
        log::info("acme", format!("{names}: a certificate is ordered: {}", plan.reason));
        let done = house.order(at, &self.http, &self.certificates).await;
        let now = unix_now();
        match done {
            Ok(()) => {
                self.publish(house);
                let record = &house.records[at];
                let next = next_order(&record.history, record.chance(), now);
                let until = record.history.held.map_or(0, |held| held.not_after);
                log::info(
                    "acme",
                    format!("{names}: certified until {}, next on {}", date(until), date(next.at)),
                );
                self.status.send_modify(|status| status.issued += 1);
            }
            Err(trouble) => {
                self.status.send_modify(|status| status.failed += 1);
                house.note_failure(at, trouble, now);
            }
        }
    }

    /// Another process orders: what it has got is used as it comes.
    fn follow(&self, house: &mut House, now: u64) {
        if !house.follows {
            house.follows = true;
            let folder = house.storage.folder().display();
            log::info(
                "acme",
                format!("another process looks after {folder}: what it gets is used"),
            );
        }
        if house.reload(now) {
            self.publish(house);
        }
        self.tell(house, None, now);
    }

    fn publish(&self, house: &House) {
        let own = house.records.iter().filter_map(|record| record.certificate.as_ref());
        let certified =
            |name: &str| own.clone().any(|one| one.names.iter().any(|has| **has == *name));
        let wanted = house.records.iter().flat_map(|record| &record.names);
        let lacking: Vec<&String> = wanted.filter(|name| !certified(name)).collect();
        let helps = |other: &&Arc<Certificate>| {
            other.names.iter().any(|name| lacking.iter().any(|lacking| ***lacking == **name))
        };
        let others = house.others.iter().filter(helps);
        self.certificates.set(Source::Acme, own.clone().chain(others).cloned().collect());
    }

    fn tell(&self, house: &House, ordering: Option<usize>, now: u64) {
        let states = house.records.iter().enumerate();
        let states = states.map(|(at, record)| state(record, ordering == Some(at), now)).collect();
        self.status.send_modify(|status| {
            status.certificates = states;
            status.trouble = None;
        });
        self.tell_problems();
    }

    /// Nothing can be done: tells why, and once to the log.
    fn stuck(&self, trouble: String) {
        if self.status.borrow().trouble.as_ref() != Some(&trouble) {
            log::error("acme", &trouble);
        }
        self.status.send_modify(|status| status.trouble = Some(trouble));
        self.tell_problems();
    }

    fn tell_problems(&self) {
        let problems = self.status.borrow().problems();
        if self.status.borrow().problems != problems {
            self.certificates.set_problems(Source::Acme, problems.clone());
            self.status.send_modify(|status| status.problems = problems);
        }
    }
}

impl KeeperStatus {
    fn problems(&self) -> Vec<String> {
        let failing = self.certificates.iter().filter_map(|one| {
            let (error, advice) = (one.error.as_ref()?, one.advice.as_ref()?);
            Some(format!("{}: {error}; {advice}", one.names.join(", ")))
        });
        self.trouble.iter().cloned().chain(failing).collect()
    }
}

fn state(record: &Record, ordering: bool, now: u64) -> CertificateState {
    let history = &record.history;
    let next = next_order(history, record.chance(), now);
    let not_after = history.held.map(|held| held.not_after);
    CertificateState {
        names: record.names.clone(),
        state: match not_after {
            None => "missing",
            Some(not_after) if not_after <= now => "expired",
            Some(_) => "valid",
        },
        ordering,
        not_after_unix: not_after,
        next_unix: next.at.max(now),
        next_reason: next.reason,
        failures: history.failure.as_ref().map_or(0, |failure| failure.count),
        error: history.failure.as_ref().map(|failure| failure.error.clone()),
        advice: history.failure.as_ref().map(|failure| failure.advice.clone()),
    }
}

impl House {
    fn open(settings: Arc<Settings>, now: u64) -> Result<Self, String> {
        let mut storage = Storage::open(&settings.state)?;
        let follows = !storage.try_lock()?;
        let mut house = Self {
            settings,
            storage,
            follows,
            records: Vec::new(),
            others: Vec::new(),
            session: None,
        };
        if follows {
            let folder = house.storage.folder().display();
            log::info(
                "acme",
                format!("another process looks after {folder}: what it gets is used"),
            );
        }
        for names in &house.settings.certificates {
            house.records.push(Record::load(&house.storage, &house.settings, names, now)?);
        }
        house.find_others();
        Ok(house)
    }

    /// Reads what another process has written; whether there was anything new.
    fn reload(&mut self, now: u64) -> bool {
        let mut news = false;
        for record in &mut self.records {
            if record.is_as_read(&self.storage) {
                continue;
            }
            let names = record.names.clone();
            let Ok(fresh) = Record::load(&self.storage, &self.settings, &names, now) else {
                continue;
            };
            news |= fresh.history.held != record.history.held;
            *record = fresh;
        }
        news
    }

    fn find_others(&mut self) {
        let Ok(entries) = std::fs::read_dir(self.storage.folder()) else {
            return;
        };
        for name in entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()) {
            let Some(stem) = name.strip_suffix(".pem") else { continue };
            if self.records.iter().any(|record| record.stem == stem) {
                continue;
            }
            let Ok(Some(pem)) = self.storage.read(&name) else { continue };
            let read = certified(&pem).and_then(|key| Certificate::new(key, &name));
            self.others.extend(read.ok().map(Arc::new));
        }
    }

    /// Orders; again at once while the authority only dislikes how old its own nonces are, or has
    /// forgotten our account.
    async fn order(
        &mut self,
        at: usize,
        http: &HttpAnswers,
        certificates: &Certificates,
    ) -> Result<(), Trouble> {
        for _ in 1..ATTEMPTS_MAX {
            match self.order_once(at, http, certificates).await {
                Err(trouble) if trouble.kind == "badNonce" => {}
                Err(trouble) if trouble.kind == "accountDoesNotExist" => {
                    self.session = None;
                    self.storage.remove(&self.account_file());
                }
                done => return done,
            }
        }
        self.order_once(at, http, certificates).await
    }

    async fn order_once(
        &mut self,
        at: usize,
        http: &HttpAnswers,
        certificates: &Certificates,
    ) -> Result<(), Trouble> {
        let (client, account) = self.session().await?;
        client.take_retry_after();
        let desk = Desk {
            settings: &self.settings,
            account: &account,
            storage: &self.storage,
            http,
            certificates,
        };
        let record = &mut self.records[at];
        let names = record.names.clone();
        let pem = desk.obtain(&names, record).await?;
        record.take(&self.storage, &self.settings, &pem, unix_now())
    }

    /// Notes a failure of the certificate at `at`, and of all others that are due if they would hear the
    /// same.
    fn note_failure(&mut self, at: usize, trouble: Trouble, now: u64) {
        let session = self.session.take();
        let asked = session.and_then(|(client, _)| client.take_retry_after());
        let Trouble { kind, error, advice, is_of_account, retry_after, .. } = trouble;
        for (index, record) in self.records.iter_mut().enumerate() {
            let chance = record.chance();
            let due = plan(&record.history, chance, now);
            let same = is_of_account && due.step == Step::Order && due.at <= now;
            if index != at && !same {
                continue;
            }
            let words = (&*kind, error.clone(), advice.clone());
            record.history.failed(words, retry_after.or(asked), chance, now);
            let next = date(next_order(&record.history, chance, now).at);
            let names = record.names.join(", ");
            let words = format!("{names}: no certificate: {error}\n{advice}; again on {next}");
            match record.history.held.is_some_and(|held| held.not_after > now) {
                true => log::warn("acme", words),
                false => log::error("acme", words),
            }
            if let Err(trouble) = record.save(&self.storage) {
                log::error("acme", format!("{}: {}", trouble.error, trouble.advice));
            }
        }
    }

    async fn ask_window(&mut self, at: usize, now: u64) {
        let (window, again) = match self.window(at).await {
            Ok((window, again)) => (Some(window), Some(again)),
            // It has to be asked again, since it may learn it; RFC 9773 asks for once a day.
            Err(None) => (None, None),
            Err(Some(Error::Unsupported(_))) => (None, Some(u64::MAX)),
            Err(Some(error)) => {
                let name = &self.records[at].names[0];
                log::info(
                    "acme",
                    format!("{name}: the authority does not say when to renew: {error}"),
                );
                (None, None)
            }
        };
        let record = &mut self.records[at];
        let before = record.history.window;
        record.history.asked(window, again, now);
        if let Some(window) = record.history.window.filter(|window| Some(*window) != before) {
            let names = record.names.join(", ");
            let (start, end) = (date(window.start), date(window.end));
            log::info("acme", format!("{names}: to be renewed between {start} and {end}"));
        }
        if let Err(trouble) = record.save(&self.storage) {
            log::error("acme", format!("{}: {}", trouble.error, trouble.advice));
        }
    }

    async fn window(&mut self, at: usize) -> Result<(Window, u64), Option<Error>> {
        let identifier = self.records[at].identifier().ok_or(None)?;
        let (_, account) = self.session().await.map_err(|_| None)?;
        let (info, again) = account.renewal_info(&identifier).await?;
        let unix = |seconds: i64| u64::try_from(seconds).unwrap_or(0);
        let window = info.suggested_window;
        let (start, end) = (window.start.unix_timestamp(), window.end.unix_timestamp());
        Ok((Window { start: unix(start), end: unix(end) }, again.as_secs()))
    }
}

/// As people and logs read it.
fn date(unix: u64) -> String {
    let at = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(unix));
    at.map_or_else(|| "never".to_owned(), httpdate::fmt_http_date)
}
