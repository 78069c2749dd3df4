//! Random tables, and values for them: few different ones, so that keys collide and joins match.

use super::{literal, random::Random};

/// The type of a column or an expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Small,
    Int,
    Big,
    /// `numeric(8,2)`: equal values look equal.
    Numeric,
    /// `numeric` with as many digits as a value has.
    Decimal,
    /// Multiples of a quarter, so that sums are exact in any order.
    Real,
    /// The same.
    Float,
    Text,
    Varchar,
    Char,
    Bytes,
    Bool,
    Date,
    Stamp,
    StampTz,
    Span,
    Uuid,
    Ints,
    Texts,
}

impl Kind {
    /// Kinds whose equal values are the same text, so that it does not matter which one is kept.
    pub const PLAIN: [Kind; 13] = [
        Kind::Small,
        Kind::Int,
        Kind::Big,
        Kind::Real,
        Kind::Float,
        Kind::Text,
        Kind::Varchar,
        Kind::Bytes,
        Kind::Bool,
        Kind::Date,
        Kind::Stamp,
        Kind::StampTz,
        Kind::Uuid,
    ];

    pub const ALL: [Kind; 19] = [
        Kind::Small,
        Kind::Int,
        Kind::Big,
        Kind::Numeric,
        Kind::Decimal,
        Kind::Real,
        Kind::Float,
        Kind::Text,
        Kind::Varchar,
        Kind::Char,
        Kind::Bytes,
        Kind::Bool,
        Kind::Date,
        Kind::Stamp,
        Kind::StampTz,
        Kind::Span,
        Kind::Uuid,
        Kind::Ints,
        Kind::Texts,
    ];

    pub fn is_plain(self) -> bool {
        Kind::PLAIN.contains(&self)
    }

    /// Whether columns of the kind may be in a key, in both databases.
    pub const fn is_keyable(self) -> bool {
        !matches!(self, Kind::Span | Kind::Ints | Kind::Texts)
    }

    pub const fn sql(self) -> &'static str {
        match self {
            Kind::Small => "smallint",
            Kind::Int => "int",
            Kind::Big => "bigint",
            Kind::Numeric => "numeric(8,2)",
            Kind::Decimal => "numeric",
            Kind::Real => "real",
            Kind::Float => "float8",
            Kind::Text => "text",
            Kind::Varchar => "varchar(5)",
            Kind::Char => "char(3)",
            Kind::Bytes => "bytea",
            Kind::Bool => "boolean",
            Kind::Date => "date",
            Kind::Stamp => "timestamp",
            Kind::StampTz => "timestamptz",
            Kind::Span => "interval",
            Kind::Uuid => "uuid",
            Kind::Ints => "int[]",
            Kind::Texts => "text[]",
        }
    }

    /// Values as literals that fit a column of the kind.
    const fn literals(self) -> &'static [&'static str] {
        match self {
            Kind::Small | Kind::Int | Kind::Big => {
                &["-3", "-2", "-1", "0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]
            }
            Kind::Numeric => &["0", "1.5", "1.50", "-2.25", "10", "99.99", "3"],
            Kind::Decimal => &["0", "1.5", "1.50", "-2.250", "100", "0.001", "12345678.9", "7"],
            Kind::Real | Kind::Float => &["0.25", "-1.5", "0", "3", "100.75"],
            Kind::Text => {
                &["''", "'a'", "'b'", "'ab'", "'A'", "'a b'", "'é'", "'x_y'", "'10'", "'zz '"]
            }
            Kind::Varchar => &["''", "'a'", "'abc'", "'B'", "'a%'"],
            Kind::Char => &["'a'", "'ab'", "'abc'", "''", "'b '"],
            Kind::Bytes => &["''", "'a'", r"'\x00ff'", r"'\x61'", "'a b'"],
            Kind::Bool => &["true", "false"],
            Kind::Date => &["'2024-02-29'", "'2023-12-31'", "'1999-01-08'", "'2024-03-01'"],
            Kind::Stamp => {
                &["'2024-02-29 12:30:45.5'", "'1999-01-08 00:00'", "'2024-03-01 23:59:59'"]
            }
            Kind::StampTz => {
                &["'2024-02-29 12:30:45.5+02'", "'1999-01-08 00:00-08'", "'2024-07-01 23:59:59Z'"]
            }
            Kind::Span => &["'1 day'", "'2 mons'", "'-3:04:05'", "'1 year 2 days'", "'0'"],
            Kind::Uuid => &[
                "'00000000-0000-0000-0000-000000000001'",
                "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'",
                "'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A12'",
            ],
            Kind::Ints => &["'{}'", "'{1,2}'", "'{3,NULL}'", "'{1}'", "'{2,1}'"],
            Kind::Texts => &["'{}'", "'{a,b}'", "'{\"x y\",NULL}'", "'{a}'", "'{\"\"}'"],
        }
    }

    /// A value as a literal, with its mark.
    pub fn literal(self, random: &mut Random) -> String {
        literal::marked(random.pick(self.literals()))
    }

    /// The same with its type, for where nothing else tells it.
    pub fn typed_literal(self, random: &mut Random) -> String {
        let literal = random.pick(self.literals());
        if self == Kind::Bool || (self == Kind::Int && !literal.starts_with('-')) {
            return literal::typed(literal, self.sql());
        }
        format!("({})::{}", literal::marked(literal), self.sql())
    }
}

/// A literal, with its mark, that few columns take.
pub const MISFIT: &str = "‹'too long for some'›";

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
    /// Columns of the primary key, of the unique constraints and of the unique indexes, by place.
    pub keys: Vec<Vec<usize>>,
    /// So many of the keys are constraints; the rest are unique indexes.
    constraints: usize,
    /// A condition for all rows.
    check: Option<String>,
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
            let unique = random.pick(&[0, 0, 1, 1, 2, 3]);
            for _ in 0..unique {
                let first = random.pick(&keyable);
                let mut key = vec![first];
                let second = random.pick(&keyable);
                if second != first && random.one_in(2) {
                    key.push(second);
                }
                if !keys.contains(&key) {
                    keys.push(key);
                }
            }
        }
        let constraints = 1 + random.below(keys.len());
        let ints = columns[1..].iter().find(|column| column.kind == Kind::Int);
        let check = ints.filter(|_| random.one_in(3)).map(|column| {
            format!("{} {}", column.name, random.pick(&["<> 7", "> -3", "% 5 <> 4"]))
        });
        Table { name: name.to_owned(), columns, keys, constraints, check }
    }

    /// A table of two whole numbers, each unique.
    pub fn of_ints(name: &str) -> Table {
        let column = |name: &str| Column {
            name: name.to_owned(),
            kind: Kind::Int,
            not_null: true,
            default: None,
        };
        let columns = vec![column("id"), column("c0")];
        let keys = vec![vec![0], vec![1]];
        Table { name: name.to_owned(), columns, keys, constraints: 2, check: None }
    }

    fn names(&self, key: &[usize]) -> String {
        let names: Vec<&str> = key.iter().map(|at| self.columns[*at].name.as_str()).collect();
        names.join(", ")
    }

    /// The table and its indexes.
    pub fn create(&self, random: &mut Random) -> Vec<String> {
        let name = &self.name;
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
        parts.push(format!("CONSTRAINT {name}_k0 PRIMARY KEY ({})", self.names(&self.keys[0])));
        for (at, key) in self.keys.iter().enumerate().take(self.constraints).skip(1) {
            parts.push(format!("CONSTRAINT {name}_k{at} UNIQUE ({})", self.names(key)));
        }
        parts.extend(self.check.iter().map(|check| format!("CHECK ({check})")));
        let mut out = vec![format!("CREATE TABLE {name} ({})", parts.join(", "))];
        for (at, key) in self.keys.iter().enumerate().skip(self.constraints) {
            out.push(format!("CREATE UNIQUE INDEX {name}_k{at} ON {name} ({})", self.names(key)));
        }
        let keyable: Vec<usize> =
            (0..self.columns.len()).filter(|at| self.columns[*at].kind.is_keyable()).collect();
        if random.one_in(2) {
            let at = random.pick(&keyable);
            let order = random.pick(&["", " DESC"]);
            out.push(format!("CREATE INDEX ON {name} ({}{order})", self.columns[at].name));
        }
        out
    }

    /// What makes PostgreSQL judge the table's unique keys at the end of a statement.
    pub fn deferrable(&self) -> Vec<String> {
        let name = &self.name;
        let mut out = Vec::new();
        for (at, key) in self.keys.iter().enumerate() {
            let columns = self.names(key);
            let what = if at == 0 { "PRIMARY KEY" } else { "UNIQUE" };
            out.push(if at < self.constraints {
                format!("ALTER TABLE {name} DROP CONSTRAINT {name}_k{at}")
            } else {
                format!("DROP INDEX {name}_k{at}")
            });
            out.push(format!(
                "ALTER TABLE {name} ADD CONSTRAINT {name}_k{at} {what} ({columns}) DEFERRABLE"
            ));
        }
        out
    }

    /// One or two columns, by place.
    pub fn few_columns(&self, random: &mut Random) -> Vec<usize> {
        let mut few = vec![random.below(self.columns.len())];
        let other = random.below(self.columns.len());
        if random.one_in(2) && other != few[0] {
            few.push(other);
        }
        few
    }

    /// The first column and some others, in any order.
    pub fn some_columns(&self, random: &mut Random) -> Vec<usize> {
        let mut some = vec![0];
        for at in 1..self.columns.len() {
            if !random.one_in(3) {
                some.insert(random.below(some.len() + 1), at);
            }
        }
        some
    }

    /// Values of a row, as literals.
    pub fn row(&self, random: &mut Random) -> String {
        let all: Vec<usize> = (0..self.columns.len()).collect();
        self.row_of(&all, random)
    }

    /// Values of these columns.
    pub fn row_of(&self, places: &[usize], random: &mut Random) -> String {
        let values: Vec<String> = places
            .iter()
            .map(|at| &self.columns[*at])
            .map(|column| match () {
                () if !column.not_null && random.one_in(5) => "NULL".to_owned(),
                () if random.one_in(40) => "NULL".to_owned(),
                () if column.default.is_some() && random.one_in(6) => "DEFAULT".to_owned(),
                () if random.one_in(60) => MISFIT.to_owned(),
                () => column.kind.literal(random),
            })
            .collect();
        format!("({})", values.join(", "))
    }
}
