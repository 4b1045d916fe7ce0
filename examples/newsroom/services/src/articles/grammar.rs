//! Writes sentences from the rules in `grammar.txt`, which explains its own notation.

use std::collections::HashMap;

use crate::dice::Dice;

pub struct Grammar {
    rules: HashMap<&'static str, Rule>,
}

struct Rule {
    lines: Vec<&'static str>,
    /// Drawn once an article: a person keeps the name, the town stays where it is.
    once: bool,
}

impl Grammar {
    pub fn build() -> Grammar {
        let mut rules = HashMap::new();
        let mut current: Option<&mut Rule> = None;
        for line in include_str!("grammar.txt")
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
        {
            if let Some(name) = line.strip_prefix('@') {
                let once = name.starts_with('=');
                let rule = Rule { lines: Vec::new(), once };
                current = Some(rules.entry(name.trim_start_matches('=')).or_insert(rule));
            } else if let Some(rule) = &mut current {
                rule.lines.push(line);
            }
        }
        Grammar { rules }
    }
}

/// Writes one text after the other: remembers what was said, so that names stay and sentences do not return.
pub struct Writer<'g> {
    grammar: &'g Grammar,
    section: &'g str,
    dice: Dice,
    kept: HashMap<String, String>,
    said: HashMap<String, Vec<usize>>,
}

impl<'g> Writer<'g> {
    pub fn new(grammar: &'g Grammar, section: &'g str, seed: u64) -> Writer<'g> {
        Writer {
            grammar,
            section,
            dice: Dice::new(seed),
            kept: HashMap::new(),
            said: HashMap::new(),
        }
    }

    /// Goes on to the next text. Headlines and summaries stand next to each other in lists, so theirs do not return
    /// until all the others were said; everything else is forgotten.
    pub fn begin(&mut self, seed: u64) {
        self.dice = Dice::new(seed);
        self.kept.clear();
        self.said.retain(|rule, _| rule.ends_with("headline") || rule == "summary");
    }

    pub fn dice(&mut self) -> &mut Dice {
        &mut self.dice
    }

    /// A possibility of `rule` as a sentence: it begins with a capital.
    pub fn sentence(&mut self, rule: &str) -> String {
        let text = self.phrase(rule);
        let mut sentence = String::with_capacity(text.len());
        let mut starts = true;
        let mut letters = text.chars().peekable();
        while let Some(letter) = letters.next() {
            let ends = matches!(letter, '.' | '?') && letters.peek() == Some(&' ');
            if starts && letter.is_alphanumeric() {
                sentence.extend(letter.to_uppercase());
                starts = false;
            } else {
                sentence.push(letter);
            }
            starts |= ends;
        }
        sentence
    }

    /// A possibility of `rule`, first of this section's own rule, then of the rule for all.
    ///
    /// The rules are part of the program, and a test writes every one of them: a missing rule is our mistake.
    pub fn phrase(&mut self, rule: &str) -> String {
        if let Some(kept) = self.kept.get(rule) {
            return kept.clone();
        }
        let own = format!("{}/{rule}", self.section);
        let grammar = self.grammar;
        let name =
            match (grammar.rules.contains_key(own.as_str()), grammar.rules.contains_key(rule)) {
                // A third of a section's headlines are its own, the others are of the general kind.
                (true, true) => {
                    if self.dice.below(3) == 0 {
                        &own
                    } else {
                        rule
                    }
                }
                (true, false) => &own,
                (false, _) => rule,
            };
        let found =
            grammar.rules.get(name).unwrap_or_else(|| panic!("grammar.txt has no rule @{name}"));
        let line = found.lines[self.draw(name, found.lines.len())];
        let text = self.expand(line);
        if found.once {
            self.kept.insert(rule.to_owned(), text.clone());
        }
        text
    }

    /// Draws as from a hat: no line twice until all were said.
    fn draw(&mut self, name: &str, lines: usize) -> usize {
        let hat = self.said.entry(name.to_owned()).or_default();
        if hat.is_empty() {
            hat.extend(0..lines);
        }
        hat.swap_remove(self.dice.below(hat.len()))
    }

    fn expand(&mut self, line: &str) -> String {
        let mut text = String::new();
        let mut rest = line;
        while let Some((before, after)) = rest.split_once('{') {
            let (slot, after) =
                after.split_once('}').expect("a test writes every rule of grammar.txt");
            text.push_str(before);
            match slot
                .split_once('-')
                .and_then(|(low, high)| Some((low.parse().ok()?, high.parse().ok()?)))
            {
                Some((low, high)) => text.push_str(&self.dice.between(low, high).to_string()),
                None => text.push_str(&self.phrase(slot)),
            }
            rest = after;
        }
        text.push_str(rest);
        articled(&text)
    }
}

/// "a~ owl" becomes "an owl", "a~ dove" becomes "a dove".
fn articled(text: &str) -> String {
    let mut parts = text.split("~ ");
    let mut written = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let vowel = part.starts_with(['a', 'e', 'i', 'o', 'u']);
        written.push_str(if vowel { "n " } else { " " });
        written.push_str(part);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::SECTIONS;

    #[test]
    fn every_line_of_every_rule_can_be_written() {
        let grammar = Grammar::build();
        for (name, rule) in &grammar.rules {
            assert!(!rule.lines.is_empty(), "@{name} is empty");
            let sections =
                SECTIONS.iter().filter(|(slug, _)| !name.contains('/') || name.starts_with(slug));
            for (slug, _) in sections {
                for line in &rule.lines {
                    let text = Writer::new(&grammar, slug, 1).expand(line);
                    assert!(!text.contains(['{', '}', '~', '@']), "@{name}: {text}");
                }
            }
        }
    }

    #[test]
    fn names_stay_and_sentences_do_not_return() {
        let grammar = Grammar::build();
        let mut writer = Writer::new(&grammar, "world", 3);
        assert_eq!(writer.phrase("place"), writer.phrase("place"));
        assert_ne!(writer.phrase("place"), writer.phrase("elsewhere"));
        let remarks: std::collections::BTreeSet<String> =
            (0..5).map(|_| writer.phrase("remark")).collect();
        assert_eq!(remarks.len(), 5);
    }

    #[test]
    fn the_next_text_has_other_names_but_no_headline_again() {
        let grammar = Grammar::build();
        let mut writer = Writer::new(&grammar, "world", 3);
        let (place, lines) = (writer.phrase("place"), grammar.rules["summary"].lines.len());
        for seed in 1..=lines as u64 {
            writer.begin(seed);
            writer.phrase("summary");
            assert_eq!(writer.said["summary"].len(), lines - seed as usize);
        }
        assert_ne!(writer.phrase("place"), place);
    }

    #[test]
    fn sentences_begin_with_a_capital_and_articles_fit() {
        let grammar = Grammar::build();
        for seed in 0..200 {
            let text = Writer::new(&grammar, "science", seed).sentence("background");
            assert!(text.starts_with(char::is_uppercase), "{text}");
        }
        assert_eq!(articled("A~ owl and a~ dove"), "An owl and a dove");
    }
}
