//! The verdict on a run.

use checker::{Model, Options as Judging, Overdraft, Validity, Verdict, check};

use super::{Report, workload};

/// The verdict on a run's history.
#[derive(Clone, Debug)]
pub struct Judgement {
    /// Against the run's model, timestamps included.
    pub verdict: Verdict,
}

/// Holds the history of a run against its model: what Meridian promises unless the run says
/// otherwise, strict serializability with timestamps that agree with it.
#[must_use]
pub fn judge(report: &Report) -> Judgement {
    Judgement { verdict: against(report, report.model, true) }
}

/// Holds the history of a run against another model.
#[must_use]
pub fn against(report: &Report, model: Model, timestamps: bool) -> Verdict {
    let judging = Judging {
        timestamps,
        bank_total: Some(workload::BANK_TOTAL),
        overdraft: Overdraft::Allowed,
    };
    check(&report.history, model, judging)
}

impl Judgement {
    /// Whether nothing forbidden was found. What could not be decided is not held against it; the
    /// notes tell.
    #[must_use]
    pub fn held(&self) -> bool {
        self.verdict.valid != Validity::No
    }

    /// The verdict in words.
    #[must_use]
    pub fn render_text(&self) -> String {
        self.verdict.render_text()
    }

    /// The verdict as a page of its own.
    #[must_use]
    pub fn render_html(&self) -> String {
        self.verdict.render_html()
    }
}
