//! Random tables, and values for them: few different ones, so that keys collide and joins match.

use super::random::Random;

/// The type of a column or an expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Small,
    Int,
    Big,
    /// `numeric(8,2)`: equal values look equal.
    Numeric,
    Text,
    Varchar,
    Char,
    Bool,
    Date,
    Stamp,
    Span,
    /// Multiples of a quarter, so that sums are exact in any order.
    Float,
    Ints,
}

impl Kind {
    /// Kinds whose equal values are the same text, so that it does not matter which one is kept.
    pub const PLAIN: [Kind; 9] = [
        Kind::Small,
        Kind::Int,
        Kind::Big,
        Kind::Text,
        Kind::Varchar,
        Kind::Bool,
        Kind::Date,
        Kind::Stamp,
        Kind::Float,
    ];

    pub const ALL: [Kind; 13] = [
        Kind::Small,
        Kind::Int,
        Kind::Big,
        Kind::Numeric,
        Kind::Text,
        Kind::Varchar,
        Kind::Char,
        Kind::Bool,
        Kind::Date,
        Kind::Stamp,
        Kind::Span,
        Kind::Float,
        Kind::Ints,
    ];

    pub fn is_plain(self) -> bool {
        Kind::PLAIN.contains(&self)
    }

    /// Whether columns of the kind may be in a key, in both databases.
    pub const fn is_keyable(self) -> bool {
        !matches!(self, Kind::Span | Kind::Ints)
    }

    pub const fn sql(self) -> &'static str {
        match self {
            Kind::Small => "smallint",
            Kind::Int => "int",
            Kind::Big => "bigint",
            Kind::Numeric => "numeric(8,2)",
            Kind::Text => "text",
            Kind::Varchar => "varchar(5)",
            Kind::Char => "char(3)",
            Kind::Bool => "boolean",
            Kind::Date => "date",
            Kind::Stamp => "timestamp",
            Kind::Span => "interval",
            Kind::Float => "float8",
            Kind::Ints => "int[]",
        }
    }

    /// A value as a literal that fits a column of the kind.
    pub fn literal(self, random: &mut Random) -> String {
        match self {
            Kind::Small | Kind::Int | Kind::Big => random.range(-3, 9).to_string(),
            Kind::Numeric => {
                random.pick(&["0", "1.5", "1.50", "-2.25", "10", "99.99", "3"]).to_owned()
            }
            Kind::Text => random
                .pick(&[
                    "''", "'a'", "'b'", "'ab'", "'A'", "'a b'", "'é'", "'x_y'", "'10'", "'zz '",
                ])
                .to_owned(),
            Kind::Varchar => random.pick(&["''", "'a'", "'abc'", "'B'", "'a%'"]).to_owned(),
            Kind::Char => random.pick(&["'a'", "'ab'", "'abc'", "''", "'b '"]).to_owned(),
            Kind::Bool => random.pick(&["true", "false"]).to_owned(),
            Kind::Date => random
                .pick(&["'2024-02-29'", "'2023-12-31'", "'1999-01-08'", "'2024-03-01'"])
                .to_owned(),
            Kind::Stamp => random
                .pick(&["'2024-02-29 12:30:45.5'", "'1999-01-08 00:00'", "'2024-03-01 23:59:59'"])
                .to_owned(),
            Kind::Span => random
                .pick(&["'1 day'", "'2 mons'", "'-3:04:05'", "'1 year 2 days'", "'0'"])
                .to_owned(),
            Kind::Float => random.pick(&["0.25", "-1.5", "0", "3", "100.75"]).to_owned(),
            Kind::Ints => {
                random.pick(&["'{}'", "'{1,2}'", "'{3,NULL}'", "'{1}'", "'{2,1}'"]).to_owned()
            }
        }
    }

    /// The same with its type, for where nothing else tells it.
    pub fn typed_literal(self, random: &mut Random) -> String {
        let literal = self.literal(random);
        if self == Kind::Bool || (self == Kind::Int && !literal.starts_with('-')) {
            return literal;
        }
        format!("({literal})::{}", self.sql())
    }
}

/// A column.
#[derive(Clone, Debug)]
pub struct Column {
    pub name: String,
    pub kind: Kind,
    pub not_null: bool,
    pub default: Option<String>,
}

/// A table.
#[derive(Clone, Debug)]
pub struct Table {
    pub name: String,
    pub columns: Vec<Column>,
    /// Columns of the primary key and of the unique constraints, by place; the first is primary.
    pub keys: Vec<Vec<usize>>,
}

impl Table {
    pub fn random(name: &str, random: &mut Random) -> Table {
        let mut columns = vec![Column {
            name: "id".to_owned(),
            kind: random.pick(&[Kind::Int, Kind::Int, Kind::Big, Kind::Text]),
            not_null: true,
            default: None,
        }];
        for at in 0..random.below(5) + 2 {
            let kind = random.pick(&Kind::ALL);
            let default = random.one_in(4).then(|| kind.literal(random));
            let not_null = random.one_in(6);
            columns.push(Column { name: format!("c{at}"), kind, not_null, default });
        }
        let keyable: Vec<usize> =
            (1..columns.len()).filter(|at| columns[*at].kind.is_keyable()).collect();
        let mut keys = vec![vec![0]];
        if !keyable.is_empty() {
            if random.one_in(4) {
                keys[0].push(random.pick(&keyable));
            }
            if random.one_in(2) {
                let first = random.pick(&keyable);
                let mut key = vec![first];
                let second = random.pick(&keyable);
                if second != first && random.one_in(2) {
                    key.push(second);
                }
                keys.push(key);
            }
        }
        Table { name: name.to_owned(), columns, keys }
    }

    pub fn create(&self, random: &mut Random) -> Vec<String> {
        let names = |key: &[usize]| {
            let names: Vec<&str> = key.iter().map(|at| self.columns[*at].name.as_str()).collect();
            names.join(", ")
        };
        let mut parts: Vec<String> = self
            .columns
            .iter()
            .map(|column| {
                let default = column.default.as_ref();
                format!(
                    "{} {}{}{}",
                    column.name,
                    column.kind.sql(),
                    if column.not_null { " NOT NULL" } else { "" },
                    default.map_or(String::new(), |default| format!(" DEFAULT {default}")),
                )
            })
            .collect();
        parts.push(format!("PRIMARY KEY ({})", names(&self.keys[0])));
        for key in &self.keys[1..] {
            parts.push(format!("UNIQUE ({})", names(key)));
        }
        let mut out = vec![format!("CREATE TABLE {} ({})", self.name, parts.join(", "))];
        let keyable: Vec<usize> =
            (0..self.columns.len()).filter(|at| self.columns[*at].kind.is_keyable()).collect();
        if random.one_in(2) {
            let at = random.pick(&keyable);
            let order = random.pick(&["", " DESC"]);
            out.push(format!("CREATE INDEX ON {} ({}{order})", self.name, self.columns[at].name));
        }
        out
    }

    /// Values of a row, as literals.
    pub fn row(&self, random: &mut Random) -> String {
        let values: Vec<String> = self
            .columns
            .iter()
            .map(|column| match () {
                () if !column.not_null && random.one_in(5) => "NULL".to_owned(),
                () if random.one_in(40) => "NULL".to_owned(),
                () if column.default.is_some() && random.one_in(6) => "DEFAULT".to_owned(),
                () => column.kind.literal(random),
            })
            .collect();
        format!("({})", values.join(", "))
    }
}
