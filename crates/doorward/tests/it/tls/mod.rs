//! HTTPS: what clients of TLS get.

pub(crate) mod client;
mod files;
mod handshakes;
mod refused;
mod secure;

use crate::door::{Door, Folder};
use crate::wire::Service;
use client::{Made, tables};

/// A door for HTTPS before a service that says `hello`, with a certificate for `localhost`.
fn secure_door() -> (Door, Made, Service) {
    let folder = Folder::new();
    let made = Made::new(&folder, "own", &["localhost"]);
    let service = Service::saying("hello");
    let config = format!("{}{}", tables(&[&made]), route(&service));
    (Door::start_in(folder, &config), made, service)
}

/// The configuration that leads everything to `service`.
fn route(service: &Service) -> String {
    let address = service.address();
    format!(
        "[log]\naccess = \"json\"\n\
         [[route]]\npath = \"/*\"\nservice = \"it\"\n[service.it]\nendpoints = [\"{address}\"]\n"
    )
}
