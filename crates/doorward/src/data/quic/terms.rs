//! On which terms clients get connections of QUIC.

use std::sync::Arc;
use std::time::Duration;

use quinn_proto::crypto::rustls::QuicServerConfig;
use quinn_proto::{IdleTimeout, ServerConfig, TransportConfig, VarInt};

use super::cross::Crossing;
use crate::control::snapshot::Limits;

/// What a client may send on one stream before we have passed it on. Enough for 1 Gbit/s over 8 ms.
const STREAM_WINDOW_BYTES: u32 = 1024 * 1024;

/// The same for all streams of a connection together: what one client can make us hold.
const CONNECTION_WINDOW_BYTES: u32 = 4 * 1024 * 1024;

/// What is sent and not acknowledged yet, on all streams of a connection together: it has to be kept
/// in case it is lost. Enough for 1 Gbit/s over 16 ms.
const UNACKNOWLEDGED_BYTES: u64 = 2 * 1024 * 1024;

/// Streams in one direction that a client may have open: three that HTTP/3 needs (RFC 9114, 6.2; RFC
/// 9204, 4.2), and some that mean nothing, by which clients keep servers tolerant.
const ONE_WAY_STREAMS_MAX: u32 = 16;

/// A connection on which nothing at all came for so long is forgotten, if `keep-alive-idle` is not
/// longer: a client that lost its network sends no word.
const SILENCE_MS: u64 = 30_000;

/// The name of HTTP/3 in TLS (RFC 9114, 3.1).
const ALPN: &[u8] = b"h3";

/// The terms for new connections, with the certificates of `tls`, within `limits`.
///
/// # Errors
/// If `tls` lacks what QUIC needs: version 1.3 with AES-128-GCM (RFC 9001, 5.2).
pub(crate) fn terms(
    tls: &rustls::ServerConfig,
    limits: &Limits,
    crossing: &Crossing,
) -> Result<Arc<ServerConfig>, String> {
    let mut tls = tls.clone();
    tls.alpn_protocols = vec![ALPN.to_vec()];
    // What comes before the handshake is done can be sent again by anybody who saw it (RFC 8446, 8):
    // it would save one round trip of a second visit, which is not worth an exception.
    tls.max_early_data_size = 0;
    let crypto = QuicServerConfig::try_from(tls).map_err(|error| error.to_string())?;
    let mut transport = TransportConfig::default();
    let silence_ms = limits.keep_alive_idle_ms.max(SILENCE_MS);
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(limits.streams_max))
        .max_concurrent_uni_streams(VarInt::from_u32(ONE_WAY_STREAMS_MAX))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW_BYTES))
        .receive_window(VarInt::from_u32(CONNECTION_WINDOW_BYTES))
        .send_window(UNACKNOWLEDGED_BYTES)
        .datagram_receive_buffer_size(None)
        .max_idle_timeout(IdleTimeout::try_from(Duration::from_millis(silence_ms)).ok());
    let mut server = ServerConfig::new(Arc::new(crypto), crossing.token_key());
    server.transport_config(Arc::new(transport));
    Ok(Arc::new(server))
}
