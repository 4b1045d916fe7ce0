//! Requests over HTTP/3, many at a time on each connection.

use std::cell::RefCell;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use h3::client::SendRequest;
use h3_quinn::OpenStreams;
use http::Request;
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Endpoint, TransportConfig, VarInt};

use crate::args::Args;
use crate::tally::Tally;
use crate::trust;

/// The header lines of a typical browser's request; the other loaders send the same.
const BROWSER: &str = include_str!("../../conf/browser-request.txt");
/// More than all streams of a connection can have under way: the client is not to be what waits.
const WINDOW_BYTES: u32 = 64 << 20;
const STREAM_WINDOW_BYTES: u32 = 4 << 20;
/// How long answers to requests already sent are waited for.
const DRAIN: Duration = Duration::from_secs(5);

pub async fn run(args: &Args) -> Result<Tally, String> {
    let tally = Rc::new(RefCell::new(Tally::default()));
    let mut senders = Vec::new();
    let mut endpoints = Vec::new();
    for _ in 0..args.connections {
        let (endpoint, sender) = connect(args.port).await?;
        endpoints.push(endpoint);
        senders.push(sender);
    }
    let begin = Instant::now();
    let until = begin + Duration::from_secs_f64(args.seconds);
    let mut tasks = Vec::new();
    for sender in &senders {
        for _ in 0..args.streams {
            let (sender, tally, size) = (sender.clone(), Rc::clone(&tally), args.size);
            tasks.push(tokio::task::spawn_local(ask_until(sender, tally, size, until)));
        }
    }
    for task in tasks {
        let left = until + DRAIN - Instant::now().min(until + DRAIN);
        if tokio::time::timeout(left, task).await.is_err() {
            tally.borrow_mut().fault("requests never answered".into());
            break;
        }
    }
    let mut counted = std::mem::take(&mut *tally.borrow_mut());
    counted.seconds = begin.elapsed().as_secs_f64();
    for endpoint in endpoints {
        endpoint.close(VarInt::from_u32(0x100), b"");
    }
    Ok(counted)
}

async fn connect(port: u16) -> Result<(Endpoint, SendRequest<OpenStreams, Bytes>), String> {
    let text = |error: &dyn std::error::Error| error.to_string();
    let crypto = QuicClientConfig::try_from(trust::config("h3", false)?).map_err(|e| text(&e))?;
    let mut config = ClientConfig::new(Arc::new(crypto));
    let mut transport = TransportConfig::default();
    transport
        .receive_window(VarInt::from_u32(WINDOW_BYTES))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW_BYTES));
    config.transport_config(Arc::new(transport));
    let mut endpoint =
        Endpoint::client(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).map_err(|e| text(&e))?;
    endpoint.set_default_client_config(config);
    let server = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let connection = endpoint.connect(server, "localhost").map_err(|e| text(&e))?;
    let connection = connection.await.map_err(|e| text(&e))?;
    let (mut driver, sender) =
        h3::client::new(h3_quinn::Connection::new(connection)).await.map_err(|e| text(&e))?;
    tokio::task::spawn_local(async move {
        let _ = std::future::poll_fn(|cx| driver.poll_close(cx)).await;
    });
    Ok((endpoint, sender))
}

async fn ask_until(
    mut sender: SendRequest<OpenStreams, Bytes>,
    tally: Rc<RefCell<Tally>>,
    size: usize,
    until: Instant,
) {
    while Instant::now() < until {
        let start = Instant::now();
        match ask(&mut sender, size).await {
            Ok(()) => tally.borrow_mut().answered(start.elapsed()),
            Err(text) => {
                tally.borrow_mut().fault(text);
                return;
            }
        }
    }
}

async fn ask(sender: &mut SendRequest<OpenStreams, Bytes>, size: usize) -> Result<(), String> {
    let mut request = Request::get("https://localhost/");
    let lines = BROWSER.lines().filter_map(|line| line.split_once(": "));
    for (name, value) in lines.filter(|(name, _)| *name != "Host") {
        request = request.header(name, value);
    }
    let request = request.body(()).map_err(|error| error.to_string())?;
    let mut stream = sender.send_request(request).await.map_err(|error| error.to_string())?;
    stream.finish().await.map_err(|error| error.to_string())?;
    let response = stream.recv_response().await.map_err(|error| error.to_string())?;
    let mut received = 0;
    while let Some(piece) = stream.recv_data().await.map_err(|error| error.to_string())? {
        received += piece.remaining();
    }
    if response.status() != 200 || received != size {
        return Err(format!("{} with {received} bytes", response.status()));
    }
    Ok(())
}
