//! Consistency checkers for the histories of any database.

mod history;
mod value;

pub use history::{
    Action, Call, History, MicroOp, Nanos, Operation, Outcome, Stamp, Timestamps, Workload, World,
};
pub use value::Value;
