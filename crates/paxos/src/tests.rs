//! Tests of the group as a whole: golden scripts, a naive checker under random schedules, every
//! schedule of small scopes, and the proof that each of these can fail.
//!
//! [`world`] is a host in miniature: nodes with disks that lose what was not synced, a network
//! that loses, repeats, delays and reorders, clocks that differ within their bound, and the checker
//! watching. Scripts drive it by hand, schedules at random, and [`explore`] takes every
//! step there is in a small scope.

mod checker;
mod explore;
mod fingerprint;
mod lies;
mod mutations;
mod schedule;
mod scopes;
mod scripts;
mod shared;
mod timing;
mod world;
