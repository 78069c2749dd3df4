//! CREATE TABLE and DROP TABLE.

use std::{sync::Arc, time::Duration};

use expr::{SqlError, SqlState};
use keys::{RangeId, TableId, layout};
use kv::Descriptor;
use sqlparser::ast;
use txn::{Access, TxnOptions};

use super::{
    define, exists, new_name,
    publish::{self, publish},
    skipped, sweep,
};
use crate::{
    bind::{table_name, undefined_table},
    catalog::{Catalog, Table, ids},
    database::Database,
    session::Session,
};

/// Storage parameters of PostgreSQL that mean nothing here and are harmless to leave out.
const IGNORED_OPTIONS: [&str; 3] = ["fillfactor", "autovacuum_enabled", "toast_tuple_target"];

/// How long CREATE TABLE waits for a range that does not serve.
const SERVES_WITHIN: Duration = Duration::from_secs(1);

/// Runs CREATE TABLE.
pub(super) async fn create(session: &Session, create: &ast::CreateTable) -> Result<(), SqlError> {
    let region = options(create)?;
    let name = new_name(&create.name)?;
    let database = session.database();
    let known = database.catalog().await.map_err(|error| error.into_sql(None))?;
    if taken(&known, &name) && create.if_not_exists {
        skipped(
            session,
            SqlState::DUPLICATE_TABLE,
            format!("relation \"{name}\" already exists, skipping"),
        );
        return Ok(());
    }
    let mut table = define::table(create, &name, &session.eval_context())?;
    let fresh = database.fresh_id(ids::TABLES.name, ids::TABLES.first).await?;
    table.id =
        TableId(u32::try_from(fresh).map_err(|_| {
            SqlError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, "no table ids are left")
        })?);
    let range = database.fresh_id(ids::RANGES.name, ids::RANGES.first).await?;
    let cluster = &database.0.cluster;
    let own_region = cluster.region();
    if let Some(region) = &region
        && !cluster.nodes().iter().any(|node| node.region == *region)
    {
        return Err(no_region(session, region));
    }
    let placement = cluster.place(Some(region.as_deref().unwrap_or(&own_region)));
    let descriptor = Descriptor {
        id: RangeId(range),
        span: layout::table_span(table.id),
        generation: 1,
        voters: placement.voters,
        preferred_leader: placement.preferred_leader,
    };
    if taken(&known, &name) {
        // The range would be made in vain; the catalog that counts is looked at below.
        return Err(exists(&name));
    }
    cluster.create_range(descriptor.clone()).await?;
    let published = publish(database, |catalog, draft| {
        if let Some(name) = names(&table).find(|name| taken(catalog, name)) {
            if name == table.name && create.if_not_exists {
                return Ok(false);
            }
            return Err(exists(name));
        }
        draft.tables.push(table.clone());
        draft.ranges.push(descriptor.clone());
        Ok(true)
    })
    .await?;
    if published.value {
        served(database, &descriptor).await;
    } else {
        skipped(
            session,
            SqlState::DUPLICATE_TABLE,
            format!("relation \"{name}\" already exists, skipping"),
        );
    }
    Ok(())
}

/// Waits until the new range serves, so that the next statement need not. Its leader asked for its lease
/// while the catalog was published, and both take a round trip. Whether it serves in time is the next
/// statement's business: the table is there.
async fn served(database: &Database, range: &Descriptor) {
    let options = TxnOptions {
        access: Access::ReadOnly,
        after: database.0.coordinator.last_commit(),
        ..TxnOptions::default()
    };
    let mut txn = database.0.coordinator.begin(options);
    std::mem::drop(
        timer::timeout(SERVES_WITHIN, txn.get(std::slice::from_ref(&range.span.start))).await,
    );
    txn.rollback().await;
}

/// An unknown region, and which there are.
pub(crate) fn no_region(session: &Session, region: &str) -> SqlError {
    let mut regions: Vec<String> =
        session.database().0.cluster.nodes().into_iter().map(|node| node.region).collect();
    regions.sort();
    regions.dedup();
    SqlError::new(SqlState::UNDEFINED_OBJECT, format!("region \"{region}\" does not exist"))
        .with_hint(format!("Regions: {}.", regions.join(", ")))
}

/// Names of the table and its indexes: they share one name space.
fn names(table: &Table) -> impl Iterator<Item = &str> {
    let indexes = table.indexes().map(|index| index.name.as_str());
    std::iter::once(table.name.as_str()).chain(indexes)
}

/// Whether a table or an index has this name.
pub(super) fn taken(catalog: &Catalog, name: &str) -> bool {
    catalog.table(name).is_some() || catalog.index(name).is_some()
}

/// The options that Meridian knows; anything it would have to ignore is refused.
fn options(create: &ast::CreateTable) -> Result<Option<String>, SqlError> {
    let plain = ast::helpers::stmt_create_table::CreateTableBuilder::new(create.name.clone())
        .if_not_exists(create.if_not_exists)
        .columns(create.columns.clone())
        .constraints(create.constraints.clone())
        .hive_formats(create.hive_formats.clone())
        .table_options(create.table_options.clone())
        .build();
    if plain != *create {
        let refused = [
            (create.temporary, "CREATE TEMPORARY TABLE"),
            (create.unlogged, "CREATE UNLOGGED TABLE"),
            (create.query.is_some(), "CREATE TABLE AS"),
            (create.like.is_some(), "LIKE"),
            (create.partition_by.is_some() || create.partition_of.is_some(), "PARTITION BY"),
            (create.inherits.is_some(), "INHERITS"),
        ];
        let found = refused.into_iter().find(|(present, _)| *present);
        return Err(SqlError::unsupported(
            found.map_or("this form of CREATE TABLE", |(_, what)| what),
        ));
    }
    let mut region = None;
    let given = match &create.table_options {
        ast::CreateTableOptions::None => return Ok(None),
        ast::CreateTableOptions::With(given) => given,
        _ => return Err(SqlError::unsupported_all("these options of CREATE TABLE")),
    };
    for option in given {
        let ast::SqlOption::KeyValue { key, value } = option else {
            return Err(SqlError::unsupported(format!("the option {option}")));
        };
        match crate::parse::fold(key).as_str() {
            "leader_region" => region = Some(text_of(value)?),
            name if IGNORED_OPTIONS.contains(&name) => {}
            name => {
                return Err(SqlError::new(
                    SqlState::INVALID_PARAMETER_VALUE,
                    format!("unrecognized parameter \"{name}\""),
                ));
            }
        }
    }
    Ok(region)
}

fn text_of(value: &ast::Expr) -> Result<String, SqlError> {
    match value {
        ast::Expr::Value(value) => match &value.value {
            ast::Value::SingleQuotedString(text) => Ok(text.clone()),
            other => Err(SqlError::invalid_parameter(format!("a region cannot be {other}"))),
        },
        ast::Expr::Identifier(ident) => Ok(crate::parse::fold(ident)),
        other => Err(SqlError::invalid_parameter(format!("a region cannot be {other}"))),
    }
}

/// Runs DROP TABLE. Names and descriptors go at once, rows behind the statement's back.
pub(super) async fn drop(
    session: &Session,
    names: &[ast::ObjectName],
    if_exists: bool,
) -> Result<(), SqlError> {
    let mut wanted: Vec<String> = Vec::with_capacity(names.len());
    for name in names {
        let (name, _) = table_name(name)?;
        if !wanted.contains(&name) {
            wanted.push(name);
        }
    }
    let database = session.database();
    let published = publish(database, |catalog, draft| {
        let mut missing = Vec::new();
        for name in &wanted {
            match catalog.table(name) {
                Some(table) => draft.dropped.push(Arc::clone(table)),
                None if if_exists => missing.push(name.clone()),
                None if catalog.index(name).is_some() => {
                    return Err(SqlError::new(
                        SqlState::WRONG_OBJECT_TYPE,
                        format!("\"{name}\" is not a table"),
                    )
                    .with_hint("Use DROP INDEX to remove an index."));
                }
                None => {
                    let mut error = undefined_table(name);
                    error.message = format!("table \"{name}\" does not exist");
                    return Err(error);
                }
            }
        }
        Ok((missing, draft.dropped.len()))
    })
    .await?;
    let (missing, dropped) = published.value;
    for name in missing {
        let message = format!("table \"{name}\" does not exist, skipping");
        skipped(session, SqlState::SUCCESSFUL_COMPLETION, message);
    }
    if dropped > 0 {
        publish::adopted(database, published.step).await;
        sweep::start(database);
    }
    Ok(())
}
