//! Expressions as text, columns by name.

use expr::{
    AggCall, AggFunc, BinaryOp, Datum, Expr, Extreme, IsTest, Quantifier, Spread, Type, stack,
};

use crate::{bind::SUBQUERY, plan::Node};

/// Names of a row's columns.
#[derive(Default)]
pub(super) struct Names(Vec<String>);

impl Names {
    /// Of the rows that a node yields.
    pub fn of(node: &Node) -> Names {
        stack::guard(|| Names::of_node(node))
    }

    fn of_node(node: &Node) -> Names {
        Names(match node {
            Node::Scan(scan) => {
                scan.table.columns.iter().map(|column| column.name.clone()).collect()
            }
            Node::Join(join) => {
                let (left, right) = (Names::joined(&join.left).0, Names::joined(&join.right).0);
                left.into_iter().chain(right).collect()
            }
            Node::Project { input, exprs } => {
                let names = Names::of(input);
                exprs.iter().map(|expr| shortened(expression(expr, &names))).collect()
            }
            Node::Aggregate(aggregate) => {
                let names = Names::of(&aggregate.input);
                let group = aggregate.group.iter().map(|expr| expression(expr, &names));
                let calls = aggregate.calls.iter().map(|call| self::aggregate(call, &names));
                group.chain(calls).map(shortened).collect()
            }
            Node::Filter { input, .. }
            | Node::Sort { input, .. }
            | Node::Distinct { input, .. }
            | Node::Limit { input, .. } => return Names::of(input),
            Node::Lock(lock) => return Names::of(&lock.input),
            Node::SetOperation { left, .. } => return Names::of(left),
            Node::Rows(_) | Node::Series { .. } | Node::Unnest(_) | Node::Shared(_) => {
                (1..=super::width(node)).map(|number| format!("column{number}")).collect()
            }
        })
    }
}

impl Names {
    /// Of the rows of one side of a join: columns with the names of their tables.
    pub fn joined(node: &Node) -> Names {
        match node {
            Node::Scan(scan) => {
                let columns = scan.table.columns.iter();
                let name =
                    |column: &crate::catalog::Column| format!("{}.{}", scan.alias, column.name);
                Names(columns.map(name).collect())
            }
            Node::Filter { input, .. } | Node::Sort { input, .. } | Node::Limit { input, .. } => {
                stack::guard(|| Names::joined(input))
            }
            other => Names::of(other),
        }
    }
}

/// The longest text that stands for a column of the row below, in characters: one that is made of
/// others twice at every level would grow without end.
const MAX_NAME: usize = 200;

fn shortened(name: String) -> String {
    if name.len() <= MAX_NAME {
        return name;
    }
    let kept: String = name.chars().take(MAX_NAME).collect();
    kept + " ..."
}

/// All of these, joined by AND.
pub(super) fn conjunction(conditions: &[Expr], names: &Names) -> String {
    let parts: Vec<String> = conditions.iter().map(|part| expression(part, names)).collect();
    parts.join(" AND ")
}

/// A call of an aggregate.
pub(super) fn aggregate(call: &AggCall, names: &Names) -> String {
    let name = match call.func {
        AggFunc::CountRows => return "count(*)".to_owned(),
        AggFunc::Count => "count",
        AggFunc::Sum => "sum",
        AggFunc::Avg => "avg",
        AggFunc::Min => "min",
        AggFunc::Max => "max",
        AggFunc::BoolAnd => "bool_and",
        AggFunc::BoolOr => "bool_or",
        AggFunc::StringAgg => "string_agg",
        AggFunc::ArrayAgg => "array_agg",
        AggFunc::Spread(Spread::VarPop) => "var_pop",
        AggFunc::Spread(Spread::VarSamp) => "var_samp",
        AggFunc::Spread(Spread::StddevPop) => "stddev_pop",
        AggFunc::Spread(Spread::StddevSamp) => "stddev_samp",
        AggFunc::Regression(regression) => regression.name(),
    };
    let distinct = if call.distinct { "DISTINCT " } else { "" };
    format!("{name}({distinct}{})", list(&call.args, names))
}

fn list(exprs: &[Expr], names: &Names) -> String {
    let text = |expr: &Expr| stack::guard(|| expression(expr, names));
    let parts: Vec<String> = exprs.iter().map(text).collect();
    parts.join(", ")
}

/// An expression as a person reads it; its text is not meant to be parsed.
pub(super) fn expression(expr: &Expr, names: &Names) -> String {
    let not = |negated: bool| if negated { "NOT " } else { "" };
    let text = |expr: &Expr| stack::guard(|| expression(expr, names));
    let inner = |expr: &Expr| match expr {
        Expr::Binary { .. } | Expr::And(_) | Expr::Or(_) => format!("({})", text(expr)),
        other => text(other),
    };
    match expr {
        Expr::Const(value) => constant(value),
        Expr::Column(position) => {
            names.0.get(*position as usize).cloned().unwrap_or_else(|| format!("#{position}"))
        }
        Expr::Param { index, .. } if *index >= SUBQUERY => {
            format!("subquery {}", index - SUBQUERY + 1)
        }
        Expr::Param { index, .. } => format!("${}", index + 1),
        Expr::Unary { op, arg, .. } => format!("{}{}", op.symbol(), inner(arg)),
        Expr::Binary { op, left, right, .. } => {
            format!("{} {} {}", inner(left), op.symbol(), inner(right))
        }
        Expr::And(parts) => joined(parts, " AND ", &inner),
        Expr::Or(parts) => joined(parts, " OR ", &inner),
        Expr::Not(arg) => format!("NOT {}", inner(arg)),
        Expr::Is { arg, test, negated } => {
            format!("{} IS {}{}", inner(arg), not(*negated), tested(*test))
        }
        Expr::Distinct { left, right, negated } => {
            format!("{} IS {}DISTINCT FROM {}", inner(left), not(*negated), inner(right))
        }
        Expr::InList { arg, list: items, negated } => {
            format!("{} {}IN ({})", inner(arg), not(*negated), list(items, names))
        }
        Expr::Like { arg, pattern, case_insensitive, negated, .. } => {
            let like = if *case_insensitive { "ILIKE" } else { "LIKE" };
            format!("{} {}{like} {}", inner(arg), not(*negated), inner(pattern))
        }
        Expr::Regex { arg, pattern, case_insensitive, negated } => {
            let (bang, star) =
                (if *negated { "!" } else { "" }, if *case_insensitive { "*" } else { "" });
            format!("{} {bang}~{star} {}", inner(arg), inner(pattern))
        }
        Expr::Cast { arg, to, .. } => format!("{}::{}", inner(arg), short(*to)),
        Expr::Coalesce(parts) => format!("coalesce({})", list(parts, names)),
        Expr::NullIf { equal, .. } => match &**equal {
            Expr::Binary { op: BinaryOp::Eq, left, right, .. } => {
                format!("nullif({}, {})", text(left), text(right))
            }
            other => format!("nullif({})", text(other)),
        },
        Expr::Extreme { which, args } => {
            let name = if *which == Extreme::Greatest { "greatest" } else { "least" };
            format!("{name}({})", list(args, names))
        }
        Expr::Call { func, args, .. } => {
            format!("{}({})", format!("{func:?}").to_lowercase(), list(args, names))
        }
        Expr::External { name, args, .. } => format!("{name}({})", list(args, names)),
        Expr::Quantified { arg, op, array, quantifier } => {
            let name = if *quantifier == Quantifier::Any { "ANY" } else { "ALL" };
            format!("{} {} {name} ({})", inner(arg), op.symbol(), text(array))
        }
        Expr::Array { items, .. } => format!("ARRAY[{}]", list(items, names)),
        Expr::Subscript { array, index } => format!("{}[{}]", inner(array), text(index)),
        Expr::Case { .. } => "CASE ... END".to_owned(),
    }
}

/// A value as SQL writes it.
fn constant(value: &Datum) -> String {
    let quoted = |text: &str| format!("'{}'", text.replace('\'', "''"));
    match value {
        Datum::Text(text) | Datum::Char(text) => quoted(text),
        Datum::Bytes(bytes) => quoted(&format!("\\x{}", expr::text::hex(bytes))),
        Datum::Numeric(value) => value.to_string(),
        Datum::Float(value) => value.to_string(),
        Datum::Date(days) => quoted(&expr::datetime::format_date(*days)),
        Datum::Timestamp(micros) => quoted(&expr::datetime::format_timestamp(*micros)),
        Datum::TimestampTz(micros) => {
            quoted(&expr::datetime::format_timestamp_tz(*micros, &expr::TimeZone::default()))
        }
        Datum::Interval(interval) => quoted(&interval.to_string()),
        Datum::Array(array) => {
            let items: Vec<String> = array.items.iter().map(constant).collect();
            format!("ARRAY[{}]", items.join(", "))
        }
        Datum::Null | Datum::Bool(_) | Datum::Int(_) | Datum::Uuid(_) => format!("{value:?}"),
    }
}

fn tested(test: IsTest) -> &'static str {
    match test {
        IsTest::Null => "NULL",
        IsTest::True => "TRUE",
        IsTest::False => "FALSE",
        IsTest::Unknown => "UNKNOWN",
    }
}

fn joined(parts: &[Expr], separator: &str, inner: &dyn Fn(&Expr) -> String) -> String {
    let parts: Vec<String> = parts.iter().map(inner).collect();
    parts.join(separator)
}

fn short(ty: Type) -> String {
    ty.internal_name()
}
