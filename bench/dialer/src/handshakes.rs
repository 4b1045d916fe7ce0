//! TLS connections that come, ask once, and go.

use std::cell::RefCell;
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::HandshakeKind;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::args::Args;
use crate::tally::Tally;
use crate::trust;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
/// No server that is well takes so long, whatever else the machine does.
const PATIENCE: Duration = Duration::from_secs(10);

pub async fn run(args: &Args, resumed: bool) -> Result<Tally, String> {
    let tally = Rc::new(RefCell::new(Tally::default()));
    let begin = Instant::now();
    let until = begin + Duration::from_secs_f64(args.seconds);
    let mut tasks = Vec::new();
    for _ in 0..args.connections {
        // Each with tickets of its own, as clients have them.
        let config = Arc::new(trust::config("http/1.1", resumed)?);
        let (args, tally) = (args.clone(), Rc::clone(&tally));
        tasks.push(tokio::task::spawn_local(async move {
            while Instant::now() < until {
                let start = Instant::now();
                let once = tokio::time::timeout(PATIENCE, once(&config, &args)).await;
                let mut tally = tally.borrow_mut();
                match once.unwrap_or_else(|_| Err("no answer".into())) {
                    Ok(kind) => {
                        tally.answered(start.elapsed());
                        tally.resumed += u64::from(kind == HandshakeKind::Resumed);
                    }
                    Err(text) => {
                        tally.fault(text);
                        break;
                    }
                }
            }
        }));
    }
    for task in tasks {
        task.await.map_err(|error| error.to_string())?;
    }
    let mut tally = Rc::into_inner(tally).expect("all tasks have ended").into_inner();
    tally.seconds = begin.elapsed().as_secs_f64();
    Ok(tally)
}

/// One connection; how its handshake went.
async fn once(config: &Arc<rustls::ClientConfig>, args: &Args) -> Result<HandshakeKind, String> {
    let text = |error: std::io::Error| error.to_string();
    let socket = TcpStream::connect((Ipv4Addr::LOCALHOST, args.port)).await.map_err(text)?;
    socket.set_nodelay(true).map_err(text)?;
    let name = ServerName::try_from("localhost").expect("it is a name");
    let mut stream =
        TlsConnector::from(Arc::clone(config)).connect(name, socket).await.map_err(text)?;
    stream.write_all(REQUEST).await.map_err(text)?;
    let mut answer = Vec::with_capacity(args.size + 1024);
    match stream.read_to_end(&mut answer).await {
        // Some servers close without a close_notify; the length says whether all is there.
        Err(error) if error.kind() != std::io::ErrorKind::UnexpectedEof => return Err(text(error)),
        _ => {}
    }
    let head = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or(answer.len());
    let body = answer.len().saturating_sub(head + 4);
    if !answer.starts_with(b"HTTP/1.1 200 ") || body != args.size {
        let line = answer.split(|&byte| byte == b'\r').next().unwrap_or_default();
        return Err(format!("{} with {body} bytes", String::from_utf8_lossy(line)));
    }
    stream.get_ref().1.handshake_kind().ok_or_else(|| "no handshake".into())
}
