//! Whom we believe: authorities, revocation lists, keys; and what we show to services.

mod clients;
mod pem;
mod service;

pub(crate) use clients::{ClientsTls, load as load_clients};
pub(crate) use service::{ByService, EndpointTls, ServiceTls, ServicesTls};
