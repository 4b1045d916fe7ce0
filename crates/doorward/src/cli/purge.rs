//! `doorward purge`: makes the running process forget cached responses.

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::Value;

use super::paint::{Look, Paint};
use super::status::AdminArgs;
use super::{EXIT_CONFIG, Failure};
use crate::admin::PurgeOrder;

const EXAMPLES: &str = "\
Examples:
  doorward purge --tag article-7                 all responses with that tag
  doorward purge https://example.com/articles/7  one URL, in all its variants
  doorward purge --prefix https://example.com/articles/
  doorward purge --all --soft                    all are fetched anew, and served meanwhile
  doorward purge --tag a --tag b | jq .nodes     a receipt in JSON when piped";

/// Makes the running process forget cached responses, at once.
///
/// What is being fetched at that moment is touched, too: it may have been read before the change.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct PurgeArgs {
    /// URLs as clients use them, each in all its variants
    #[arg(value_name = "URL")]
    urls: Vec<String>,
    /// Responses with this tag; may be given again
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// Responses whose URL begins so; may be given again
    #[arg(long = "prefix", value_name = "URL")]
    prefixes: Vec<String>,
    /// Everything
    #[arg(long)]
    all: bool,
    /// They may still be served while new ones are fetched
    #[arg(long)]
    soft: bool,
    /// The configuration that it runs with: it says where the admin side is
    #[arg(long, value_name = "FILE|DIR", default_value = "doorward.toml")]
    config: PathBuf,
    #[command(flatten)]
    admin: AdminArgs,
    /// JSON on a terminal too
    #[arg(long)]
    json: bool,
}

/// Purges, and shows the receipt.
pub(crate) fn purge(args: &PurgeArgs) -> Result<ExitCode, Failure> {
    let order = PurgeOrder {
        urls: args.urls.clone(),
        tags: args.tags.clone(),
        prefixes: args.prefixes.clone(),
        all: args.all,
        soft: args.soft,
        count: !args.urls.is_empty(),
    };
    if order.urls.is_empty() && order.tags.is_empty() && order.prefixes.is_empty() && !order.all {
        let failure = Failure::new("nothing is named to be purged");
        let hint = "give a URL, --tag, --prefix, or --all";
        return Err(Failure { code: EXIT_CONFIG, ..failure.hint(hint) });
    }
    let body = serde_json::to_vec(&order).expect("an order is plain text");
    let receipt = args.admin.side(&args.config)?.ask("POST", "/api/purge", &body)?;
    let mut out = io::stdout().lock();
    if args.json || !out.is_terminal() {
        writeln!(out, "{receipt:#}")?;
    } else {
        out.write_all(text(&receipt, Paint::on(&io::stdout())).as_bytes())?;
    }
    Ok(ExitCode::SUCCESS)
}

fn text(receipt: &Value, paint: Paint) -> String {
    let what = if receipt["soft"] == true { "purged softly" } else { "purged" };
    let mut out = String::new();
    for node in receipt["nodes"].as_array().into_iter().flatten() {
        let name = node["node"].as_str().unwrap_or("?");
        let generation = &node["generation"];
        let responses = match node["responses"].as_u64() {
            None => String::new(),
            Some(1) => ", 1 response in memory".to_owned(),
            Some(count) => format!(", {count} responses in memory"),
        };
        out += &format!(
            "{} on {}: generation {generation}{responses}\n",
            paint.paint(Look::Good, what),
            paint.paint(Look::Strong, name),
        );
        if node["widened"] == true {
            let text = "more was purged than was asked for: too many purges to keep apart";
            out += &format!("{}\n", paint.paint(Look::Odd, text));
        }
    }
    out
}
