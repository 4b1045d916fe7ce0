//! What a filter may decide.

use std::borrow::Cow;
use std::sync::Arc;

use wire::ResponseHead;

use crate::Fault;

/// A filter's verdict. Every constructor asks for a reason, so every request can be explained.
#[must_use = "a decision does nothing until the pipeline acts on it"]
#[derive(Debug)]
pub struct Decision {
    pub(crate) step: Step,
    pub(crate) why: &'static str,
}

#[derive(Debug)]
pub(crate) enum Step {
    Pass,
    Reply(Box<Reply>),
    Refuse(Fault),
}

impl Decision {
    /// Lets the message go on to the next filter.
    #[inline]
    pub const fn pass(why: &'static str) -> Self {
        Self { step: Step::Pass, why }
    }

    /// Answers the client here; nothing further down is reached.
    pub fn reply(why: &'static str, reply: Reply) -> Self {
        Self { step: Step::Reply(Box::new(reply)), why }
    }

    /// Refuses the request; the answer is that of the fault.
    pub const fn refuse(why: &'static str, fault: Fault) -> Self {
        Self { step: Step::Refuse(fault), why }
    }
}

/// A complete response of Doorward's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The field lines, without those that frame the body: the engine writes these.
    pub fields: Vec<(Cow<'static, str>, Vec<u8>)>,
    /// The body; not sent in answer to `HEAD`.
    pub body: Arc<[u8]>,
}

impl Reply {
    /// A reply without fields and body.
    #[must_use]
    pub fn status(status: u16) -> Self {
        Self { status, fields: Vec::new(), body: Arc::new([]) }
    }

    /// Adds a field line.
    #[must_use]
    pub fn header(mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Vec<u8>>) -> Self {
        self.fields.push((name.into(), value.into()));
        self
    }

    /// Adds the body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Arc<[u8]>>) -> Self {
        self.body = body.into();
        self
    }

    /// Writes status and fields into `head`, which is cleared first.
    pub fn fill(&self, head: &mut ResponseHead) {
        head.clear();
        head.status = self.status;
        for (name, value) in &self.fields {
            head.fields.push(name, value);
        }
    }
}
