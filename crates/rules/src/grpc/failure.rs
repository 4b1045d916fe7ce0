//! What a failed answer to a call means for other calls, and for another attempt.

use wire::{Fields, ResponseHead};

use super::Status;

/// The status of HTTP by which the answer to a call is judged: behind its 200 a service may say at once that
/// it could not answer (`Trailers-Only`).
///
/// What it did not want to do is its answer, and a deadline is the client's.
#[must_use]
pub fn judged_status(head: &ResponseHead) -> u16 {
    match head.fields.get_named("grpc-status").map(Status::read) {
        Some(Status::Unavailable) => 503,
        Some(Status::Unknown | Status::Internal | Status::DataLoss) => 500,
        _ => head.status,
    }
}

/// What a service says of when a call that failed may come again (gRFC A6, "Pushback").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushback {
    /// Not before so many milliseconds are over.
    After(u64),
    /// Not at all: also what cannot be read means that.
    Never,
}

/// What `fields` say of that, if they do.
#[must_use]
pub fn pushback(fields: &Fields) -> Option<Pushback> {
    let value = fields.get_named("grpc-retry-pushback-ms")?;
    let ms = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
    Some(ms.map_or(Pushback::Never, Pushback::After))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_fails_by_what_the_service_could_not_do() {
        let judged = |http, grpc: &str| {
            let mut head = ResponseHead::default();
            head.status = http;
            if !grpc.is_empty() {
                head.fields.push("grpc-status", grpc.as_bytes());
            }
            judged_status(&head)
        };
        for (status, expected) in
            [("0", 200), ("4", 200), ("5", 200), ("14", 503), ("2", 500), ("13", 500), ("15", 500)]
        {
            assert_eq!(judged(200, status), expected, "{status}");
        }
        assert_eq!([judged(503, "0"), judged(503, ""), judged(200, "")], [503, 503, 200]);
    }

    #[test]
    fn a_service_may_want_no_other_attempt() {
        let said = |value: &str| {
            let mut fields = Fields::default();
            fields.push("grpc-retry-pushback-ms", value.as_bytes());
            pushback(&fields)
        };
        assert_eq!(said("250"), Some(Pushback::After(250)));
        for never in ["-1", "", "soon", "1.5"] {
            assert_eq!(said(never), Some(Pushback::Never), "{never}");
        }
        assert_eq!(pushback(&Fields::default()), None);
    }
}
