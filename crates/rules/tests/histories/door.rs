//! A cache without sockets: asks the rules as `data/cache` of the program does, one event at a time.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use rules::cache::{
    Asked, Brought, Cache, KeyParts, Stored, Times, Use, Wishes, forget_conditions, hash,
    is_for_us, prepare, wants_range,
};
use rules::store::{Fifo, Purged, Purges, Scope};
use rules::{Cx, RouteId, Rules};
use wire::{Method, RequestHead, ResponseHead};

use crate::flights::{
    Direct, Effect, Flight, Given, Landed, Object, Question, Waiter, destination, texts,
};
use crate::said::Byte;

/// As in the program.
const ROUNDS_MAX: u32 = 3;
const UNCACHEABLE_MS: u64 = 10_000;

pub(crate) struct Door {
    rules: Arc<Rules>,
    cx: Cx,
    store: Fifo<Rc<Object>>,
    purges: Purges,
    flights: HashMap<u32, Flight>,
    directs: HashMap<u32, Direct>,
    destinations: HashMap<Vec<u8>, u32>,
    uncacheable: HashMap<u64, u64>,
    next_exchange: u32,
    pub(crate) now_ms: u64,
    pub(crate) effects: Vec<Effect>,
}

impl Door {
    pub(crate) fn new(rules: Arc<Rules>) -> Self {
        Self {
            rules,
            cx: Cx::new([10, 0, 0, 1].into(), false),
            store: Fifo::new(1 << 24),
            purges: Purges::default(),
            flights: HashMap::new(),
            directs: HashMap::new(),
            destinations: HashMap::new(),
            uncacheable: HashMap::new(),
            next_exchange: 0,
            now_ms: 0,
            effects: Vec::new(),
        }
    }

    fn cache(&self) -> &Cache {
        self.rules.route(RouteId(0)).cache.as_deref().expect("the route has a cache")
    }

    pub(crate) fn purge(&self, scope: &Scope, soft: bool) {
        self.purges.purge(scope, soft);
    }

    fn purged(&self, stored: &Stored) -> Purged {
        self.purges.look(stored.generation, stored.url(), &stored.tags)
    }

    /// `serve` and what is behind it, up to the first wait.
    pub(crate) fn ask(&mut self, request: usize, mut head: RequestHead) {
        let wishes = Wishes::of(&head);
        let mut key = Vec::new();
        let bypass = self.cache().passes_by(&head, &self.cx, &wishes, false).is_some();
        let mut parts = KeyParts::default();
        if !bypass {
            parts = self.cache().write_key(&head, &self.cx, "service", &mut key);
            self.cache().strip(&mut head);
        }
        let arrived = self.purges.generation();
        let key = key.into();
        let waiter = Waiter {
            request,
            head,
            wishes,
            key,
            parts,
            arrived,
            round: 0,
            question: None,
            leads: false,
        };
        if bypass {
            return self.ask_directly(waiter, false, None);
        }
        self.look_up(waiter, None);
    }

    fn look_up(&mut self, mut waiter: Waiter, learned: Option<&Stored>) {
        let (mut varied, mut part) = (None, None);
        let (head, key) = (&waiter.head, &waiter.key);
        let found = self.store.find(hash(key), |object| {
            if *object.stored.key != **key {
                return false;
            }
            let other = match () {
                () if !object.stored.is_for(head) => &mut varied,
                () if object.stored.is_of_other_bytes(head) => &mut part,
                () => return true,
            };
            *other = Some(Rc::clone(object));
            false
        });
        let Some(object) = found.cloned() else {
            let stands = |object: &Rc<Object>| self.purged(&object.stored) == Purged::No;
            let part: Option<Rc<Object>> = part.filter(stands);
            let known = part.as_ref().or(varied.as_ref()).map(|object| &object.stored);
            let destination = destination(&waiter, learned.or(known));
            let part = part.filter(|part| {
                let fresh = part.stored.left_ms(self.now_ms) > 0 && !part.stored.freshness.no_cache;
                fresh && !wants_range(head) && part.stored.rest().is_some()
            });
            waiter.question = Some(Question { stale: None, part, destination });
            return self.fetch(waiter);
        };
        let purged = self.purged(&object.stored);
        let used = object.stored.judge(purged, &waiter.wishes, self.now_ms, u64::MAX);
        let stale = match used {
            Use::Serve(_) => return self.hit(&waiter, &object, None),
            Use::ServeAndRefresh(_) => {
                if waiter.round == 0 {
                    self.refresh(&waiter, &object);
                }
                return self.hit(&waiter, &object, None);
            }
            Use::Validate(_) => Some(Rc::clone(&object)),
            Use::Ignore(_) => None,
        };
        let destination = destination(&waiter, Some(&object.stored));
        waiter.question = Some(Question { stale, part: None, destination });
        self.fetch(waiter);
    }

    /// One round of `ask`.
    fn fetch(&mut self, mut waiter: Waiter) {
        let question = waiter.question.clone().expect("it was looked up");
        if waiter.wishes.only_stored() {
            return self.give(Given {
                request: waiter.request,
                status: 504,
                fields: Vec::new(),
                body: Vec::new(),
                by: None,
                age_ms: None,
                at_ms: self.now_ms,
            });
        }
        let hash = hash(&waiter.key);
        let known = self.uncacheable.get(&hash).is_some_and(|until_ms| self.now_ms < *until_ms);
        if waiter.head.method == Method::Head || waiter.round + 1 == ROUNDS_MAX || known {
            return self.ask_directly(waiter, true, question.stale);
        }
        let flight = self.destinations.get(&question.destination).filter(|exchange| {
            match &self.flights[*exchange].landed {
                Some(Landed::Shared(stored)) => {
                    stored.is_for(&waiter.head)
                        && stored.may_be_joined(self.purged(stored), &waiter.wishes, self.now_ms)
                }
                _ => true,
            }
        });
        if let Some(&exchange) = flight {
            waiter.leads = false;
            let landed = self.flights[&exchange].landed.clone();
            return match landed {
                Some(landed) => self.land_for(waiter, exchange, &landed),
                None => self.flights.get_mut(&exchange).expect("it flies").waiters.push(waiter),
            };
        }
        waiter.leads = true;
        let request = waiter.request;
        let head = waiter.head.clone();
        let exchange = self.depart(&waiter, head, question, (request, false));
        self.flights.get_mut(&exchange).expect("it departed").waiters.push(waiter);
    }

    fn depart(
        &mut self,
        waiter: &Waiter,
        mut head: RequestHead,
        question: Question,
        (request, background): (usize, bool),
    ) -> u32 {
        let stored =
            |object: &Option<Rc<Object>>| object.as_ref().map(|object| object.stored.clone());
        prepare(&mut head, stored(&question.stale).as_ref(), stored(&question.part).as_ref());
        let exchange = self.send(request, (true, background), &head);
        self.destinations.insert(question.destination.clone(), exchange);
        let flight = Flight {
            exchange,
            generation: self.purges.generation(),
            requested_ms: self.now_ms,
            head,
            key: Rc::clone(&waiter.key),
            parts: waiter.parts,
            question,
            landed: None,
            keeping: None,
            before: Vec::new(),
            waiters: Vec::new(),
            reading: Vec::new(),
        };
        self.flights.insert(exchange, flight);
        exchange
    }

    /// `refresh_soon`.
    fn refresh(&mut self, waiter: &Waiter, object: &Rc<Object>) {
        let mut head = waiter.head.clone();
        forget_conditions(&mut head);
        head.set_get();
        let mut destination = waiter.key.to_vec();
        object.stored.write_variant(&head, &mut destination);
        if self.destinations.contains_key(&destination) {
            return;
        }
        let question = Question { stale: Some(Rc::clone(object)), part: None, destination };
        self.depart(waiter, head, question, (waiter.request, true));
    }

    fn ask_directly(&mut self, waiter: Waiter, learns: bool, stale: Option<Rc<Object>>) {
        let exchange = self.send(waiter.request, (false, false), &waiter.head.clone());
        let generation = self.purges.generation();
        let requested_ms = self.now_ms;
        let direct = Direct { waiter, learns, stale, generation, requested_ms, given: None };
        self.directs.insert(exchange, direct);
    }

    fn send(
        &mut self,
        request: usize,
        (is_flight, background): (bool, bool),
        head: &RequestHead,
    ) -> u32 {
        self.next_exchange += 1;
        let (exchange, head) = (self.next_exchange, Box::new(head.clone()));
        self.effects.push(Effect::Send { exchange, request, background, is_flight, head });
        exchange
    }

    fn give(&mut self, given: Given) {
        self.effects.push(Effect::Give(given));
    }

    /// `hit::send`.
    fn hit(&mut self, waiter: &Waiter, object: &Object, by: Option<u32>) {
        let stored = &object.stored;
        let answer = stored.answer(&waiter.head).expect("what was looked for has the bytes");
        let mut head = ResponseHead::default();
        stored.write_head(&mut head);
        if let Some(range) = &answer.content_range {
            head.fields.set("Content-Range", range.as_bytes());
        }
        let bytes = answer.bytes.start as usize..answer.bytes.end as usize;
        let mut body = object.body[bytes].to_vec();
        if waiter.head.method == Method::Head {
            body.clear();
        }
        let age_ms = Some(stored.age_ms(self.now_ms));
        let fields = texts(&head);
        let at_ms = self.now_ms;
        let status = answer.status;
        self.give(Given { request: waiter.request, status, fields, body, by, age_ms, at_ms });
    }

    /// The head of an answer came.
    pub(crate) fn head(&mut self, exchange: u32, response: &ResponseHead) {
        if self.directs.contains_key(&exchange) {
            return self.direct_head(exchange, response);
        }
        let flight = &self.flights[&exchange];
        let times = Times { requested_ms: flight.requested_ms, received_ms: self.now_ms };
        let asked = Asked {
            head: &flight.head,
            cx: &self.cx,
            key: &flight.key,
            parts: flight.parts,
            generation: flight.generation,
        };
        let Question { stale, part, .. } = flight.question.clone();
        let stored = |object: Option<&Rc<Object>>| object.map(|object| object.stored.clone());
        let (known, rest) = (stored(stale.as_ref()), stored(part.as_ref()));
        let brought = self.cache().learn(&asked, response, times, (known.as_ref(), rest.as_ref()));
        let landed = self.judge(exchange, brought, response, stale);
        let is_stored = !matches!(landed, Landed::Own(_));
        self.note(hash(&self.flights[&exchange].key.clone()), is_stored, response.status);
        if !matches!(landed, Landed::Shared(_)) {
            self.arrive(exchange);
        }
        let flight = self.flights.get_mut(&exchange).expect("it flies");
        flight.landed = Some(landed.clone());
        for waiter in std::mem::take(&mut flight.waiters) {
            self.land_for(waiter, exchange, &landed);
        }
    }

    /// `Fetch::judge` and `Fetch::share`.
    fn judge(
        &mut self,
        exchange: u32,
        brought: Brought,
        response: &ResponseHead,
        stale: Option<Rc<Object>>,
    ) -> Landed {
        match brought {
            Brought::Updated(stored) => {
                let body = stale.map(|stale| stale.body.clone()).unwrap_or_default();
                let object = Rc::new(Object { stored: *stored, body });
                self.insert(&object);
                Landed::Updated(object)
            }
            Brought::Failing => Landed::Failing(response.status),
            Brought::Unfit => {
                self.drop_stale(stale);
                let part = self.flights[&exchange].question.part.clone();
                self.drop_stale(part);
                Landed::Failing(response.status)
            }
            Brought::Shared(mut stored, _) => {
                let flight = self.flights.get_mut(&exchange).expect("it flies");
                if let Some(part) = flight.question.part.clone()
                    && let Some(join) = stored.joins(&part.stored)
                    && join.other_first
                    && join.skip == 0
                {
                    flight.before.clone_from(&part.body);
                    *stored = stored.joined(&part.stored, join);
                }
                flight.keeping = Some(Stored::clone(&stored));
                Landed::Shared(stored)
            }
            Brought::Own(_) => {
                if response.status < 500 {
                    self.drop_stale(stale);
                }
                let mut head = response.clone();
                head.fields.remove_if(|name, _, _| is_for_us(name));
                Landed::Own(head)
            }
        }
    }

    fn drop_stale(&mut self, stale: Option<Rc<Object>>) {
        if let Some(stale) = stale {
            self.store.remove(hash(&stale.stored.key), |other| Rc::ptr_eq(other, &stale));
        }
    }

    fn note(&mut self, hash: u64, is_stored: bool, status: u16) {
        if is_stored {
            self.uncacheable.remove(&hash);
        } else if status < 500 {
            self.uncacheable.insert(hash, self.now_ms + UNCACHEABLE_MS);
        }
    }

    /// `Store::insert`.
    fn insert(&mut self, object: &Rc<Object>) -> bool {
        if self.purged(&object.stored) == Purged::Hard {
            return false;
        }
        let same = |other: &Rc<Object>| object.stored.same_variant(&other.stored);
        let hash = hash(&object.stored.key);
        self.store.insert(hash, 100, Rc::clone(object), same, &mut Vec::new()).is_ok()
    }

    fn arrive(&mut self, exchange: u32) {
        let destination = &self.flights[&exchange].question.destination;
        if self.destinations.get(destination) == Some(&exchange) {
            self.destinations.remove(&destination.clone());
        }
    }

    /// `follow_to_end`.
    fn land_for(&mut self, waiter: Waiter, exchange: u32, landed: &Landed) {
        let by = waiter.leads.then_some(exchange);
        let generation = self.flights[&exchange].generation;
        let is_for = |stored: &Stored| {
            let stands = generation >= waiter.arrived || self.purged(stored) == Purged::No;
            waiter.leads || (stored.is_for(&waiter.head) && stands)
        };
        match landed {
            Landed::Failing(status) => self.fail(waiter, exchange, *status, false),
            Landed::Updated(object) if is_for(&object.stored) => self.hit(&waiter, object, by),
            Landed::Updated(_) => self.again(waiter, None),
            Landed::Shared(stored) if !is_for(stored) => self.again(waiter, Some(stored)),
            Landed::Shared(stored) => {
                let mut head = ResponseHead::default();
                stored.write_head(&mut head);
                let answer = stored.part.is_none().then(|| stored.answer(&waiter.head)).flatten();
                let unchanged = answer.is_some_and(|answer| answer.status == 304);
                let status = if unchanged { 304 } else { head.status };
                let age_ms = stored.age_ms(self.now_ms);
                let given = Given {
                    request: waiter.request,
                    status,
                    fields: texts(&head),
                    body: Vec::new(),
                    by,
                    age_ms: (age_ms >= 1000).then_some(age_ms),
                    at_ms: self.now_ms,
                };
                self.flights.get_mut(&exchange).expect("it flies").reading.push(given);
            }
            Landed::Own(head) if waiter.leads => {
                let given = Given {
                    request: waiter.request,
                    status: head.status,
                    fields: texts(head),
                    body: Vec::new(),
                    by,
                    age_ms: None,
                    at_ms: self.now_ms,
                };
                self.flights.get_mut(&exchange).expect("it flies").reading.push(given);
            }
            Landed::Own(_) => self.again(waiter, None),
        }
    }

    fn again(&mut self, mut waiter: Waiter, learned: Option<&Stored>) {
        waiter.round += 1;
        self.look_up(waiter, learned);
    }

    /// The service failed: `stand_in`, and else another round, or the fault if there is no answer.
    fn fail(&mut self, waiter: Waiter, exchange: u32, status: u16, for_good: bool) {
        let question = waiter.question.as_ref().expect("it asked");
        let stale = question.stale.clone();
        let stands_in =
            |stale: &Rc<Object>| stale.stored.stands_in(&waiter.wishes, status, self.now_ms);
        if let Some(stale) = stale.filter(stands_in) {
            let by = waiter.leads.then_some(exchange);
            return self.hit(&waiter, &stale, by);
        }
        if !for_good {
            return self.again(waiter, None);
        }
        let request = waiter.request;
        let by = waiter.leads.then_some(exchange);
        let (fields, body) = (Vec::new(), Vec::new());
        let at_ms = self.now_ms;
        self.give(Given { request, status, fields, body, by, age_ms: None, at_ms });
    }

    /// The answer is whole, or broke off; or there is none.
    pub(crate) fn end(&mut self, exchange: u32, body: &[Byte], whole: bool) {
        if let Some(direct) = self.directs.remove(&exchange) {
            if let Some(mut given) = direct.given.filter(|_| whole) {
                given.body = body.to_vec();
                self.give(given);
            }
            return;
        }
        let flight = self.flights.get_mut(&exchange).expect("it flies");
        let mut all = std::mem::take(&mut flight.before);
        all.extend_from_slice(body);
        let (keeping, waiters) = (flight.keeping.take(), std::mem::take(&mut flight.waiters));
        if let Some(stored) = keeping.filter(|_| whole)
            && let Some(object) = self.object(stored, &all)
            && !self.insert(&object)
        {
            let stale = self.flights[&exchange].question.stale.clone();
            self.drop_stale(stale);
        }
        self.arrive(exchange);
        for waiter in waiters {
            self.fail(waiter, exchange, 502, true);
        }
        let flight = self.flights.remove(&exchange).expect("it flies");
        debug_assert_eq!(flight.exchange, exchange);
        for mut given in flight.reading.into_iter().filter(|_| whole) {
            given.body = if given.status == 304 { Vec::new() } else { all.clone() };
            self.give(given);
        }
    }

    /// `Fetch::object`.
    fn object(&mut self, mut stored: Stored, bytes: &[Byte]) -> Option<Rc<Object>> {
        let count = bytes.len() as u64;
        if stored.part.is_none() {
            stored.body_bytes = count;
        } else if stored.body_bytes != count {
            return None;
        }
        let joins = |object: &Rc<Object>| {
            object.stored.key == stored.key && stored.joins(&object.stored).is_some()
        };
        let other = self.store.find(hash(&stored.key), joins).cloned();
        let Some((other, join)) =
            other.and_then(|other| stored.joins(&other.stored).map(|join| (other, join)))
        else {
            return Some(Rc::new(Object { stored, body: bytes.to_vec() }));
        };
        let (first, second) =
            if join.other_first { (&other.body[..], bytes) } else { (bytes, &other.body[..]) };
        let body = [first, &second[join.skip as usize..]].concat();
        Some(Rc::new(Object { stored: stored.joined(&other.stored, join), body }))
    }

    /// `see_response`.
    fn direct_head(&mut self, exchange: u32, response: &ResponseHead) {
        let direct = &self.directs[&exchange];
        let (head, key) = (direct.waiter.head.clone(), Rc::clone(&direct.waiter.key));
        let times = Times { requested_ms: direct.requested_ms, received_ms: self.now_ms };
        let (learns, generation, parts) = (direct.learns, direct.generation, direct.waiter.parts);
        if !head.method.is_safe() {
            for tag in self.rules.invalidates(&head, &self.cx, response) {
                self.purges.purge(&Scope::Tag(tag), false);
            }
            self.effects.push(Effect::Purged);
        }
        if let Some(stale) = direct.stale.clone().filter(|_| head.method == Method::Head) {
            match self.cache().update_by_head(&stale.stored, response, times, generation) {
                Some(stored) => {
                    self.insert(&Rc::new(Object { stored, body: stale.body.clone() }));
                }
                None if response.status < 500 => self.drop_stale(Some(stale)),
                None => {}
            }
        }
        if learns && head.method == Method::Get {
            let asked = Asked { head: &head, cx: &self.cx, key: &key, parts, generation };
            let is_stored = self.cache().store(&asked, response, times).is_ok();
            if is_stored || response.status < 500 {
                self.note(hash(&key), is_stored, response.status);
            }
        }
        let direct = self.directs.get_mut(&exchange).expect("it was asked");
        direct.given = Some(Given {
            request: direct.waiter.request,
            status: response.status,
            fields: texts(response),
            body: Vec::new(),
            by: Some(exchange),
            age_ms: None,
            at_ms: self.now_ms,
        });
    }
}
