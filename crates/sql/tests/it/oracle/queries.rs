//! Random queries over the tables there are.

use super::{
    expressions::Scope,
    literal,
    random::Random,
    schema::{Kind, Table},
    sources::{self, from},
};

/// A query by its clauses, so that it can be made smaller.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// The whole text, of what is no query.
    text: Option<String>,
    with: Option<String>,
    /// `DISTINCT`, `DISTINCT ON (1)`.
    distinct: Option<&'static str>,
    items: Vec<String>,
    from: Option<String>,
    filter: Option<String>,
    group: Vec<String>,
    having: Option<String>,
    /// An operator and the other query.
    set: Option<(&'static str, Box<Query>)>,
    /// How each column is sorted; by all or by none.
    order: Vec<&'static str>,
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
    /// Another statement.
    pub fn of_text(text: String) -> Query {
        Query { text: Some(text), ..Query::default() }
    }

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
        if plain && !grouped && random.one_in(5) {
            query.distinct = Some("DISTINCT");
        }
        if plain && query.distinct.is_none() && random.one_in(6) {
            query.combine(&kinds, tables, random);
        }
        if plain && random.one_in(2) {
            query.sort(kinds.len(), random);
        }
        if random.one_in(10) {
            query.with_derived(tables, random);
        }
        query
    }

    /// Sorts by all columns, so that there is one order, and perhaps takes some of the rows.
    fn sort(&mut self, columns: usize, random: &mut Random) {
        let ways = ["", "", " DESC", " ASC NULLS FIRST", " DESC NULLS LAST", " NULLS FIRST"];
        self.order = (0..columns).map(|_| random.pick(&ways)).collect();
        if self.distinct.is_some() && self.set.is_none() && random.one_in(2) {
            self.distinct = Some("DISTINCT ON (1)");
        }
        let number = |random: &mut Random| literal::marked(random.pick(&["0", "1", "2", "5", "9"]));
        self.tail = match random.below(10) {
            0 | 1 => Some(format!("LIMIT {}", number(random))),
            2 => Some(format!("LIMIT {} OFFSET {}", number(random), number(random))),
            3 => Some(format!("OFFSET {}", number(random))),
            4 => Some(format!("FETCH FIRST {} ROWS ONLY", random.below(4))),
            5 => Some("OFFSET 1 ROW FETCH NEXT ROW ONLY".to_owned()),
            6 => Some("LIMIT NULL OFFSET NULL".to_owned()),
            _ => None,
        };
    }

    /// Groups by plain columns, or makes one group of all rows.
    fn grouped(&mut self, scope: &Scope<'_>, random: &mut Random) -> Vec<Kind> {
        let mut kinds = Vec::new();
        if !random.one_in(3) {
            for _ in 0..=random.below(2) {
                let kind =
                    random.pick(&[Kind::Int, Kind::Text, Kind::Bool, Kind::Date, Kind::Small]);
                let key = scope.expr(kind, 1, random);
                if key.contains("SELECT") || key.starts_with(&literal::marked("NULL")) {
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
            self.having = Some(having(scope, random));
        }
        kinds
    }

    /// Puts another query with columns of the same kinds beside this one.
    fn combine(&mut self, kinds: &[Kind], tables: &[Table], random: &mut Random) {
        let all = named(tables);
        let (from, columns) = sources::from(&tables[..1], random);
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

    /// Reads a table by way of a WITH that is asked for once or twice.
    fn with_derived(&mut self, tables: &[Table], random: &mut Random) {
        let table = &tables[random.below(tables.len())];
        let key = &table.columns[0].name;
        self.with =
            Some(format!("w AS (SELECT {key} AS k FROM {} WHERE {key} IS NOT NULL)", table.name));
        let condition = random
            .pick(&[
                "EXISTS (SELECT k FROM w)",
                "(SELECT count(*) FROM w AS x JOIN w AS y ON x.k = y.k) > 2",
                "(SELECT max(k) FROM w) IN (SELECT k FROM w)",
            ])
            .to_owned();
        self.filter = Some(match self.filter.take() {
            Some(filter) => format!("{filter} AND {condition}"),
            None => condition,
        });
    }

    /// Whether the rows come in an order.
    pub const fn is_ordered(&self) -> bool {
        !self.order.is_empty()
    }

    /// The query, with marks.
    pub fn text(&self) -> String {
        if let Some(text) = &self.text {
            return text.clone();
        }
        let mut out = String::new();
        if let Some(with) = &self.with {
            out.push_str(&format!("WITH {with} "));
        }
        out.push_str(&self.core());
        if let Some((operator, other)) = &self.set {
            out.push_str(&format!(" {operator} {}", other.core()));
        }
        if self.is_ordered() {
            let places = self.order.iter().zip(1..).map(|(way, place)| format!("{place}{way}"));
            let places: Vec<String> = places.collect();
            out.push_str(&format!(" ORDER BY {}", places.join(", ")));
        }
        if let Some(tail) = &self.tail {
            out.push_str(&format!(" {tail}"));
        }
        out
    }

    fn core(&self) -> String {
        let distinct = self.distinct.map_or(String::new(), |distinct| format!("{distinct} "));
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
        without(&|query| {
            query.distinct = query.distinct.filter(|_| query.is_ordered()).map(|_| "DISTINCT");
        });
        without(&|query| query.distinct = None);
        without(&|query| (query.order, query.tail) = (Vec::new(), None));
        if self.items.len() > 1 && self.set.is_none() {
            for at in self.group.len()..self.items.len() {
                without(&|query| {
                    query.items.remove(at);
                    if query.is_ordered() {
                        query.order.remove(at);
                    }
                });
            }
        }
        out
    }
}

/// A condition for groups.
fn having(scope: &Scope<'_>, random: &mut Random) -> String {
    let op = random.pick(&[">", "<", "=", "<>"]);
    match random.below(3) {
        0 => format!("count(*) {op} 2"),
        1 => format!("sum({}) {op} 3", scope.expr(Kind::Int, 1, random)),
        _ => format!("max({}) IS NOT NULL AND count(*) {op} 1", scope.expr(Kind::Text, 1, random)),
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
    let (call, kind) = match random.below(17) {
        0 => ("count(*)".to_owned(), Kind::Big),
        1 => (format!("count({distinct}{})", of(random.pick(&Kind::PLAIN), random)), Kind::Big),
        2 => (format!("sum({distinct}{})", of(Kind::Int, random)), Kind::Big),
        3 => (format!("sum({})", of(Kind::Numeric, random)), Kind::Numeric),
        4 => (format!("avg({distinct}{})", of(Kind::Int, random)), Kind::Numeric),
        5 => {
            let which = random.pick(&["sum", "avg"]);
            (format!("{which}({})", of(Kind::Float, random)), Kind::Float)
        }
        6 => {
            let kinds = [Kind::Int, Kind::Text, Kind::Date, Kind::Stamp, Kind::StampTz, Kind::Big];
            let kind = random.pick(&kinds);
            (format!("{}({})", random.pick(&["min", "max"]), of(kind, random)), kind)
        }
        7 => {
            let which = random.pick(&["bool_and", "bool_or", "every"]);
            (format!("{which}({})", of(Kind::Bool, random)), Kind::Bool)
        }
        // The order of rows is not the database's to choose: all are the same text here.
        8 => ("string_agg('x', ',')".to_owned(), Kind::Text),
        9 => (format!("string_agg(DISTINCT {}, ',')", of(Kind::Text, random)), Kind::Text),
        10 => (format!("array_agg(DISTINCT {})", of(Kind::Int, random)), Kind::Ints),
        11 if random.one_in(4) => {
            let int = of(Kind::Int, random);
            (format!("array_agg({int} ORDER BY {int})"), Kind::Ints)
        }
        11 | 12 => {
            let which = random.pick(&["regr_count", "regr_count", "regr_avgx"]);
            let pair = format!("{}, {}", of(Kind::Float, random), of(Kind::Float, random));
            let kind = if which == "regr_count" { Kind::Big } else { Kind::Numeric };
            (format!("{which}({pair})"), kind)
        }
        13 => {
            let which = random.pick(&["sum", "avg", "min", "max"]);
            (format!("{which}({})", of(Kind::Span, random)), Kind::Span)
        }
        14 => {
            let which = random.pick(&["sum", "avg"]);
            (format!("{which}({})", of(Kind::Decimal, random)), Kind::Decimal)
        }
        _ => {
            let which = random.pick(&["stddev", "variance", "var_pop", "stddev_pop"]);
            let kind = random.pick(&[Kind::Int, Kind::Numeric, Kind::Small]);
            (format!("{which}({})", of(kind, random)), Kind::Numeric)
        }
    };
    (format!("{call}{filter}"), kind)
}
