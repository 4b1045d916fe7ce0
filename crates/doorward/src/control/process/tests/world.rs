//! A made-up world: processes that behave as their command's name says, and its own time.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use config::Share;

use super::super::failure::Failure;
use super::super::fleet::Fleet;
use super::super::news::{Effect, Event, Exit, Process, RunId, Signal, Time};
use super::super::spec::ServiceSpec;

#[derive(Default)]
pub(super) struct World {
    pub(super) fleet: Fleet,
    pub(super) now: Time,
    /// By pid, which is also the port.
    pub(super) processes: BTreeMap<u32, Living>,
    pids: u32,
    coming: Vec<(Time, RunId, Event)>,
    pub(super) published: BTreeMap<String, Vec<u32>>,
    pub(super) story: String,
}

pub(super) struct Living {
    id: RunId,
    pub(super) name: String,
    pub(super) command: String,
    began: Time,
    pub(super) hangs: bool,
    deaf: bool,
}

impl World {
    /// Does what one `<time> <verb> <arguments>` line says, after all that is due before it.
    pub(super) fn line(&mut self, line: &str) {
        let mut words = line.split_whitespace();
        let time = words.next().expect("a time");
        let until = Duration::from(time.parse::<config::Period>().expect("a time"));
        self.pass(until);
        let _ = writeln!(self.story, "{line}");
        let verb = words.next().expect("a verb");
        let rest: Vec<&str> = words.collect();
        let pid = || rest[0].parse::<u32>().expect("a pid");
        match verb {
            "apply" => self.apply(rest.iter().map(|text| service(text)).collect()),
            "die" => self.die(pid(), Failure::Killed { signal: 9 }),
            "hang" => self.processes.get_mut(&pid()).expect("it lives").hangs = true,
            "heal" => self.processes.get_mut(&pid()).expect("it lives").hangs = false,
            "drained" => {
                let address = format!("127.0.0.1:{}", pid()).parse().expect("an address");
                let effects = self.fleet.drained(address, self.now);
                self.perform(effects);
            }
            "stop" => {
                let effects = self.fleet.stop(self.now);
                self.perform(effects);
            }
            "status" => self.status(),
            "wait" => {}
            _ => panic!("no such verb: {line}"),
        }
    }

    pub(super) fn apply(&mut self, specs: Vec<ServiceSpec>) {
        let effects = self.fleet.apply(specs, self.now);
        self.perform(effects);
    }

    pub(super) fn stop(&mut self) {
        let effects = self.fleet.stop(self.now);
        self.perform(effects);
    }

    fn status(&mut self) {
        for one in self.fleet.status(Duration::ZERO) {
            let reason = one.last_exit.map(|last| last.reason).unwrap_or_default();
            let line = format!(
                "{}/{} {:?} {:?} since {}ms pid {:?} restarts {} {reason}",
                one.service,
                one.instance,
                one.role,
                one.state,
                one.since_unix_ms,
                one.pid,
                one.restarts,
            );
            self.tell(&line);
        }
    }

    /// Lets time pass up to `until`.
    pub(super) fn pass(&mut self, until: Time) {
        loop {
            let coming = self.coming.iter().map(|(time, ..)| *time);
            let next = coming.chain(self.fleet.deadline()).min();
            let Some(time) = next.filter(|time| *time <= until) else {
                break;
            };
            self.now = self.now.max(time);
            let (due, later) = std::mem::take(&mut self.coming)
                .into_iter()
                .partition(|(time, ..)| *time <= self.now);
            self.coming = later;
            for (_, id, event) in due {
                self.event(id, &event);
            }
            let effects = self.fleet.tick(self.now);
            self.perform(effects);
        }
        self.now = until;
    }

    fn event(&mut self, id: RunId, event: &Event) {
        if let Event::Exited(_) = event {
            self.processes.retain(|_, process| process.id != id);
        }
        let effects = self.fleet.event(id, event, self.now);
        self.perform(effects);
    }

    pub(super) fn die(&mut self, pid: u32, failure: Failure) {
        let Some(process) = self.processes.get(&pid) else {
            panic!("no process {pid}");
        };
        self.event(process.id, &exited(failure));
    }

    fn perform(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Spawn { id, slot, spec } => self.spawn(id, slot, &spec),
                Effect::Probe { id, port, .. } => {
                    let result = self.answer(u32::from(port));
                    let later = self.now + Duration::from_millis(1);
                    self.coming.push((later, id, Event::Probed(result)));
                }
                Effect::Signal { id, signal } => self.signal(id, signal),
                Effect::Publish { service, ready } => {
                    let ready: Vec<u32> = ready.iter().map(|at| u32::from(at.port())).collect();
                    self.tell(&format!("{service} publish {ready:?}"));
                    self.published.insert(service.to_string(), ready);
                }
                Effect::Say { service, instance, level, text } => {
                    let instance = instance.map_or_else(String::new, |slot| format!("/{slot}"));
                    let level = format!("{level:?}").to_lowercase();
                    self.tell(&format!("{service}{instance} {level}: {text}"));
                }
            }
        }
    }

    fn spawn(&mut self, id: RunId, slot: u32, spec: &ServiceSpec) {
        let command = spec.words(0).remove(0);
        let name = spec.name.to_string();
        if command == "missing" {
            let failure = Failure::Missing { program: command };
            return self.event(id, &Event::NotSpawned(failure));
        }
        self.pids += 1;
        let pid = self.pids;
        self.tell(&format!("{name}/{slot} spawn {command}"));
        let exit = |failure, port_taken| {
            Event::Exited(Exit { failure, last_lines: vec!["a last word".to_owned()], port_taken })
        };
        let soon = self.now + Duration::from_millis(10);
        if command == "crash" {
            self.coming.push((soon, id, exit(Failure::Exited { status: 1 }, false)));
        }
        if command == "unlucky" && pid < 3 {
            self.coming.push((soon, id, exit(Failure::Exited { status: 98 }, true)));
        }
        self.processes.insert(
            pid,
            Living { id, name, began: self.now, hangs: false, deaf: command == "deaf", command },
        );
        let port = u16::try_from(pid).expect("few processes");
        self.event(id, &Event::Spawned(Process { pid, port }));
    }

    fn answer(&self, pid: u32) -> Result<(), String> {
        let process = self.processes.get(&pid).ok_or("refused")?;
        let young = self.now - process.began < Duration::from_secs(3);
        match &process.command[..] {
            _ if process.hangs => Err("no answer".to_owned()),
            "never" | "crash" | "unlucky" if process.command != "unlucky" || pid < 3 => {
                Err("refused".to_owned())
            }
            "slow" if young => Err("refused".to_owned()),
            _ => Ok(()),
        }
    }

    fn signal(&mut self, id: RunId, signal: Signal) {
        let found = self.processes.iter().find(|(_, one)| one.id == id);
        let Some((pid, process)) = found else { return };
        let ends = signal == Signal::Kill || !process.deaf;
        let text = format!("{} signal {signal:?} to {pid}", process.name);
        self.tell(&text);
        if ends {
            let signal = if signal == Signal::Kill { 9 } else { 15 };
            let later = self.now + Duration::from_millis(5);
            self.coming.push((later, id, exited(Failure::Killed { signal })));
        }
    }

    fn tell(&mut self, text: &str) {
        let _ = writeln!(self.story, "  {:>9.3}s {text}", self.now.as_secs_f64());
    }
}

fn exited(failure: Failure) -> Event {
    Event::Exited(Exit { failure, last_lines: Vec::new(), port_taken: false })
}

/// `name*count=command`.
pub(super) fn service(text: &str) -> ServiceSpec {
    let (left, command) = text.split_once('=').expect("a command");
    let (name, count) = left.split_once('*').unwrap_or((left, "1"));
    let mut spec = ServiceSpec::new(name, super::command(command));
    spec.instances = count.parse().expect("a count");
    spec.checked.health.ask = super::get("/");
    spec.checked.health.jitter = Share::ZERO;
    spec
}
