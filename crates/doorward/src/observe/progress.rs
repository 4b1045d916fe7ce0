//! What is being built, as one line of a terminal that says what goes on, and is gone afterwards.

use std::io::{self, IsTerminal};
use std::time::Instant;

use super::log;
use crate::cli::paint::{Look, Paint};
use crate::control::process::{Entry, Said};

const FRAMES: [&str; 10] = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];

/// Back to the beginning of the line, which is then empty.
const CLEAR: &str = "\r\x1b[K";

/// The width where the terminal does not tell its own.
const WIDTH: usize = 80;

/// Shows builds: as they print where nobody watches, as one line where somebody does.
pub(crate) struct Progress {
    watched: bool,
    building: Option<Building>,
    frame: usize,
}

struct Building {
    service: String,
    began: Instant,
    last_line: String,
}

impl Progress {
    pub(crate) fn new() -> Self {
        Self { watched: io::stderr().is_terminal(), building: None, frame: 0 }
    }

    /// Takes what a build says.
    pub(crate) fn hear(&mut self, entry: &Entry) {
        if !self.watched {
            log::service(entry);
            return;
        }
        match &entry.said {
            Said::Line { text, .. } => {
                if let Some(building) = &mut self.building {
                    building.last_line.clone_from(text);
                }
            }
            // The next begins, or the last is done.
            Said::Event { text, .. } => {
                self.end();
                if text.starts_with("building") {
                    self.building = Some(Building {
                        service: entry.service.to_string(),
                        began: Instant::now(),
                        last_line: String::new(),
                    });
                }
            }
            Said::Lost { .. } => {}
        }
        self.show();
    }

    /// Moves on, so that it is seen to be alive.
    pub(crate) fn tick(&mut self) {
        self.frame = (self.frame + 1) % FRAMES.len();
        self.show();
    }

    fn show(&self) {
        let Some(building) = self.building.as_ref().filter(|_| self.watched) else {
            return;
        };
        let paint = Paint::on(&io::stderr());
        let seconds = format!("{:.1} s", building.began.elapsed().as_secs_f64());
        let head =
            format!("{:<width$} building, {seconds}  ", building.service, width = log::NAME_CHARS);
        // A line that wraps could not be taken back.
        let columns = rustix::termios::tcgetwinsize(io::stderr());
        let columns = columns.map_or(WIDTH, |size| usize::from(size.ws_col));
        let room = columns.saturating_sub(head.chars().count() + 3);
        let line: String =
            building.last_line.chars().filter(|c| !c.is_control()).take(room).collect();
        let frame = paint.paint(Look::Good, FRAMES[self.frame]);
        log::show(format!("{CLEAR}{frame} {head}{}", paint.paint(Look::Faint, line)));
    }

    /// What was being built is done.
    fn end(&mut self) {
        let Some(building) = self.building.take() else {
            return;
        };
        let seconds = building.began.elapsed().as_secs_f64();
        log::show(CLEAR.to_owned());
        log::info(&building.service, format!("built in {seconds:.1} s"));
    }

    /// All builds are done, or one has failed, and others will say so.
    pub(crate) fn finish(mut self) {
        if self.building.take().is_some() {
            log::show(CLEAR.to_owned());
        }
    }
}
