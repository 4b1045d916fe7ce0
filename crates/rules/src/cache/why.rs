//! Why something was or was not done: a word for `Cache-Status`, a clause for people.

/// A reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Why {
    /// As it stands in `Cache-Status` (RFC 9211, 2.8: `detail`).
    pub token: &'static str,
    /// As it stands in explanations.
    pub clause: &'static str,
}

macro_rules! reasons {
    ($($NAME:ident = $token:literal, $clause:literal;)*) => {
        impl Why {
            $(#[doc = concat!("In words: ", $clause, ".")]
            pub const $NAME: Self = Self { token: $token, clause: $clause };)*

            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$NAME),*];
        }
    };
}

reasons! {
    // Why the cache was passed by.
    BYPASS_RULE = "rule", "the route lets this request bypass the cache";
    HAS_BODY = "request-body", "the request has a body, which may change the answer";
    UPGRADES = "upgrade", "the request asks for another protocol";
    PRECONDITION = "precondition", "only the origin can judge `If-Match` and `If-Unmodified-Since`";
    COOKIE = "cookie", "the request has cookies, and only the route calls the answer cacheable";
    SAFE_METHOD = "method", "answers to this method are not kept";
    UNSAFE_METHOD = "method", "the request may change things";
    IS_CALL = "grpc", "calls of gRPC are not kept";
    // Why a stored answer was used.
    FRESH = "fresh", "it is fresh";
    REFRESH_EARLY = "refresh-early", "it is fresh, and fetched anew before it is not";
    STALE_WHILE_REVALIDATE = "stale-while-revalidate", "it is stale, and fetched anew meanwhile";
    PURGED_SOFTLY = "purged", "it was purged softly, and is fetched anew meanwhile";
    MAX_STALE = "max-stale", "it is stale, which the client accepts";
    STALE_IF_ERROR = "stale-if-error", "it is stale, and the service fails";
    VALIDATED = "validated", "the service said that it is still so";
    // Why it was not.
    UNFIT = "unfit", "what the service says does not go together with what is stored";
    ABSENT = "absent", "nothing is stored under this key";
    OTHER_VARIANT = "other-variant", "what is stored is for other request headers";
    OTHER_RANGE = "other-range", "only other bytes of it are stored";
    PURGED = "purged-hard", "it was purged";
    STALE = "stale", "it is stale";
    NO_CACHE = "no-cache", "the service wants each use to be validated";
    REQUEST_NO_CACHE = "request-no-cache", "the client wants it validated";
    REQUEST_NO_STORE = "request-no-store", "the client wants nothing to be stored";
    REQUEST_MAX_AGE = "request-max-age", "it is older than the client accepts";
    REQUEST_MIN_FRESH = "request-min-fresh", "it is not fresh for as long as the client wants";
    ONLY_IF_CACHED = "only-if-cached", "the client wants no other answer than a stored one";
    // Why an answer was stored.
    STORED = "stored", "the service says how long";
    STORED_AS_CONFIGURED = "fresh-rule", "the route says how long";
    STORED_HEURISTICALLY = "heuristic", "nobody says how long: a tenth of the time since it changed";
    STORED_TO_VALIDATE = "to-validate", "it can be validated, which is cheaper than to send it again";
    STORED_TOO_LATE = "late", "it was stale when it came: only those who waited for it have it";
    STORED_FOR_ERRORS = "for-errors", "it may stand in when the service fails";
    // Why it was not.
    RESPONSE_NO_STORE = "no-store", "the service says `no-store`";
    PRIVATE = "private", "the service says `private`";
    AUTHORIZED = "authorization", "the request was authorized, and the answer is not said to be for all";
    VARY_ALL = "vary-star", "the service says `Vary: *`";
    SETS_COOKIE = "set-cookie", "it sets cookies, and is not said to be for all";
    WITH_COOKIE = "cookie", "the request had cookies, and only the route calls the answer cacheable";
    STATUS = "status", "answers of this status are kept only if the service says how long";
    NO_LIFETIME = "no-lifetime", "nobody says how long, and it can be neither guessed nor validated";
    EXPIRED = "expired", "it was stale when it came, and cannot be validated";
    PARTIAL = "partial", "its bytes are not what `Content-Range` says, or cannot be joined with others";
    TOO_LARGE = "too-large", "it is larger than what is kept";
    BROKEN_OFF = "broken-off", "it did not come to its end";
    CROWDED = "crowded", "too much is being fetched already";
    UNCACHEABLE = "uncacheable", "a moment ago the answer was none that is kept";
    ALONE = "alone", "the answer that was waited for is not for this request";
    WAITED = "waited", "another request for it took too long";
}
