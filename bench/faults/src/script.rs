//! What happens on each day: how endpoints behave at which time, and how clients ask.

/// How an endpoint behaves.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mood {
    Well,
    /// Everything takes so many times as long.
    Slow(f64),
    /// Such a share of the requests is answered 503 at once.
    Failing(f64),
    /// It takes connections and requests, and never answers.
    Silent,
    /// Its port is closed, and its connections are.
    Dead,
}

pub struct Scenario {
    pub name: &'static str,
    pub endpoints: u16,
    /// Requests that an endpoint works on at once; others wait in it.
    pub slots: usize,
    /// Requests a second, on average.
    pub rate: f64,
    /// How long is counted, behind [`WARM_MS`].
    pub counted_ms: i64,
    /// How long a client waits for each attempt, and how often it asks in all.
    pub wait_ms: u64,
    pub attempts: u32,
    /// The endpoints are processes, two of which are killed every two seconds.
    pub kills: bool,
    /// By endpoint and the time since counting began.
    mood: fn(u16, i64) -> Mood,
}

/// Nothing goes wrong, and nothing counts.
pub const WARM_MS: i64 = 2_000;

/// What an answer takes on average.
pub const SERVICE_MS: f64 = 20.0;

/// Ten endpoints that can do 2,000 requests a second get a fifth of that.
const EASY: Scenario = Scenario {
    name: "healthy",
    endpoints: 10,
    slots: 4,
    rate: 400.0,
    counted_ms: 8_000,
    wait_ms: 2_000,
    attempts: 1,
    kills: false,
    mood: |_, _| Mood::Well,
};

/// Ten endpoints that can do 500 requests a second.
const TIGHT: Scenario = Scenario { slots: 1, ..EASY };

const fn first(endpoint: u16, mood: Mood) -> Mood {
    if endpoint == 0 { mood } else { Mood::Well }
}

pub const ALL: [Scenario; 10] = [
    EASY,
    Scenario { name: "slow", mood: |one, _| first(one, Mood::Slow(10.0)), ..EASY },
    Scenario { name: "failing", mood: |one, _| first(one, Mood::Failing(1.0)), ..EASY },
    Scenario {
        name: "flapping",
        mood: |one, at_ms| match at_ms / 2_000 % 2 {
            0 => first(one, Mood::Dead),
            _ => Mood::Well,
        },
        ..EASY
    },
    Scenario { name: "black-hole", mood: |one, _| first(one, Mood::Silent), ..EASY },
    Scenario {
        name: "error-burst",
        mood: |_, at_ms| match at_ms {
            2_000..3_000 => Mood::Failing(0.33),
            _ => Mood::Well,
        },
        ..EASY
    },
    // All die, and come back cold.
    Scenario {
        name: "thundering-herd",
        rate: 300.0,
        counted_ms: 10_000,
        attempts: 3,
        mood: |_, at_ms| match at_ms {
            2_000..5_000 => Mood::Dead,
            5_000..7_000 => Mood::Slow(1.5),
            _ => Mood::Well,
        },
        ..TIGHT
    },
    Scenario {
        name: "retry-storm",
        rate: 400.0,
        wait_ms: 500,
        attempts: 3,
        mood: |_, at_ms| match at_ms {
            2_000..4_000 => Mood::Slow(3.0),
            _ => Mood::Well,
        },
        ..TIGHT
    },
    Scenario { name: "overload", rate: 1_500.0, ..TIGHT },
    Scenario { name: "kill-9", endpoints: 3, slots: 16, rate: 300.0, kills: true, ..EASY },
];

impl Scenario {
    /// How `endpoint` behaves at `at_ms`, counted from when counting begins.
    pub fn mood(&self, endpoint: u16, at_ms: i64) -> Mood {
        if at_ms < 0 { Mood::Well } else { (self.mood)(endpoint, at_ms) }
    }

    /// What the endpoints can do in a second.
    pub fn capacity(&self) -> f64 {
        f64::from(self.endpoints) * self.slots as f64 * 1000.0 / SERVICE_MS
    }
}
