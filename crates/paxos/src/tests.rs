//! Tests of the group as a whole: golden scripts, a naive checker under random schedules, and
//! the proof that the checker can fail.
//!
//! [`world`] is a host in miniature: nodes with disks that lose what was not synced, a network
//! that loses, repeats, delays and reorders, clocks that differ within their bound, and the checker
//! watching. Scripts drive it by hand, schedules at random.

mod checker;
mod mutations;
mod schedule;
mod scripts;
mod timing;
mod world;
