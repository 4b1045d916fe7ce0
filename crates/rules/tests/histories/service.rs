//! The service behind the door: a few pages that change, with headers as services send them.

use crate::chance::Chance;
use crate::said::{Answer, Byte, Bytes, Date, Directives, Request, Seconds, Tag};

pub(crate) const HOSTS: [&str; 2] = ["a.example", "b.example"];
pub(crate) const TARGETS: [&str; 5] = ["/p", "/q", "/p?x=1", "/p?x=2", "/p?y=1"];
pub(crate) const LANGUAGES: [&str; 6] =
    ["de", "en", "fr", "de, en;q=0.5", "en;q=0.50,de", "DE;q=1.0 , en;q=0.5"];
pub(crate) const KINDS: [&str; 4] = ["a", "b", "a, b", "a ,b"];
pub(crate) const TAGS: [&str; 3] = ["red", "blue", "Red"];
pub(crate) const GROUPS: [&str; 2] = ["news", "News"];

/// No time at all.
const BROKEN: i64 = i64::MIN;

/// How a page answers; some answers deviate from it.
#[derive(Clone, Debug, Default)]
struct Manner {
    said: Option<Directives>,
    cdn: Option<Directives>,
    own: Option<Directives>,
    vary: Vec<&'static str>,
    tags: Vec<&'static str>,
    groups: Vec<&'static str>,
    has_tag: bool,
    tag_is_weak: bool,
    has_modified: bool,
    /// How long after its making it expires, in milliseconds; or never in a way that can be read.
    expires_ms: Option<i64>,
    skew_ms: Option<i64>,
    age: Option<u64>,
    has_secret: bool,
    sets_cookie: bool,
    status: u16,
}

impl Manner {
    fn random(chance: &mut Chance) -> Self {
        let some = |chance: &mut Chance, percent: usize, names: &[&'static str]| {
            names.iter().copied().filter(|_| chance.is(percent)).collect::<Vec<_>>()
        };
        let mut vary = some(chance, 25, &["accept-language", "X-Kind"]);
        if chance.is(2) {
            vary.push("*");
        }
        Self {
            said: chance.is(85).then(|| Directives::random(chance, false)),
            cdn: chance.is(8).then(|| Directives::random(chance, true)),
            own: chance.is(8).then(|| Directives::random(chance, true)),
            vary,
            tags: some(chance, 25, &TAGS),
            groups: some(chance, 20, &GROUPS),
            has_tag: chance.is(60),
            tag_is_weak: chance.is(25),
            has_modified: chance.is(40),
            expires_ms: chance.maybe(15, &[-5_000, 0, 2_000, 10_000, 60_000, BROKEN]),
            skew_ms: chance.maybe(85, &[0, 0, 0, 0, -5_000, 5_000, -100_000]),
            age: chance.maybe(15, &[0, 1, 5, 50]),
            has_secret: chance.is(30),
            sets_cookie: chance.is(6),
            status: if chance.is(88) { 200 } else { chance.of(&[203, 404, 301, 302, 418, 410]) },
        }
    }
}

impl Manner {
    /// As large files are served that clients fetch in parts: with a tag, and for long.
    fn of_parts(chance: &mut Chance) -> Self {
        let said = Directives {
            max_age: chance.maybe(80, &[60, 600]).map(Seconds::Of),
            ..Directives::default()
        };
        Self {
            said: Some(said),
            has_tag: chance.is(85),
            tag_is_weak: chance.is(20),
            vary: if chance.is(20) { vec!["X-Kind"] } else { Vec::new() },
            skew_ms: Some(0),
            status: 200,
            ..Self::random(chance)
        }
    }
}

#[derive(Debug)]
struct Page {
    host: &'static str,
    target: &'static str,
    version: u32,
    changed_ms: u64,
    bytes: u32,
    manner: Manner,
}

pub(crate) struct Service {
    pages: Vec<Page>,
    /// Whether they are fetched in parts.
    in_parts: bool,
}

/// What a request asks of the service itself, as it stands in the head that was sent.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sent {
    pub(crate) target: String,
    pub(crate) if_none_match: Option<String>,
    pub(crate) if_modified_since: Option<String>,
    pub(crate) range: Option<String>,
    pub(crate) if_range: Option<String>,
}

impl Service {
    pub(crate) fn random(chance: &mut Chance, in_parts: bool, now_ms: u64) -> Self {
        let mut pages = Vec::new();
        for host in HOSTS {
            for target in TARGETS {
                let changed_ms = now_ms - chance.of(&[500, 20_000, 1_000_000, 100_000_000]);
                let manner = match in_parts {
                    true => Manner::of_parts(chance),
                    false => Manner::random(chance),
                };
                let bytes = length(chance, in_parts);
                pages.push(Page { host, target, version: 1, changed_ms, bytes, manner });
            }
        }
        Self { pages, in_parts }
    }

    fn page(&mut self, host: &str, target: &str) -> &mut Page {
        let same = |page: &&mut Page| page.host == host && page.target == target;
        self.pages.iter_mut().find(same).expect("only pages are asked for")
    }

    /// Something changed without anybody being told.
    pub(crate) fn change(&mut self, chance: &mut Chance, now_ms: u64) {
        let at = chance.below(self.pages.len());
        let page = &mut self.pages[at];
        page.version += 1;
        page.changed_ms = now_ms;
        page.bytes = length(chance, self.in_parts);
        if chance.is(30) {
            page.manner = Manner::random(chance);
        }
    }

    /// The answer to a `GET` or `HEAD`.
    pub(crate) fn read(
        &mut self,
        (id, request, sent): (u32, &Request, &Sent),
        chance: &mut Chance,
        now_ms: u64,
    ) -> Answer {
        let deviates = chance.is(if self.in_parts { 4 } else { 12 });
        let page = self.page(request.host, &sent.target);
        let manner = if deviates { Manner::random(chance) } else { page.manner.clone() };
        let made_ms = now_ms.saturating_add_signed(manner.skew_ms.unwrap_or(0)) / 1000 * 1000;
        let mut answer = Answer {
            status: manner.status,
            date: manner.skew_ms.map(|_| Date::At(made_ms)),
            age: manner.age,
            expires: manner.expires_ms.map(|ms| match ms {
                BROKEN => Date::Broken,
                ms => Date::At(made_ms.saturating_add_signed(ms)),
            }),
            said: manner.said,
            cdn: manner.cdn,
            own: manner.own,
            tags: manner.tags,
            groups: manner.groups,
            has_secret: manner.has_secret,
            sets_cookie: manner.sets_cookie,
            ..Answer::default()
        };
        if chance.is(2) {
            answer.date = Some(Date::Broken);
        }
        if chance.is(8) {
            answer.status = chance.of(&[500, 503, 502, 404]);
            let bytes = u32::from(request.method != "HEAD");
            answer.body = (0..bytes).map(|at| Byte { made: id, at }).collect();
            if chance.is(60) {
                (answer.said, answer.cdn, answer.own, answer.expires) = (None, None, None, None);
            }
            return answer;
        }
        let by_language = manner.vary.contains(&"accept-language");
        let by_kind = manner.vary.contains(&"X-Kind");
        let language = by_language.then(|| favourite(request.language.unwrap_or_default()));
        let kind = by_kind.then(|| members(request.kind.unwrap_or_default()));
        answer.vary = manner.vary;
        answer.language = language;
        let text = format!("{}v{}{language:?}{kind:?}", page.target, page.version);
        let text = text.replace('"', "'");
        answer.tag =
            manner.has_tag.then_some(Tag { weak: manner.tag_is_weak, text: text.replace(' ', "") });
        answer.modified = manner.has_modified.then_some(Date::At(page.changed_ms / 1000 * 1000));
        answer.body = (0..page.bytes).map(|at| Byte { made: id, at }).collect();
        condition(&mut answer, sent, chance);
        if request.method == "HEAD" {
            answer.body.clear();
        }
        answer
    }

    /// The answer to an unsafe request.
    pub(crate) fn write(&mut self, request: &Request, chance: &mut Chance, now_ms: u64) -> Answer {
        let status = chance.of(&[200, 201, 204, 303, 400, 409, 500]);
        let page = self.page(request.host, &request.target);
        if status < 400 {
            page.version += 1;
            page.changed_ms = now_ms;
        }
        let elsewhere = |chance: &mut Chance, percent: usize| {
            chance.is(percent).then(|| match chance.below(4) {
                0 => chance.of(&TARGETS).to_owned(),
                1 => chance.of(&["p", "q?z", "./q", "../p?x=1"]).to_owned(),
                _ => format!("http://{}{}", chance.of(&HOSTS), chance.of(&TARGETS)),
            })
        };
        Answer {
            status,
            date: Some(Date::At(now_ms / 1000 * 1000)),
            location: elsewhere(chance, 25),
            content_location: elsewhere(chance, 15),
            purged_groups: chance.maybe(15, &GROUPS).into_iter().collect(),
            purged_tags: chance.maybe(15, &TAGS).into_iter().collect(),
            ..Answer::default()
        }
    }
}

fn length(chance: &mut Chance, in_parts: bool) -> u32 {
    if in_parts { chance.of(&[6, 9, 12]) } else { chance.of(&[0, 1, 6, 9]) }
}

/// The language that is liked best and is there.
fn favourite(text: &str) -> &'static str {
    let text = text.to_ascii_lowercase();
    if text.starts_with("de") || text.ends_with("de") { "de" } else { "en" }
}

fn members(text: &str) -> String {
    text.replace([' ', '\t'], "")
}

/// Makes a 304 or a 206 of an answer, if that is what was asked for.
fn condition(answer: &mut Answer, sent: &Sent, chance: &mut Chance) {
    if answer.status != 200 {
        return;
    }
    let same = match (&sent.if_none_match, &sent.if_modified_since) {
        (Some(tags), _) => {
            answer.tag.as_ref().is_some_and(|tag| tags.contains(&format!("\"{}\"", tag.text)))
        }
        (None, Some(date)) => answer.modified.is_some_and(|ours| ours.text() == *date),
        (None, None) => false,
    };
    let asked = sent.if_none_match.is_some() || sent.if_modified_since.is_some();
    // One in many says so though it is not.
    if same || (asked && chance.is(3)) {
        answer.status = 304;
        answer.body.clear();
        answer.language = None;
        return;
    }
    let Some(range) = &sent.range else { return };
    let unchanged = sent.if_range.as_ref().is_none_or(|wanted| {
        answer.tag.as_ref().is_some_and(|tag| !tag.weak && tag.text() == *wanted)
    });
    let whole = answer.body.len() as u32;
    let Some((first, last)) = Bytes::read(range).of(whole).filter(|_| unchanged) else { return };
    if chance.is(10) {
        return;
    }
    answer.status = 206;
    // A server may send less than what it was asked for.
    let last = if first < last && chance.is(12) { last - 1 } else { last };
    answer.range = Some((first, last, whole));
    answer.body = answer.body[first as usize..=last as usize].to_vec();
    answer.lies = chance.is(10);
    if answer.lies {
        answer.range = match chance.below(4) {
            // The body is not what it says, or the whole is not as long.
            0 => Some((first, last + 1, whole + 1)),
            1..3 => Some((first, last, whole + 1)),
            _ => None,
        };
    }
}
