//! Statements that control the session: settings, prepared statements, `SHOW`, `EXPLAIN`.

use std::sync::Arc;

use expr::{Datum, SqlError, SqlState};

use super::{Execution, Prepared, Session};
use crate::{
    bind, explain,
    parse::{Kind, ResetTarget, SetScope, SetValue, Statement, Utility},
    show,
};

/// `26000`.
pub fn no_statement(name: &str) -> SqlError {
    SqlError::new(
        SqlState::INVALID_SQL_STATEMENT_NAME,
        format!("prepared statement \"{name}\" does not exist"),
    )
}

impl Session {
    /// Runs what is no query.
    pub(super) async fn utility(
        &mut self,
        prepared: &Prepared,
        utility: &Utility,
        params: &[Datum],
    ) -> Result<Execution, SqlError> {
        let statement = prepared.statement();
        match utility {
            Utility::Begin(modes, tag) => self.begin(modes, *tag).await,
            Utility::Commit(chain) => self.commit(*chain).await,
            Utility::Rollback(chain) => self.rollback(*chain).await,
            Utility::Savepoint(name) => self.savepoint(name),
            Utility::RollbackTo(name) => self.rollback_to(name),
            Utility::Release(name) => self.release(name),
            Utility::SetTransaction(modes) => {
                self.set_modes(modes)?;
                Ok(Execution::done("SET"))
            }
            Utility::SetCharacteristics(modes) => self.set_characteristics(modes),
            Utility::Set(scope, name, value) => self.set_value(*scope, name, value),
            Utility::Reset(target) => self.reset(target),
            Utility::Show(what) => show::run(self, what).await,
            Utility::Discard(what) => self.discard(what),
            Utility::Prepare(name, types, inner) => {
                let part = statement.part((**inner).clone());
                self.prepare_named(name, types, &part).await
            }
            Utility::Execute(name, arguments) => {
                self.execute_named(prepared, name, arguments).await
            }
            Utility::Deallocate(name) => self.deallocate(name.as_deref()),
            Utility::Explain(mode, inner) => {
                let part = statement.part((**inner).clone());
                explain::run(self, *mode, &part, params).await
            }
            Utility::Check(what) => self.check_tables(what).await,
            Utility::AsOf(as_of, inner) => self.run_as_of(prepared, inner, as_of, params).await,
            Utility::SplitTable(table, rows) => {
                crate::ddl::split::split_table(self, table, rows).await
            }
            Utility::TransferTable(table, region) => {
                let place = crate::control::Place::Region(region.clone());
                crate::ddl::split::transfer_table(self, table, &place).await
            }
            Utility::TransferRange(range, node) => {
                crate::ddl::split::transfer_range(self, *range, *node).await
            }
            Utility::Knob(knob) => self.turn_knob(knob).await,
            Utility::Close(name) => self.close_portal(name.as_deref()),
            Utility::Nothing(tag) => Ok(Execution::done(*tag)),
        }
    }

    fn set_characteristics(
        &mut self,
        modes: &crate::parse::TransactionModes,
    ) -> Result<Execution, SqlError> {
        use crate::parse::Mode;
        for mode in &modes.modes {
            let (name, value) = match mode {
                Mode::Isolation(level) => ("default_transaction_isolation", level.name()),
                Mode::ReadOnly => ("default_transaction_read_only", "on"),
                Mode::ReadWrite => ("default_transaction_read_only", "off"),
                Mode::Deferrable => continue,
                Mode::AsOf(_) => {
                    return Err(SqlError::unsupported("AS OF SYSTEM TIME for a session"));
                }
            };
            let scope = SetScope::Session;
            self.set(scope, |settings| settings.set(scope, name, value))?;
        }
        Ok(Execution::done("SET"))
    }

    fn set_value(
        &mut self,
        scope: SetScope,
        name: &str,
        value: &SetValue,
    ) -> Result<Execution, SqlError> {
        if let Some(modes) = transaction_mode(name, value)? {
            self.set_modes(&modes)?;
            return Ok(Execution::done("SET"));
        }
        self.set(scope, |settings| match value {
            SetValue::Default => settings.reset(scope, name),
            SetValue::Text(text) => settings.set(scope, name, text),
        })?;
        Ok(Execution::done("SET"))
    }

    fn reset(&mut self, target: &ResetTarget) -> Result<Execution, SqlError> {
        match target {
            ResetTarget::All => self.shared.with_settings(|settings| settings.reset_all()),
            ResetTarget::Name(name) => {
                let scope = SetScope::Session;
                self.set(scope, |settings| settings.reset(scope, name))?;
            }
        }
        Ok(Execution::done("RESET"))
    }

    fn discard(&mut self, what: &str) -> Result<Execution, SqlError> {
        if what == "ALL" {
            if self.open.is_some() {
                return Err(SqlError::new(
                    SqlState::ACTIVE_SQL_TRANSACTION,
                    "DISCARD ALL cannot run inside a transaction block",
                ));
            }
            self.named.clear();
            self.portals.clear();
            self.shared.with_settings(|settings| settings.reset_all());
        }
        Ok(Execution::done(format!("DISCARD {what}")))
    }

    /// `CLOSE`: whoever keeps the protocol's portals lets go of what is not named any more.
    fn close_portal(&mut self, name: Option<&str>) -> Result<Execution, SqlError> {
        let Some(name) = name else {
            self.portals.clear();
            return Ok(Execution::done("CLOSE CURSOR ALL"));
        };
        if !self.portals.remove(name) {
            let message = format!("cursor \"{name}\" does not exist");
            return Err(SqlError::new(SqlState::INVALID_CURSOR_NAME, message));
        }
        Ok(Execution::done("CLOSE CURSOR"))
    }

    async fn prepare_named(
        &mut self,
        name: &str,
        types: &[expr::Type],
        statement: &Statement,
    ) -> Result<Execution, SqlError> {
        self.may_keep(name)?;
        let held = self.hold(statement.memory() + name.len() + size_of_val(types))?;
        let types: Vec<Option<expr::Type>> = types.iter().copied().map(Some).collect();
        let prepared = Box::pin(self.prepare(statement, &types)).await?;
        prepared.keep(held);
        self.named.insert(name.to_owned(), prepared);
        Ok(Execution::done("PREPARE"))
    }

    fn may_keep(&self, name: &str) -> Result<(), SqlError> {
        if self.named.contains_key(name) {
            return Err(SqlError::new(
                SqlState::DUPLICATE_PREPARED_STATEMENT,
                format!("prepared statement \"{name}\" already exists"),
            ));
        }
        if self.named.len() >= self.database.0.config.max_prepared {
            let message = "too many prepared statements";
            return Err(SqlError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message));
        }
        Ok(())
    }

    /// Keeps a statement that the protocol prepared: `EXECUTE` and `DEALLOCATE` know it as well.
    ///
    /// # Errors
    /// `42P05` if the name is taken, `54000` if there are too many.
    pub fn keep_statement(&mut self, name: &str, prepared: Prepared) -> Result<(), SqlError> {
        self.may_keep(name)?;
        self.named.insert(name.to_owned(), prepared);
        Ok(())
    }

    /// The statement with this name, whoever prepared it.
    #[must_use]
    pub fn statement(&self, name: &str) -> Option<&Prepared> {
        self.named.get(name)
    }

    /// Forgets a statement; nothing if there is none.
    pub fn drop_statement(&mut self, name: &str) {
        self.named.remove(name);
    }

    /// Runs the statement with this name, which is not of the kind itself: one that comes to run
    /// itself would never end.
    async fn execute_named(
        &mut self,
        caller: &Prepared,
        name: &str,
        arguments: &[sqlparser::ast::Expr],
    ) -> Result<Execution, SqlError> {
        let prepared: Prepared = self.named.get(name).cloned().ok_or_else(|| no_statement(name))?;
        if let Kind::Utility(utility) = prepared.statement().kind()
            && matches!(**utility, Utility::Execute(..))
        {
            return Err(SqlError::unsupported("EXECUTE of a statement that is EXECUTE itself"));
        }
        // Another may have the name by now than the one whose columns were told.
        caller.expect_columns(prepared.columns())?;
        let params = prepared.param_types().to_vec();
        if params.len() != arguments.len() {
            return Err(SqlError::syntax(format!(
                "wrong number of parameters for prepared statement \"{name}\""
            ))
            .with_detail(format!(
                "Expected {} parameters but got {}.",
                params.len(),
                arguments.len()
            )));
        }
        let context = self.context();
        let values: Result<Vec<Datum>, SqlError> = arguments
            .iter()
            .zip(params)
            .map(|(argument, ty)| bind::constant(argument, ty, &context))
            .collect();
        let values = values?;
        Box::pin(self.dispatch(&prepared, &values)).await
    }

    fn deallocate(&mut self, name: Option<&str>) -> Result<Execution, SqlError> {
        match name {
            None => {
                self.named.clear();
                Ok(Execution::done("DEALLOCATE ALL"))
            }
            Some(name) => {
                self.named.remove(name).ok_or_else(|| no_statement(name))?;
                Ok(Execution::done("DEALLOCATE"))
            }
        }
    }

    /// A setting as `SHOW` prints it.
    pub(crate) fn setting(&self, name: &str) -> Result<String, SqlError> {
        if let Some(value) = self.transaction_setting(name) {
            return Ok(value);
        }
        let value = self.shared.with_settings(|settings| settings.get(name).map(str::to_owned));
        value.ok_or_else(|| super::settings::unknown(name))
    }

    /// The database of the session.
    pub(crate) fn database(&self) -> &crate::Database {
        &self.database
    }

    /// Leaves a notice for the client.
    pub(crate) fn notify(&self, notice: super::Notice) {
        self.shared.notice(notice);
    }

    /// The session's settings with their meaning.
    pub(crate) fn all_settings(&self) -> Vec<(&'static str, String, &'static str)> {
        self.shared.with_settings(|settings| settings.all())
    }

    /// What expressions may know now.
    pub(crate) fn eval_context(&self) -> expr::EvalContext {
        self.context()
    }

    /// When a statement that begins now must be done.
    pub(crate) fn statement_deadline(&self) -> timer::Instant {
        self.deadline()
    }

    /// A plan for `EXPLAIN`.
    pub(crate) async fn plan_to_explain(
        &mut self,
        statement: &Statement,
    ) -> Result<Arc<crate::plan::Plan>, SqlError> {
        Ok(self.plan(statement, &[]).await?)
    }
}

/// `SET transaction_isolation` and its kin change the open transaction.
fn transaction_mode(
    name: &str,
    value: &SetValue,
) -> Result<Option<crate::parse::TransactionModes>, SqlError> {
    use crate::parse::{IsolationName, Mode, TransactionModes};
    let SetValue::Text(text) = value else { return Ok(None) };
    let mode = match name {
        "transaction_isolation" => match IsolationName::from_name(text) {
            Some(level) => Mode::Isolation(level),
            None => {
                return Err(SqlError::invalid_parameter(format!(
                    "invalid value for parameter \"transaction_isolation\": \"{text}\""
                )));
            }
        },
        "transaction_read_only" => match text.to_lowercase().as_str() {
            "on" | "true" | "yes" | "1" => Mode::ReadOnly,
            "off" | "false" | "no" | "0" => Mode::ReadWrite,
            _ => {
                return Err(SqlError::invalid_parameter(
                    "parameter \"transaction_read_only\" requires a Boolean value",
                ));
            }
        },
        _ => return Ok(None),
    };
    Ok(Some(TransactionModes { modes: vec![mode] }))
}
