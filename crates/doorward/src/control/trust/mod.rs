//! Whom we believe: authorities, revocation lists, keys; and what we show to services.

mod clients;
mod follow;
mod pem;
mod service;

pub(crate) use clients::{ClientsTls, load as load_clients};
pub(crate) use follow::files as trusted_files;
pub(crate) use service::{ByService, EndpointTls, ServiceTls, ServicesTls};
