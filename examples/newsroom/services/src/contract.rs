//! What `articles` answers and `front` reads: the JSON between the two, written down once.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::serde::rfc3339;

/// The sections, in the order of the navigation: slug and name.
pub const SECTIONS: [(&str, &str); 10] = [
    ("world", "World"),
    ("politics", "Politics"),
    ("business", "Business"),
    ("technology", "Technology"),
    ("science", "Science"),
    ("health", "Health"),
    ("climate", "Climate"),
    ("culture", "Culture"),
    ("sport", "Sport"),
    ("cities", "Cities"),
];

/// The slug and name of a section, or nothing if there is no such section.
pub fn find_section(slug: &str) -> Option<(&'static str, &'static str)> {
    SECTIONS.into_iter().find(|(known, _)| *known == slug)
}

/// A page of a longer list.
#[derive(Debug, Serialize, Deserialize)]
pub struct Listing<T> {
    pub items: Vec<T>,
    pub total: u32,
    pub page: u32,
    pub per_page: u32,
}

/// An article as lists show it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Card {
    pub id: u32,
    pub section: String,
    pub author: Byline,
    pub headline: String,
    pub summary: String,
    #[serde(with = "rfc3339")]
    pub published: OffsetDateTime,
    #[serde(with = "rfc3339")]
    pub updated: OffsetDateTime,
    pub minutes: u32,
    pub views: u32,
    pub tags: Vec<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Byline {
    pub id: u32,
    pub name: String,
}

/// An article as its own page shows it. Paragraphs are separated by an empty line.
#[derive(Debug, Serialize, Deserialize)]
pub struct Article {
    #[serde(flatten)]
    pub card: Card,
    pub body: String,
    pub related: Vec<Card>,
}

/// What an editor sends: a whole article, without what the service itself knows.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Draft {
    pub section: String,
    pub author: u32,
    pub headline: String,
    pub summary: String,
    pub body: String,
    #[serde(default)]
    pub tags: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct SectionOverview {
    pub slug: String,
    pub name: String,
    pub articles: u32,
    pub authors: u32,
    pub views: u64,
    #[serde(with = "rfc3339")]
    pub latest: OffsetDateTime,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Author {
    pub id: u32,
    pub name: String,
    pub city: String,
    pub bio: String,
    pub articles: u32,
    pub views: u64,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct AuthorProfile {
    #[serde(flatten)]
    pub author: Author,
    pub sections: Vec<SectionShare>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct SectionShare {
    pub slug: String,
    pub articles: u32,
}
