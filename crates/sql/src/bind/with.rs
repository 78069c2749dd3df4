//! WITH: queries with names.
//!
//! Each is bound once, in the order of the list. One that is read at one place becomes a part of the
//! plan there, so conditions sink into it. One that is read at several is run once, before what reads
//! it, and its rows are kept ([`Node::Shared`]): twenty-five queries of which each reads the one
//! before twice are twenty-five, not 2^25. So are long chains, which would nest as deep as they are
//! long. One that nobody reads is bound, for its mistakes, and not run.

use std::{collections::BTreeMap, ops::ControlFlow};

use expr::{SqlError, SqlState};
use sqlparser::ast;

use super::{
    Binder,
    from::{From, bound_scope, rename},
};
use crate::{
    parse::fold,
    plan::{Node, Shared, SubqueryKind, depth},
    session::ResultColumn,
};

/// A query that is deeper than this is run by itself, also if it is read at one place only.
const MAX_INLINE_DEPTH: usize = 32;

/// A query named by WITH.
pub(super) struct Cte {
    /// What it is called.
    pub name: String,
    columns: Vec<ResultColumn>,
    rows: Source,
}

/// Where its rows come from.
enum Source {
    /// The one place that reads it takes the node; gone once that is bound.
    Once(Option<Node>),
    /// The rows that a subquery leaves.
    Shared(Shared),
}

impl Binder<'_> {
    /// The queries of WITH, for what the query around them names.
    pub(super) fn with(&mut self, with: &ast::With, around: &ast::Query) -> Result<(), SqlError> {
        if with.recursive {
            return Err(SqlError::unsupported("WITH RECURSIVE"));
        }
        let readers = readers(around);
        for table in &with.cte_tables {
            let plain = table.from.is_none()
                && table.alias.columns.iter().all(|column| column.data_type.is_none());
            if !plain {
                return Err(SqlError::unsupported("this form of WITH"));
            }
            let count = readers.get(&fold(&table.alias.name)).copied().unwrap_or(0);
            let cte = self.named_query(table, count)?;
            self.ctes.push(cte);
        }
        Ok(())
    }

    fn named_query(&mut self, table: &ast::Cte, readers: usize) -> Result<Cte, SqlError> {
        let name = fold(&table.alias.name);
        let aggregates = self.aggregates.take();
        let before = self.subqueries.len();
        let bound = self.query(&table.query);
        self.aggregates = aggregates;
        let mut bound = bound?;
        let names = &table.alias.columns;
        if names.len() > bound.columns.len() {
            return Err(SqlError::new(
                SqlState::INVALID_COLUMN_REFERENCE,
                format!(
                    "WITH query \"{name}\" has {} columns available but {} columns specified",
                    bound.columns.len(),
                    names.len()
                ),
            ));
        }
        for (column, name) in bound.columns.iter_mut().zip(names) {
            column.name = fold(&name.name);
        }
        let rows = match readers {
            0 => {
                self.subqueries.truncate(before);
                Source::Once(Some(bound.node))
            }
            1 if depth::node(&bound.node) <= MAX_INLINE_DEPTH => Source::Once(Some(bound.node)),
            _ => Source::Shared(Shared {
                subquery: self.push_subquery(bound.node, SubqueryKind::Rows)?,
                width: bound.columns.len(),
                name: name.clone(),
            }),
        };
        Ok(Cte { name, columns: bound.columns, rows })
    }

    /// The rows of a query of WITH, at a place that names it.
    pub(super) fn with_query(
        &mut self,
        at: usize,
        alias: Option<&ast::TableAlias>,
    ) -> Result<From, SqlError> {
        let cte = &mut self.ctes[at];
        let name = alias.map_or_else(|| cte.name.clone(), |alias| fold(&alias.name));
        let mut scope = bound_scope(&cte.columns, &name);
        let node = match &mut cte.rows {
            Source::Shared(shared) => Node::Shared(shared.clone()),
            Source::Once(node) => node.take().ok_or_else(|| {
                SqlError::unsupported(format!("WITH query \"{}\" at this place", cte.name))
            })?,
        };
        if let Some(alias) = alias {
            rename(&mut scope, alias)?;
        }
        Ok(From { node, scope })
    }
}

/// How often each name is read as a table's in a query. A name that means several things is counted
/// for all of them: too many readers cost a copy of the rows, no more.
fn readers(query: &ast::Query) -> BTreeMap<String, usize> {
    struct Count(BTreeMap<String, usize>);
    impl ast::Visitor for Count {
        type Break = ();

        fn pre_visit_relation(&mut self, relation: &ast::ObjectName) -> ControlFlow<()> {
            if let Some(ident) = relation.0.last().and_then(|part| part.as_ident()) {
                *self.0.entry(fold(ident)).or_default() += 1;
            }
            ControlFlow::Continue(())
        }
    }
    let mut count = Count(BTreeMap::new());
    let _ = ast::Visit::visit(query, &mut count);
    count.0
}
