//! A client of the PostgreSQL protocol, in few words.

use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

/// A connection to a port on this machine.
pub struct Sql(pub Client);

/// Why a statement failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The SQLSTATE; `08006` for a connection that broke.
    pub state: String,
    /// The message.
    pub message: String,
    /// What would help; empty if nothing was said.
    pub hint: String,
}

impl From<tokio_postgres::Error> for Refused {
    fn from(error: tokio_postgres::Error) -> Refused {
        match error.as_db_error() {
            Some(db) => Refused {
                state: db.code().code().to_owned(),
                message: db.message().to_owned(),
                hint: db.hint().unwrap_or_default().to_owned(),
            },
            None => Refused {
                state: "08006".to_owned(),
                message: error.to_string(),
                hint: String::new(),
            },
        }
    }
}

impl Sql {
    /// Connects as root.
    ///
    /// # Errors
    /// If nobody answers.
    pub async fn connect(port: u16) -> Result<Sql, Refused> {
        let url = format!("postgresql://root@127.0.0.1:{port}/meridian?connect_timeout=5");
        let (client, connection) = tokio_postgres::connect(&url, NoTls).await?;
        tokio::spawn(async move {
            // Its end shows at the client.
            drop(connection.await);
        });
        Ok(Sql(client))
    }

    /// Runs statements; the rows of all, as text.
    ///
    /// # Errors
    /// The first error.
    pub async fn rows(&self, sql: &str) -> Result<Vec<Vec<Option<String>>>, Refused> {
        let messages = self.0.simple_query(sql).await?;
        let row = |message| match message {
            SimpleQueryMessage::Row(row) => {
                Some((0..row.len()).map(|at| row.get(at).map(str::to_owned)).collect())
            }
            _ => None,
        };
        Ok(messages.into_iter().filter_map(row).collect())
    }

    /// Runs statements whose rows do not matter.
    ///
    /// # Errors
    /// The first error.
    pub async fn run(&self, sql: &str) -> Result<(), Refused> {
        self.rows(sql).await.map(|_| ())
    }

    /// The one value of the one row.
    ///
    /// # Errors
    /// The statement's.
    ///
    /// # Panics
    /// If there is not exactly one.
    pub async fn value(&self, sql: &str) -> Result<String, Refused> {
        let rows = self.rows(sql).await?;
        assert!(rows.len() == 1 && rows[0].len() == 1, "{sql}: {rows:?}");
        Ok(rows[0][0].clone().unwrap_or_else(|| "NULL".to_owned()))
    }
}
