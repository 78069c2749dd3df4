//! SQL text to a bound expression, over no columns: as the SQL layer does, in miniature.

use expr::{
    BinaryOp, EvalContext, Extreme, IsTest, Negation, Quantifier, SqlError, Type, Typed, UnaryOp,
    bind::{self, Case},
};
use sqlparser::{
    ast::{
        AccessExpr, BinaryOperator, CaseWhen, Expr as Ast, Function, FunctionArg, FunctionArgExpr,
        FunctionArguments, Subscript, TrimWhereField, UnaryOperator, Value,
    },
    dialect::PostgreSqlDialect,
    parser::Parser,
};

type Result<T> = std::result::Result<T, SqlError>;

/// Parses and binds an expression.
pub(crate) fn bind(sql: &str, ctx: &EvalContext) -> Result<Typed> {
    let parsed = Parser::new(&PostgreSqlDialect {})
        .try_with_sql(sql)
        .and_then(|mut parser| parser.parse_expr());
    Binder { ctx }.expr(&parsed.map_err(|error| SqlError::syntax(error.to_string()))?)
}

struct Binder<'a> {
    ctx: &'a EvalContext,
}

impl Binder<'_> {
    fn list(&self, parts: &[Ast]) -> Result<Vec<Typed>> {
        parts.iter().map(|part| self.expr(part)).collect()
    }

    fn expr(&self, ast: &Ast) -> Result<Typed> {
        let ctx = self.ctx;
        let test = |arg: &Ast, test, negated| {
            bind::is_test(self.expr(arg)?, test, Negation::of(negated), ctx)
        };
        match ast {
            Ast::Nested(inner) => self.expr(inner),
            Ast::Value(value) => literal(&value.value),
            Ast::TypedString(typed) => {
                let text = typed.value.value.clone().into_string().unwrap_or_default();
                bind::explicit_cast(Typed::quoted(&text), type_of(&typed.data_type)?, ctx)
            }
            Ast::Interval(interval) => {
                bind::explicit_cast(self.expr(&interval.value)?, Type::Interval, ctx)
            }
            Ast::Cast { expr, data_type, .. } => {
                let to = type_of(data_type)?;
                if let Ast::Array(array) = &**expr
                    && array.elem.is_empty()
                {
                    return bind::explicit_cast(Typed::quoted("{}"), to, ctx);
                }
                bind::explicit_cast(self.expr(expr)?, to, ctx)
            }
            Ast::IsNull(arg) => test(arg, IsTest::Null, false),
            Ast::IsNotNull(arg) => test(arg, IsTest::Null, true),
            Ast::IsTrue(arg) => test(arg, IsTest::True, false),
            Ast::IsNotTrue(arg) => test(arg, IsTest::True, true),
            Ast::IsFalse(arg) => test(arg, IsTest::False, false),
            Ast::IsNotFalse(arg) => test(arg, IsTest::False, true),
            Ast::IsUnknown(arg) => test(arg, IsTest::Unknown, false),
            Ast::IsNotUnknown(arg) => test(arg, IsTest::Unknown, true),
            Ast::IsDistinctFrom(left, right) => {
                bind::distinct(self.expr(left)?, self.expr(right)?, Negation::Plain, ctx)
            }
            Ast::IsNotDistinctFrom(left, right) => {
                bind::distinct(self.expr(left)?, self.expr(right)?, Negation::Negated, ctx)
            }
            Ast::InList { expr, list, negated } => {
                bind::in_list(self.expr(expr)?, self.list(list)?, Negation::of(*negated), ctx)
            }
            Ast::Between { expr, negated, low, high } => bind::between(
                self.expr(expr)?,
                self.expr(low)?,
                self.expr(high)?,
                Negation::of(*negated),
                ctx,
            ),
            Ast::BinaryOp { left, op, right } => self.binary(left, op, right),
            Ast::UnaryOp { op, expr } => self.unary(*op, expr),
            Ast::Case { operand, conditions, else_result, .. } => {
                self.case(operand.as_deref(), conditions, else_result.as_deref())
            }
            Ast::Function(function) => self.function(function),
            Ast::Array(array) => bind::array(self.list(&array.elem)?, ctx),
            other => self.form(other),
        }
    }

    /// Forms with words inside.
    fn form(&self, ast: &Ast) -> Result<Typed> {
        let ctx = self.ctx;
        match ast {
            Ast::Like { negated, expr, pattern, escape_char, .. } => {
                self.like(expr, pattern, escape_char.as_deref(), Case::Sensitive, *negated)
            }
            Ast::ILike { negated, expr, pattern, escape_char, .. } => {
                self.like(expr, pattern, escape_char.as_deref(), Case::Insensitive, *negated)
            }
            Ast::AnyOp { left, compare_op, right, .. } => {
                let (value, array) = (self.expr(left)?, self.expr(right)?);
                bind::quantified(value, operator(compare_op)?, array, Quantifier::Any, ctx)
            }
            Ast::AllOp { left, compare_op, right } => {
                let (value, array) = (self.expr(left)?, self.expr(right)?);
                bind::quantified(value, operator(compare_op)?, array, Quantifier::All, ctx)
            }
            Ast::AtTimeZone { timestamp, time_zone } => {
                bind::call("timezone", vec![self.expr(time_zone)?, self.expr(timestamp)?], ctx)
            }
            Ast::Extract { field, expr, .. } => {
                let field = Typed::quoted(&field.to_string().to_lowercase());
                bind::call("extract", vec![field, self.expr(expr)?], ctx)
            }
            Ast::Ceil { expr, .. } => bind::call("ceil", vec![self.expr(expr)?], ctx),
            Ast::Floor { expr, .. } => bind::call("floor", vec![self.expr(expr)?], ctx),
            Ast::Position { expr, r#in } => {
                bind::call("position", vec![self.expr(r#in)?, self.expr(expr)?], ctx)
            }
            Ast::CompoundFieldAccess { root, access_chain } => {
                let mut value = self.expr(root)?;
                for access in access_chain {
                    let AccessExpr::Subscript(Subscript::Index { index }) = access else {
                        return Err(SqlError::unsupported(ast));
                    };
                    value = bind::subscript(value, self.expr(index)?, ctx)?;
                }
                Ok(value)
            }
            Ast::Substring { expr, substring_from, substring_for, shorthand, .. } => {
                let mut args = vec![self.expr(expr)?];
                match (substring_from, substring_for) {
                    (None, Some(_)) => args.push(Typed::constant(1, Type::Int4)),
                    (Some(from), _) => args.push(self.expr(from)?),
                    (None, None) => {}
                }
                if let Some(length) = substring_for {
                    args.push(self.expr(length)?);
                }
                bind::call(if *shorthand { "substr" } else { "substring" }, args, ctx)
            }
            Ast::Trim { trim_where, trim_what, expr, .. } => {
                let name = match trim_where {
                    Some(TrimWhereField::Leading) => "ltrim",
                    Some(TrimWhereField::Trailing) => "rtrim",
                    Some(TrimWhereField::Both) | None => "btrim",
                };
                let mut args = vec![self.expr(expr)?];
                if let Some(what) = trim_what {
                    args.push(self.expr(what)?);
                }
                bind::call(name, args, ctx)
            }
            other => Err(SqlError::unsupported(other)),
        }
    }

    fn like(
        &self,
        value: &Ast,
        pattern: &Ast,
        escape: Option<&Ast>,
        case: Case,
        negated: bool,
    ) -> Result<Typed> {
        let escape = escape.map(|escape| self.expr(escape)).transpose()?;
        let (value, pattern) = (self.expr(value)?, self.expr(pattern)?);
        bind::like(value, pattern, escape, case, Negation::of(negated), self.ctx)
    }

    fn case(
        &self,
        operand: Option<&Ast>,
        branches: &[CaseWhen],
        otherwise: Option<&Ast>,
    ) -> Result<Typed> {
        let operand = operand.map(|operand| self.expr(operand)).transpose()?;
        let branches = branches
            .iter()
            .map(|branch| Ok((self.expr(&branch.condition)?, self.expr(&branch.result)?)))
            .collect::<Result<_>>()?;
        let otherwise = otherwise.map(|otherwise| self.expr(otherwise)).transpose()?;
        bind::case(operand.as_ref(), branches, otherwise, self.ctx)
    }

    fn binary(&self, left: &Ast, op: &BinaryOperator, right: &Ast) -> Result<Typed> {
        let (left, right, ctx) = (self.expr(left)?, self.expr(right)?, self.ctx);
        let regex = |case, negated| {
            bind::regex(left.clone(), right.clone(), case, Negation::of(negated), ctx)
        };
        match op {
            BinaryOperator::And => bind::and(left, right, ctx),
            BinaryOperator::Or => bind::or(left, right, ctx),
            BinaryOperator::PGRegexMatch => regex(Case::Sensitive, false),
            BinaryOperator::PGRegexIMatch => regex(Case::Insensitive, false),
            BinaryOperator::PGRegexNotMatch => regex(Case::Sensitive, true),
            BinaryOperator::PGRegexNotIMatch => regex(Case::Insensitive, true),
            op => bind::binary(operator(op)?, left, right, ctx),
        }
    }

    fn unary(&self, op: UnaryOperator, arg: &Ast) -> Result<Typed> {
        // A minus belongs to the number behind it, so that the least integers can be written.
        if let (UnaryOperator::Minus, Ast::Value(value)) = (op, arg)
            && let Value::Number(digits, _) = &value.value
        {
            return Typed::number(&format!("-{digits}"));
        }
        let arg = self.expr(arg)?;
        let op = match op {
            UnaryOperator::Not => return bind::not(arg, self.ctx),
            UnaryOperator::Minus => UnaryOp::Neg,
            UnaryOperator::Plus => UnaryOp::Plus,
            UnaryOperator::BitwiseNot => UnaryOp::BitNot,
            UnaryOperator::PGAbs => UnaryOp::Abs,
            UnaryOperator::PGSquareRoot => UnaryOp::Sqrt,
            other => return Err(SqlError::unsupported(other)),
        };
        bind::unary(op, arg, self.ctx)
    }

    fn function(&self, function: &Function) -> Result<Typed> {
        let name = function.name.to_string().to_lowercase();
        let mut args = Vec::new();
        if let FunctionArguments::List(list) = &function.args {
            for arg in &list.args {
                match arg {
                    FunctionArg::Unnamed(FunctionArgExpr::Expr(arg)) => args.push(self.expr(arg)?),
                    other => return Err(SqlError::unsupported(other)),
                }
            }
        }
        match name.as_str() {
            "greatest" => bind::extreme(Extreme::Greatest, args, self.ctx),
            name => bind::call(name, args, self.ctx),
        }
    }
}

fn literal(value: &Value) -> Result<Typed> {
    Ok(match value {
        Value::Number(digits, _) => Typed::number(digits)?,
        Value::Boolean(value) => Typed::constant(*value, Type::Bool),
        Value::Null => Typed::null(),
        other => match other.clone().into_string() {
            Some(text) => Typed::quoted(&text),
            None => return Err(SqlError::unsupported(other)),
        },
    })
}

fn type_of(ast: &sqlparser::ast::DataType) -> Result<Type> {
    let name = ast.to_string();
    Type::from_name(&name)
        .ok_or_else(|| SqlError::new(expr::SqlState::UNDEFINED_OBJECT, format!("type \"{name}\"")))
}

fn operator(op: &BinaryOperator) -> Result<BinaryOp> {
    Ok(match op {
        BinaryOperator::Plus => BinaryOp::Add,
        BinaryOperator::Minus => BinaryOp::Sub,
        BinaryOperator::Multiply => BinaryOp::Mul,
        BinaryOperator::Divide => BinaryOp::Div,
        BinaryOperator::Modulo => BinaryOp::Mod,
        BinaryOperator::PGExp | BinaryOperator::BitwiseXor => BinaryOp::Pow,
        BinaryOperator::StringConcat => BinaryOp::Concat,
        BinaryOperator::BitwiseAnd => BinaryOp::BitAnd,
        BinaryOperator::BitwiseOr => BinaryOp::BitOr,
        BinaryOperator::PGBitwiseXor => BinaryOp::BitXor,
        BinaryOperator::PGBitwiseShiftLeft => BinaryOp::ShiftLeft,
        BinaryOperator::PGBitwiseShiftRight => BinaryOp::ShiftRight,
        BinaryOperator::Eq => BinaryOp::Eq,
        BinaryOperator::NotEq => BinaryOp::Ne,
        BinaryOperator::Lt => BinaryOp::Lt,
        BinaryOperator::LtEq => BinaryOp::Le,
        BinaryOperator::Gt => BinaryOp::Gt,
        BinaryOperator::GtEq => BinaryOp::Ge,
        other => return Err(SqlError::unsupported(other)),
    })
}
