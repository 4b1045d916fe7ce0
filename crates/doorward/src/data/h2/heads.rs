//! Heads as the HTTP/2 library wants them and gives them.

use std::sync::LazyLock;

use ::h2::ext::Protocol;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Request, Response, StatusCode};
use rules::Fault;
use wire::framed::{self, Pseudo};
use wire::h1::{HeadLimits, ToClient};
use wire::{Fields, Known, RequestHead, ResponseHead, Version};

/// Reads the head of `request`, which came by TLS or not, into `head`.
pub(super) fn read<T>(
    request: &Request<T>,
    https: bool,
    head: &mut RequestHead,
    text: &mut Vec<u8>,
    limits: &HeadLimits,
) -> Result<(), Fault> {
    let uri = request.uri();
    let path = uri.path_and_query().map_or("", |path| path.as_str());
    let pseudo = Pseudo {
        method: request.method().as_str().as_bytes(),
        // The library drops the scheme of a request without an authority.
        scheme: uri.scheme_str().unwrap_or(if https { "https" } else { "http" }).as_bytes(),
        authority: uri.authority().map_or("", |authority| authority.as_str()).as_bytes(),
        path: path.as_bytes(),
        protocol: request
            .extensions()
            .get::<Protocol>()
            .map(|protocol| protocol.as_str().as_bytes()),
    };
    head.assemble(Version::Http2, &pseudo, iter(request.headers()), text, limits)
        .map_err(Fault::Malformed)
}

/// The names and values in `map`, lines of one name behind each other.
pub(super) fn iter(map: &HeaderMap) -> impl Iterator<Item = (&[u8], &[u8])> {
    map.iter().map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()))
}

/// The final or interim response that `head` is to `to`.
pub(super) fn response(head: &ResponseHead, to: &ToClient<'_>) -> Response<()> {
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::from_u16(head.status).unwrap_or(StatusCode::BAD_GATEWAY);
    let map = response.headers_mut();
    map.reserve(head.fields.len() + 2);
    framed::response_fields(head, to, |known, name, value| append(map, known, name, value));
    response
}

/// Fields as a map.
pub(super) fn map(fields: &Fields) -> HeaderMap {
    let mut map = HeaderMap::with_capacity(fields.len());
    fields.each_but(0, &mut |known, name, value| append(&mut map, known, name, value));
    map
}

/// The known names as the library has them, by their numbers: reading and hashing each name of each
/// head again would cost as much as all else that is done with it.
static NAMES: LazyLock<Vec<HeaderName>> = LazyLock::new(|| {
    let names = Known::ALL.iter().map(|known| HeaderName::from_static(known.name()));
    names.collect()
});

pub(super) fn append(map: &mut HeaderMap, known: Known, name: &[u8], value: &[u8]) {
    let name = match known {
        Known::Other => HeaderName::from_bytes(name).ok(),
        known => NAMES.get(known as usize - 1).cloned(),
    };
    // What `wire` has read is a token and a value; the library's own idea of both is no stricter.
    if let (Some(name), Ok(value)) = (name, HeaderValue::from_bytes(value)) {
        map.append(name, value);
    }
}
