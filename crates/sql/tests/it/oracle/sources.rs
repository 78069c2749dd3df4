//! Random FROM clauses.

use super::{
    expressions::Scope,
    literal,
    random::Random,
    schema::{Kind, Table},
};

/// Columns as expressions name them.
type Columns = Vec<(String, Kind)>;

/// A FROM clause and the columns it gives.
pub fn from(tables: &[Table], random: &mut Random) -> (String, Columns) {
    let mut columns = Columns::new();
    let mut out = String::new();
    for at in 0..=random.below(3) {
        let alias = format!("a{at}");
        let (source, own) = source(tables, &alias, random);
        if at == 0 {
            out.push_str(&source);
        } else {
            out.push_str(&join(&source, &columns, &own, random));
        }
        columns.extend(own);
    }
    (out, columns)
}

/// A table, or what stands for one.
fn source(tables: &[Table], alias: &str, random: &mut Random) -> (String, Columns) {
    let table = &tables[random.below(tables.len())];
    let named = |name: &str, kind: Kind| (format!("{alias}.{name}"), kind);
    let all = || table.columns.iter().map(|column| named(&column.name, column.kind)).collect();
    let first = &table.columns[0];
    match random.below(14) {
        0 | 1 => {
            let filter = format!("{} IS NOT NULL", first.name);
            (format!("(SELECT * FROM {} WHERE {filter}) AS {alias}", table.name), all())
        }
        2 => {
            let inner = format!("SELECT {}, count(*) AS n FROM {}", first.name, table.name);
            let columns = vec![named(&first.name, first.kind), named("n", Kind::Big)];
            (format!("({inner} GROUP BY 1) AS {alias}"), columns)
        }
        3 => {
            let row = |random: &mut Random| {
                format!(
                    "({}, {})",
                    literal::typed(random.pick(&["1", "2", "7"]), "int"),
                    literal::typed(random.pick(&["'a'", "'b'", "''"]), "text")
                )
            };
            let rows = [row(random), row(random), "(NULL, NULL)".to_owned()];
            let columns = vec![named("x", Kind::Int), named("y", Kind::Text)];
            (format!("(VALUES {}) AS {alias} (x, y)", rows.join(", ")), columns)
        }
        4 => {
            let last = random.pick(&["2", "5", "-1"]);
            let columns = vec![named("x", Kind::Int)];
            (format!("generate_series(-1, {last}) AS {alias} (x)"), columns)
        }
        5 => {
            let array = literal::marked(random.pick(&["'{1,2,3}'", "'{}'", "'{4,NULL}'"]));
            let columns = vec![named("x", Kind::Int)];
            (format!("unnest({array}::int[]) AS {alias} (x)"), columns)
        }
        6 => {
            let inner = format!("SELECT * FROM {} ORDER BY 1 DESC LIMIT 3", table.name);
            (format!("({}) AS {alias}", sorted(table, &inner)), all())
        }
        _ => (format!("{} AS {alias}", table.name), all()),
    }
}

/// The first three rows, of which there is but one choice: by the whole primary key.
fn sorted(table: &Table, query: &str) -> String {
    let key: Vec<&str> = table.keys[0].iter().map(|at| table.columns[*at].name.as_str()).collect();
    query.replace("ORDER BY 1 DESC", &format!("ORDER BY {} DESC", key.join(" DESC, ")))
}

fn join(
    source: &str,
    left: &[(String, Kind)],
    right: &[(String, Kind)],
    random: &mut Random,
) -> String {
    let equalities: Vec<String> = left
        .iter()
        .flat_map(|(name, kind)| {
            right
                .iter()
                .filter(move |(_, other)| other == kind && kind.is_keyable())
                .map(move |(other, _)| format!("{name} = {other}"))
        })
        .collect();
    if equalities.is_empty() || random.one_in(8) {
        return format!(" CROSS JOIN {source}");
    }
    let at = random.below(equalities.len());
    let mut condition = equalities[at].clone();
    let kind = random.pick(&["JOIN", "JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"]);
    if random.one_in(6)
        && let Some(name) = common(left, right)
    {
        // What the joined column is called is `a0.id` still.
        let kind = random.pick(&["JOIN", "LEFT JOIN"]);
        return format!(" {kind} {source} USING ({name})");
    }
    if kind != "FULL JOIN" && random.one_in(3) {
        let both: Columns = [left, right].concat();
        let scope = Scope { columns: &both, tables: &[], tame: true };
        let word = random.pick(&["AND", "AND", "OR"]);
        condition = format!("{condition} {word} {}", scope.expr(Kind::Bool, 1, random));
    }
    format!(" {kind} {source} ON {condition}")
}

/// A column that both sides have under one name and of one kind, the left one once.
fn common(left: &[(String, Kind)], right: &[(String, Kind)]) -> Option<String> {
    let bare = |name: &str| name.split_once('.').map_or(String::new(), |(_, bare)| bare.to_owned());
    right.iter().find_map(|(name, kind)| {
        let name = bare(name);
        let there: Vec<_> = left.iter().filter(|(other, _)| bare(other) == name).collect();
        matches!(there.as_slice(), [(_, other)] if other == kind && kind.is_keyable())
            .then_some(name)
    })
}
