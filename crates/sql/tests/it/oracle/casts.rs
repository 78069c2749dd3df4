//! Random casts.

use super::{expressions::Scope, random::Random, schema::Kind};

impl Scope<'_> {
    /// A cast to the kind: from a kind whose values all fit, or, where failing is fine, from any.
    pub(super) fn cast(&self, kind: Kind, depth: usize, random: &mut Random) -> String {
        let sources = sources(kind);
        if !self.tame && random.one_in(3) {
            let from = self.expr(random.pick(&Kind::ALL), depth, random);
            let by = random.pick(&["", "", "::text"]);
            return format!("({from}){by}::{}", kind.sql());
        }
        if sources.is_empty() {
            return self.expr(kind, depth, random);
        }
        let from = self.expr(random.pick(sources), depth, random);
        match random.below(3) {
            0 => format!("CAST({from} AS {})", kind.sql()),
            _ => format!("({from})::{}", kind.sql()),
        }
    }
}

/// Kinds whose values can all be cast to the kind; those of expressions over rows are small.
const fn sources(kind: Kind) -> &'static [Kind] {
    match kind {
        Kind::Small | Kind::Uuid | Kind::Bytes | Kind::Ints => &[],
        Kind::Int => &[Kind::Bool, Kind::Small],
        Kind::Big => &[Kind::Int, Kind::Small, Kind::Numeric],
        Kind::Numeric => &[Kind::Small],
        Kind::Decimal => &[Kind::Small, Kind::Int, Kind::Big, Kind::Numeric, Kind::Float],
        Kind::Real => &[Kind::Small, Kind::Int, Kind::Numeric],
        Kind::Float => &[Kind::Small, Kind::Int, Kind::Big, Kind::Numeric, Kind::Real],
        Kind::Text | Kind::Varchar | Kind::Char => &Kind::ALL,
        Kind::Bool => &[Kind::Int],
        Kind::Date | Kind::StampTz => &[Kind::Stamp],
        Kind::Stamp => &[Kind::Date, Kind::StampTz],
        Kind::Span => &[],
        Kind::Texts => &[Kind::Ints],
    }
}
