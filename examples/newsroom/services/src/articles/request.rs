//! What may be asked: query parameters and drafts, checked before anything is looked up.

use serde::Deserialize;

use super::fault::Fault;
use crate::contract::{Draft, find_section};

/// Deep pages cost as much as all the pages before them; nobody reads that far.
const PAGE_MAX: u32 = 500;
const PER_PAGE: u32 = 20;
const PER_PAGE_MAX: u32 = 100;
const SEARCH_LETTERS_MAX: usize = 100;
const SEARCH_WORDS_MAX: usize = 8;
const DAYS: u32 = 30;
const DAYS_MAX: u32 = 730;
const HEADLINE_LETTERS_MAX: usize = 200;
const SUMMARY_LETTERS_MAX: usize = 500;
const BODY_LETTERS_MAX: usize = 50_000;
const TAGS_MAX: usize = 8;
const TAG_LETTERS_MAX: usize = 60;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListQuery {
    section: Option<String>,
    author: Option<u32>,
    q: Option<String>,
    page: Option<u32>,
    per_page: Option<u32>,
}

/// A `ListQuery` within its bounds.
#[derive(Debug, PartialEq)]
pub struct List {
    pub section: Option<&'static str>,
    pub author: Option<u32>,
    /// An expression in FTS5's own language.
    pub search: Option<String>,
    pub page: u32,
    pub per_page: u32,
}

impl ListQuery {
    pub fn build(self) -> Result<List, Fault> {
        Ok(List {
            section: self.section.as_deref().map(known_section).transpose()?,
            author: self.author,
            search: self.q.as_deref().map(search_expression).transpose()?,
            page: bounded("page", self.page.unwrap_or(1), PAGE_MAX)?,
            per_page: bounded("per_page", self.per_page.unwrap_or(PER_PAGE), PER_PAGE_MAX)?,
        })
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PopularQuery {
    section: Option<String>,
    days: Option<u32>,
    limit: Option<u32>,
}

#[derive(Debug)]
pub struct Popular {
    pub section: Option<&'static str>,
    pub days: u32,
    pub limit: u32,
}

impl PopularQuery {
    pub fn build(self) -> Result<Popular, Fault> {
        Ok(Popular {
            section: self.section.as_deref().map(known_section).transpose()?,
            days: bounded("days", self.days.unwrap_or(DAYS), DAYS_MAX)?,
            limit: bounded("limit", self.limit.unwrap_or(PER_PAGE), PER_PAGE_MAX)?,
        })
    }
}

/// Trims a draft and refuses one that could not be printed.
pub fn checked(mut draft: Draft) -> Result<Draft, Fault> {
    known_section(&draft.section)?;
    for (name, text, most) in [
        ("headline", &mut draft.headline, HEADLINE_LETTERS_MAX),
        ("summary", &mut draft.summary, SUMMARY_LETTERS_MAX),
        ("body", &mut draft.body, BODY_LETTERS_MAX),
    ] {
        *text = printable(name, text, most)?;
    }
    if draft.tags.len() > TAGS_MAX {
        return Err(Fault::Invalid(format!("at most {TAGS_MAX} tags")));
    }
    for tag in &mut draft.tags {
        *tag = printable("tag", tag, TAG_LETTERS_MAX)?;
    }
    Ok(draft)
}

fn known_section(slug: &str) -> Result<&'static str, Fault> {
    let found = find_section(slug).map(|(known, _)| known);
    found.ok_or_else(|| Fault::Invalid("there is no such section".to_owned()))
}

fn bounded(name: &str, value: u32, most: u32) -> Result<u32, Fault> {
    if (1..=most).contains(&value) {
        Ok(value)
    } else {
        Err(Fault::Invalid(format!("{name} must be from 1 to {most}")))
    }
}

fn printable(name: &str, text: &str, most: usize) -> Result<String, Fault> {
    let text = text.trim();
    let letters = text.chars().count();
    if letters == 0 || letters > most {
        return Err(Fault::Invalid(format!("{name} must have from 1 to {most} letters")));
    }
    if text.chars().any(|letter| letter.is_control() && letter != '\n') {
        return Err(Fault::Invalid(format!("{name} has a control character")));
    }
    Ok(text.to_owned())
}

/// All of the reader's words, each as a quoted beginning of a word: nothing in them is an operator to FTS5.
fn search_expression(words: &str) -> Result<String, Fault> {
    let words = printable("q", words, SEARCH_LETTERS_MAX)?;
    let quoted = words
        .split_whitespace()
        .take(SEARCH_WORDS_MAX)
        .map(|word| format!("\"{}\"*", word.replace('"', "\"\"")));
    Ok(quoted.collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(query: ListQuery, expected: &str) {
        match query.build() {
            Err(Fault::Invalid(detail)) => assert_eq!(detail, expected),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn nothing_asked_means_the_first_page() {
        let list = ListQuery::default().build().expect("valid");
        assert_eq!(list, List { section: None, author: None, search: None, page: 1, per_page: 20 });
    }

    #[test]
    fn parameters_are_bounded() {
        refused(ListQuery { page: Some(0), ..ListQuery::default() }, "page must be from 1 to 500");
        refused(
            ListQuery { page: Some(501), ..ListQuery::default() },
            "page must be from 1 to 500",
        );
        refused(
            ListQuery { per_page: Some(101), ..ListQuery::default() },
            "per_page must be from 1 to 100",
        );
        refused(
            ListQuery { section: Some("x' OR 1".into()), ..ListQuery::default() },
            "there is no such section",
        );
        refused(
            ListQuery { q: Some(" ".into()), ..ListQuery::default() },
            "q must have from 1 to 100 letters",
        );
        refused(
            ListQuery { q: Some("a".repeat(101)), ..ListQuery::default() },
            "q must have from 1 to 100 letters",
        );
        refused(
            ListQuery { q: Some("a\0b".into()), ..ListQuery::default() },
            "q has a control character",
        );
        let days = PopularQuery { days: Some(731), ..PopularQuery::default() }.build();
        assert!(
            matches!(days, Err(Fault::Invalid(detail)) if detail == "days must be from 1 to 730")
        );
    }

    #[test]
    fn search_words_are_never_operators() {
        let expression = |words| search_expression(words).expect("valid");
        assert_eq!(expression("grain OR corridor"), r#""grain"* "OR"* "corridor"*"#);
        assert_eq!(expression(r#"a" NOT b"#), r#""a"""* "NOT"* "b"*"#);
    }

    #[test]
    fn a_draft_is_trimmed_and_checked() {
        let draft = |headline: &str, section: &str| Draft {
            section: section.into(),
            author: 1,
            headline: headline.into(),
            summary: "s".into(),
            body: "b".into(),
            tags: vec![" live ".into()],
        };
        let good = checked(draft(" Rain ", "world")).expect("valid");
        assert_eq!((good.headline.as_str(), good.tags[0].as_str()), ("Rain", "live"));
        assert!(checked(draft("", "world")).is_err());
        assert!(checked(draft("Rain", "weather")).is_err());
        assert!(checked(draft(&"x".repeat(201), "world")).is_err());
    }
}
