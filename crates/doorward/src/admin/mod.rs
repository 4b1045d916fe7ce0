//! The admin side: a JSON API, metrics and health for operators.

use crate::data::connection::Connection;
use crate::data::scratch::Scratch;
use crate::data::serve::{Body, Done};

/// The admin API of this process.
pub(crate) struct Admin {}

impl Admin {
    /// Answers a request to the admin listener.
    pub(crate) async fn answer(
        &self,
        connection: &mut Connection,
        scratch: &mut Scratch,
        body: Body,
    ) -> Done {
        let reply = rules::Reply::status(404);
        crate::data::respond::reply(connection, scratch, None, &reply, body).await
    }
}

/// Compares a presented token with the real one, in a time that tells nothing about either.
pub(crate) fn is_token(real: &str, presented: &[u8]) -> bool {
    real.len() == presented.len()
        && real.bytes().zip(presented).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}
