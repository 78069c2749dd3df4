//! Several statements that share a transaction: those of one text, and those of one pipeline.

use expr::{SqlError, SqlState};

use super::{
    Execution, Prepared, Session, settings,
    transaction::{self, Block},
};
use crate::parse::Statement;

impl Session {
    /// Runs a text of any number of statements; `sink` gets each result as it comes. Several
    /// statements make one transaction, unless they begin and end transactions themselves.
    ///
    /// # Errors
    /// The first error; the statements behind it are not run, and what those before it did in an
    /// implicit transaction is rolled back.
    pub async fn simple(
        &mut self,
        sql: &str,
        sink: &mut (dyn FnMut(Execution) + Send),
    ) -> Result<(), SqlError> {
        let statements = match self.read(sql) {
            Ok(statements) => statements,
            Err(error) => {
                self.fail_block().await;
                return Err(error);
            }
        };
        for statement in statements.iter() {
            sink(self.step(statement, statements.len()).await?);
        }
        self.end_pipeline().await
    }

    /// Runs a statement of a text of so many. [`Session::end_pipeline`] must follow the last one.
    ///
    /// # Errors
    /// What it fails with; those behind it must not be run.
    pub async fn step(
        &mut self,
        statement: &Statement,
        statements: usize,
    ) -> Result<Execution, SqlError> {
        self.in_company = statements > 1;
        if self.in_company {
            self.share_transaction(statement);
        }
        let prepared = match self.prepare_for_client(statement, &[]).await {
            Ok(prepared) if !prepared.0.params.is_empty() => {
                Err(SqlError::new(SqlState::UNDEFINED_PARAMETER, "there is no parameter $1"))
            }
            prepared => prepared,
        };
        match prepared {
            Ok(prepared) => self.execute(&prepared, Vec::new()).await,
            Err(error) => {
                self.fail_block().await;
                Err(error)
            }
        }
    }

    /// Whether executing this would be a transaction of its own, which more statements of the same
    /// pipeline would have to share.
    #[must_use]
    pub fn runs_alone(&self, prepared: &Prepared) -> bool {
        self.open.is_none() && transaction::needs_block(prepared.statement())
    }

    /// The statement executed next is not the last of its pipeline: it and those behind it make one
    /// transaction, up to [`Session::end_pipeline`]. Nothing if a transaction is open already.
    pub fn join_pipeline(&mut self, next: &Prepared) {
        self.share_transaction(next.statement());
    }

    /// The end of a pipeline or of a text (`Sync`): commits what its statements share, if anything.
    /// A transaction block goes on.
    ///
    /// # Errors
    /// What the commit fails with; it is rolled back then.
    pub async fn end_pipeline(&mut self) -> Result<(), SqlError> {
        self.in_company = false;
        match &self.open {
            Some(open) if open.block == Block::Implicit => self.commit_open().await,
            Some(_) => Ok(()),
            None => {
                self.shared.with_settings(settings::Settings::commit);
                Ok(())
            }
        }
    }

    /// Something the client asked for failed outside of a statement's execution: the transaction
    /// block has failed, the pipeline's transaction is rolled back.
    pub async fn fail(&mut self) {
        self.fail_block().await;
    }

    fn share_transaction(&mut self, statement: &Statement) {
        if self.open.is_none() && transaction::needs_block(statement) {
            self.begin_implicit();
        }
    }
}
