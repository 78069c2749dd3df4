//! `SHOW CLUSTER SETTINGS`, `SHOW CLUSTER STATS`, `SHOW COMMIT HISTOGRAM`.

use std::{sync::Arc, time::Duration};

use expr::{Datum, SqlError, Type};

use super::{millis, number, table_of};
use crate::{
    control::{ClusterSetting, SettingName},
    database::Database,
    meter::{CommitStats, Histogram},
    parse::knobs::KnobShow,
    session::{ResultColumn, Row, unknown_setting},
};

/// The columns of what is shown.
pub(super) fn columns(show: &KnobShow) -> Arc<[ResultColumn]> {
    const T: Type = Type::Text;
    const I: Type = Type::Int8;
    const F: Type = Type::Float8;
    match show {
        KnobShow::Settings(_) => table_of(&[
            ("setting", T),
            ("scope", T),
            ("value", T),
            ("default", T),
            ("unsafe", T),
            ("description", T),
        ]),
        KnobShow::Stats => table_of(&[
            ("node_id", I),
            ("region", T),
            ("epsilon_ms", F),
            ("commits", I),
            ("p50_ms", F),
            ("p99_ms", F),
            ("commit_wait_p50_ms", F),
            ("hidden_p50_ms", F),
            ("exposed_p50_ms", F),
        ]),
        KnobShow::Histogram => {
            table_of(&[("metric", T), ("from_ms", F), ("to_ms", F), ("commits", I)])
        }
    }
}

/// The rows.
pub(super) async fn rows(database: &Database, show: &KnobShow) -> Result<Vec<Row>, SqlError> {
    match show {
        KnobShow::Settings(name) => settings(database, name.as_deref()).await,
        KnobShow::Stats => Ok(stats(database).await),
        KnobShow::Histogram => Ok(histogram(database).await),
    }
}

async fn settings(database: &Database, name: Option<&str>) -> Result<Vec<Row>, SqlError> {
    if let Some(name) = name {
        SettingName::from_name(name).ok_or_else(|| unknown_setting(name))?;
    }
    let mut all = database.0.cluster.control().settings().await?;
    all.retain(|setting| name.is_none_or(|name| setting.name == name));
    Ok(all.into_iter().map(setting_row).collect())
}

fn setting_row(setting: ClusterSetting) -> Row {
    let about = SettingName::from_name(&setting.name).map_or("", SettingName::about);
    let mark = if setting.is_unsafe { "UNSAFE" } else { "" };
    [&setting.name, &setting.scope, &setting.value, &setting.default, mark, about]
        .into_iter()
        .map(Datum::text)
        .collect()
}

async fn stats(database: &Database) -> Vec<Row> {
    let cluster = &database.0.cluster;
    let (stats, clocks) =
        futures::join!(cluster.commit_stats(), super::nodes::clock_infos(database));
    let nodes = cluster.nodes();
    let row = |(node, stats): (keys::NodeId, CommitStats)| {
        let region = nodes.iter().find(|info| info.id == node).map(|info| info.region.as_str());
        let clock = clocks.iter().find(|clock| clock.node == node);
        let quantile =
            |histogram: &Histogram, share| histogram.quantile(share).map_or(Datum::Null, millis);
        vec![
            number(node.0),
            region.map_or(Datum::Null, Datum::text),
            clock.map_or(Datum::Null, |clock| millis(clock.epsilon)),
            number(stats.latency.total()),
            quantile(&stats.latency, 0.5),
            quantile(&stats.latency, 0.99),
            quantile(&stats.wait, 0.5),
            quantile(&stats.hidden, 0.5),
            quantile(&stats.exposed, 0.5),
        ]
    };
    stats.into_iter().map(row).collect()
}

async fn histogram(database: &Database) -> Vec<Row> {
    let mut all = CommitStats::default();
    for (_, stats) in database.0.cluster.commit_stats().await {
        all.add(&stats);
    }
    let row = |name: &str, (from, to, count): (Duration, Duration, u64)| {
        vec![Datum::text(name), millis(from), millis(to), number(count)]
    };
    let named = all.by_name().into_iter();
    named.flat_map(|(name, histogram)| histogram.buckets().map(move |b| row(name, b))).collect()
}
