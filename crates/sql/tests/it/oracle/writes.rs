//! Random INSERT, UPDATE and DELETE over tables with unique keys.

use super::{
    expressions::Scope,
    queries::named,
    random::Random,
    schema::{Kind, MISFIT, Table},
};

/// Where the rows of an INSERT come from.
#[derive(Clone, Debug)]
enum Source {
    /// Rows of VALUES.
    Rows(Vec<String>),
    /// A query with an order.
    Query(String),
    Defaults,
    /// It is no INSERT.
    None,
}

/// A statement that writes, by its clauses.
#[derive(Clone, Debug)]
pub struct Write {
    pub table: usize,
    /// Its first words.
    head: String,
    source: Source,
    conflict: String,
    sets: Vec<String>,
    /// `FROM` of an UPDATE.
    from: String,
    filter: Option<String>,
    returning: String,
    /// Whether it changes columns of a key by an UPDATE.
    pub moves_keys: bool,
}

impl Write {
    fn new(table: usize, head: String) -> Write {
        Write {
            table,
            head,
            source: Source::None,
            conflict: String::new(),
            sets: Vec::new(),
            from: String::new(),
            filter: None,
            returning: String::new(),
            moves_keys: false,
        }
    }

    /// `INSERT` of one row of VALUES.
    pub fn of_row(table: usize, name: &str, row: String) -> Write {
        Write::of_rows(table, name, &[&row])
    }

    /// `INSERT` of rows of VALUES.
    pub fn of_rows(table: usize, name: &str, rows: &[&str]) -> Write {
        let source = Source::Rows(rows.iter().map(|row| (*row).to_owned()).collect());
        Write { source, ..Write::new(table, format!("INSERT INTO {name}")) }
    }

    /// `UPDATE` of all rows of a table.
    pub fn of_update(name: &str, set: &str, moves_keys: bool) -> Write {
        let sets = vec![set.to_owned()];
        Write { sets, moves_keys, ..Write::new(0, format!("UPDATE {name}")) }
    }

    /// The statement, with marks.
    pub fn text(&self) -> String {
        let mut out = self.head.clone();
        match &self.source {
            Source::Rows(rows) => out.push_str(&format!(" VALUES {}", rows.join(", "))),
            Source::Query(query) => out.push_str(&format!(" {query}")),
            Source::Defaults => out.push_str(" DEFAULT VALUES"),
            Source::None => {}
        }
        out.push_str(&self.conflict);
        if !self.sets.is_empty() {
            out.push_str(&format!(" SET {}", self.sets.join(", ")));
        }
        out.push_str(&self.from);
        if let Some(filter) = &self.filter {
            out.push_str(&format!(" WHERE {filter}"));
        }
        out.push_str(&self.returning);
        out
    }

    /// Parts of the statement, each smaller than it: its first rows, each row, each two rows, each
    /// column alone. `keys` are the literals of the table's first column.
    pub fn parts(&self, table: &Table, keys: &[String]) -> Vec<String> {
        let mut parts = Vec::new();
        let mut part = |change: &dyn Fn(&mut Write)| {
            let mut part = Write { returning: String::new(), ..self.clone() };
            change(&mut part);
            let text = part.text();
            if text != self.text() && !parts.contains(&text) {
                parts.push(text);
            }
        };
        match &self.source {
            Source::Rows(rows) => {
                for row in rows {
                    // One of its misfits alone.
                    let pieces: Vec<&str> = row.split(MISFIT).collect();
                    for at in 1..pieces.len() {
                        let before = pieces[..at].join("NULL");
                        let alone = format!("{before}{MISFIT}{}", pieces[at..].join("NULL"));
                        part(&|write| write.source = Source::Rows(vec![alone.clone()]));
                    }
                }
                for end in 0..rows.len() {
                    part(&|write| write.source = Source::Rows(rows[..=end].to_vec()));
                    for start in 0..=end {
                        let some = if start == end { vec![start] } else { vec![start, end] };
                        let some: Vec<String> = some.iter().map(|at| rows[*at].clone()).collect();
                        part(&|write| write.source = Source::Rows(some.clone()));
                    }
                }
            }
            Source::Query(query) => {
                for at in 0..keys.len().max(12) {
                    part(&|write| write.source = Source::Query(format!("{query} LIMIT {at}")));
                    let one = format!("{query} LIMIT 1 OFFSET {at}");
                    part(&|write| write.source = Source::Query(one.clone()));
                }
            }
            Source::Defaults => {}
            Source::None => {
                let first = format!("{}.{}", table.name, table.columns[0].name);
                for (at, key) in keys.iter().enumerate() {
                    for other in &keys[at..] {
                        let only = format!("{first} IN ({key}, {other})");
                        let filter = self.filter.as_ref();
                        let filter = filter.map_or_else(
                            || only.clone(),
                            |filter| format!("({filter}) AND {only}"),
                        );
                        part(&|write| write.filter = Some(filter.clone()));
                    }
                }
                for set in &self.sets {
                    part(&|write| write.sets = vec![set.clone()]);
                }
            }
        }
        parts
    }
}

pub fn random(tables: &[Table], random: &mut Random) -> Write {
    let at = random.below(tables.len());
    match random.below(8) {
        0..=3 => insert(tables, at, random),
        4..=6 => update(tables, at, random),
        _ => delete(tables, at, random),
    }
}

fn scope_columns(table: &Table) -> Vec<(String, Kind)> {
    table
        .columns
        .iter()
        .map(|column| (format!("{}.{}", table.name, column.name), column.kind))
        .collect()
}

fn returning(table: &Table, random: &mut Random) -> String {
    match random.below(3) {
        0 => " RETURNING *".to_owned(),
        1 => {
            let columns = scope_columns(table);
            let scope = Scope { columns: &columns, tables: &[], tame: true };
            let kind = random.pick(&Kind::ALL);
            format!(" RETURNING {}, {}", table.columns[0].name, scope.expr(kind, 1, random))
        }
        _ => String::new(),
    }
}

fn insert(tables: &[Table], at: usize, random: &mut Random) -> Write {
    let table = &tables[at];
    let mut write = Write::new(at, format!("INSERT INTO {}", table.name));
    write.source = match random.below(12) {
        0 | 1 => Source::Query(select_source(tables, table, random)),
        2 if random.one_in(4) => Source::Defaults,
        3 => {
            // Some of the columns, in an order of their own.
            let places = table.some_columns(random);
            let names: Vec<&str> =
                places.iter().map(|at| table.columns[*at].name.as_str()).collect();
            write.head = format!("{} ({})", write.head, names.join(", "));
            let rows = (0..=random.below(2)).map(|_| table.row_of(&places, random)).collect();
            Source::Rows(rows)
        }
        _ => {
            let most = if random.one_in(6) { 8 } else { 3 };
            Source::Rows((0..=random.below(most)).map(|_| table.row(random)).collect())
        }
    };
    write.conflict = conflict(table, random);
    write.returning = returning(table, random);
    write
}

/// Rows of another table or of the same, one of each id, in an order.
fn select_source(tables: &[Table], target: &Table, random: &mut Random) -> String {
    let from = &tables[random.below(tables.len())];
    let columns = scope_columns(from);
    let all = named(tables);
    let scope = Scope { columns: &columns, tables: &all, tame: true };
    let items: Vec<String> = target
        .columns
        .iter()
        .map(|column| {
            // As a column holds it: shorter texts fit.
            format!("({})::{}", scope.expr(column.kind, 1, random), column.kind.sql())
        })
        .collect();
    let order: Vec<String> = columns
        .iter()
        .filter(|(_, kind)| kind.is_keyable())
        .map(|(name, _)| name.clone())
        .collect();
    format!("SELECT {} FROM {} ORDER BY {}", items.join(", "), from.name, order.join(", "))
}

fn conflict(table: &Table, random: &mut Random) -> String {
    if random.one_in(2) {
        return String::new();
    }
    let key = &table.keys[random.below(table.keys.len())];
    let names: Vec<&str> = key.iter().map(|at| table.columns[*at].name.as_str()).collect();
    let target = format!(" ON CONFLICT ({})", names.join(", "));
    match random.below(4) {
        0 => return " ON CONFLICT DO NOTHING".to_owned(),
        1 => return format!("{target} DO NOTHING"),
        _ => {}
    }
    let mut columns = scope_columns(table);
    columns.extend(table.columns.iter().map(|c| (format!("excluded.{}", c.name), c.kind)));
    let scope = Scope { columns: &columns, tables: &[], tame: true };
    let sets: Vec<String> = table
        .few_columns(random)
        .iter()
        .map(|at| {
            let column = &table.columns[*at];
            let value = match random.below(8) {
                0..=3 => format!("excluded.{}", column.name),
                4 => "DEFAULT".to_owned(),
                _ => format!("({})::{}", scope.expr(column.kind, 1, random), column.kind.sql()),
            };
            format!("{} = {value}", column.name)
        })
        .collect();
    let filter = if random.one_in(4) {
        format!(" WHERE {}", scope.expr(Kind::Bool, 1, random))
    } else {
        String::new()
    };
    format!("{target} DO UPDATE SET {}{filter}", sets.join(", "))
}

fn filter(table: &Table, tables: &[Table], random: &mut Random) -> Option<String> {
    let columns = scope_columns(table);
    let all = named(tables);
    let scope = Scope { columns: &columns, tables: &all, tame: true };
    match random.below(5) {
        0 => None,
        1 | 2 => {
            let first = &table.columns[0];
            Some(format!("{}.{} = {}", table.name, first.name, first.kind.literal(random)))
        }
        _ => Some(scope.expr(Kind::Bool, 2, random)),
    }
}

/// Another table and how one row of it at most belongs to each row of this one: by its key.
fn partner<'t>(tables: &'t [Table], at: usize, random: &mut Random) -> Option<(&'t Table, String)> {
    let table = &tables[at];
    let other = &tables[random.below(tables.len())];
    if other.name == table.name || other.keys[0].len() > 1 {
        return None;
    }
    let key = &other.columns[0];
    let fitting: Vec<&str> = table
        .columns
        .iter()
        .filter(|column| column.kind == key.kind)
        .map(|column| column.name.as_str())
        .collect();
    if fitting.is_empty() {
        return None;
    }
    let own = random.pick(&fitting);
    Some((other, format!("{}.{own} = {}.{}", table.name, other.name, key.name)))
}

fn update(tables: &[Table], at: usize, random: &mut Random) -> Write {
    let table = &tables[at];
    let mut write = Write::new(at, format!("UPDATE {}", table.name));
    let mut columns = scope_columns(table);
    write.filter = filter(table, tables, random);
    if random.one_in(5)
        && let Some((other, matches)) = partner(tables, at, random)
    {
        columns.extend(scope_columns(other));
        write.from = format!(" FROM {}", other.name);
        let filter = write.filter.take();
        write.filter = Some(
            filter.map_or_else(|| matches.clone(), |filter| format!("{matches} AND {filter}")),
        );
    }
    let all = named(tables);
    let scope = Scope { columns: &columns, tables: &all, tame: true };
    let changed = table.few_columns(random);
    write.moves_keys = changed.iter().any(|at| table.keys.iter().any(|key| key.contains(at)));
    let mut value = |at: usize| {
        let column = &table.columns[at];
        match random.below(6) {
            0 => column.kind.literal(random),
            1 => "DEFAULT".to_owned(),
            _ => format!("({})::{}", scope.expr(column.kind, 2, random), column.kind.sql()),
        }
    };
    let name = |at: usize| table.columns[at].name.as_str();
    write.sets = match changed.as_slice() {
        // Two at once, from a row of values.
        [one, other] if one > other => {
            vec![format!(
                "({}, {}) = ({}, {})",
                name(*one),
                name(*other),
                value(*one),
                value(*other)
            )]
        }
        all => all.iter().map(|at| format!("{} = {}", name(*at), value(*at))).collect(),
    };
    write.returning = returning(table, random);
    write
}

fn delete(tables: &[Table], at: usize, random: &mut Random) -> Write {
    let table = &tables[at];
    let mut write = Write::new(at, format!("DELETE FROM {}", table.name));
    write.filter = filter(table, tables, random);
    if random.one_in(5)
        && let Some((other, matches)) = partner(tables, at, random)
    {
        write.head = format!("{} USING {}", write.head, other.name);
        let filter = write.filter.take();
        write.filter = Some(
            filter.map_or_else(|| matches.clone(), |filter| format!("{matches} AND {filter}")),
        );
    }
    write.returning = returning(table, random);
    write
}
