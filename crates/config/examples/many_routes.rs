//! How long it takes to read a configuration of 50 000 routes: at first, and again after one change.
//!
//! `cargo run --release -p config --example many_routes`
#![expect(clippy::disallowed_methods, reason = "it measures time")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use config::{At, Files, Memo, Period, Reader, Report, Value};
use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[expect(dead_code, reason = "only reading is measured")]
struct Route {
    host: At<String>,
    path: At<String>,
    service: At<String>,
    cache: Cache,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[expect(dead_code, reason = "only reading is measured")]
struct Cache {
    fresh: Period,
    stale_while_revalidate: Period,
}

/// One file in memory.
struct OneFile(Arc<str>);

impl Files for OneFile {
    fn read(&self, _: &str) -> Result<Arc<str>, String> {
        Ok(Arc::clone(&self.0))
    }

    fn list(&self, _: &str) -> Result<Vec<String>, String> {
        Ok(Vec::new())
    }
}

fn text(changed: usize) -> Arc<str> {
    let mut text = String::from("[service.articles]\nendpoints = [\"127.0.0.1:7001\"]\n\n");
    for n in 0..50_000 {
        let fresh = if n == changed { 61 } else { 60 };
        text += &format!(
            "[[route]]\nhost = \"*.example.com\"\npath = \"/api/v1/resource{n}/*\"\n\
             service = \"articles\"\n\
             cache = {{ fresh = \"{fresh}s\", stale-while-revalidate = \"10m\" }}\n\n"
        );
    }
    text.into()
}

fn read(text: &Arc<str>, memo: &mut Memo<Arc<Route>>) -> Duration {
    let files = OneFile(Arc::clone(text));
    let reader =
        Reader { files: &files, variables: &|_| None, items: "route", shared: &["service"] };
    let begin = Instant::now();
    let mut report = Report::new();
    let mut build = |value: &Value, report: &mut Report| report.read(value).map(Arc::new);
    let document = reader.read("doorward.toml", memo, &mut report, &mut build);
    let took = begin.elapsed();
    assert!(report.is_clean() && document.items.len() == 50_000, "{report}");
    black_box(document);
    took
}

#[expect(clippy::print_stdout, reason = "figures are what an example is for")]
fn main() {
    let texts: Vec<Arc<str>> = (0..10).map(|n| text(n * 5_000 + 7)).collect();
    println!("{} bytes", texts[0].len());
    let begin = Instant::now();
    black_box(toml::de::DeTable::parse(&texts[0]).expect("it is right"));
    println!("toml alone, to its tree: {:?}", begin.elapsed());
    let mut memo = Memo::default();
    println!("first reading: {:?}", read(&texts[0], &mut memo));
    println!("the same again: {:?}", read(&texts[0], &mut memo));
    let again: Vec<Duration> = texts[1..].iter().map(|text| read(text, &mut memo)).collect();
    println!("after one change each: {again:?}");
}
