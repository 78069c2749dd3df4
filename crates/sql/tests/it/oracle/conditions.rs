//! Random conditions.

use super::{expressions::Scope, literal, random::Random, schema::Kind};

impl Scope<'_> {
    pub(super) fn condition(&self, depth: usize, random: &mut Random) -> String {
        let part = |random: &mut Random| self.expr(Kind::Bool, depth, random);
        let kind = random.pick(&Kind::ALL);
        let of = |kind: Kind, random: &mut Random| self.expr(kind, depth, random);
        match random.below(21) {
            0 => format!("({} AND {})", part(random), part(random)),
            1 => format!("({} OR {})", part(random), part(random)),
            2 => format!("(NOT {})", part(random)),
            3 | 8 | 9 | 15 | 16 => self.test(depth, random),
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
            6 => self.matches(depth, random),
            7 => self.compares_rows(depth, random),
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
                    (Kind::Decimal, Kind::Float),
                    (Kind::Real, Kind::Numeric),
                    (Kind::Stamp, Kind::StampTz),
                    (Kind::Varchar, Kind::Char),
                ]);
                let op = random.pick(&["=", "<", ">=", "<>"]);
                format!("({} {op} {})", of(pair.0, random), of(pair.1, random))
            }
            13 => format!(
                "({} {}BETWEEN SYMMETRIC {} AND {})",
                of(kind, random),
                random.pick(&["", "NOT "]),
                of(kind, random),
                of(kind, random)
            ),
            14 => self.quantified(depth, random),
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

    /// Questions to one value, or two, that are never NULL, and CASE.
    fn test(&self, depth: usize, random: &mut Random) -> String {
        let part = |random: &mut Random| self.expr(Kind::Bool, depth, random);
        let kind = random.pick(&Kind::ALL);
        let of = |kind: Kind, random: &mut Random| self.expr(kind, depth, random);
        match random.below(5) {
            0 => format!("({} IS {}NULL)", of(kind, random), random.pick(&["", "NOT "])),
            1 => format!(
                "({} IS {}DISTINCT FROM {})",
                of(kind, random),
                random.pick(&["", "NOT "]),
                of(kind, random)
            ),
            2 => format!(
                "({} IS {}{})",
                part(random),
                random.pick(&["", "NOT "]),
                random.pick(&["TRUE", "FALSE", "UNKNOWN"])
            ),
            3 => {
                let kind = random.pick(&[Kind::Date, Kind::Stamp, Kind::StampTz, Kind::Span]);
                format!("isfinite({})", of(kind, random))
            }
            _ => format!(
                "(CASE {} WHEN {} THEN {} WHEN {} THEN true END)",
                of(kind, random),
                of(kind, random),
                part(random),
                of(kind, random)
            ),
        }
    }

    /// Patterns: LIKE, SIMILAR TO, regular expressions.
    fn matches(&self, depth: usize, random: &mut Random) -> String {
        let kind = random.pick(&[Kind::Text, Kind::Text, Kind::Varchar, Kind::Char]);
        let text = self.expr(kind, depth, random);
        let not = random.pick(&["", "NOT "]);
        let (operator, pattern, escape) = match random.below(8) {
            0..=2 => {
                let like = random.pick(&["LIKE", "LIKE", "ILIKE"]);
                let pattern =
                    random.pick(&["'a%'", "'%b'", "'_'", "'%'", "''", "'a_%'", "'ab '", "'%_%_%'"]);
                (format!("{not}{like}"), pattern, "")
            }
            3 => {
                let pattern = random.pick(&["'a!%'", "'%!_y'", "'!!%'", "'%'"]);
                (format!("{not}LIKE"), pattern, " ESCAPE '!'")
            }
            4 | 5 => {
                let pattern = random.pick(&[
                    "'(a|b)+'",
                    "'a%'",
                    "'_b?'",
                    "'[a-c]*'",
                    "'a{1,2}'",
                    "'%(x.y|é)%'",
                    "'a b|A'",
                    "'[^a]_%'",
                ]);
                (format!("{not}SIMILAR TO"), pattern, random.pick(&["", "", " ESCAPE '#'"]))
            }
            _ => {
                let operator = random.pick(&["~", "!~", "~*", "!~*"]);
                let pattern = random.pick(&[
                    "'^a'",
                    "'b$'",
                    "'[a-c]+'",
                    "' '",
                    "'^$'",
                    r"'\d'",
                    r"'^\w+$'",
                    "'(a|x).*'",
                    "'[[:upper:]]'",
                    "'a{2}|b'",
                    r"'\mb'",
                ]);
                (operator.to_owned(), pattern, "")
            }
        };
        format!("({text} {operator} {}{escape})", literal::marked(pattern))
    }

    fn compares_rows(&self, depth: usize, random: &mut Random) -> String {
        let (one, other) = (random.pick(&Kind::PLAIN), random.pick(&Kind::PLAIN));
        let depth = depth.saturating_sub(1);
        let row = |random: &mut Random| {
            format!("({}, {})", self.expr(one, depth, random), self.expr(other, depth, random))
        };
        match random.below(3) {
            0 => format!("({} IN ({}, {}))", row(random), row(random), row(random)),
            _ => {
                let op = random.pick(&["=", "<>", "<", "<=", ">", ">="]);
                format!("({} {op} {})", row(random), row(random))
            }
        }
    }

    /// Arrays, and values that are not many, on the right of ANY, ALL and IN.
    fn quantified(&self, depth: usize, random: &mut Random) -> String {
        let kind = random.pick(&[Kind::Int, Kind::Text, Kind::Date, Kind::Numeric, Kind::Uuid]);
        let of = |random: &mut Random| self.expr(kind, depth, random);
        match random.below(3) {
            0 => {
                let quantifier = random.pick(&["= ANY", "<> ALL", "< ANY", ">= ALL", "= SOME"]);
                format!("({} {quantifier} (ARRAY[{}, {}]))", of(random), of(random), of(random))
            }
            1 => {
                // Nothing of the rows outside is known inside.
                let values = [kind.typed_literal(random), kind.typed_literal(random)];
                format!("({} IN (VALUES ({}), ({})))", of(random), values[0], values[1])
            }
            _ => {
                let (text, texts) =
                    (self.expr(Kind::Text, depth, random), self.expr(Kind::Texts, depth, random));
                format!("({text} {} ({texts}))", random.pick(&["= ANY", "<> ALL"]))
            }
        }
    }
}
