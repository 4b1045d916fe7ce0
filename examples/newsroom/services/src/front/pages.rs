//! The pages, from what was gathered for them. Maud escapes every value that is written into them.

use std::collections::HashMap;

use maud::{Markup, html};
use serde::Deserialize;
use time::serde::rfc3339;
use time::{Date, OffsetDateTime};

use super::door::Gone;
use super::layout::{
    DATE, Size, away, card, grouped, kicker, most_read, page, pager, parameter, picture, when,
};
use crate::contract::{Article, AuthorProfile, Card, Listing, SectionOverview, find_section};

/// Article id to number of comments.
pub type Counts = HashMap<u32, u32>;
/// Account id to reader.
pub type Names = HashMap<u32, Reader>;

#[derive(Debug, Deserialize)]
pub struct Comment {
    pub account: u32,
    pub text: String,
    #[serde(with = "rfc3339")]
    pub posted: OffsetDateTime,
    pub likes: u32,
}

#[derive(Debug, Deserialize)]
pub struct Reader {
    pub id: u32,
    pub name: String,
    pub reputation: i64,
}

pub struct FrontPage {
    pub today: Date,
    /// Most important first.
    pub top: Vec<Card>,
    pub latest: Vec<Card>,
    pub popular: Option<Vec<Card>>,
    pub blocks: Vec<Block>,
    pub sections: Option<Vec<SectionOverview>>,
    pub readers: Option<Vec<Reader>>,
    pub counts: Option<Counts>,
}

/// A section on the front page.
pub struct Block {
    pub slug: &'static str,
    pub name: &'static str,
    pub cards: Option<Vec<Card>>,
}

pub fn front(front: &FrontPage) -> Markup {
    let counts = front.counts.as_ref();
    let content = html! {
        p.edition { (front.today.format(DATE).unwrap_or_default()) span { "News from places that do not exist" } }
        @if counts.is_none() { (away("comments", "Comments are away right now.")) }
        div.opening {
            div.top {
                @for (index, item) in front.top.iter().enumerate() {
                    (card(item, if index == 0 { Size::Lead } else { Size::Picture }, counts))
                }
            }
            section.latest {
                h2 { "Latest" }
                @for item in &front.latest { (card(item, Size::Line, counts)) }
            }
        }
        (most_read("Most read this week", front.popular.as_deref(), counts))
        div.blocks {
            @for block in &front.blocks {
                section.block data-section=(block.slug) {
                    h2 { a href={ "/section/" (block.slug) } { (block.name) } }
                    @match &block.cards {
                        Some(cards) => {
                            @for (index, item) in cards.iter().enumerate() {
                                (card(item, if index == 0 { Size::Row } else { Size::Line }, counts))
                            }
                        }
                        None => (away("articles", "This section is away right now.")),
                    }
                }
            }
        }
        div.ledger {
            section.readers {
                h2 { "Readers of note" }
                @match &front.readers {
                    Some(readers) => ol {
                        @for reader in readers {
                            li { span.name { (reader.name) } span.number { (points(reader.reputation)) } }
                        }
                    },
                    None => (away("accounts", "Reader accounts are away right now.")),
                }
            }
            section.archive {
                h2 { "The archive in numbers" }
                @match &front.sections {
                    Some(sections) => (archive(sections)),
                    None => (away("articles", "The numbers are away right now.")),
                }
            }
        }
    };
    page("News", None, "", content)
}

fn archive(sections: &[SectionOverview]) -> Markup {
    html! {
        table {
            thead { tr { th { "Section" } th { "Articles" } th { "Authors" } th { "Reads" } } }
            tbody {
                @for section in sections {
                    tr {
                        td { (kicker(&section.slug)) }
                        td { (grouped(u64::from(section.articles))) }
                        td { (section.authors) }
                        td { (grouped(section.views)) }
                    }
                }
            }
        }
    }
}

pub fn section(
    slug: &str,
    name: &str,
    listing: &Listing<Card>,
    popular: Option<&[Card]>,
    counts: Option<&Counts>,
) -> Markup {
    let content = html! {
        div.heading data-section=(slug) {
            h1 { (name) }
            p { (grouped(u64::from(listing.total))) " articles in two years" }
        }
        div.columns {
            (cards(listing, &format!("/section/{slug}"), counts))
            aside { (most_read(&format!("Most read in {name}"), popular, counts)) }
        }
    };
    page(name, Some(slug), "", content)
}

/// A page of a list, with the notice if its comments are away.
fn cards(listing: &Listing<Card>, address: &str, counts: Option<&Counts>) -> Markup {
    html! {
        div.list {
            @if counts.is_none() { (away("comments", "Comments are away right now.")) }
            @for item in &listing.items { (card(item, Size::Row, counts)) }
            (pager(listing, address))
        }
    }
}

pub fn article(
    article: &Article,
    comments: Option<&Listing<Comment>>,
    names: Option<&Names>,
    popular: Option<&[Card]>,
) -> Markup {
    let head = &article.card;
    let content = html! {
        article.story data-section=(head.section) {
            header {
                (kicker(&head.section))
                h1 { (head.headline) }
                p.standfirst { (head.summary) }
                p.meta {
                    span { "By " a href={ "/author/" (head.author.id) } { (head.author.name) } }
                    (when(head.published))
                    @if head.updated > head.published { span { "Updated " (when(head.updated)) } }
                    span { (head.minutes) " min read" }
                    span { (grouped(u64::from(head.views))) " reads" }
                }
            }
            figure { (picture(head, true)) }
            div.columns {
                div.text {
                    @for paragraph in article.body.split("\n\n") { p { (paragraph) } }
                    @if !head.tags.is_empty() {
                        ul.tags { @for tag in &head.tags { li { a href={ "/search?" (parameter("q", tag)) } { (tag) } } } }
                    }
                    (discussion(head.id, comments, names))
                }
                aside {
                    section.related {
                        h2 { "Related" }
                        @for item in &article.related { (card(item, Size::Line, None)) }
                    }
                    (most_read("Most read this week", popular, None))
                }
            }
        }
    };
    page(&head.headline, Some(&head.section), "", content)
}

fn discussion(article: u32, comments: Option<&Listing<Comment>>, names: Option<&Names>) -> Markup {
    html! {
        section.comments #comments {
            @match comments {
                None => {
                    h2 { "Comments" }
                    (away("comments", "Comments are away right now. The article is all here."))
                }
                Some(listing) => {
                    h2 { @if listing.total == 1 { "1 comment" } @else { (grouped(u64::from(listing.total))) " comments" } }
                    @if names.is_none() { (away("accounts", "Readers’ names are away right now.")) }
                    form method="post" action={ "/article/" (article) "/comments" } {
                        textarea name="text" required maxlength="2000" rows="3" placeholder="What do you think?" aria-label="Comment" {}
                        label { "Reader number " input type="number" name="account" value="7" min="1" max="3000" required; }
                        button { "Post" }
                    }
                    @for comment in &listing.items { (remark(comment, names.and_then(|names| names.get(&comment.account)))) }
                    @if listing.total as usize > listing.items.len() {
                        p.more { "The latest " (listing.items.len()) " are shown." }
                    }
                }
            }
        }
    }
}

fn remark(comment: &Comment, reader: Option<&Reader>) -> Markup {
    html! {
        div.comment {
            p.meta {
                @match reader {
                    Some(reader) => { span.name { (reader.name) } span { (points(reader.reputation)) } }
                    None => span.name { "Reader " (comment.account) },
                }
                (when(comment.posted))
                @if comment.likes > 0 { span { "♥ " (comment.likes) } }
            }
            p.said { (comment.text) }
        }
    }
}

fn points(reputation: i64) -> String {
    format!(
        "{}{} points",
        if reputation < 0 { "−" } else { "" },
        grouped(reputation.unsigned_abs())
    )
}

pub fn author(profile: &AuthorProfile, listing: &Listing<Card>, counts: Option<&Counts>) -> Markup {
    let author = &profile.author;
    let initials: String =
        author.name.split_whitespace().filter_map(|word| word.chars().next()).collect();
    let content = html! {
        div.heading.person {
            span.portrait aria-hidden="true" { (initials) }
            div {
                h1 { (author.name) }
                p { (author.bio) }
                p.meta {
                    span { (author.city) }
                    span { (grouped(u64::from(author.articles))) " articles" }
                    span { (grouped(author.views)) " reads" }
                    @for share in &profile.sections {
                        span { (find_section(&share.slug).map_or(share.slug.as_str(), |(_, name)| name)) " " (share.articles) }
                    }
                }
            }
        }
        (cards(listing, &format!("/author/{}", author.id), counts))
    };
    page(&author.name, None, "", content)
}

/// Without a listing, nothing was asked yet.
pub fn search(query: &str, listing: Option<&Listing<Card>>, counts: Option<&Counts>) -> Markup {
    let content = html! {
        div.heading {
            h1 { "Search" }
            @match listing {
                None => p { "Type a word or two into the field above." },
                Some(listing) => p { (grouped(u64::from(listing.total))) " found for “" (query) "”" },
            }
        }
        @if let Some(listing) = listing {
            (cards(listing, &format!("/search?{}", parameter("q", query)), counts))
        }
    };
    page("Search", None, query, content)
}

pub fn apology(gone: Gone) -> Markup {
    let (title, sentence) = match gone {
        Gone::Away => {
            ("Back in a moment", "The part of the newsroom that this page needs is away right now.")
        }
        Gone::Absent => ("Nothing here", "There is no page under this address."),
        Gone::Refused => ("Not understood", "The newsroom cannot do anything with what was sent."),
    };
    let content = html! {
        div.heading { h1 { (title) } p { (sentence) " " a href="/" { "To the front page" } } }
    };
    page(title, None, "", content)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::{Author, Byline};
    use time::macros::datetime;

    const HOSTILE: &str = "<script>alert('x')</script>\"&";

    fn hostile_card() -> Card {
        Card {
            id: 7,
            section: HOSTILE.to_owned(),
            author: Byline { id: 3, name: HOSTILE.to_owned() },
            headline: HOSTILE.to_owned(),
            summary: HOSTILE.to_owned(),
            published: datetime!(2026-03-01 12:00 UTC),
            updated: datetime!(2026-03-01 13:00 UTC),
            minutes: 2,
            views: 1_234,
            tags: vec![HOSTILE.to_owned()],
        }
    }

    fn hostile_listing() -> Listing<Card> {
        Listing { items: vec![hostile_card()], total: 41, page: 2, per_page: 20 }
    }

    fn hostile_article() -> Article {
        Article {
            card: hostile_card(),
            body: format!("One {HOSTILE}\n\nTwo"),
            related: vec![hostile_card()],
        }
    }

    fn hostile_comments() -> Listing<Comment> {
        let comment = Comment {
            account: 5,
            text: HOSTILE.to_owned(),
            posted: datetime!(2026-03-02 08:00 UTC),
            likes: 1,
        };
        Listing { items: vec![comment], total: 1, page: 1, per_page: 30 }
    }

    fn hostile_reader() -> Reader {
        Reader { id: 5, name: HOSTILE.to_owned(), reputation: -1_200 }
    }

    fn front_page(whole: bool) -> String {
        let page = FrontPage {
            today: datetime!(2026-03-02 08:00 UTC).date(),
            top: vec![hostile_card(); 4],
            latest: vec![hostile_card()],
            popular: whole.then(|| vec![hostile_card()]),
            blocks: vec![Block {
                slug: "world",
                name: "World",
                cards: whole.then(|| vec![hostile_card()]),
            }],
            sections: whole.then(Vec::new),
            readers: whole.then(|| vec![hostile_reader()]),
            counts: whole.then(|| Counts::from([(7, 2_000)])),
        };
        front(&page).into_string()
    }

    #[test]
    fn nothing_that_was_sent_becomes_markup() {
        let (article, listing) = (hostile_article(), hostile_listing());
        let names = Names::from([(5, hostile_reader())]);
        let author = Author {
            id: 3,
            name: HOSTILE.to_owned(),
            city: HOSTILE.to_owned(),
            bio: HOSTILE.to_owned(),
            articles: 1,
            views: 1,
        };
        let profile = AuthorProfile { author, sections: Vec::new() };
        for page in [
            front_page(true),
            section(HOSTILE, HOSTILE, &listing, Some(&[hostile_card()]), None).into_string(),
            super::article(&article, Some(&hostile_comments()), Some(&names), None).into_string(),
            super::author(&profile, &listing, None).into_string(),
            search(HOSTILE, Some(&listing), None).into_string(),
        ] {
            assert!(page.contains("&lt;script&gt;alert('x')&lt;/script&gt;&quot;&amp;"), "{page}");
            assert!(!page.contains("<script"), "{page}");
            assert!(!page.contains("</script>\"&"), "{page}");
        }
    }

    #[test]
    fn a_whole_page_has_no_notice() {
        assert!(!front_page(true).contains("data-away"));
        let names = Names::from([(5, hostile_reader())]);
        let page = article(&hostile_article(), Some(&hostile_comments()), Some(&names), Some(&[]))
            .into_string();
        assert!(!page.contains("data-away") && page.contains("−1,200 points"));
    }

    #[test]
    fn a_missing_part_leaves_a_notice_and_the_rest() {
        let page = front_page(false);
        for service in ["comments", "accounts", "articles"] {
            assert!(page.contains(&format!("data-away=\"{service}\"")), "{service}");
        }
        let page = article(&hostile_article(), None, Some(&Names::new()), None).into_string();
        assert!(page.contains("Comments are away right now.") && page.contains("<p>Two</p>"));
        let page = article(&hostile_article(), Some(&hostile_comments()), None, None).into_string();
        assert!(page.contains("Readers’ names are away right now.") && page.contains("Reader 5"));
    }

    #[test]
    fn the_pager_keeps_the_search() {
        let page = search("a&b", Some(&hostile_listing()), None).into_string();
        assert!(page.contains("href=\"/search?q=a%26b&amp;page=1\""), "{page}");
        assert!(page.contains("href=\"/search?q=a%26b&amp;page=3\""), "{page}");
    }
}
