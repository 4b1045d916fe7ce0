//! Plays bad days: the rules of resilience, driven by a virtual clock, against clients and endpoints
//! that misbehave by a script.

pub mod doorward;
pub mod endpoint;
pub mod figures;
pub mod plain;
pub mod random;
pub mod scenario;
pub mod world;
