//! The protocol in front of SQL on a model of a cluster: what clients send, byte by byte and through
//! real drivers, and what they get.

mod conversation;
mod drivers;
mod flood;
mod hostile;
mod keeping;
mod limits;
mod server;
mod storm;
