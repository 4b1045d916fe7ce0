//! Why a certificate did not come, in words, with what to do about it.

use instant_acme::{Error, Problem};
use rules::acme::{Challenge, advice};

/// An attempt that came to nothing.
#[derive(Debug)]
pub(crate) struct Trouble {
    /// The last word of the authority's `urn:ietf:params:acme:error:...`; empty for what is not its.
    pub(crate) kind: String,
    pub(crate) error: String,
    pub(crate) advice: String,
    /// Whether the order, if there is one, can still be carried out.
    pub(crate) order_goes_on: bool,
    /// Whether it is not about one certificate: there is no account, or no authority.
    pub(crate) is_of_account: bool,
    /// How many seconds the authority wants to be left alone.
    pub(crate) retry_after: Option<u64>,
}

/// What the types of an authority's errors begin with (RFC 8555, 6.7).
const URN: &str = "urn:ietf:params:acme:error:";

impl Trouble {
    /// Something that is not the authority's.
    pub(crate) fn new(error: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            kind: String::new(),
            error: error.into(),
            advice: advice.into(),
            order_goes_on: true,
            is_of_account: false,
            retry_after: None,
        }
    }

    /// What the authority's library says.
    pub(crate) fn of(error: &Error, challenge: Challenge) -> Self {
        match error {
            Error::Api(problem) => Self::of_problem(problem, challenge),
            Error::Other(other) => Self::new(
                other.to_string(),
                "look whether this machine may connect to it, and at `directory` and `roots`",
            ),
            Error::Timeout(_) => Self::new(
                "the authority has not decided in time",
                "the order goes on at the next attempt",
            ),
            Error::Json(error) => Self {
                order_goes_on: false,
                ..Self::new(
                    format!("the authority's answer is not understood: {error}"),
                    "look whether `directory` is that of an authority",
                )
            },
            other => {
                Self { order_goes_on: false, ..Self::new(other.to_string(), advice("", challenge)) }
            }
        }
    }

    /// What the authority says is wrong.
    pub(crate) fn of_problem(problem: &Problem, challenge: Challenge) -> Self {
        // With several names it is about one of them.
        let inner = problem.subproblems.first();
        let kind = inner.and_then(|inner| inner.r#type.as_deref()).or(problem.r#type.as_deref());
        let kind = kind.and_then(|kind| kind.strip_prefix(URN)).unwrap_or_default();
        let detail = problem.detail.as_deref().unwrap_or("the authority refused");
        let subproblems: Vec<String> =
            problem.subproblems.iter().map(ToString::to_string).collect();
        let error = match subproblems.is_empty() {
            true => detail.to_owned(),
            false => format!("{detail}: {}", subproblems.join(", ")),
        };
        Self {
            kind: kind.to_owned(),
            order_goes_on: matches!(kind, "rateLimited" | "serverInternal" | "badNonce"),
            ..Self::new(error, advice(kind, challenge))
        }
    }

    /// The same, said of `name`.
    pub(crate) fn about(mut self, name: &str) -> Self {
        self.error = format!("{name}: {}", self.error);
        self
    }
}
