//! The words of the cluster for completion, asked for on a connection of its own: the session that
//! somebody works in is neither delayed nor disturbed, whatever state its transaction is in.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::timeout;

use crate::{
    client::{Answer, Client},
    complete::Vocabulary,
};

/// How long the cluster has to tell: without an answer completion offers what it had.
const PATIENCE: Duration = Duration::from_secs(5);

/// Tables whose columns are asked for; of further ones only the name is known.
const MOST_TABLES: usize = 200;

/// The words, shared with the line editor. Cheap to clone: all clones are one.
#[derive(Clone, Debug, Default)]
pub struct Shared(Arc<Mutex<Vocabulary>>);

impl Shared {
    /// The words as they are now.
    pub fn get(&self) -> Vocabulary {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Asks for them anew, beside everything else.
    pub fn refresh(&self, url: &str) {
        let (shared, url) = (self.clone(), url.to_owned());
        tokio::spawn(async move {
            // Without an answer it offers what it had.
            if let Ok(Some(words)) = timeout(PATIENCE, ask(&url)).await {
                *shared.0.lock().unwrap_or_else(PoisonError::into_inner) = words;
            }
        });
    }
}

async fn ask(url: &str) -> Option<Vocabulary> {
    let client = Client::connect_as(url, "meridian sql completion", PATIENCE).await.ok()?;
    let mut words = Vocabulary::default();
    // One by one: another database answers some of them, or none.
    if let Some(nodes) = one(&client, "SHOW NODES").await {
        words.nodes = texts(&nodes, "node_id").map(|id| format!("n{id}")).collect();
        words.regions = texts(&nodes, "region").collect();
        words.regions.dedup();
    }
    if let Some(all) = one(&client, "SHOW ALL").await {
        words.settings = texts(&all, "name").collect();
    }
    if let Some(settings) = one(&client, "SHOW CLUSTER SETTINGS").await {
        let settable = |name: &String| !matches!(name.as_str(), "net.link" | "node.state");
        words.cluster_settings = texts(&settings, "setting").filter(settable).collect();
        words.cluster_settings.dedup();
    }
    let tables = one(&client, "SHOW TABLES").await?;
    words.tables = texts(&tables, "table_name").map(|table| (table, Vec::new())).collect();
    let known: Vec<String> = words.tables.keys().take(MOST_TABLES).cloned().collect();
    for table in known {
        let quoted = table.replace('"', "\"\"");
        // It may have been dropped meanwhile.
        if let Some(columns) = one(&client, &format!("SHOW COLUMNS FROM \"{quoted}\"")).await {
            words.tables.insert(table, texts(&columns, "column_name").collect());
        }
    }
    Some(words)
}

async fn one(client: &Client, statement: &str) -> Option<Answer> {
    client.run(statement).await.ok()?.into_iter().next()
}

fn texts<'a>(answer: &'a Answer, column: &str) -> impl Iterator<Item = String> + use<'a> {
    answer.column(column).flatten().map(str::to_owned)
}
