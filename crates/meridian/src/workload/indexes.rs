//! After a run: every index of the workload's tables must agree with its table.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_postgres::{SimpleQueryMessage, error::SqlState};

use super::{Options, client::Connection, report::Report};

/// How long the database may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Checks the tables. What is found is a broken promise; that they could not be checked is said.
pub async fn check(options: &Options, report: &mut Report) {
    let tables = options.kind.tables().join(", ");
    let sql = format!("CHECK TABLE {tables}");
    let deadline = Instant::now() + PATIENCE;
    let mut connection = Connection::new(&options.url, 0);
    loop {
        let why = match connection.get().await {
            None => "no server answers".to_owned(),
            Some((client, _)) => match client.simple_query(&sql).await {
                Ok(messages) => return tell(&messages, report),
                // A server of another kind.
                Err(error) if error.code() == Some(&SqlState::SYNTAX_ERROR) => {
                    eprintln!("the server knows no CHECK TABLE: indexes were not checked");
                    return;
                }
                Err(error) => error.to_string(),
            },
        };
        if Instant::now() >= deadline {
            eprintln!("indexes were not checked: {why}");
            return;
        }
        connection.drop_it();
        sleep(Duration::from_millis(200)).await;
    }
}

fn tell(messages: &[SimpleQueryMessage], report: &mut Report) {
    for message in messages {
        let SimpleQueryMessage::Row(row) = message else { continue };
        if let Some(problem) = row.get("problem") {
            let index = row.get("index_name").unwrap_or_default();
            let key = row.get("key").unwrap_or_default();
            report.violations.push(format!("index {index}: {problem}: {key}"));
        }
    }
}
