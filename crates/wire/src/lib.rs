//! HTTP as bytes and as heads, and what else a connection can begin with.
//!
//! Everything here is synchronous and touches neither socket nor clock: bytes in, heads and body
//! bytes out. [`head`] holds the one concrete head type that every HTTP version fills in; [`h1`]
//! is the HTTP/1.1 codec, strict by design: a message that two parsers could read differently is
//! refused here, so nothing behind this crate has to wonder.

pub mod dns;
pub mod fields;
pub mod framed;
pub mod h1;
pub mod h3;
pub mod head;
pub mod hello;
pub mod known;
pub mod priority;
pub mod proxy_protocol;
pub mod target;

pub use fields::{Field, Fields};
pub use head::{Method, RequestHead, ResponseHead, Version};
pub use known::Known;
