//! `simulate`: plays bad days and prints what came of them.

use std::io::{self, Write};
use std::process::ExitCode;

use rules::retry::HedgePolicy;
use simulate::doorward::Settings;
use simulate::figures::Figures;
use simulate::scenario::{CAPACITY_PER_S, Scenario, Which};

const HELP: &str = "\
Plays bad days against Doorward's rules, and against round robin with plain retries.

    cargo run --release -p simulate -- [SCENARIO...] [--seed N] [--seeds N] [--seconds N]
        [--workers N] [--hedge] [--json]

    --seed N      the first seed; 1 if left out
    --seeds N     how many seeds to play; shown is the worst of each figure; 1 if left out
    --seconds N   how long each runs behind a warm-up of three seconds; 30 if left out
    --workers N   how many workers Doorward has, each of which learns by itself; 4 if left out
    --hedge       Doorward sends a second request beside one that takes unusually long
    --json        one object a line, for each seed

";

fn main() -> ExitCode {
    let mut out = io::stdout().lock();
    match Options::read(std::env::args().skip(1)) {
        Ok(options) => match run(&options, &mut out) {
            Ok(()) => ExitCode::SUCCESS,
            // Who reads has had enough.
            Err(_) => ExitCode::FAILURE,
        },
        Err(wrong) => {
            let mut text = HELP.to_owned();
            for scenario in Scenario::ALL {
                text += &format!("    {:<13} {}\n", scenario.name(), scenario.about());
            }
            let said = if wrong.is_empty() { text } else { format!("{wrong}\n\n{text}") };
            let _ = out.write_all(said.as_bytes());
            if wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(2) }
        }
    }
}

struct Options {
    scenarios: Vec<Scenario>,
    seed: u64,
    seeds: u64,
    seconds: u64,
    settings: Settings,
    json: bool,
}

impl Options {
    /// The error is what is wrong; nothing, if help is wanted.
    fn read(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let settings = Settings::default();
        let mut options =
            Self { scenarios: Vec::new(), seed: 1, seeds: 1, seconds: 30, settings, json: false };
        while let Some(word) = words.next() {
            let mut number = || {
                let word = words.next().unwrap_or_default();
                word.parse::<u64>().map_err(|_| format!("`{word}` is not a whole number"))
            };
            match &*word {
                "--seed" => options.seed = number()?,
                "--seeds" => options.seeds = number()?,
                "--seconds" => options.seconds = number()?.max(1),
                "--workers" => options.settings.workers = number()?.clamp(1, 256) as usize,
                "--hedge" => options.settings.retry.hedge = Some(HedgePolicy::default()),
                "--json" => options.json = true,
                "--help" | "-h" => return Err(String::new()),
                name => {
                    let known = Scenario::ALL.into_iter().find(|known| known.name() == name);
                    options
                        .scenarios
                        .push(known.ok_or_else(|| format!("there is no scenario `{name}`"))?);
                }
            }
        }
        if options.scenarios.is_empty() {
            options.scenarios = Scenario::ALL.to_vec();
        }
        Ok(options)
    }
}

fn run(options: &Options, out: &mut impl Write) -> io::Result<()> {
    if !options.json {
        writeln!(
            out,
            "ten endpoints, {CAPACITY_PER_S} requests a second at most; {} s; \
             each figure is the worst of seeds {} to {}\n",
            options.seconds,
            options.seed,
            options.seed + options.seeds.max(1) - 1,
        )?;
    }
    for scenario in &options.scenarios {
        if !options.json {
            writeln!(out, "{}: {}", scenario.name(), scenario.about())?;
            writeln!(
                out,
                "  {:<9} {:>9} {:>9} {:>8} {:>24} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8}",
                "",
                "goodput/s",
                "errors",
                "shed",
                "served c/n/s",
                "p50 ms",
                "p99 ms",
                "p999 ms",
                "retries",
                "hedges",
                "wasted"
            )?;
        }
        for name in ["doorward", "plain"] {
            let mut worst: Option<Figures> = None;
            for seed in options.seed..options.seed + options.seeds.max(1) {
                let door = match name {
                    "doorward" => Which::Doorward(Box::new(options.settings.clone())),
                    _ => Which::Plain,
                };
                let figures = scenario.play(door, seed, options.seconds);
                if options.json {
                    writeln!(
                        out,
                        "{{\"scenario\":\"{}\",\"door\":\"{name}\",\"seed\":{seed},\"figures\":{}}}",
                        scenario.name(),
                        figures.json()
                    )?;
                }
                worst = Some(match worst {
                    Some(worst) => worst.worse(&figures),
                    None => figures,
                });
            }
            if let Some(worst) = worst.filter(|_| !options.json) {
                write_row(out, name, &worst)?;
            }
        }
        if !options.json {
            writeln!(out)?;
        }
    }
    Ok(())
}

fn write_row(out: &mut impl Write, name: &str, figures: &Figures) -> io::Result<()> {
    let percent = |share: f64, digits: usize| format!("{:.digits$}%", share * 100.0);
    let served = figures.served.map(|share| percent(share, 2)).join(" ");
    writeln!(
        out,
        "  {name:<9} {:>9.0} {:>9} {:>8} {served:>24} {:>8.1} {:>8.1} {:>8.1} {:>8} {:>8} {:>8}",
        figures.goodput_per_s,
        percent(figures.errors, 4),
        percent(figures.shed, 2),
        figures.p50_ms,
        figures.p99_ms,
        figures.p999_ms,
        percent(figures.retries, 2),
        percent(figures.hedges, 2),
        percent(figures.wasted, 2),
    )
}
