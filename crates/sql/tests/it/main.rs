//! Tests of SQL as a whole, on a model of a cluster: what clients send, and what they get.

mod check;
mod depth;
mod features;
mod freeze;
mod fuzz;
mod logic;
mod meter;
mod oracle;
mod past;
mod prepared;
mod sessions;
mod support;
mod twin;
mod unique;
mod writes;
