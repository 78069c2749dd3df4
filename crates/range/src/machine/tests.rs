//! Tests of the machine: golden scripts, and random schedules against an exact checker, with and
//! without each rule.

mod check;
mod gateway;
mod mutations;
mod schedule;
mod scripts;
mod world;
