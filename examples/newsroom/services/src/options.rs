//! The command line: which service, on which port, over which data.

use std::path::PathBuf;

pub const USAGE: &str = "usage: newsroom (articles|front) --port N [--data DIR] [--articles N]";

/// How many articles the generator writes unless told otherwise; comments.py and accounts.py use the same number.
const ARTICLES: u32 = 5_000;

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Role {
    Articles,
    Front,
}

impl Role {
    pub fn name(self) -> &'static str {
        match self {
            Role::Articles => "articles",
            Role::Front => "front",
        }
    }
}

#[derive(Debug, PartialEq)]
pub struct Options {
    pub role: Role,
    pub port: u16,
    pub data: PathBuf,
    pub articles: u32,
}

impl Options {
    pub fn build(mut words: impl Iterator<Item = String>) -> Result<Options, String> {
        let role = match words.next().as_deref() {
            Some("articles") => Role::Articles,
            Some("front") => Role::Front,
            Some(other) => return Err(format!("there is no service `{other}`")),
            None => return Err("no service named".to_owned()),
        };
        let mut port = None;
        let mut data = PathBuf::from("data");
        let mut articles = ARTICLES;
        while let Some(flag) = words.next() {
            let value = words.next().ok_or_else(|| format!("{flag} wants a value"))?;
            let number = || {
                value.parse::<u32>().map_err(|_| format!("{flag} wants a number, not `{value}`"))
            };
            match flag.as_str() {
                "--port" => {
                    port = Some(u16::try_from(number()?).map_err(|_| format!("no port {value}"))?)
                }
                "--data" => data = PathBuf::from(value),
                "--articles" => articles = number()?.clamp(1, 1_000_000),
                _ => return Err(format!("there is no option `{flag}`")),
            }
        }
        let port = port.ok_or("--port is missing")?;
        Ok(Options { role, port, data, articles })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Options, String> {
        Options::build(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn a_full_line_is_read() {
        let expected = Options { role: Role::Articles, port: 7001, data: "d".into(), articles: 9 };
        assert_eq!(read("articles --port 7001 --data d --articles 9"), Ok(expected));
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert_eq!(read("cellar --port 1"), Err("there is no service `cellar`".to_owned()));
        assert_eq!(read("front"), Err("--port is missing".to_owned()));
        assert_eq!(read("front --port 70000"), Err("no port 70000".to_owned()));
        assert_eq!(read("front --port"), Err("--port wants a value".to_owned()));
        assert_eq!(read("front --port x"), Err("--port wants a number, not `x`".to_owned()));
    }
}
