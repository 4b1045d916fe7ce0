//! What `dev` and `proxy` say when the door is open: where everything is, and what to try.

use std::io;
use std::time::Instant;

use rules::route::{OneOrMany, RouteConfig};

use super::paint::{Look, Paint};
use crate::control::load::Loader;
use crate::control::start::Running;
use crate::observe::log;

/// Routes to try; more would be read by nobody.
const TRIED_MAX: usize = 3;

/// Tells where everything is, and what to try.
pub(crate) fn greet(running: &Running, loader: &Loader, began: Instant) {
    let paint = Paint::on(&io::stderr());
    let seconds = format!("after {:.1} s", began.elapsed().as_secs_f64());
    let opened = paint.paint(Look::Good, "the door is open");
    let mut text = format!("\n{opened} {}\n", paint.paint(Look::Faint, seconds));
    let mut rows = Vec::new();
    for address in &running.listening {
        rows.push(vec![strong("clients"), (Look::Link, format!("http://{address}/"))]);
    }
    for address in &running.listening_https {
        // A certificate is for names; nobody calls this machine by another one here.
        let local = address.ip().is_loopback() || address.ip().is_unspecified();
        let host =
            if local { format!("localhost:{}", address.port()) } else { address.to_string() };
        rows.push(vec![strong("clients"), (Look::Link, format!("https://{host}/"))]);
    }
    rows.push(vec![strong("operators"), (Look::Link, format!("http://{}/", running.admin))]);
    if let Some(path) = &running.token_path {
        let path = path.strip_prefix(".").unwrap_or(path).display();
        rows.push(vec![strong("token"), (Look::Plain, format!("in {path}"))]);
    }
    if !running.waiting.is_empty() {
        let names = running.waiting.join(", ");
        rows.push(vec![strong("not ready"), (Look::Odd, names)]);
    }
    if let Some(root) =
        running.untrusted_root.as_ref().filter(|_| !running.listening_https.is_empty())
    {
        rows.push(vec![strong("authority"), (Look::Plain, root.display().to_string())]);
        let advice = "`doorward trust` makes this machine and its browsers trust it".to_owned();
        rows.push(vec![strong(""), (Look::Faint, advice)]);
    }
    text += &paint.columns("  ", &rows);
    text += &format!("\n{}\n", paint.paint(Look::Strong, "try"));
    for line in commands(running, &loader.routes_as_written(), loader.is_file()) {
        text += &format!("  {line}\n");
    }
    let end = match loader.is_file() {
        true => "edit the configuration: it is applied as you save; Ctrl-C ends everything",
        false => "Ctrl-C ends it",
    };
    text += &format!("  {}\n\n", paint.paint(Look::Faint, end));
    log::show(text);
}

fn strong(text: &str) -> (Look, String) {
    (Look::Strong, text.to_owned())
}

/// Commands that work with this configuration.
fn commands(running: &Running, routes: &[RouteConfig], is_file: bool) -> Vec<String> {
    let first = running.listening.first().map(ToString::to_string);
    let first = first.unwrap_or_default();
    let mut asked = asked(routes);
    if asked.is_empty() {
        asked.push((None, "/".to_owned()));
    }
    let mut lines: Vec<String> = asked
        .iter()
        .map(|(host, path)| {
            let host =
                host.as_ref().map(|host| format!(" -H {}", quoted(&format!("Host: {host}"))));
            format!(
                "curl -i{} {}",
                host.unwrap_or_default(),
                quoted(&format!("http://{first}{path}"))
            )
        })
        .collect();
    let (host, path) = &asked[0];
    let url = quoted(&format!("http://{}{path}", host.as_deref().unwrap_or(&first)));
    // What is the default need not be said.
    let file = running.path.display().to_string();
    let file =
        Some(file).filter(|file| is_file && file != "doorward.toml").map(|file| quoted(&file));
    let with =
        |option: &str| file.as_ref().map_or(String::new(), |file| format!(" {option}{file}"));
    if is_file {
        lines.push(format!("doorward explain GET {url}{}", with("--config ")));
        lines.push(format!("doorward status{}", with("")));
    } else {
        lines.push(format!("doorward status --admin {}", running.admin));
    }
    lines
}

/// Hosts and paths that routes are for, each from another route: first those that need no more than a
/// path.
fn asked(routes: &[RouteConfig]) -> Vec<(Option<String>, String)> {
    let takes_get = |methods: &OneOrMany| methods.0.iter().any(|method| **method == "GET");
    let simple = |route: &&RouteConfig| {
        route.header.is_empty()
            && route.query.is_empty()
            && route.method.as_ref().is_none_or(|methods| takes_get(methods))
    };
    let example = |route: &RouteConfig| {
        let host = route.host.as_ref().and_then(|hosts| hosts.0.first());
        (host.map(|host| host.replace('*', "www")), path(&route.path))
    };
    let mut asked: Vec<_> = routes.iter().filter(simple).map(example).collect();
    asked.sort_by_key(|(host, _)| host.is_some());
    asked.dedup();
    asked.truncate(TRIED_MAX);
    asked
}

/// A path that `pattern` is for.
fn path(pattern: &str) -> String {
    let segments = pattern.split('/').map(|segment| match segment {
        "*" => "",
        parameter if parameter.starts_with('{') => "1",
        literal => literal,
    });
    let path = segments.collect::<Vec<_>>().join("/");
    let trimmed = path.trim_end_matches('/');
    // `/a/*` is for `/a`, too, and that is the nicer one; but `/a/` is not `/a`.
    match pattern.ends_with('*') && !trimmed.is_empty() {
        true => trimmed.to_owned(),
        false => path,
    }
}

/// `word` as a shell takes it.
fn quoted(word: &str) -> String {
    shlex::try_quote(word).map_or_else(|_| word.to_owned(), std::borrow::Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_one_that_the_pattern_is_for() {
        for (pattern, wanted) in [
            ("/", "/"),
            ("/*", "/"),
            ("/a", "/a"),
            ("/a/", "/a/"),
            ("/a/*", "/a"),
            ("/a/{id}/b", "/a/1/b"),
            ("/a/{rest...}", "/a/1"),
        ] {
            assert_eq!(path(pattern), wanted, "{pattern}");
        }
    }
}
