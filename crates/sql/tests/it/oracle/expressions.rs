//! Random expressions of a wanted kind, over the columns at hand.
//!
//! Over rows they are *tame*: nothing that may fail for some row and not for others, since which
//! rows a database looks at, and in which order, is its own affair. Alone, without rows, anything
//! goes.

use super::{random::Random, schema::Kind};

/// What an expression may name.
pub struct Scope<'a> {
    /// Columns, by the name an expression calls them.
    pub columns: &'a [(String, Kind)],
    /// Tables for subqueries: a name and its columns.
    pub tables: &'a [(String, Vec<(String, Kind)>)],
    /// Nothing that may fail.
    pub tame: bool,
}

impl Scope<'_> {
    fn column(&self, kind: Kind, random: &mut Random) -> Option<String> {
        let fitting: Vec<&str> = self
            .columns
            .iter()
            .filter(|(_, have)| *have == kind)
            .map(|(name, _)| name.as_str())
            .collect();
        (!fitting.is_empty()).then(|| random.pick(&fitting).to_owned())
    }

    /// An expression of the kind.
    pub fn expr(&self, kind: Kind, depth: usize, random: &mut Random) -> String {
        if random.one_in(30) {
            return format!("NULL::{}", kind.sql());
        }
        if depth == 0 || random.one_in(4) {
            let column = self.column(kind, random).filter(|_| !random.one_in(4));
            return column.unwrap_or_else(|| kind.typed_literal(random));
        }
        let depth = depth - 1;
        if random.one_in(5) {
            return self.common(kind, depth, random);
        }
        match kind {
            Kind::Small | Kind::Int | Kind::Big => self.integer(kind, depth, random),
            Kind::Numeric => self.numeric(depth, random),
            Kind::Float => self.float(depth, random),
            Kind::Text => self.text(depth, random),
            Kind::Varchar | Kind::Char => {
                let text = self.expr(Kind::Text, depth, random);
                format!("({text})::{}", kind.sql())
            }
            Kind::Bool => self.condition(depth, random),
            Kind::Date => self.date(depth, random),
            Kind::Stamp => self.stamp(depth, random),
            Kind::Span => self.span(depth, random),
            Kind::Ints => self.ints(depth, random),
        }
    }

    /// Forms that any kind has.
    fn common(&self, kind: Kind, depth: usize, random: &mut Random) -> String {
        let part = |random: &mut Random| self.expr(kind, depth, random);
        match random.below(5) {
            0 => {
                let (one, other) = (part(random), part(random));
                let when = self.condition(depth, random);
                format!("CASE WHEN {when} THEN {one} ELSE {other} END")
            }
            1 => {
                let (one, other) = (part(random), part(random));
                format!("coalesce({one}, {other})")
            }
            2 => {
                let (one, other) = (part(random), part(random));
                format!("nullif({one}, {other})")
            }
            3 if kind.is_plain() => {
                let (one, other) = (part(random), part(random));
                let which = random.pick(&["greatest", "least"]);
                format!("{which}({one}, {other})")
            }
            _ => {
                let Some(subquery) = self.scalar_subquery(kind, random) else {
                    return part(random);
                };
                subquery
            }
        }
    }

    fn scalar_subquery(&self, kind: Kind, random: &mut Random) -> Option<String> {
        let (table, columns) = (!self.tables.is_empty()).then(|| {
            let at = random.below(self.tables.len());
            &self.tables[at]
        })?;
        let (column, _) = columns.iter().find(|(_, have)| *have == kind && kind.is_plain())?;
        let aggregate = random.pick(&["min", "max"]);
        (kind != Kind::Bool).then(|| format!("(SELECT {aggregate}({column}) FROM {table})"))
    }

    fn integer(&self, kind: Kind, depth: usize, random: &mut Random) -> String {
        let int = |random: &mut Random| self.expr(Kind::Int, depth, random);
        let cast = |text: String| {
            if kind == Kind::Int {
                format!("({text})")
            } else {
                format!("({text})::{}", kind.sql())
            }
        };
        // Small results, so that they fit the narrowest type.
        let narrow = |text: String| cast(format!("({text}) % 100"));
        match random.below(if self.tame { 12 } else { 17 }) {
            0 => narrow(format!("{} + {}", int(random), int(random))),
            1 => narrow(format!("{} - {}", int(random), int(random))),
            2 => narrow(format!(
                "({} % 50) * ({} % 50)",
                self.expr(Kind::Small, depth, random),
                self.expr(Kind::Small, depth, random)
            )),
            3 => cast(format!("{} / nullif({}, 0)", int(random), int(random))),
            4 => cast(format!("-{}", int(random))),
            5 => cast(format!("abs({})", int(random))),
            6 => cast(format!("length({})", self.expr(Kind::Text, depth, random))),
            7 => narrow(format!("{} {} 3", int(random), random.pick(&["&", "|", "#", "<<", ">>"]))),
            8 => cast(format!(
                "extract({} FROM {})::int",
                random.pick(&["month", "day", "quarter", "dow"]),
                self.expr(Kind::Date, depth, random)
            )),
            9 => narrow(format!("round({})::int", self.expr(Kind::Numeric, depth, random))),
            10 => cast(format!("cardinality({})", self.expr(Kind::Ints, depth, random))),
            11 => cast(format!("strpos({}, 'a')", self.expr(Kind::Text, depth, random))),
            12 => cast(format!("{} / {}", int(random), int(random))),
            13 => cast(format!("{} * 2000000000", int(random))),
            14 => cast(format!("({})::int", self.expr(Kind::Text, depth, random))),
            15 => cast(format!("{} % {}", int(random), int(random))),
            _ => cast(format!("({})[{}]", self.expr(Kind::Ints, depth, random), int(random))),
        }
    }

    fn numeric(&self, depth: usize, random: &mut Random) -> String {
        let part = |random: &mut Random| self.expr(Kind::Numeric, depth, random);
        let inner = match random.below(if self.tame { 8 } else { 11 }) {
            0 => format!("{} + {}", part(random), part(random)),
            1 => format!("{} - {}", part(random), part(random)),
            2 => format!("{} * 1.5", part(random)),
            3 => format!("round({}, {})", part(random), random.range(-1, 3)),
            4 => format!(
                "{}({})",
                random.pick(&["ceil", "floor", "abs", "sign", "trunc"]),
                part(random)
            ),
            5 => format!("{} / nullif({}, 0)", part(random), part(random)),
            6 => self.expr(Kind::Int, depth, random),
            7 => format!("mod({}, 7.5)", part(random)),
            8 => format!("{} / {}", part(random), part(random)),
            9 => format!("({})::numeric", self.expr(Kind::Text, depth, random)),
            _ => format!("{} * 99999999", part(random)),
        };
        // Tame numbers fit their column.
        if self.tame {
            format!("(({inner}) % 1000)::numeric(8,2)")
        } else {
            format!("({inner})::numeric(8,2)")
        }
    }

    fn float(&self, depth: usize, random: &mut Random) -> String {
        let part = |random: &mut Random| self.expr(Kind::Float, depth, random);
        match random.below(5) {
            0 => format!("({} + {})", part(random), part(random)),
            1 => format!("({} - {})", part(random), part(random)),
            2 => format!("({} * 0.5)", part(random)),
            3 => format!("{}({})", random.pick(&["abs", "floor", "ceil", "round"]), part(random)),
            _ => format!("({})::float8", self.expr(Kind::Int, depth, random)),
        }
    }

    fn text(&self, depth: usize, random: &mut Random) -> String {
        let part = |random: &mut Random| self.expr(Kind::Text, depth, random);
        match random.below(20) {
            0 | 1 => format!("({} || {})", part(random), part(random)),
            2 => format!(
                "{}({})",
                random.pick(&[
                    "upper", "lower", "initcap", "reverse", "trim", "ltrim", "rtrim", "md5"
                ]),
                part(random)
            ),
            3 => format!("substr({}, {})", part(random), random.range(-1, 4)),
            4 => format!(
                "substring({} FROM {} FOR {})",
                part(random),
                random.range(0, 3),
                random.range(0, 3)
            ),
            5 => format!(
                "{}({}, {})",
                random.pick(&["left", "right"]),
                part(random),
                random.range(-2, 3)
            ),
            6 => format!("replace({}, 'a', {})", part(random), part(random)),
            7 => format!(
                "{}({}, {}, '*-')",
                random.pick(&["lpad", "rpad"]),
                part(random),
                random.range(0, 6)
            ),
            8 => format!("repeat({}, {})", part(random), random.range(-1, 3)),
            9 => format!("concat({}, {})", part(random), self.expr(Kind::Int, depth, random)),
            10 => format!(
                "concat_ws('-', {}, {})",
                part(random),
                self.expr(Kind::Bool, depth, random)
            ),
            11 => format!("split_part({}, ' ', {})", part(random), random.pick(&[1, 2, -1])),
            12 => format!(
                "to_char({}, {})",
                self.expr(Kind::Numeric, depth, random),
                random.pick(&["'999.99'", "'FM90.0'", "'S09'"])
            ),
            13 => format!(
                "to_char({}, {})",
                self.expr(Kind::Stamp, depth, random),
                random.pick(&["'YYYY-MM-DD'", "'HH12:MI AM'", "'FMMonth FMDD'"])
            ),
            14 => {
                let kind = random.pick(&Kind::ALL);
                format!("({})::text", self.expr(kind, depth, random))
            }
            15 => format!("array_to_string({}, ',', '*')", self.expr(Kind::Ints, depth, random)),
            16 => format!("translate({}, 'ab', 'xy')", part(random)),
            17 => format!("regexp_replace({}, '[a-z]', '<\\&>')", part(random)),
            18 => format!("quote_literal({})", part(random)),
            _ => format!("({} || {})", part(random), self.expr(Kind::Char, depth, random)),
        }
    }

    fn condition(&self, depth: usize, random: &mut Random) -> String {
        let part = |random: &mut Random| self.expr(Kind::Bool, depth, random);
        let kind = random.pick(&Kind::ALL);
        let of = |kind: Kind, random: &mut Random| self.expr(kind, depth, random);
        match random.below(16) {
            0 => format!("({} AND {})", part(random), part(random)),
            1 => format!("({} OR {})", part(random), part(random)),
            2 => format!("(NOT {})", part(random)),
            3 => format!("({} IS {}NULL)", of(kind, random), random.pick(&["", "NOT "])),
            4 => format!(
                "({} IN ({}, {}, NULL))",
                of(kind, random),
                of(kind, random),
                kind.literal(random)
            ),
            5 => format!(
                "({} {}BETWEEN {} AND {})",
                of(kind, random),
                random.pick(&["", "NOT "]),
                of(kind, random),
                of(kind, random)
            ),
            6 => format!(
                "({} {} {})",
                of(random.pick(&[Kind::Text, Kind::Varchar, Kind::Char]), random),
                random.pick(&["LIKE", "NOT LIKE", "ILIKE"]),
                random.pick(&["'a%'", "'%b'", "'_'", "'%'", "''", "'a_%'", "'ab '"])
            ),
            7 => format!(
                "({} {} {})",
                of(random.pick(&[Kind::Text, Kind::Char]), random),
                random.pick(&["~", "!~", "~*"]),
                random.pick(&["'^a'", "'b$'", "'[a-c]+'", "' '", "'^$'"])
            ),
            8 => format!(
                "({} IS {}DISTINCT FROM {})",
                of(kind, random),
                random.pick(&["", "NOT "]),
                of(kind, random)
            ),
            9 => format!(
                "({} IS {}{})",
                part(random),
                random.pick(&["", "NOT "]),
                random.pick(&["TRUE", "FALSE", "UNKNOWN"])
            ),
            10 => format!("({} = ANY ({}))", of(Kind::Int, random), of(Kind::Ints, random)),
            11 => self.subquery_condition(depth, random),
            12 => {
                let pair = random.pick(&[
                    (Kind::Int, Kind::Numeric),
                    (Kind::Int, Kind::Float),
                    (Kind::Small, Kind::Big),
                    (Kind::Date, Kind::Stamp),
                    (Kind::Text, Kind::Char),
                    (Kind::Varchar, Kind::Text),
                ]);
                let op = random.pick(&["=", "<", ">=", "<>"]);
                format!("({} {op} {})", of(pair.0, random), of(pair.1, random))
            }
            _ => {
                let op = random.pick(&["=", "=", "<", "<=", ">", ">=", "<>"]);
                format!("({} {op} {})", of(kind, random), of(kind, random))
            }
        }
    }

    fn subquery_condition(&self, depth: usize, random: &mut Random) -> String {
        if self.tables.is_empty() {
            return self.expr(Kind::Bool, depth, random);
        }
        let (table, columns) = &self.tables[random.below(self.tables.len())];
        let (column, kind) = &columns[random.below(columns.len())];
        let value = self.expr(*kind, depth, random);
        match random.below(4) {
            0 => format!("({value} IN (SELECT {column} FROM {table}))"),
            1 => format!(
                "({value} NOT IN (SELECT {column} FROM {table} WHERE {column} IS NOT NULL))"
            ),
            2 => {
                format!("EXISTS (SELECT 1 FROM {table} WHERE {column} = {})", kind.literal(random))
            }
            _ => {
                let quantifier = random.pick(&["= ANY", "<> ALL", "> ALL", "<= ANY"]);
                format!("({value} {quantifier} (SELECT {column} FROM {table}))")
            }
        }
    }

    fn date(&self, depth: usize, random: &mut Random) -> String {
        match random.below(4) {
            0 => {
                let days = self.expr(Kind::Int, depth, random);
                format!("({} + {days} % 400)", self.expr(Kind::Date, depth, random))
            }
            1 => format!("({})::date", self.expr(Kind::Stamp, depth, random)),
            2 => format!(
                "date_trunc('month', {}::timestamp)::date",
                self.expr(Kind::Date, depth, random)
            ),
            _ if !self.tame => format!("({})::date", self.expr(Kind::Text, depth, random)),
            _ => format!("({} - 1)", self.expr(Kind::Date, depth, random)),
        }
    }

    fn stamp(&self, depth: usize, random: &mut Random) -> String {
        match random.below(4) {
            0 => format!(
                "({} + {})",
                self.expr(Kind::Stamp, depth, random),
                self.expr(Kind::Span, 0, random)
            ),
            1 => format!(
                "({} - {})",
                self.expr(Kind::Date, depth, random),
                self.expr(Kind::Span, 0, random)
            ),
            2 => format!(
                "date_trunc('{}', {})",
                random.pick(&["hour", "day", "week", "month", "quarter", "year", "century"]),
                self.expr(Kind::Stamp, depth, random)
            ),
            _ => format!("({})::timestamp", self.expr(Kind::Date, depth, random)),
        }
    }

    fn span(&self, depth: usize, random: &mut Random) -> String {
        match random.below(5) {
            0 => format!(
                "({} - {})",
                self.expr(Kind::Stamp, depth, random),
                self.expr(Kind::Stamp, depth, random)
            ),
            1 => format!(
                "({} + {})",
                self.expr(Kind::Span, 0, random),
                self.expr(Kind::Span, 0, random)
            ),
            2 => format!(
                "({} * {})",
                self.expr(Kind::Span, 0, random),
                random.pick(&["2", "0.5", "-1.25"])
            ),
            3 => format!(
                "age({}, {})",
                self.expr(Kind::Stamp, depth, random),
                self.expr(Kind::Stamp, depth, random)
            ),
            _ => format!("justify_hours({})", self.expr(Kind::Span, 0, random)),
        }
    }

    fn ints(&self, depth: usize, random: &mut Random) -> String {
        let int = |random: &mut Random| self.expr(Kind::Int, depth, random);
        match random.below(4) {
            0 => format!("ARRAY[{}, {}]", int(random), int(random)),
            1 => format!("({} || {})", self.expr(Kind::Ints, depth, random), int(random)),
            2 => format!(
                "({} || {})",
                self.expr(Kind::Ints, depth, random),
                self.expr(Kind::Ints, depth, random)
            ),
            _ => format!("({} || {})", int(random), self.expr(Kind::Ints, depth, random)),
        }
    }
}
