//! Whom the door believes, and whom it lets in: TLS towards services, certificates of clients.

pub(crate) mod authority;
mod clients;
mod front;
mod services;
