//! The program as its users meet it: one binary of tests, since each extra one links the world again.

mod config;
mod manual;
