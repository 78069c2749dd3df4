//! Random INSERT, UPDATE and DELETE over tables with unique keys.

use super::{
    expressions::Scope,
    queries::named,
    random::Random,
    schema::{Kind, Table},
};

/// A statement that writes.
#[derive(Clone, Debug)]
pub struct Write {
    pub text: String,
    pub table: usize,
    /// Whether it changes columns of a key by an UPDATE.
    pub moves_keys: bool,
}

pub fn random(tables: &[Table], random: &mut Random) -> Write {
    let at = random.below(tables.len());
    let (text, moves_keys) = match random.below(8) {
        0..=3 => (insert(tables, at, random), false),
        4..=6 => update(tables, at, random),
        _ => (delete(tables, at, random), false),
    };
    Write { text, table: at, moves_keys }
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

fn insert(tables: &[Table], at: usize, random: &mut Random) -> String {
    let table = &tables[at];
    let source = if random.one_in(6) {
        select_source(tables, table, random)
    } else {
        let rows: Vec<String> = (0..=random.below(3)).map(|_| table.row(random)).collect();
        format!("VALUES {}", rows.join(", "))
    };
    let conflict = conflict(table, random);
    let returning = returning(table, random);
    format!("INSERT INTO {} {source}{conflict}{returning}", table.name)
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
        0 => " ON CONFLICT DO NOTHING".to_owned(),
        1 => format!("{target} DO NOTHING"),
        _ => {
            let at = random.below(table.columns.len());
            let column = &table.columns[at];
            let mut columns = scope_columns(table);
            columns.extend(table.columns.iter().map(|c| (format!("excluded.{}", c.name), c.kind)));
            let scope = Scope { columns: &columns, tables: &[], tame: true };
            let value = if random.one_in(2) {
                format!("excluded.{}", column.name)
            } else {
                format!("({})::{}", scope.expr(column.kind, 1, random), column.kind.sql())
            };
            let filter = if random.one_in(4) {
                format!(" WHERE {}", scope.expr(Kind::Bool, 1, random))
            } else {
                String::new()
            };
            format!("{target} DO UPDATE SET {} = {value}{filter}", column.name)
        }
    }
}

fn filter(table: &Table, tables: &[Table], random: &mut Random) -> String {
    let columns = scope_columns(table);
    let all = named(tables);
    let scope = Scope { columns: &columns, tables: &all, tame: true };
    match random.below(5) {
        0 => String::new(),
        1 | 2 => {
            let first = &table.columns[0];
            format!(" WHERE {} = {}", first.name, first.kind.literal(random))
        }
        _ => format!(" WHERE {}", scope.expr(Kind::Bool, 2, random)),
    }
}

fn update(tables: &[Table], at: usize, random: &mut Random) -> (String, bool) {
    let table = &tables[at];
    let columns = scope_columns(table);
    let all = named(tables);
    let scope = Scope { columns: &columns, tables: &all, tame: true };
    let mut changed = Vec::new();
    for _ in 0..=random.below(2) {
        let column = random.below(table.columns.len());
        if !changed.contains(&column) {
            changed.push(column);
        }
    }
    let moves = changed.iter().any(|at| table.keys.iter().any(|key| key.contains(at)));
    let sets: Vec<String> = changed
        .iter()
        .map(|at| {
            let column = &table.columns[*at];
            let value = match random.below(6) {
                0 => column.kind.literal(random),
                1 => "DEFAULT".to_owned(),
                _ => format!("({})::{}", scope.expr(column.kind, 2, random), column.kind.sql()),
            };
            format!("{} = {value}", column.name)
        })
        .collect();
    let filter = filter(table, tables, random);
    let returning = returning(table, random);
    (format!("UPDATE {} SET {}{filter}{returning}", table.name, sets.join(", ")), moves)
}

fn delete(tables: &[Table], at: usize, random: &mut Random) -> String {
    let table = &tables[at];
    let filter = filter(table, tables, random);
    format!("DELETE FROM {}{filter}{}", table.name, returning(table, random))
}
