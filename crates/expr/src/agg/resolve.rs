//! Which aggregate a call means, by its name and the types of its arguments.

use super::{AggFunc, AggResolved, Regression, Spread};
use crate::{
    error::{Result, SqlError, SqlState},
    functions,
    overload::{Choice, choose},
    types::Type,
};

/// Whether the name (in lower case) is that of an aggregate.
#[must_use]
pub fn is_aggregate(name: &str) -> bool {
    spread(name).is_some()
        || regression(name).is_some()
        || matches!(
            name,
            "count"
                | "sum"
                | "avg"
                | "min"
                | "max"
                | "bool_and"
                | "every"
                | "bool_or"
                | "string_agg"
                | "array_agg"
        )
}

/// Finds the aggregate of this name (in lower case) for arguments of these types; `count(*)` is
/// `AggCall::count_rows`.
///
/// # Errors
/// There is none: `42883`; several, and none is best: `42725`.
pub fn resolve(name: &str, args: &[Type]) -> Result<AggResolved> {
    let one = |func, result| AggResolved { func, args: args.to_vec(), result };
    match (name, args) {
        ("count", [_]) => {
            // Whatever a literal is, it counts.
            let arg = if args[0] == Type::Unknown { Type::Text } else { args[0] };
            return Ok(AggResolved { func: AggFunc::Count, args: vec![arg], result: Type::Int8 });
        }
        ("min", [Type::Array(_)]) => return Ok(one(AggFunc::Min, args[0])),
        ("max", [Type::Array(_)]) => return Ok(one(AggFunc::Max, args[0])),
        ("array_agg", [item]) => {
            let item = if *item == Type::Unknown { Type::Text } else { *item };
            let result = item.array_of().ok_or_else(|| functions::undefined(name, args))?;
            return Ok(AggResolved { func: AggFunc::ArrayAgg, args: vec![item], result });
        }
        _ => {}
    }
    let rules = rules(name);
    let candidates: Vec<&[Type]> =
        rules.iter().map(|rule| rule.args).filter(|types| types.len() == args.len()).collect();
    match choose(&candidates, args) {
        Choice::One(at) => {
            let rule = rules.iter().filter(|rule| rule.args.len() == args.len()).nth(at);
            let rule = rule.expect("the candidates are those of the rules");
            Ok(AggResolved { func: rule.func, args: rule.args.to_vec(), result: rule.result })
        }
        Choice::None => Err(functions::undefined(name, args)),
        Choice::Ambiguous => {
            let types: Vec<String> = args.iter().map(|ty| ty.base().to_string()).collect();
            Err(SqlError::new(
                SqlState::AMBIGUOUS_FUNCTION,
                format!("function {name}({}) is not unique", types.join(", ")),
            )
            .with_hint(
                "Could not choose a best candidate function. You might need to add explicit type \
                 casts.",
            ))
        }
    }
}

struct Rule {
    args: &'static [Type],
    result: Type,
    func: AggFunc,
}

const ORDERED: [&[Type]; 14] = [
    &[Type::Int2],
    &[Type::Int4],
    &[Type::Int8],
    &[Type::Float4],
    &[Type::Float8],
    &[Type::NUMERIC],
    &[Type::Text],
    &[Type::BPCHAR],
    &[Type::Date],
    &[Type::Timestamp],
    &[Type::TimestampTz],
    &[Type::Interval],
    &[Type::Oid],
    &[Type::Bytea],
];

fn spread(name: &str) -> Option<Spread> {
    Some(match name {
        "var_pop" => Spread::VarPop,
        "var_samp" | "variance" => Spread::VarSamp,
        "stddev_pop" => Spread::StddevPop,
        "stddev_samp" | "stddev" => Spread::StddevSamp,
        _ => return None,
    })
}

fn regression(name: &str) -> Option<Regression> {
    Some(match name {
        "corr" => Regression::Corr,
        "covar_pop" => Regression::CovarPop,
        "covar_samp" => Regression::CovarSamp,
        "regr_avgx" => Regression::AvgX,
        "regr_avgy" => Regression::AvgY,
        "regr_count" => Regression::Count,
        "regr_intercept" => Regression::Intercept,
        "regr_r2" => Regression::R2,
        "regr_slope" => Regression::Slope,
        "regr_sxx" => Regression::Sxx,
        "regr_sxy" => Regression::Sxy,
        "regr_syy" => Regression::Syy,
        _ => return None,
    })
}

/// What deviations are computed of: integers exactly, as decimals.
const NUMBERS: [(&[Type], Type); 6] = [
    (&[Type::Int8], Type::NUMERIC),
    (&[Type::Int4], Type::NUMERIC),
    (&[Type::Int2], Type::NUMERIC),
    (&[Type::Float4], Type::Float8),
    (&[Type::Float8], Type::Float8),
    (&[Type::NUMERIC], Type::NUMERIC),
];

fn rules(name: &str) -> Vec<Rule> {
    let rule = |args, result, func| Rule { args, result, func };
    if let Some(spread) = spread(name) {
        let numbers = NUMBERS.map(|(args, result)| rule(args, result, AggFunc::Spread(spread)));
        return numbers.into();
    }
    if let Some(regression) = regression(name) {
        let count = regression == Regression::Count;
        let result = if count { Type::Int8 } else { Type::Float8 };
        let func = AggFunc::Regression(regression);
        return vec![rule(&[Type::Float8, Type::Float8], result, func)];
    }
    match name {
        "sum" => vec![
            rule(&[Type::Int8], Type::NUMERIC, AggFunc::Sum),
            rule(&[Type::Int4], Type::Int8, AggFunc::Sum),
            rule(&[Type::Int2], Type::Int8, AggFunc::Sum),
            rule(&[Type::Float4], Type::Float4, AggFunc::Sum),
            rule(&[Type::Float8], Type::Float8, AggFunc::Sum),
            rule(&[Type::Interval], Type::Interval, AggFunc::Sum),
            rule(&[Type::NUMERIC], Type::NUMERIC, AggFunc::Sum),
        ],
        "avg" => vec![
            rule(&[Type::Int8], Type::NUMERIC, AggFunc::Avg),
            rule(&[Type::Int4], Type::NUMERIC, AggFunc::Avg),
            rule(&[Type::Int2], Type::NUMERIC, AggFunc::Avg),
            rule(&[Type::NUMERIC], Type::NUMERIC, AggFunc::Avg),
            rule(&[Type::Float4], Type::Float8, AggFunc::Avg),
            rule(&[Type::Float8], Type::Float8, AggFunc::Avg),
            rule(&[Type::Interval], Type::Interval, AggFunc::Avg),
        ],
        "min" => ORDERED.map(|args| rule(args, args[0], AggFunc::Min)).into(),
        "max" => ORDERED.map(|args| rule(args, args[0], AggFunc::Max)).into(),
        "bool_and" | "every" => vec![rule(&[Type::Bool], Type::Bool, AggFunc::BoolAnd)],
        "bool_or" => vec![rule(&[Type::Bool], Type::Bool, AggFunc::BoolOr)],
        "string_agg" => vec![
            rule(&[Type::Text, Type::Text], Type::Text, AggFunc::StringAgg),
            rule(&[Type::Bytea, Type::Bytea], Type::Bytea, AggFunc::StringAgg),
        ],
        _ => Vec::new(),
    }
}
