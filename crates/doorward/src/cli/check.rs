//! `doorward check`: everything that is wrong with a configuration, without using it.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use config::Style;
use serde_json::{Value, json};

use super::EXIT_CONFIG;
use super::paint::Paint;
use crate::control::load::{Loaded, Loader};
use crate::control::model::Config;

const EXAMPLES: &str = "\
Examples:
  doorward check                          the doorward.toml of this folder
  doorward check deploy/ && deploy        in CI: the exit code is 2 if it cannot be used
  doorward check --json | jq .problems
  doorward check --schema > doorward.schema.json     for editors";

/// Says everything that is wrong with a configuration.
///
/// Ends with 0 if it can be used, even if something looks odd, and with 2 if it cannot.
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CheckArgs {
    /// The file, or the folder of `doorward.toml`.
    #[arg(value_name = "FILE|DIR", default_value = "doorward.toml")]
    path: PathBuf,
    /// Says it as one JSON object, with the whole configuration, defaults included and secrets masked.
    #[arg(long)]
    json: bool,
    /// Writes the JSON Schema of the file instead, for editors.
    #[arg(long, conflicts_with = "json")]
    schema: bool,
}

/// Checks, and writes the outcome.
pub(crate) fn check(args: &CheckArgs) -> io::Result<ExitCode> {
    let mut out = io::stdout().lock();
    if args.schema {
        writeln!(out, "{:#}", schema())?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut loader = Loader::new(&args.path);
    let loaded = loader.load();
    let ok = !loaded.report.has_errors();
    if args.json {
        writeln!(out, "{}", machine(&loader, &loaded))?;
    } else {
        let mut err = io::stderr().lock();
        let color = Paint::on(&io::stderr()).is_colourful();
        write!(err, "{}", loaded.report.render(Style { color, ..Style::default() }))?;
        if ok {
            writeln!(out, "{}", friendly(&loader, &loaded))?;
        }
    }
    Ok(if ok { ExitCode::SUCCESS } else { ExitCode::from(EXIT_CONFIG) })
}

/// The JSON Schema of the file, draft 2020-12.
fn schema() -> Value {
    let mut schema = schemars::schema_for!(Config).to_value();
    schema["title"] = json!("doorward.toml");
    as_written(&mut schema);
    schema
}

/// From what serde reads to what a person writes: TOML has no null, and any string may name variables.
fn as_written(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            let is_null = |choice: &Value| choice["type"] == "null";
            if let Some(Value::Array(choices)) = object.get_mut("anyOf") {
                choices.retain(|choice| !is_null(choice));
                if let [Value::Object(only)] = choices.as_mut_slice() {
                    let only = std::mem::take(only);
                    object.remove("anyOf");
                    for (key, value) in only {
                        object.entry(key).or_insert(value);
                    }
                }
            }
            if let Some(Value::Array(types)) = object.get_mut("type") {
                types.retain(|name| name != "null");
                if let [only] = types.as_mut_slice() {
                    object["type"] = only.take();
                }
            }
            if object.get("type").is_some_and(|name| name == "integer") {
                for (ours, theirs) in [("x-least", "minimum"), ("x-most", "maximum")] {
                    let bound = object.remove(ours);
                    let bound = bound.and_then(|bound| bound.as_str()?.parse::<u64>().ok());
                    object.extend(bound.map(|bound| (theirs.to_owned(), json!(bound))));
                }
            }
            if let Some(Value::String(pattern)) = object.get_mut("pattern") {
                *pattern = format!(r"{pattern}|\$\{{");
            }
            object.values_mut().for_each(as_written);
        }
        Value::Array(items) => items.iter_mut().for_each(as_written),
        _ => {}
    }
}

/// The outcome as one object.
fn machine(loader: &Loader, loaded: &Loaded) -> Value {
    let ok = !loaded.report.has_errors();
    let mut object = json!({ "ok": ok, "problems": loaded.report.to_json() });
    if ok {
        let mut config = json!(loaded.config);
        config["route"] = json!(loader.routes_as_written());
        object["config"] = config;
    }
    object
}

/// One line for a person who did everything right.
fn friendly(loader: &Loader, loaded: &Loaded) -> String {
    let count = |count: usize, one: &str| match count {
        1 => format!("1 {one}"),
        _ => format!("{count} {one}s"),
    };
    format!(
        "{} is fine: {}, {}, {}",
        loader.path().display(),
        count(loaded.report.sources().len(), "file"),
        count(loaded.config.service.len(), "service"),
        count(loaded.rules.as_ref().map_or(0, |rules| rules.routes().len()), "route"),
    )
}
