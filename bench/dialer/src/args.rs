//! The command line.

use std::str::FromStr;

pub const USAGE: &str = "\
usage: bench-dialer handshakes|resumed|h3 --port PORT [options]
  handshakes       a TLS connection, one request, and again
  resumed          the same with a session ticket of the connection before
  h3               requests over HTTP/3
  --port PORT      on 127.0.0.1
  --size BYTES     length of every response body (128)
  --connections N  at a time (16)
  --streams N      requests at a time on each connection of h3 (100)
  --seconds S      length of the run (3)";

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum What {
    Handshakes { resumed: bool },
    Quic,
}

#[derive(Clone, Debug)]
pub struct Args {
    pub what: What,
    pub port: u16,
    pub size: usize,
    pub connections: usize,
    pub streams: usize,
    pub seconds: f64,
}

pub fn parse(mut words: impl Iterator<Item = String>) -> Result<Args, String> {
    let what = match words.next().as_deref() {
        Some("handshakes") => What::Handshakes { resumed: false },
        Some("resumed") => What::Handshakes { resumed: true },
        Some("h3") => What::Quic,
        _ => return Err("handshakes, resumed or h3 is wanted".into()),
    };
    let mut args = Args { what, port: 0, size: 128, connections: 16, streams: 100, seconds: 3.0 };
    while let Some(name) = words.next() {
        let value = words.next().ok_or_else(|| format!("{name} wants a value"))?;
        match name.as_str() {
            "--port" => args.port = number(&name, &value)?,
            "--size" => args.size = number(&name, &value)?,
            "--connections" => args.connections = number(&name, &value)?,
            "--streams" => args.streams = number(&name, &value)?,
            "--seconds" => args.seconds = number(&name, &value)?,
            _ => return Err(format!("unknown option {name}")),
        }
    }
    if args.port == 0 || args.connections == 0 || args.streams == 0 {
        return Err("--port, --connections, --streams: at least 1".into());
    }
    if !(args.seconds > 0.0 && args.seconds <= 3600.0) {
        return Err("--seconds: more than 0, at most 3600".into());
    }
    Ok(args)
}

fn number<T: FromStr>(name: &str, value: &str) -> Result<T, String> {
    value.parse().map_err(|_| format!("{name}: {value} is not a number that fits"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> Result<Args, String> {
        parse(line.split_whitespace().map(String::from))
    }

    #[test]
    fn takes_options_and_keeps_defaults() {
        let args = of("resumed --port 8443 --connections 4").expect("all are known");
        assert_eq!(args.what, What::Handshakes { resumed: true });
        assert_eq!((args.port, args.connections, args.size), (8443, 4, 128));
    }

    #[test]
    fn refuses_what_it_does_not_understand() {
        for line in ["", "h3", "h3 --port 70000", "h4 --port 1", "h3 --port 1 --seconds 0"] {
            assert!(of(line).is_err(), "{line}");
        }
    }
}
