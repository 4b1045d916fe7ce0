//! Reads a response head (RFC 9112, 4).

use std::mem::MaybeUninit;

use super::{Connection, HeadLimits, Malformed};
use crate::fields::FIELDS_MAX;
use crate::head::{ResponseHead, Version};

impl ResponseHead {
    /// Reads the whole head `bytes`, as [`super::HeadScan`] found it, into `self`.
    ///
    /// # Errors
    /// Whatever is not exactly as RFC 9112 and RFC 9110 have it; see [`Malformed`].
    pub fn parse(&mut self, bytes: &[u8], limits: &HeadLimits) -> Result<(), Malformed> {
        self.clear();
        let mut headers = [const { MaybeUninit::uninit() }; FIELDS_MAX];
        let mut response = httparse::Response::new(&mut []);
        let parsed = httparse::ParserConfig::default().parse_response_with_uninit_headers(
            &mut response,
            bytes,
            &mut headers,
        );
        match parsed {
            Ok(httparse::Status::Complete(end)) if end == bytes.len() => {}
            Ok(_) => return Err(Malformed::FieldLine),
            Err(httparse::Error::TooManyHeaders) => return Err(Malformed::TooManyFields),
            Err(httparse::Error::Version) => return Err(Malformed::Version),
            Err(httparse::Error::Status) => return Err(Malformed::StatusLine),
            Err(_) => return Err(Malformed::FieldLine),
        }
        if response.headers.len() > limits.fields_max {
            return Err(Malformed::TooManyFields);
        }
        self.status = response.code.ok_or(Malformed::StatusLine)?;
        if !(100..600).contains(&self.status) {
            // RFC 9110, 15: "Values outside the range 100..599 are invalid."
            return Err(Malformed::Status);
        }
        self.version = if response.version == Some(0) {
            Version::Http10
        } else {
            Version::Http11
        };
        self.fields.text.extend_from_slice(bytes);
        self.fields.adopt(0, bytes, response.headers);
        let reason = response.reason.unwrap_or_default();
        if !reason.is_empty() {
            let start = reason.as_ptr() as usize - bytes.as_ptr() as usize;
            self.reason = start..start + reason.len();
        }
        self.connection = Connection::take(&mut self.fields)?;
        Ok(())
    }
}
