//! Verdicts for people: text for a terminal, drawings and a page for a browser.

mod html;
mod svg;
mod text;

use crate::{Nanos, Outcome, Stats, TimeUnit, Validity, Verdict, WitnessOp, report::duration};

impl Verdict {
    /// The answer in a line: `strict-serializable: violated (G-single-realtime, G0)`.
    fn headline(&self) -> String {
        let answer = match self.valid {
            Validity::Yes => "holds",
            Validity::No => "violated",
            Validity::Undecided => "undecided",
        };
        let mut names: Vec<String> = Vec::new();
        for anomaly in self.anomalies.iter().filter(|anomaly| anomaly.forbidden) {
            let name = anomaly.name();
            if !names.contains(&name) {
                names.push(name);
            }
        }
        if names.is_empty() {
            format!("{}: {answer}", self.model)
        } else {
            format!("{}: {answer} ({})", self.model, names.join(", "))
        }
    }

    /// A moment, from the beginning of the history.
    fn moment(&self, time: Nanos) -> String {
        match self.time_unit {
            TimeUnit::Positions => format!("line {}", time.0 + 1),
            TimeUnit::Nanoseconds => duration(self.time_unit, time.0 - self.origin.0),
        }
    }

    /// When an operation ran: `3 ms .. 5 ms`.
    fn span(&self, op: &WitnessOp) -> String {
        let begin = self.moment(op.invoked);
        match op.completed {
            Some(end) => format!("{begin} .. {}", self.moment(end)),
            None => format!("{begin} .. ?"),
        }
    }
}

/// Who it was: `#12 of process 3, ok`.
fn identity(op: &WitnessOp) -> String {
    let outcome = match op.outcome {
        Outcome::Ok => "ok",
        Outcome::Fail => "failed",
        Outcome::Unknown => "unknown",
    };
    format!("#{} of process {}, {outcome}", op.index, op.process)
}

/// The database's timestamps, if it gave any.
fn stamps(op: &WitnessOp) -> Option<String> {
    let read = op.timestamps.read.map(|stamp| format!("read at {stamp}"));
    let commit = op.timestamps.commit.map(|stamp| format!("committed at {stamp}"));
    let both: Vec<String> = read.into_iter().chain(commit).collect();
    (!both.is_empty()).then(|| both.join(", "))
}

/// How much was judged, in a sentence or two.
fn summary(stats: &Stats) -> String {
    let mut text = format!(
        "{} operations: {} ok, {} failed, {} unknown",
        stats.operations, stats.ok, stats.fail, stats.unknown
    );
    if stats.unknown_seen > 0 {
        text.push_str(&format!(" ({} of these seen to have happened)", stats.unknown_seen));
    }
    text.push_str(&format!("; {} keys; {} dependencies", stats.keys, stats.dependencies));
    let counts = [
        (stats.timestamped_reads, "reads judged by timestamps"),
        (stats.totals, "totals of the bank"),
        (stats.registers, "registers judged call by call"),
    ];
    for (count, what) in counts.into_iter().filter(|(count, _)| *count > 0) {
        text.push_str(&format!("; {count} {what}"));
    }
    text
}
