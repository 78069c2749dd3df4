//! Random queries over the tables there are.

use super::{
    expressions::Scope,
    random::Random,
    schema::{Kind, Table},
};

/// A query by its clauses, so that it can be made smaller.
#[derive(Clone, Debug, Default)]
pub struct Query {
    with: Option<String>,
    distinct: bool,
    items: Vec<String>,
    from: Option<String>,
    filter: Option<String>,
    group: Vec<String>,
    having: Option<String>,
    /// An operator and the other query.
    set: Option<(&'static str, Box<Query>)>,
    /// Sorted by all columns.
    ordered: bool,
    tail: Option<String>,
}

/// Tables as expressions name their columns.
pub type Named = Vec<(String, Vec<(String, Kind)>)>;

/// What subqueries may read.
pub fn named(tables: &[Table]) -> Named {
    let columns = |table: &Table| {
        table.columns.iter().map(|column| (column.name.clone(), column.kind)).collect()
    };
    tables.iter().map(|table| (table.name.clone(), columns(table))).collect()
}

impl Query {
    /// `SELECT` of expressions without rows, which may fail.
    pub fn of_values(random: &mut Random) -> Query {
        let scope = Scope { columns: &[], tables: &[], tame: false };
        let kind = random.pick(&Kind::ALL);
        Query { items: vec![scope.expr(kind, 4, random)], ..Query::default() }
    }

    /// A query over rows.
    pub fn random(tables: &[Table], random: &mut Random) -> Query {
        let all = named(tables);
        let (from, columns) = from(tables, random);
        let scope = Scope { columns: &columns, tables: &all, tame: true };
        let filter = random.one_in(2).then(|| scope.expr(Kind::Bool, 3, random));
        let grouped = random.one_in(3);
        let mut query = Query { from: Some(from), filter, ..Query::default() };
        let kinds = if grouped {
            query.grouped(&scope, random)
        } else {
            let kinds: Vec<Kind> = (0..=random.below(3)).map(|_| random.pick(&Kind::ALL)).collect();
            query.items = kinds.iter().map(|kind| scope.expr(*kind, 2, random)).collect();
            kinds
        };
        let plain = kinds.iter().all(|kind| kind.is_plain());
        if plain && !grouped {
            query.distinct = random.one_in(5);
        }
        if plain && !query.distinct && random.one_in(6) {
            query.combine(&kinds, tables, random);
        }
        if plain && random.one_in(2) {
            query.ordered = true;
            if random.one_in(2) {
                let offset = if random.one_in(2) { " OFFSET 1" } else { "" };
                query.tail = Some(format!("LIMIT {}{offset}", random.below(6)));
            }
        }
        if random.one_in(10) {
            query.with_derived(tables, random);
        }
        query
    }

    /// Groups by plain columns, or makes one group of all rows.
    fn grouped(&mut self, scope: &Scope<'_>, random: &mut Random) -> Vec<Kind> {
        let mut kinds = Vec::new();
        if !random.one_in(3) {
            for _ in 0..=random.below(2) {
                let kind =
                    random.pick(&[Kind::Int, Kind::Text, Kind::Bool, Kind::Date, Kind::Small]);
                let key = scope.expr(kind, 1, random);
                if key.contains("SELECT") || key.starts_with("NULL") {
                    continue;
                }
                // Named by its place: the text itself could be read as one.
                self.items.push(key);
                self.group.push(self.items.len().to_string());
                kinds.push(kind);
            }
        }
        for _ in 0..=random.below(3) {
            let (aggregate, kind) = aggregate(scope, random);
            self.items.push(aggregate);
            kinds.push(kind);
        }
        if random.one_in(4) {
            self.having = Some(format!("count(*) {} 2", random.pick(&[">", "<", "=", "<>"])));
        }
        kinds
    }

    /// Puts another query with columns of the same kinds beside this one.
    fn combine(&mut self, kinds: &[Kind], tables: &[Table], random: &mut Random) {
        let all = named(tables);
        let (from, columns) = from(&tables[..1], random);
        let scope = Scope { columns: &columns, tables: &all, tame: true };
        // The same column of both sides has the same type.
        let cast = |item: &String, kind: &Kind| format!("({item})::{}", kind.sql());
        self.items = self.items.iter().zip(kinds).map(|(item, kind)| cast(item, kind)).collect();
        let items = kinds.iter().map(|kind| cast(&scope.expr(*kind, 1, random), kind)).collect();
        let operators =
            ["UNION", "UNION ALL", "INTERSECT", "EXCEPT", "INTERSECT ALL", "EXCEPT ALL"];
        let other = Query { items, from: Some(from), ..Query::default() };
        self.set = Some((random.pick(&operators), Box::new(other)));
    }

    /// Reads a table by way of a CTE.
    fn with_derived(&mut self, tables: &[Table], random: &mut Random) {
        let table = &tables[random.below(tables.len())];
        let key = &table.columns[0].name;
        self.with =
            Some(format!("w AS (SELECT {key} AS k FROM {} WHERE {key} IS NOT NULL)", table.name));
        let condition = "EXISTS (SELECT k FROM w)".to_owned();
        self.filter = Some(match self.filter.take() {
            Some(filter) => format!("{filter} AND {condition}"),
            None => condition,
        });
    }

    /// Whether the rows come in an order.
    pub const fn is_ordered(&self) -> bool {
        self.ordered
    }

    pub fn text(&self) -> String {
        let mut out = String::new();
        if let Some(with) = &self.with {
            out.push_str(&format!("WITH {with} "));
        }
        out.push_str(&self.core());
        if let Some((operator, other)) = &self.set {
            out.push_str(&format!(" {operator} {}", other.core()));
        }
        if self.ordered {
            let places: Vec<String> = (1..=self.items.len()).map(|at| at.to_string()).collect();
            out.push_str(&format!(" ORDER BY {}", places.join(", ")));
        }
        if let Some(tail) = &self.tail {
            out.push_str(&format!(" {tail}"));
        }
        out
    }

    fn core(&self) -> String {
        let distinct = if self.distinct { "DISTINCT " } else { "" };
        let mut out = format!("SELECT {distinct}{}", self.items.join(", "));
        let mut clause = |word: &str, text: Option<&String>| {
            if let Some(text) = text {
                out.push_str(&format!(" {word} {text}"));
            }
        };
        clause("FROM", self.from.as_ref());
        clause("WHERE", self.filter.as_ref());
        let group = (!self.group.is_empty()).then(|| self.group.join(", "));
        clause("GROUP BY", group.as_ref());
        clause("HAVING", self.having.as_ref());
        out
    }

    /// The same query with one clause or column less, in every way.
    pub fn smaller(&self) -> Vec<Query> {
        let mut out = Vec::new();
        let mut without = |change: &dyn Fn(&mut Query)| {
            let mut query = self.clone();
            change(&mut query);
            if query.text() != self.text() {
                out.push(query);
            }
        };
        without(&|query| query.with = None);
        without(&|query| query.filter = None);
        without(&|query| query.having = None);
        without(&|query| query.set = None);
        without(&|query| query.tail = None);
        without(&|query| query.distinct = false);
        without(&|query| (query.ordered, query.tail) = (false, None));
        if self.items.len() > 1 && self.set.is_none() {
            for at in self.group.len()..self.items.len() {
                without(&|query| {
                    query.items.remove(at);
                });
            }
        }
        out
    }
}

fn aggregate(scope: &Scope<'_>, random: &mut Random) -> (String, Kind) {
    let filter = if random.one_in(6) {
        format!(" FILTER (WHERE {})", scope.expr(Kind::Bool, 1, random))
    } else {
        String::new()
    };
    let distinct = if random.one_in(5) { "DISTINCT " } else { "" };
    let of = |kind: Kind, random: &mut Random| scope.expr(kind, 1, random);
    let (call, kind) = match random.below(13) {
        0 => ("count(*)".to_owned(), Kind::Big),
        1 => (format!("count({distinct}{})", of(random.pick(&Kind::PLAIN), random)), Kind::Big),
        2 => (format!("sum({distinct}{})", of(Kind::Int, random)), Kind::Big),
        3 => (format!("sum({})", of(Kind::Numeric, random)), Kind::Numeric),
        4 => (format!("avg({distinct}{})", of(Kind::Int, random)), Kind::Numeric),
        5 => (format!("sum({})", of(Kind::Float, random)), Kind::Float),
        6 => {
            let kind = random.pick(&[Kind::Int, Kind::Text, Kind::Date, Kind::Stamp, Kind::Big]);
            (format!("{}({})", random.pick(&["min", "max"]), of(kind, random)), kind)
        }
        7 => {
            let which = random.pick(&["bool_and", "bool_or", "every"]);
            (format!("{which}({})", of(Kind::Bool, random)), Kind::Bool)
        }
        // The order of rows is not the database's to choose: all are the same text here.
        8 => ("string_agg('x', ',')".to_owned(), Kind::Text),
        9 if random.one_in(4) => {
            let int = of(Kind::Int, random);
            (format!("array_agg({int} ORDER BY {int})"), Kind::Ints)
        }
        9 | 10 => {
            let pair = format!("{}, {}", of(Kind::Float, random), of(Kind::Float, random));
            (format!("regr_count({pair})"), Kind::Big)
        }
        _ => {
            let which = random.pick(&["stddev", "variance", "var_pop", "stddev_pop"]);
            let kind = random.pick(&[Kind::Int, Kind::Numeric, Kind::Small]);
            (format!("{which}({})", of(kind, random)), Kind::Numeric)
        }
    };
    (format!("{call}{filter}"), kind)
}

/// A FROM clause and the columns it gives.
fn from(tables: &[Table], random: &mut Random) -> (String, Vec<(String, Kind)>) {
    let mut columns: Vec<(String, Kind)> = Vec::new();
    let mut out = String::new();
    for at in 0..=random.below(3) {
        let table = &tables[random.below(tables.len())];
        let alias = format!("a{at}");
        let own: Vec<(String, Kind)> = table
            .columns
            .iter()
            .map(|column| (format!("{alias}.{}", column.name), column.kind))
            .collect();
        let source = if random.one_in(5) {
            let first = &table.columns[0].name;
            format!("(SELECT * FROM {} WHERE {first} IS NOT NULL) AS {alias}", table.name)
        } else {
            format!("{} AS {alias}", table.name)
        };
        if at == 0 {
            out.push_str(&source);
        } else {
            out.push_str(&join(&source, &columns, &own, random));
        }
        columns.extend(own);
    }
    (out, columns)
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
    if kind != "FULL JOIN" && random.one_in(3) {
        let both: Vec<(String, Kind)> = [left, right].concat();
        let scope = Scope { columns: &both, tables: &[], tame: true };
        let word = random.pick(&["AND", "AND", "OR"]);
        condition = format!("{condition} {word} {}", scope.expr(Kind::Bool, 1, random));
    }
    format!(" {kind} {source} ON {condition}")
}
