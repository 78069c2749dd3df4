//! A verdict for programs: one JSON object.
//!
//! `docs/HISTORIES.md` describes its fields. Names are never taken away or given another meaning
//! without a new [`SCHEMA`]; new ones may come.

use serde_json::{Map, Value as Json, json};

use crate::{Anomaly, Model, Outcome, Stamp, TimeUnit, Verdict, WitnessOp};

/// The version of the object's fields.
pub const SCHEMA: u32 = 1;

impl Verdict {
    /// The whole verdict as a JSON object, without what its caller knows: file, seed.
    pub fn to_json(&self) -> Json {
        let models = Model::ALL.into_iter().map(|model| {
            let known = self.of(model).map_or("not judged", |validity| validity.name());
            (model.name().to_owned(), json!(known))
        });
        let skipped = self.skipped.iter().map(|skipped| {
            json!({"reason": skipped.reason, "count": skipped.count, "line": skipped.line})
        });
        json!({
            "schema": SCHEMA,
            "model": self.model.name(),
            "verdict": self.valid.name(),
            "decided_by": self.decided_by.map(Model::name),
            "models": models.collect::<Map<_, _>>(),
            "anomalies": self.anomalies.iter().map(anomaly).collect::<Vec<_>>(),
            "found": self.found,
            "counts": self.counts(),
            "skipped": skipped.collect::<Vec<_>>(),
            "notes": self.notes,
            "times": match self.time_unit {
                TimeUnit::Nanoseconds => "nanoseconds",
                TimeUnit::Positions => "positions",
            },
        })
    }

    fn counts(&self) -> Json {
        let stats = &self.stats;
        json!({
            "operations": stats.operations,
            "ok": stats.ok,
            "fail": stats.fail,
            "unknown": stats.unknown,
            "unknown_seen": stats.unknown_seen,
            "keys": stats.keys,
            "dependencies": stats.dependencies,
            "timestamped_reads": stats.timestamped_reads,
            "totals": stats.totals,
            "registers": stats.registers,
        })
    }
}

fn anomaly(anomaly: &Anomaly) -> Json {
    let edges = anomaly.witness.edges.iter().map(|edge| {
        json!({
            "from": format!("T{}", edge.from + 1),
            "to": format!("T{}", edge.to + 1),
            "label": edge.label,
            "because": edge.because,
        })
    });
    let operations = anomaly.witness.ops.iter().enumerate().map(operation);
    json!({
        "name": anomaly.name(),
        "meaning": anomaly.kind.meaning(),
        "forbidden": anomaly.forbidden,
        "explanation": anomaly.explanation,
        "witness": {
            "keys": anomaly.witness.keys,
            "operations": operations.collect::<Vec<_>>(),
            "edges": edges.collect::<Vec<_>>(),
        },
    })
}

fn operation((at, op): (usize, &WitnessOp)) -> Json {
    let stamp = |stamp: Option<Stamp>| stamp.map(|Stamp { wall, logical }| json!([wall, logical]));
    json!({
        "name": format!("T{}", at + 1),
        "index": op.index,
        "process": op.process,
        "invoked": op.invoked.0,
        "completed": op.completed.map(|end| end.0),
        "outcome": match op.outcome {
            Outcome::Ok => "ok",
            Outcome::Fail => "fail",
            Outcome::Unknown => "unknown",
        },
        "did": op.text,
        "read_ts": stamp(op.timestamps.read),
        "commit_ts": stamp(op.timestamps.commit),
        "note": op.note,
    })
}
