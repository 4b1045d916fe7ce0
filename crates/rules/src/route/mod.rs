//! Routes: a match plus what happens.

/// The place of a route in [`Rules::routes`](crate::Rules::routes).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteId(pub u32);

/// A route, ready to be used.
#[derive(Debug)]
pub struct Route {
    /// Its name in the configuration, or its match in words.
    pub name: Box<str>,
    /// The most bytes that a request body may have; the engine's default if there is none.
    pub body_bytes_max: Option<u64>,
}
