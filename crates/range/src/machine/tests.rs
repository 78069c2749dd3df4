//! Tests of the machine: batches, golden scripts, and random schedules against an exact checker, with and
//! without each rule.

mod apply;
mod check;
mod gateway;
mod lies;
mod mutations;
mod schedule;
mod scripts;
mod world;
