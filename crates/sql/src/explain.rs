//! `EXPLAIN`: the plan as the key-range operations it will send.

mod analyze;
mod print;

use std::sync::Arc;

use expr::{Datum, SqlError, Type, stack};

use crate::{
    bind,
    catalog::Catalog,
    database::Database,
    parse::{ExplainMode, Kind, Statement, Utility},
    plan::{
        Aggregate, Body, Join, JoinKind, Node, Plan, Scan, ScanOrder, SetOp, SubqueryKind, access,
        optimize, spans,
    },
    session::{Execution, ResultColumn, Session},
    show::{leader, region_of},
};

use print::{Names, conjunction, expression};

/// The most spans that are printed of one scan.
const MAX_SPANS: usize = 8;
/// The most ranges that are printed of one scan.
const MAX_RANGES: usize = 16;

/// The one column of its result.
pub(crate) fn columns() -> Arc<[ResultColumn]> {
    Arc::new([ResultColumn { name: "QUERY PLAN".to_owned(), ty: Type::Text }])
}

/// Runs EXPLAIN.
pub(crate) async fn run(
    session: &mut Session,
    mode: ExplainMode,
    statement: &Statement,
    params: &[Datum],
) -> Result<Execution, SqlError> {
    if crate::ddl::is_ddl(statement) {
        return Err(SqlError::unsupported("EXPLAIN of a schema change"));
    }
    let plan = session.plan_to_explain(&planned(session, statement)?).await?;
    let catalog = session.database().0.cache.strong().await?;
    let mut printer = Printer { lines: Vec::new(), scans: Vec::new() };
    printer.plan(&plan);
    let mut lines = Vec::new();
    for line in printer.lines {
        match line {
            Line::Text(text) => lines.push(text),
            Line::Ranges { indent, scan } => {
                let scan = &printer.scans[scan];
                lines.extend(range_lines(session, &catalog, indent, scan).await?);
            }
        }
    }
    if mode == ExplainMode::Analyze {
        let begun = timer::Instant::now();
        let prepared = session.prepare(statement, &[]).await?;
        session.listen();
        let done = Box::pin(session.execute(&prepared, params.to_vec())).await;
        let heard = session.heard();
        let done = done?;
        let elapsed = begun.elapsed();
        lines.push(format!("result: {}", done.tag()));
        lines.push(format!("time: {:.3} ms", elapsed.as_secs_f64() * 1_000.0));
        lines.extend(analyze::lines(session.database(), &heard));
    }
    let rows = lines.into_iter().map(|line| vec![Datum::text(line)]).collect();
    Ok(Execution::Rows { columns: columns(), rows, tag: "EXPLAIN".to_owned() })
}

/// What a plan is made of: the statement, or the query whose snapshot it names.
fn planned(session: &Session, statement: &Statement) -> Result<Statement, SqlError> {
    let Kind::Utility(utility) = statement.kind() else { return Ok(statement.clone()) };
    match &**utility {
        Utility::AsOf(as_of, query) => {
            bind::snapshot(as_of, &session.eval_context())?;
            Ok(statement.part((**query).clone()))
        }
        Utility::Show(_) => Err(SqlError::unsupported("EXPLAIN of SHOW")),
        Utility::Knob(_) => Err(SqlError::unsupported("EXPLAIN of CALL and of cluster settings")),
        Utility::Execute(..) => Err(SqlError::unsupported("EXPLAIN of EXECUTE")),
        _ => Err(SqlError::unsupported("EXPLAIN of a statement that is no query and no change")),
    }
}

enum Line {
    Text(String),
    /// Where the spans of this scan lie is asked for later.
    Ranges {
        indent: usize,
        scan: usize,
    },
}

struct Printer {
    lines: Vec<Line>,
    scans: Vec<Scan>,
}

impl Printer {
    fn line(&mut self, indent: usize, text: impl Into<String>) {
        self.lines.push(Line::Text(format!("{}{}", "  ".repeat(indent), text.into())));
    }

    fn plan(&mut self, plan: &Plan) {
        for (number, subquery) in plan.subqueries.iter().enumerate() {
            let kind = match subquery.kind {
                SubqueryKind::Scalar => "scalar",
                SubqueryKind::Exists => "exists",
                SubqueryKind::Array(_) => "list",
                SubqueryKind::Rows => "rows",
            };
            self.line(0, format!("subquery {} ({kind})", number + 1));
            self.node(1, &subquery.node);
        }
        match &plan.body {
            Body::Query(node) => self.node(0, node),
            Body::Insert(insert) => {
                self.line(0, format!("insert into {}", insert.table.name));
                if let Some(conflict) = &insert.conflict {
                    let how = if conflict.replaces { ": replace unread" } else { "" };
                    self.line(1, format!("on conflict{how}"));
                }
                self.node(1, &insert.source);
            }
            Body::Update(update) => {
                let names: Vec<&str> = update
                    .assignments
                    .iter()
                    .map(|(at, _)| update.table.columns[*at].name.as_str())
                    .collect();
                self.line(0, format!("update {} set {}", update.table.name, names.join(", ")));
                self.node(1, &update.source);
            }
            Body::Delete(delete) => {
                self.line(0, format!("delete from {}", delete.table.name));
                self.node(1, &delete.source);
            }
            Body::Truncate(tables) => {
                for table in tables {
                    self.line(0, format!("truncate {}", table.name));
                }
            }
        }
    }

    fn node(&mut self, indent: usize, node: &Node) {
        stack::guard(|| self.node_lines(indent, node));
    }

    fn node_lines(&mut self, indent: usize, node: &Node) {
        let below = node.inputs().into_iter().next();
        let names = below.map_or_else(Names::default, Names::of);
        match node {
            Node::Rows(rows) => {
                let plural = if rows.len() == 1 { "row" } else { "rows" };
                self.line(indent, format!("{} {plural} of constants", rows.len()));
            }
            Node::Scan(scan) => self.scan(indent, scan),
            Node::Series { .. } => self.line(indent, "generate_series"),
            Node::Unnest(_) => self.line(indent, "unnest"),
            Node::Shared(shared) => {
                let number = shared.subquery + 1;
                self.line(indent, format!("rows of subquery {number}: {}", shared.name));
            }
            Node::Filter { conditions, .. } => {
                self.line(indent, format!("filter: {}", conjunction(conditions, &names)));
            }
            Node::Project { exprs, .. } => {
                let exprs: Vec<String> =
                    exprs.iter().map(|expr| expression(expr, &names)).collect();
                self.line(indent, format!("project: {}", exprs.join(", ")));
            }
            Node::Join(join) => self.join(indent, join, &Names::of(node)),
            Node::Aggregate(aggregate) => self.aggregate(indent, aggregate, &names),
            Node::Sort { keys, .. } => {
                let keys: Vec<String> = keys
                    .iter()
                    .map(|key| {
                        let way = if key.descending { " desc" } else { "" };
                        format!("{}{way}", expression(&key.expr, &names))
                    })
                    .collect();
                self.line(indent, format!("sort: {}", keys.join(", ")));
            }
            Node::Distinct { .. } => self.line(indent, "distinct"),
            Node::Limit { limit, offset, .. } => {
                let part = |name: &str, expr: &Option<expr::Expr>| {
                    expr.as_ref().map(|expr| format!("{name}: {}", expression(expr, &names)))
                };
                let parts: Vec<String> =
                    [part("limit", limit), part("offset", offset)].into_iter().flatten().collect();
                self.line(indent, parts.join(", "));
            }
            Node::SetOperation { op, all, .. } => {
                let op = match op {
                    SetOp::Union => "union",
                    SetOp::Intersect => "intersect",
                    SetOp::Except => "except",
                };
                self.line(indent, format!("{op}{}", if *all { " all" } else { "" }));
            }
            Node::Lock(lock) => self.line(indent, format!("lock rows of {}", lock.table.name)),
        }
        for input in node.inputs() {
            self.node(indent + 1, input);
        }
    }

    fn join(&mut self, indent: usize, join: &Join, names: &Names) {
        let kind = match join.kind {
            JoinKind::Inner => "inner",
            JoinKind::Left => "left",
            JoinKind::Right => "right",
            JoinKind::Full => "full",
        };
        let narrows = matches!(join.kind, JoinKind::Inner | JoinKind::Left);
        let method = match &join.right {
            _ if join.equal.is_empty() => "loop",
            Node::Scan(_) if narrows => "hash, right side narrowed to the left one's values",
            _ => "hash",
        };
        self.line(indent, format!("{kind} join ({method})"));
        let (left, right) = (Names::joined(&join.left), Names::joined(&join.right));
        for (a, b) in &join.equal {
            let pair = format!("{} = {}", expression(a, &left), expression(b, &right));
            self.line(indent + 1, format!("on: {pair}"));
        }
        if !join.conditions.is_empty() {
            let text = conjunction(&join.conditions, names);
            self.line(indent + 1, format!("condition: {text}"));
        }
    }

    fn aggregate(&mut self, indent: usize, aggregate: &Aggregate, names: &Names) {
        let calls: Vec<String> =
            aggregate.calls.iter().map(|call| print::aggregate(call, names)).collect();
        self.line(indent, format!("aggregate: {}", calls.join(", ")));
        let asked = &aggregate.group[..aggregate.asked];
        if !asked.is_empty() {
            let group: Vec<String> = asked.iter().map(|expr| expression(expr, names)).collect();
            self.line(indent + 1, format!("group by: {}", group.join(", ")));
        }
    }

    fn scan(&mut self, indent: usize, scan: &Scan) {
        let index = scan.table.indexes().find(|index| index.id == scan.index);
        let index = index.expect("the plan's index exists");
        let name = if index.id == keys::IndexId::PRIMARY { "primary" } else { index.name.as_str() };
        let shape = spans::shape(&scan.table, index, &scan.conditions);
        let what = if index.unique.is_unique() && shape.points == index.columns.len() {
            "get"
        } else {
            "scan"
        };
        let order = if scan.order == ScanOrder::Reverse { " (reverse)" } else { "" };
        let alias = if scan.alias == scan.table.name {
            String::new()
        } else {
            format!(" as {}", scan.alias)
        };
        self.line(indent, format!("{what} {}@{name}{alias}{order}", scan.table.name));
        let names = Names::of(&Node::Scan(Box::new(scan.clone())));
        // What the spans say is not said twice.
        let rest = spans::beyond(&scan.table, index, &scan.conditions);
        if !rest.is_empty() {
            self.line(indent + 1, format!("filter: {}", conjunction(&rest, &names)));
        }
        let columns: Vec<&str> = scan
            .needed
            .iter()
            .map(|position| scan.table.columns[*position as usize].name.as_str())
            .collect();
        self.line(indent + 1, format!("columns: {}", columns.join(", ")));
        if let Some(limit) = &scan.limit {
            self.line(indent + 1, format!("limit: {}", expression(&limit.limit, &names)));
        }
        if !access::covers(&scan.table, index, &scan.needed) {
            self.line(indent + 1, format!("look up: {}@primary", scan.table.name));
        }
        self.scans.push(scan.clone());
        self.lines.push(Line::Ranges { indent: indent + 1, scan: self.scans.len() - 1 });
    }
}

/// The spans of a scan, the ranges they lie in, and who leads those.
async fn range_lines(
    session: &Session,
    catalog: &Catalog,
    indent: usize,
    scan: &Scan,
) -> Result<Vec<String>, SqlError> {
    let database = session.database();
    let context = session.eval_context();
    let conditions: Vec<expr::Expr> = scan
        .conditions
        .iter()
        .map(|condition| condition.clone().fold(expr::Volatility::Stable, &context))
        .collect();
    let index = scan.table.indexes().find(|index| index.id == scan.index);
    let found = spans::spans(&scan.table, index.expect("the plan's index exists"), &conditions);
    let pad = "  ".repeat(indent);
    let mut lines = Vec::new();
    let unknown = |part: &expr::Expr| matches!(part, expr::Expr::Param { .. });
    let later = conditions.iter().any(|condition| condition.any(&mut |part| unknown(part)));
    let word = if later { "span within" } else { "span" };
    if found.spans.is_empty() {
        lines.push(format!("{pad}spans: none"));
    }
    for span in found.spans.iter().take(MAX_SPANS) {
        let name = crate::error::named_span(span, Some(catalog));
        lines.push(format!("{pad}{word}: {name}"));
    }
    if found.spans.len() > MAX_SPANS {
        lines.push(format!("{pad}... {} spans in all", found.spans.len()));
    }
    lines.extend(leaders(database, session, &pad, &found.spans).await?);
    Ok(lines)
}

async fn leaders(
    database: &Database,
    session: &Session,
    pad: &str,
    spans: &[keys::Span],
) -> Result<Vec<String>, SqlError> {
    let mut ranges: Vec<Arc<kv::Descriptor>> = Vec::new();
    for span in spans {
        let held = database.0.router.ranges_of(span, session.statement_deadline()).await;
        for range in held.map_err(|error| crate::error::from_txn(&error))? {
            if ranges.iter().all(|known| known.id != range.id) {
                ranges.push(range);
            }
        }
        if ranges.len() > MAX_RANGES {
            break;
        }
    }
    let mut lines = Vec::new();
    for range in ranges.iter().take(MAX_RANGES) {
        let led = match leader(database, range).await {
            Some(node) => {
                let region = region_of(database, node).unwrap_or_else(|| "unknown".to_owned());
                format!("led by node {} in {region}", node.0)
            }
            None => "without a known leader".to_owned(),
        };
        lines.push(format!("{pad}range {}: {led}", range.id.0));
    }
    if ranges.len() > MAX_RANGES {
        lines.push(format!("{pad}... and more ranges"));
    }
    Ok(lines)
}

/// The width of a node's rows, for the names of its columns.
fn width(node: &Node) -> usize {
    optimize::width(node) as usize
}
