//! Random expressions of a wanted kind, over the columns at hand.
//!
//! Over rows they are *tame*: nothing that may fail for some row and not for others, since which
//! rows a database looks at, and in which order, is its own affair. Alone, without rows, anything
//! goes.

use super::{literal, random::Random, schema::Kind};

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
            return format!("{}::{}", literal::marked("NULL"), kind.sql());
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
            _ if random.one_in(6) => self.cast(kind, depth, random),
            Kind::Small | Kind::Int | Kind::Big => self.integer(kind, depth, random),
            Kind::Numeric => self.numeric(depth, random),
            Kind::Decimal => self.decimal(depth, random),
            Kind::Real | Kind::Float => self.float(kind, depth, random),
            Kind::Text => self.text(depth, random),
            Kind::Varchar | Kind::Char => {
                let text = self.expr(Kind::Text, depth, random);
                format!("({text})::{}", kind.sql())
            }
            Kind::Bool => self.condition(depth, random),
            Kind::Date => self.date(depth, random),
            Kind::Stamp => self.stamp(depth, random),
            Kind::Span => self.span(depth, random),
            Kind::StampTz => self.stamp_with_zone(depth, random),
            Kind::Bytes => self.bytes(depth, random),
            Kind::Uuid => {
                format!("md5({})::uuid", self.expr(Kind::Text, depth, random))
            }
            Kind::Ints => self.array(kind, Kind::Int, depth, random),
            Kind::Texts => self.array(kind, Kind::Text, depth, random),
        }
    }

    /// Forms that any kind has.
    fn common(&self, kind: Kind, depth: usize, random: &mut Random) -> String {
        let part = |random: &mut Random| self.expr(kind, depth, random);
        match random.below(6) {
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
            4 => {
                let (one, other) = (part(random), part(random));
                let of = random.pick(&[Kind::Int, Kind::Text, Kind::Date, Kind::Bool]);
                let value = |random: &mut Random| self.expr(of, depth, random);
                format!("CASE {} WHEN {} THEN {one} ELSE {other} END", value(random), value(random))
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
        (!matches!(kind, Kind::Bool | Kind::Bytes | Kind::Uuid))
            .then(|| format!("(SELECT {aggregate}({column}) FROM {table})"))
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
        match random.below(if self.tame { 17 } else { 23 }) {
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
            12 => cast(format!("ascii({})", self.expr(Kind::Text, depth, random))),
            13 => cast(format!("mod({}, 7)", int(random))),
            14 => {
                let part = random.pick(&["hour", "minute", "year", "doy", "week", "isodow"]);
                let kind = random.pick(&[Kind::Stamp, Kind::StampTz]);
                narrow(format!("extract({part} FROM {})::int", self.expr(kind, depth, random)))
            }
            15 => {
                let part = random.pick(&["hour", "day", "month", "year", "epoch"]);
                let span = self.expr(Kind::Span, depth, random);
                narrow(format!("(extract({part} FROM {span}) % 1000)::int"))
            }
            16 => {
                let which = random.pick(&["octet_length", "bit_length", "char_length"]);
                let kind = random.pick(&[Kind::Text, Kind::Varchar]);
                cast(format!("{which}({})", self.expr(kind, depth, random)))
            }
            17 => cast(format!("{} / {}", int(random), int(random))),
            18 => cast(format!("{} * 2000000000", int(random))),
            19 => cast(format!("({})::int", self.expr(Kind::Text, depth, random))),
            20 => cast(format!("{} % {}", int(random), int(random))),
            21 => cast(format!(
                "array_position({}, {})",
                self.expr(Kind::Ints, depth, random),
                int(random)
            )),
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

    fn float(&self, kind: Kind, depth: usize, random: &mut Random) -> String {
        let part = |random: &mut Random| self.expr(kind, depth, random);
        match random.below(5) {
            0 => format!("({} + {})", part(random), part(random)),
            1 => format!("({} - {})", part(random), part(random)),
            2 => format!("({} * 0.5::{})", part(random), kind.sql()),
            3 => {
                let which = random.pick(&["abs", "floor", "ceil", "round", "sign", "trunc"]);
                format!("{which}({})::{}", part(random), kind.sql())
            }
            _ => format!("({})::{}", self.expr(Kind::Int, depth, random), kind.sql()),
        }
    }

    /// Numbers whose digits behind the point are the operators' to choose.
    fn decimal(&self, depth: usize, random: &mut Random) -> String {
        let part = |random: &mut Random| self.expr(Kind::Decimal, depth, random);
        let inner = match random.below(if self.tame { 9 } else { 13 }) {
            0 => format!("{} {} {}", part(random), random.pick(&["+", "-"]), part(random)),
            1 => format!("{} * {}", part(random), part(random)),
            2 => format!("{} / nullif({}, 0)", part(random), part(random)),
            3 => format!("{} % 7.25", part(random)),
            4 => format!("sqrt(abs({}))", part(random)),
            5 => format!("ln(abs({}) + 1)", part(random)),
            6 => format!("exp({} % 10)", part(random)),
            7 => format!("power(abs({} % 50) + 1, {} % 5)", part(random), part(random)),
            8 => {
                let which = random.pick(&["round", "trunc"]);
                format!("{which}({}, {})", part(random), random.range(-2, 4))
            }
            9 => format!("{} / {}", part(random), part(random)),
            10 => format!("({})::numeric", self.expr(Kind::Text, depth, random)),
            11 => format!("log({})", part(random)),
            _ => format!("power({}, {})", part(random), part(random)),
        };
        format!("(({inner}) % 1000000)")
    }

    fn text(&self, depth: usize, random: &mut Random) -> String {
        let part = |random: &mut Random| self.expr(Kind::Text, depth, random);
        match random.below(25) {
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
            12 | 13 => self.to_char(depth, random),
            14 => {
                let kind = random.pick(&Kind::ALL);
                format!("({})::text", self.expr(kind, depth, random))
            }
            15 => format!("array_to_string({}, ',', '*')", self.expr(Kind::Ints, depth, random)),
            16 => format!("translate({}, 'ab', 'xy')", part(random)),
            17 | 19 | 20 => self.by_pattern(depth, random),
            18 => format!("{}({})", random.pick(&["quote_literal", "quote_ident"]), part(random)),
            21 => {
                let form = random.pick(&["'hex'", "'base64'", "'escape'"]);
                format!("encode({}, {form})", self.expr(Kind::Bytes, depth, random))
            }
            22 => {
                let side = random.pick(&["BOTH", "LEADING", "TRAILING"]);
                format!(
                    "trim({side} {} FROM {})",
                    random.pick(&["'a'", "' '", "'ab'"]),
                    part(random)
                )
            }
            23 => format!(
                "to_hex({})",
                self.expr(random.pick(&[Kind::Int, Kind::Big]), depth, random)
            ),
            _ => format!("({} || {})", part(random), self.expr(Kind::Char, depth, random)),
        }
    }

    /// What regular expressions find and put in its place.
    fn by_pattern(&self, depth: usize, random: &mut Random) -> String {
        let text = self.expr(Kind::Text, depth, random);
        match random.below(3) {
            0 => format!("regexp_replace({text}, '[a-z]', '<\\&>')"),
            1 => {
                let pattern = random.pick(&["'b|a'", "'[a-z]+'", "'(.)(.)'", r"'\s'"]);
                let with = random.pick(&["'-'", r"'<\1>'", "''"]);
                let flags = random.pick(&["''", "'g'", "'gi'", "'i'"]);
                format!("regexp_replace({text}, {pattern}, {with}, {flags})")
            }
            _ => {
                let pattern = random.pick(&["'a.'", "'b(.)'", "'^[^a]+'"]);
                format!("substring({text} FROM {pattern})")
            }
        }
    }

    fn to_char(&self, depth: usize, random: &mut Random) -> String {
        let of = |kind: Kind, random: &mut Random| self.expr(kind, depth, random);
        let (value, template) = match random.below(6) {
            0 => {
                let kind = random.pick(&[Kind::Numeric, Kind::Decimal, Kind::Float]);
                (
                    of(kind, random),
                    random.pick(&["'999.99'", "'FM90.0'", "'S09'", "'9,999,990.000'"]),
                )
            }
            1 => {
                let kind = random.pick(&[Kind::Int, Kind::Big]);
                let templates = ["'999'", "'FM000MI'", "'RN'", "'99th'", "'PL9'", "'9.9EEEE'"];
                (of(kind, random), random.pick(&templates))
            }
            2 => (
                of(Kind::Span, random),
                random.pick(&["'HH24:MI:SS'", "'YYYY-MM-DD'", "'DD HH12'", "'FMDDD MS'"]),
            ),
            3 => (
                of(Kind::StampTz, random),
                random.pick(&["'YYYY-MM-DD HH24:MI:SS TZH'", "'IYYY-IW-ID'", "'J Q'"]),
            ),
            _ => (
                of(Kind::Stamp, random),
                random.pick(&[
                    "'YYYY-MM-DD'",
                    "'HH12:MI AM'",
                    "'FMMonth FMDD'",
                    "'Dy, DD Mon YY'",
                    "'FMDay ddth \"of\" rm'",
                    "'SSSS.MS US'",
                    "'CC BC WW W'",
                ]),
            ),
        };
        format!("to_char({value}, {template})")
    }

    fn date(&self, depth: usize, random: &mut Random) -> String {
        match random.below(6) {
            0 => {
                let days = self.expr(Kind::Int, depth, random);
                format!("({} + {days} % 400)", self.expr(Kind::Date, depth, random))
            }
            1 => format!("({})::date", self.expr(Kind::Stamp, depth, random)),
            2 => format!(
                "date_trunc('month', {}::timestamp)::date",
                self.expr(Kind::Date, depth, random)
            ),
            3 => format!("({})::date", self.expr(Kind::StampTz, depth, random)),
            _ if !self.tame && random.one_in(3) => {
                let int = |random: &mut Random| self.expr(Kind::Int, depth, random);
                format!("make_date({} + 2000, {}, {})", int(random), int(random), int(random))
            }
            _ if !self.tame => format!("({})::date", self.expr(Kind::Text, depth, random)),
            _ => format!("({} - 1)", self.expr(Kind::Date, depth, random)),
        }
    }

    fn stamp(&self, depth: usize, random: &mut Random) -> String {
        match random.below(5) {
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
            3 => format!(
                "({} AT TIME ZONE {})",
                self.expr(Kind::StampTz, depth, random),
                zone(random)
            ),
            _ => format!("({})::timestamp", self.expr(Kind::Date, depth, random)),
        }
    }

    fn stamp_with_zone(&self, depth: usize, random: &mut Random) -> String {
        match random.below(5) {
            0 => format!(
                "({} {} {})",
                self.expr(Kind::StampTz, depth, random),
                random.pick(&["+", "-"]),
                self.expr(Kind::Span, 0, random)
            ),
            1 => {
                format!("({} AT TIME ZONE {})", self.expr(Kind::Stamp, depth, random), zone(random))
            }
            2 => format!(
                "date_trunc({}, {}, {})",
                random.pick(&["'day'", "'hour'", "'week'", "'year'"]),
                self.expr(Kind::StampTz, depth, random),
                zone(random)
            ),
            3 => format!("to_timestamp({})", self.expr(Kind::Float, depth, random)),
            _ => format!("({})::timestamptz", self.expr(Kind::Date, depth, random)),
        }
    }

    fn span(&self, depth: usize, random: &mut Random) -> String {
        match random.below(7) {
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
            4 => format!("(-{})", self.expr(Kind::Span, depth, random)),
            5 => format!("date_trunc('hour', {})", self.expr(Kind::Span, depth, random)),
            _ => {
                let which = random.pick(&["justify_hours", "justify_interval"]);
                format!("{which}({})", self.expr(Kind::Span, 0, random))
            }
        }
    }

    fn bytes(&self, depth: usize, random: &mut Random) -> String {
        let part = |random: &mut Random| self.expr(Kind::Bytes, depth, random);
        match random.below(if self.tame { 3 } else { 5 }) {
            0 => format!("({} || {})", part(random), part(random)),
            1 => format!("decode(md5({}), 'hex')", self.expr(Kind::Text, depth, random)),
            2 => format!("substr({}, {})", part(random), random.range(0, 2)),
            3 => format!("({})::bytea", self.expr(Kind::Text, depth, random)),
            _ => format!(
                "decode({}, {})",
                self.expr(Kind::Text, depth, random),
                random.pick(&["'hex'", "'base64'", "'escape'"])
            ),
        }
    }

    fn array(&self, kind: Kind, element: Kind, depth: usize, random: &mut Random) -> String {
        let one = |random: &mut Random| self.expr(element, depth, random);
        let array = |random: &mut Random| self.expr(kind, depth, random);
        match random.below(5) {
            0 => format!("ARRAY[{}, {}]", one(random), one(random)),
            1 => format!("({} || {})", array(random), one(random)),
            2 => format!("({} || {})", array(random), array(random)),
            3 => format!("ARRAY[{}]::{}", one(random), kind.sql()),
            _ => format!("({} || {})", one(random), array(random)),
        }
    }
}

fn zone(random: &mut Random) -> &'static str {
    random.pick(&["'UTC'", "'Europe/Berlin'", "'America/New_York'", "'Asia/Kolkata'", "'+03'"])
}
