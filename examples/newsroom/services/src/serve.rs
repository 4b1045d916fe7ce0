//! Serves a router on loopback until somebody asks the process to stop.

use std::io;
use std::net::Ipv4Addr;

use axum::Router;
use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// Database work runs on tokio's blocking threads; this bounds it, and with it the number of open databases.
const BLOCKING_THREADS_MAX: usize = 8;

pub fn serve(name: &'static str, port: u16, router: Router) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .enable_all()
        .build()?;
    runtime.block_on(async move {
        let mut terminate = signal(SignalKind::terminate())?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        println!("{name}: serving http://{}", listener.local_addr()?);
        // Small answers on kept connections: waiting to fill a packet would cost 40 ms each.
        let listener = listener.tap_io(move |stream| {
            if let Err(problem) = stream.set_nodelay(true) {
                eprintln!("{name}: no TCP_NODELAY: {problem}");
            }
        });
        axum::serve(listener, router)
            .with_graceful_shutdown(async move {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = tokio::signal::ctrl_c() => {}
                }
            })
            .await?;
        println!("{name}: stopped");
        Ok(())
    })
}
