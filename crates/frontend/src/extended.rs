//! The extended protocol: statements prepared, bound, described and executed.

use expr::{Datum, SqlError, SqlState, Type};
use sql::{Execution, Held, Prepared, Row};

use crate::{
    connection::{Connection, Handled, Trouble},
    message::{Bind, Parse, Target},
    rows::{self, Format},
    store::{self, Parameters, Portal, Progress, Rows, Statement},
};

/// Roughly what a statement or portal takes besides its texts and values, in bytes.
const ENTRY_BYTES: usize = 256;

impl Connection<'_> {
    pub(crate) async fn parse(&mut self, parse: Parse) -> Handled {
        let Parse { name, text, types } = parse;
        let at = |error| Trouble::Statement(error, Some(text.clone()));
        if name.is_empty() {
            // The unnamed one makes room for the next, whatever comes of that.
            self.store.close_statement(&name);
        }
        let mut statements = self.session.parse(&text).map_err(at)?;
        if statements.len() > 1 {
            let message = "cannot insert multiple commands into a prepared statement";
            return Err(SqlError::syntax(message).into());
        }
        let entry = ENTRY_BYTES + name.len();
        match statements.pop() {
            None => {
                let held = self.session.hold(entry)?;
                self.keep_empty(&name, held)?;
            }
            Some(statement) => {
                let types = parameter_types(&types)?;
                let bytes = entry + statement.memory() + size_of_val(&*types);
                let held = self.session.hold(bytes)?;
                let preparing = self.session.prepare_for_client(&statement, &types);
                let prepared = self.intake.attend(&self.cancel, preparing).await?.map_err(at)?;
                prepared.keep(held);
                self.keep(&name, prepared)?;
            }
        }
        self.intake.wire.answers.parse_complete();
        Ok(())
    }

    /// Named statements are the session's, which knows those of `PREPARE` as well.
    fn keep(&mut self, name: &str, prepared: Prepared) -> Result<(), SqlError> {
        if name.is_empty() || self.store.has_statement(name) {
            return self.store.prepare(name, Some(prepared), None);
        }
        self.session.keep_statement(name, prepared)
    }

    fn keep_empty(&mut self, name: &str, held: Held) -> Result<(), SqlError> {
        if self.session.statement(name).is_some() {
            return Err(store::duplicate(name));
        }
        self.store.prepare(name, None, Some(held))
    }

    fn statement(&self, name: &str) -> Result<Statement, SqlError> {
        match self.session.statement(name) {
            Some(prepared) if !name.is_empty() => Ok(Some(prepared.clone())),
            Some(_) | None => self.store.statement(name).cloned(),
        }
    }

    pub(crate) fn bind(&mut self, bind: Bind) -> Handled {
        if bind.portal.is_empty() {
            self.store.close_portal("");
            self.session.portals().remove("");
        }
        let statement = self.statement(&bind.statement)?;
        let (types, columns) = match &statement {
            None => (&[] as &[Type], 0),
            Some(prepared) => {
                (prepared.param_types(), prepared.columns().map_or(0, |columns| columns.len()))
            }
        };
        let context = self.session.context();
        let values = rows::parameters(&bind.values, &bind.formats, types, &context)?;
        let held = Some(self.session.hold(values.iter().map(Datum::memory).sum())?);
        let parameters = Parameters { values, held };
        let formats = rows::formats(&bind.result_formats, columns, "result")?;
        // Its name is known to the session as well.
        let bytes = ENTRY_BYTES + 2 * bind.portal.len() + size_of_val(&*formats);
        let held = self.session.hold(bytes)?;
        let portal = Portal { statement, parameters, formats, progress: Progress::Bound, held };
        self.store.bind(&bind.portal, portal)?;
        self.session.portals().insert(bind.portal);
        self.intake.wire.answers.bind_complete();
        Ok(())
    }

    pub(crate) fn describe(&mut self, target: &Target) -> Handled {
        let (statement, formats) = match target {
            Target::Statement(name) => {
                let statement = self.statement(name)?;
                let answers = &mut self.intake.wire.answers;
                let types = statement.as_ref().map_or(&[] as &[Type], |p| p.param_types());
                answers.parameter_description(types.iter().map(|ty| ty.oid()));
                (statement, None)
            }
            Target::Portal(name) => {
                let portal = self.store.portal(name)?;
                (portal.statement.clone(), Some(portal.formats.clone()))
            }
        };
        let answers = &mut self.intake.wire.answers;
        match statement.as_ref().and_then(|prepared| prepared.columns()) {
            None => answers.no_data(),
            Some(columns) => {
                let formats = formats.unwrap_or_else(|| vec![Format::Text; columns.len()]);
                rows::description(answers, columns, &formats)?;
            }
        }
        Ok(())
    }

    pub(crate) async fn execute(&mut self, name: &str, max_rows: i32) -> Handled {
        let portal = self.store.portal(name)?;
        let Some(prepared) = portal.statement.clone() else {
            self.intake.wire.answers.empty_query();
            return Ok(());
        };
        if matches!(portal.progress, Progress::Bound) {
            if prepared.statement().closes() == Some(Some(name)) {
                let message = format!("cannot drop active portal \"{name}\"");
                return Err(SqlError::new(SqlState::INVALID_CURSOR_STATE, message).into());
            }
            let parameters = std::mem::take(&mut portal.parameters);
            portal.progress = Progress::Done;
            let mut alone = self.session.runs_alone(&prepared);
            if alone && self.intake.more_follows().await? {
                self.session.join_pipeline(&prepared);
                alone = false;
            }
            // What the values take is given back once the statement has run.
            let Parameters { values, held: _held } = parameters;
            let running = self.session.execute(&prepared, values);
            let outcome = self.intake.attend(&self.cancel, running).await?;
            let text = || Some(prepared.statement().sql().to_owned());
            let execution = outcome.map_err(|error| Trouble::Statement(error, text()))?;
            self.forget_what_the_statement_dropped(&execution, Some(name));
            self.notices();
            match execution {
                Execution::Done { tag } => {
                    self.intake.wire.answers.command_complete(&tag);
                    return Ok(());
                }
                Execution::Rows { columns, rows, tag } => {
                    // Behind a statement that is alone comes Sync, which is the end of its portal.
                    let held = if alone { None } else { self.hold_rest(&rows, max_rows)? };
                    let rows = Rows { columns, rest: rows.into_iter(), tag, held };
                    self.store.portal(name)?.progress = Progress::Rows(rows);
                }
            }
        }
        self.send_rows(name, max_rows).await
    }

    /// Memory for the rows that this Execute does not ask for, if there are any.
    fn hold_rest(&self, rows: &[Row], max_rows: i32) -> Result<Option<Held>, SqlError> {
        let rest = row_limit(max_rows).and_then(|limit| rows.get(limit..)).unwrap_or_default();
        if rest.is_empty() {
            return Ok(None);
        }
        let row = |row: &Row| size_of::<Row>() + row.iter().map(Datum::memory).sum::<usize>();
        self.session.hold(rest.iter().map(row).sum()).map(Some)
    }

    /// `DEALLOCATE ALL`, `DISCARD ALL` and `CLOSE` reach the protocol's statements and portals as
    /// well. The portal that runs stays, as in PostgreSQL.
    pub(crate) fn forget_what_the_statement_dropped(
        &mut self,
        execution: &Execution,
        running: Option<&str>,
    ) {
        match execution.tag() {
            "DEALLOCATE ALL" | "DISCARD ALL" => self.store.close_statements(),
            "CLOSE CURSOR" | "CLOSE CURSOR ALL" => {
                let left = self.session.portals();
                left.extend(running.map(str::to_owned));
                self.store.keep_portals(left);
            }
            _ => {}
        }
    }

    /// The next rows of a portal; at most `max_rows`, all if it is not positive.
    async fn send_rows(&mut self, name: &str, max_rows: i32) -> Handled {
        let limit = row_limit(max_rows);
        let portal = self.store.portal(name)?;
        let formats = portal.formats.clone();
        // While they are sent the portal has none: whatever goes wrong, no row goes out twice.
        let mut rows = match std::mem::replace(&mut portal.progress, Progress::Done) {
            Progress::Rows(rows) => rows,
            Progress::Bound => unreachable!("it was run before its rows are sent"),
            Progress::Done => {
                let message = format!("portal \"{name}\" cannot be run");
                let state = SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE;
                return Err(SqlError::new(state, message).into());
            }
        };
        let (columns, before) = (rows.columns.clone(), rows.rest.len());
        let mut part = rows.rest.by_ref().take(limit.unwrap_or(usize::MAX));
        self.send(&mut part, &columns, &formats).await?;
        let sent = before - rows.rest.len();
        // As in PostgreSQL, nobody looks whether there is one row more: a portal that gave as many as
        // were asked for is suspended.
        if limit == Some(sent) {
            self.intake.wire.answers.portal_suspended();
        } else {
            self.intake.wire.answers.command_complete(&rows.tag_of(sent));
        }
        if rows.rest.len() == 0 {
            // The room of rows that were sent is not kept, however long the portal is.
            rows.rest = Vec::new().into_iter();
            rows.held = None;
        }
        self.store.portal(name)?.progress = Progress::Rows(rows);
        Ok(())
    }

    pub(crate) fn close(&mut self, target: &Target) -> Handled {
        match target {
            Target::Statement(name) => {
                self.store.close_statement(name);
                self.session.drop_statement(name);
            }
            Target::Portal(name) => {
                self.store.close_portal(name);
                self.session.portals().remove(name);
            }
        }
        self.intake.wire.answers.close_complete();
        Ok(())
    }
}

/// How many rows an Execute asks for; `None`: all.
fn row_limit(max_rows: i32) -> Option<usize> {
    usize::try_from(max_rows).ok().filter(|rows| *rows > 0)
}

/// The types a client declared for its parameters; zero leaves one open.
fn parameter_types(oids: &[u32]) -> Result<Vec<Option<Type>>, SqlError> {
    let read = |oid: &u32| match *oid {
        0 => Ok(None),
        oid => sql::type_from_oid(oid).map(Some),
    };
    oids.iter().map(read).collect()
}
