//! The command line.

use std::str::FromStr;

pub const USAGE: &str = "\
usage: bench-loader --port PORT [options]
  --port PORT          the proxy to load, on 127.0.0.1
  --origin-port PORT   where the origin listens, on 127.0.0.1 (9000)
  --size BYTES         length of every response body (128)
  --connections N      keep-alive client connections (64)
  --seconds S          upper bound of the run (5)
  --requests N         stop after N requests, if that comes first (no bound)
  --rate N             start N requests a second (closed loop: as fast as answered)
  --arrivals KIND      with --rate: poisson | even (poisson; same sequence in every run)
  --headers KIND       rich: what a browser sends | plain: Host only (rich)
  --path PATH          request target (/)
  --verify             compare every byte instead of measuring
  --origin-only        only answer, for another client";

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Headers {
    Rich,
    Plain,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Arrivals {
    Poisson,
    Even,
}

#[derive(Debug)]
pub struct Args {
    pub port: u16,
    pub origin_port: u16,
    pub size: usize,
    pub connections: usize,
    pub seconds: f64,
    pub requests: u64,
    pub rate: Option<f64>,
    pub arrivals: Arrivals,
    pub headers: Headers,
    pub path: String,
    pub verify: bool,
    pub origin_only: bool,
}

pub fn parse(mut words: impl Iterator<Item = String>) -> Result<Args, String> {
    let mut args = Args {
        port: 0,
        origin_port: 9000,
        size: 128,
        connections: 64,
        seconds: 5.0,
        requests: u64::MAX,
        rate: None,
        arrivals: Arrivals::Poisson,
        headers: Headers::Rich,
        path: "/".into(),
        verify: false,
        origin_only: false,
    };
    while let Some(name) = words.next() {
        if name == "--verify" {
            args.verify = true;
            continue;
        }
        if name == "--origin-only" {
            args.origin_only = true;
            args.connections = 0;
            continue;
        }
        let value = words.next().ok_or_else(|| format!("{name} wants a value"))?;
        match name.as_str() {
            "--port" => args.port = number(&name, &value)?,
            "--origin-port" => args.origin_port = number(&name, &value)?,
            "--size" => args.size = number(&name, &value)?,
            "--connections" => args.connections = number(&name, &value)?,
            "--seconds" => args.seconds = number(&name, &value)?,
            "--requests" => args.requests = number(&name, &value)?,
            "--rate" => args.rate = Some(number(&name, &value)?),
            "--path" => args.path = value,
            "--arrivals" => {
                args.arrivals = match value.as_str() {
                    "poisson" => Arrivals::Poisson,
                    "even" => Arrivals::Even,
                    _ => return Err(format!("--arrivals: {value}: poisson or even")),
                }
            }
            "--headers" => {
                args.headers = match value.as_str() {
                    "rich" => Headers::Rich,
                    "plain" => Headers::Plain,
                    _ => return Err(format!("--headers: {value}: rich or plain")),
                }
            }
            _ => return Err(format!("unknown option {name}")),
        }
    }
    if args.port == 0 && !args.origin_only {
        return Err("--port is needed".into());
    }
    if (args.connections == 0) != args.origin_only {
        return Err("--connections: at least 1, or --origin-only".into());
    }
    if !(args.seconds > 0.0 && args.seconds <= 3600.0) {
        return Err("--seconds: more than 0, at most 3600".into());
    }
    if args.rate.is_some_and(|rate| !(1.0..=1e7).contains(&rate)) {
        return Err("--rate: 1 to 10000000".into());
    }
    if !args.path.starts_with('/') {
        return Err("--path: starts with /".into());
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
        let args = of("--port 8000 --size 16384 --rate 50000 --verify").unwrap();
        assert_eq!((args.port, args.origin_port, args.size), (8000, 9000, 16384));
        assert_eq!(args.rate, Some(50000.0));
        assert!(args.verify);
        assert_eq!(args.headers, Headers::Rich);
    }

    #[test]
    fn an_origin_alone_has_no_client() {
        let args = of("--origin-only --size 16384").unwrap();
        assert_eq!((args.port, args.connections, args.size), (0, 0, 16384));
    }

    #[test]
    fn refuses_what_it_does_not_understand() {
        for line in [
            "",
            "--port 0",
            "--port 70000",
            "--port 1 --seconds 0",
            "--port 1 --rate 0",
            "--port 1 --what 1",
            "--port 1 --size",
            "--port 1 --connections 0",
            "--origin-only --connections 1",
        ] {
            assert!(of(line).is_err(), "{line}");
        }
    }
}
