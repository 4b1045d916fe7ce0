//! HTTP/2 from clients (RFC 9113): the same requests, the same services, the same answers.

mod connection;
mod floods;
mod messages;
mod priorities;
mod services;
mod tunnels;
