//! What all pages share: the frame around them, how an article looks in a list, and the notice for a missing part.

use maud::{DOCTYPE, Markup, html};
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

use super::pages::Counts;
use crate::contract::{Card, Listing, SECTIONS, find_section};

pub const DATE: &[BorrowedFormatItem<'_>] =
    format_description!("[day padding:none] [month repr:long] [year]");
const MINUTE: &[BorrowedFormatItem<'_>] =
    format_description!("[day padding:none] [month repr:short], [hour]:[minute]");
const MACHINE: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");

/// A whole page. `here` is the section to mark in the navigation, `query` what the search field shows.
pub fn page(title: &str, here: Option<&str>, query: &str, content: Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) " · The Threshold" }
                link rel="icon" href="/static/mark.svg" type="image/svg+xml";
                link rel="stylesheet" href="/static/style.css";
            }
            body {
                a.skip href="#content" { "Skip to the news" }
                header.masthead {
                    a.title href="/" { img src="/static/mark.svg" alt="" width="44" height="44"; "The Threshold" }
                    form.search action="/search" role="search" {
                        input type="search" name="q" value=(query) placeholder="Search the archive" aria-label="Search" maxlength="100";
                        button { "Search" }
                    }
                }
                nav.sections aria-label="Sections" {
                    @for (slug, name) in SECTIONS {
                        a href={ "/section/" (slug) } data-section=(slug) aria-current=[(here == Some(slug)).then_some("page")] { (name) }
                    }
                }
                main #content { (content) }
                footer {
                    p { "The Threshold is made up, from the first headline to the last comment, to show "
                        "what stands in front of it: Doorward." }
                }
            }
        }
    }
}

/// How large a card is, which decides what it shows.
#[derive(Clone, Copy, PartialEq)]
pub enum Size {
    Lead,
    Picture,
    Row,
    Line,
}

pub fn card(card: &Card, size: Size, counts: Option<&Counts>) -> Markup {
    let class = match size {
        Size::Lead => "card lead",
        Size::Picture => "card picture",
        Size::Row => "card row",
        Size::Line => "card line",
    };
    let address = format!("/article/{}", card.id);
    html! {
        article class=(class) data-section=(card.section) {
            @if size != Size::Line {
                // The headline beside it is the link for those who cannot see the picture.
                a.frame href=(address) tabindex="-1" aria-hidden="true" { (picture(card, size == Size::Lead)) }
            }
            div.words {
                (kicker(&card.section))
                h3 { a href=(address) { (card.headline) } }
                @if size != Size::Line { p.summary { (card.summary) } }
                p.meta {
                    @if size != Size::Line { a href={ "/author/" (card.author.id) } { (card.author.name) } }
                    (when(card.published))
                    @if let Some(count) = counts.and_then(|counts| counts.get(&card.id)).filter(|count| **count > 0) {
                        a href={ (address) "#comments" } { (grouped(u64::from(*count))) @if *count == 1 { " comment" } @else { " comments" } }
                    }
                }
            }
        }
    }
}

pub fn picture(card: &Card, soon: bool) -> Markup {
    html! {
        img src={ "/illustration/" (card.section) "/" (card.id) } alt="" width="600" height="400"
            loading=[(!soon).then_some("lazy")];
    }
}

pub fn kicker(slug: &str) -> Markup {
    let name = find_section(slug).map_or(slug, |(_, name)| name);
    html! { a.kicker href={ "/section/" (slug) } data-section=(slug) { (name) } }
}

pub fn when(moment: OffsetDateTime) -> Markup {
    // The last month's are dated to the minute, older ones to the day.
    let recent = OffsetDateTime::now_utc() - moment < time::Duration::days(30);
    let shown = moment.format(if recent { MINUTE } else { DATE }).unwrap_or_default();
    html! { time datetime=(moment.format(MACHINE).unwrap_or_default()) { (shown) } }
}

/// The notice in the place of a part that did not come.
pub fn away(service: &str, sentence: &str) -> Markup {
    html! { p.away role="status" data-away=(service) { (sentence) } }
}

pub fn most_read(title: &str, cards: Option<&[Card]>, counts: Option<&Counts>) -> Markup {
    html! {
        section.most-read {
            h2 { (title) }
            @match cards {
                Some(cards) => ol { @for item in cards { li { (card(item, Size::Line, counts)) } } },
                None => (away("articles", "The list of most read articles is away right now.")),
            }
        }
    }
}

/// Links to the pages before and after; `address` is without the page.
pub fn pager(listing: &Listing<Card>, address: &str) -> Markup {
    let pages = listing.total.div_ceil(listing.per_page.max(1));
    let joint = if address.contains('?') { "&" } else { "?" };
    html! {
        @if pages > 1 {
            nav.pager aria-label="Pages" {
                @if listing.page > 1 { a rel="prev" href={ (address) (joint) "page=" (listing.page - 1) } { "Newer" } }
                span { "Page " (listing.page) " of " (pages) }
                @if listing.page < pages { a rel="next" href={ (address) (joint) "page=" (listing.page + 1) } { "Older" } }
            }
        }
    }
}

/// `name=value` for an address, whatever the value holds.
pub fn parameter(name: &str, value: &str) -> String {
    form_urlencoded::Serializer::new(String::new()).append_pair(name, value).finish()
}

/// 1234567 as "1,234,567".
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut shown = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn parameters_cannot_add_parameters() {
        assert_eq!(parameter("q", "a&page=2 ü\""), "q=a%26page%3D2+%C3%BC%22");
    }
}
