//! What messages say, as values: from these the text is written that the rules read, and the oracle
//! looks at nothing else.

use crate::chance::Chance;

/// A number of seconds, or what is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seconds {
    Of(u64),
    Broken,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Scope {
    #[default]
    None,
    /// The field `X-Secret`.
    Secret,
    All,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Directives {
    pub(crate) max_age: Option<Seconds>,
    pub(crate) s_maxage: Option<Seconds>,
    pub(crate) while_revalidate: Option<Seconds>,
    pub(crate) if_error: Option<Seconds>,
    pub(crate) no_store: bool,
    pub(crate) no_cache: Scope,
    pub(crate) private: Scope,
    pub(crate) public: bool,
    pub(crate) must_revalidate: bool,
    pub(crate) proxy_revalidate: bool,
    pub(crate) must_understand: bool,
    pub(crate) immutable: bool,
    /// One that nobody knows.
    pub(crate) unknown: bool,
}

const SECONDS: [u64; 5] = [0, 2, 10, 60, 600];

impl Directives {
    /// Directives as services send them, and some that none should.
    pub(crate) fn random(chance: &mut Chance, sound: bool) -> Self {
        let seconds = |chance: &mut Chance, percent: usize| {
            let of = chance.maybe(percent, &SECONDS).map(Seconds::Of);
            of.map(|seconds| if !sound && chance.is(4) { Seconds::Broken } else { seconds })
        };
        let scope = |chance: &mut Chance| match chance.below(20) {
            0 => Scope::All,
            1 => Scope::Secret,
            _ => Scope::None,
        };
        Self {
            max_age: seconds(chance, 65),
            s_maxage: seconds(chance, 15),
            while_revalidate: seconds(chance, 25),
            if_error: seconds(chance, 20),
            no_store: chance.is(4),
            no_cache: scope(chance),
            private: scope(chance),
            public: chance.is(15),
            must_revalidate: chance.is(8),
            proxy_revalidate: chance.is(4),
            must_understand: chance.is(3),
            immutable: chance.is(8),
            unknown: chance.is(10),
        }
    }

    pub(crate) fn text(&self, structured: bool, chance: &mut Chance) -> String {
        let mut all = Vec::new();
        let mut number = |name: &str, said: Option<Seconds>| match said {
            Some(Seconds::Of(seconds)) => all.push(format!("{name}={seconds}")),
            Some(Seconds::Broken) => all.push(format!("{name}=-1x")),
            None => {}
        };
        number("max-age", self.max_age);
        number("s-maxage", self.s_maxage);
        number("stale-while-revalidate", self.while_revalidate);
        number("stale-if-error", self.if_error);
        for (name, scope) in [("no-cache", self.no_cache), ("private", self.private)] {
            match scope {
                Scope::None => {}
                Scope::Secret => all.push(format!("{name}=\"x-secret\"")),
                Scope::All => all.push(name.to_owned()),
            }
        }
        for (name, is) in [
            ("no-store", self.no_store),
            ("public", self.public),
            ("must-revalidate", self.must_revalidate),
            ("proxy-revalidate", self.proxy_revalidate),
            ("must-understand", self.must_understand),
            ("immutable", self.immutable),
            ("community", self.unknown),
        ] {
            if is {
                all.push(name.to_owned());
            }
        }
        let at = chance.below(all.len().max(1));
        let at = at.min(all.len());
        all.rotate_left(at);
        let text = all.join(if chance.is(50) { ", " } else { " ,\t" });
        if !structured && chance.is(20) { text.to_ascii_uppercase() } else { text }
    }
}

/// A date: in milliseconds since 1970 and whole seconds, or nothing that is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Date {
    At(u64),
    Broken,
}

impl Date {
    pub(crate) fn text(self) -> String {
        match self {
            Self::At(ms) => date_text(ms),
            Self::Broken => "0".to_owned(),
        }
    }

    pub(crate) fn ms(self) -> Option<u64> {
        match self {
            Self::At(ms) => Some(ms),
            Self::Broken => None,
        }
    }
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`, by the calendar of days since 1970.
pub(crate) fn date_text(ms: u64) -> String {
    let seconds = ms / 1000;
    let days = seconds / 86_400;
    // After Howard Hinnant's "chrono-Compatible Low-Level Date Algorithms".
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let of_era = shifted - era * 146_097;
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let year = year_of_era + era * 400 + u64::from(month >= 10);
    let months =
        ["Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec", "Jan", "Feb"];
    let weekdays = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    format!(
        "{}, {day:02} {} {year} {:02}:{:02}:{:02} GMT",
        weekdays[(days % 7) as usize],
        months[month as usize],
        seconds / 3600 % 24,
        seconds / 60 % 60,
        seconds % 60
    )
}

/// An entity tag: whether it is weak, and what it stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tag {
    pub(crate) weak: bool,
    pub(crate) text: String,
}

impl Tag {
    pub(crate) fn text(&self) -> String {
        format!("{}\"{}\"", if self.weak { "W/" } else { "" }, self.text)
    }
}

/// Which bytes a client wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bytes {
    /// The first and the last one.
    Between(u32, u32),
    From(u32),
    /// So many at the end.
    Last(u32),
}

impl Bytes {
    pub(crate) fn random(chance: &mut Chance) -> Self {
        let first = chance.of(&[0, 0, 2, 4, 7]);
        match chance.below(10) {
            0..2 => Self::From(first),
            2..4 => Self::Last(chance.of(&[1, 3, 5, 20])),
            _ => Self::Between(first, first + chance.of(&[0, 1, 2, 4, 20])),
        }
    }

    /// RFC 9110, 14.1.2: the first and the last one of so many; `None` if there are none.
    pub(crate) fn of(self, whole: u32) -> Option<(u32, u32)> {
        let (first, last) = match self {
            Self::Between(first, last) => (first, last),
            Self::From(first) => (first, u32::MAX),
            Self::Last(count) => (whole.saturating_sub(count), u32::MAX),
        };
        (first < whole).then(|| (first, last.min(whole - 1)))
    }

    fn text(self) -> String {
        match self {
            Self::Between(first, last) => format!("bytes={first}-{last}"),
            Self::From(first) => format!("bytes={first}-"),
            Self::Last(count) => format!("bytes=-{count}"),
        }
    }

    pub(crate) fn read(text: &str) -> Self {
        let number = |text: &str| text.parse::<u32>().expect("a number");
        let range = text.strip_prefix("bytes=").expect("bytes");
        match range.split_once('-').expect("a range") {
            ("", count) => Self::Last(number(count)),
            (first, "") => Self::From(number(first)),
            (first, last) => Self::Between(number(first), number(last)),
        }
    }
}

/// A byte of a body: by which exchange it was brought, and which of the representation it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Byte {
    pub(crate) made: u32,
    pub(crate) at: u32,
}

/// What a service answers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) said: Option<Directives>,
    /// `CDN-Cache-Control`, `Doorward-Cache-Control`.
    pub(crate) cdn: Option<Directives>,
    pub(crate) own: Option<Directives>,
    pub(crate) expires: Option<Date>,
    pub(crate) date: Option<Date>,
    pub(crate) age: Option<u64>,
    pub(crate) modified: Option<Date>,
    pub(crate) tag: Option<Tag>,
    /// Names of request fields, or `*`.
    pub(crate) vary: Vec<&'static str>,
    pub(crate) language: Option<&'static str>,
    pub(crate) tags: Vec<&'static str>,
    pub(crate) groups: Vec<&'static str>,
    pub(crate) sets_cookie: bool,
    pub(crate) has_secret: bool,
    /// First byte, last byte, length.
    pub(crate) range: Option<(u32, u32, u32)>,
    pub(crate) body: Vec<Byte>,
    /// What it says of its bytes is wrong.
    pub(crate) lies: bool,
    // In answers to unsafe requests.
    pub(crate) location: Option<String>,
    pub(crate) content_location: Option<String>,
    pub(crate) purged_groups: Vec<&'static str>,
    pub(crate) purged_tags: Vec<&'static str>,
}

impl Answer {
    /// The field lines. Each answer has one of its own, `X-Seen-...`, so that what is served tells all
    /// answers that went into it.
    pub(crate) fn fields(&self, id: u32, chance: &mut Chance) -> Vec<(String, String)> {
        let mut all = Vec::new();
        let mut add = |name: &str, value: String| all.push((name.to_owned(), value));
        add(&format!("X-Seen-{id}"), "1".to_owned());
        for (name, said) in [
            ("Cache-Control", &self.said),
            ("CDN-Cache-Control", &self.cdn),
            ("Doorward-Cache-Control", &self.own),
        ] {
            if let Some(said) = said {
                add(name, said.text(name != "Cache-Control", chance));
            }
        }
        for (name, date) in
            [("Expires", self.expires), ("Date", self.date), ("Last-Modified", self.modified)]
        {
            if let Some(date) = date {
                add(name, date.text());
            }
        }
        if let Some(age) = self.age {
            add("Age", age.to_string());
        }
        if let Some(tag) = &self.tag {
            add("ETag", tag.text());
        }
        if !self.vary.is_empty() {
            add("Vary", self.vary.join(", "));
        }
        if let Some(language) = self.language {
            add("Content-Language", language.to_owned());
        }
        let lists =
            [(&self.tags, "Surrogate-Key", " "), (&self.purged_tags, "Doorward-Purge", ", ")];
        for (names, name, between) in lists {
            if !names.is_empty() {
                add(name, names.join(between));
            }
        }
        let lists =
            [(&self.groups, "Cache-Groups"), (&self.purged_groups, "Cache-Group-Invalidation")];
        for (names, name) in lists {
            if !names.is_empty() {
                let quoted: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
                add(name, quoted.join(", "));
            }
        }
        if self.sets_cookie {
            add("Set-Cookie", format!("s={id}"));
        }
        if self.has_secret {
            add("X-Secret", id.to_string());
        }
        if let Some((first, last, whole)) = self.range {
            add("Content-Range", format!("bytes {first}-{last}/{whole}"));
            add("Content-Length", self.body.len().to_string());
        }
        for (name, url) in
            [("Location", &self.location), ("Content-Location", &self.content_location)]
        {
            if let Some(url) = url {
                add(name, url.clone());
            }
        }
        all
    }
}

/// Of `max-stale` without a number.
pub(crate) const ANY: u64 = u64::MAX / 1000;

/// What a client asks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Request {
    pub(crate) id: usize,
    pub(crate) method: &'static str,
    pub(crate) host: &'static str,
    pub(crate) target: String,
    pub(crate) authorization: Option<&'static str>,
    pub(crate) cookie: Option<&'static str>,
    pub(crate) language: Option<&'static str>,
    pub(crate) kind: Option<&'static str>,
    pub(crate) no_cache: bool,
    pub(crate) pragma: bool,
    pub(crate) no_store: bool,
    pub(crate) only_if_cached: bool,
    pub(crate) max_age: Option<u64>,
    pub(crate) min_fresh: Option<u64>,
    pub(crate) max_stale: Option<u64>,
    pub(crate) if_error: Option<u64>,
    pub(crate) if_none_match: Option<Tag>,
    pub(crate) if_modified_since: Option<u64>,
    pub(crate) range: Option<Bytes>,
    pub(crate) if_range: Option<Result<Tag, u64>>,
    /// At which step of the history it came.
    pub(crate) step: usize,
}

impl Request {
    pub(crate) fn fields(&self) -> Vec<(&'static str, String)> {
        let mut all = Vec::new();
        for (name, value) in [
            ("Authorization", self.authorization),
            ("Cookie", self.cookie),
            ("Accept-Language", self.language),
            ("X-Kind", self.kind),
        ] {
            all.extend(value.map(|value| (name, value.to_owned())));
        }
        let mut said = Vec::new();
        let flags = [
            ("no-cache", self.no_cache && !self.pragma),
            ("no-store", self.no_store),
            ("only-if-cached", self.only_if_cached),
            ("max-stale", self.max_stale == Some(ANY)),
        ];
        said.extend(flags.iter().filter(|(_, is)| *is).map(|(name, _)| (*name).to_owned()));
        for (name, seconds) in [
            ("max-age", self.max_age),
            ("min-fresh", self.min_fresh),
            ("max-stale", self.max_stale.filter(|seconds| *seconds != ANY)),
            ("stale-if-error", self.if_error),
        ] {
            said.extend(seconds.map(|seconds| format!("{name}={seconds}")));
        }
        if !said.is_empty() {
            all.push(("Cache-Control", said.join(", ")));
        } else if self.pragma {
            all.push(("Pragma", "no-cache".to_owned()));
        }
        if let Some(tag) = &self.if_none_match {
            all.push(("If-None-Match", format!("\"other\", {}", tag.text())));
        }
        if let Some(ms) = self.if_modified_since {
            all.push(("If-Modified-Since", date_text(ms)));
        }
        if let Some(range) = self.range {
            all.push(("Range", range.text()));
        }
        match &self.if_range {
            Some(Ok(tag)) => all.push(("If-Range", tag.text())),
            Some(Err(ms)) => all.push(("If-Range", date_text(*ms))),
            None => {}
        }
        all
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}{}", self.host, self.target)
    }

    /// Whether nothing but the URL and what answers may vary by is said.
    pub(crate) fn is_plain(&self) -> bool {
        let said = self.no_cache || self.no_store || self.only_if_cached;
        let numbers = self.max_age.or(self.min_fresh).or(self.if_error).or(self.max_stale);
        let conditions = self.if_none_match.is_some() || self.if_modified_since.is_some();
        !said
            && numbers.is_none()
            && !conditions
            && self.range.is_none()
            && self.authorization.is_none()
            && self.cookie.is_none()
    }
}
