//! The grammar of statements that control sessions, transactions and ranges.
//!
//! Everything here is told by its first words, so there is no going back: once the first words
//! fit, what follows must fit too, or is a syntax error.

use expr::{SqlError, Type};
use sqlparser::{ast, tokenizer::Token};

use super::{AsOf, Cursor, ExplainMode, Kind, explain, knobs, nested, with_parser};

/// A statement that is read here.
#[derive(Clone, Debug)]
pub enum Utility {
    /// `BEGIN`, `START TRANSACTION`; `true`: written as `START TRANSACTION`, which is its tag.
    Begin(TransactionModes, BeginTag),
    /// `COMMIT`, `END`.
    Commit(Chain),
    /// `ROLLBACK`, `ABORT`.
    Rollback(Chain),
    /// `SAVEPOINT name`.
    Savepoint(String),
    /// `ROLLBACK TO SAVEPOINT name`.
    RollbackTo(String),
    /// `RELEASE SAVEPOINT name`.
    Release(String),
    /// `SET TRANSACTION ...`.
    SetTransaction(TransactionModes),
    /// `SET SESSION CHARACTERISTICS AS TRANSACTION ...`.
    SetCharacteristics(TransactionModes),
    /// `SET name = value`.
    Set(SetScope, String, SetValue),
    /// `RESET name`, `RESET ALL`.
    Reset(ResetTarget),
    /// `SHOW ...`.
    Show(Show),
    /// `DISCARD ALL` and its parts; the word behind `DISCARD`.
    Discard(String),
    /// `PREPARE name (types) AS statement`.
    Prepare(String, Vec<Type>, Box<Kind>),
    /// `EXECUTE name (arguments)`.
    Execute(String, Vec<ast::Expr>),
    /// `DEALLOCATE name`; `None`: all.
    Deallocate(Option<String>),
    /// `CLOSE name`, a portal of the protocol; `None`: all.
    Close(Option<String>),
    /// `EXPLAIN statement`.
    Explain(ExplainMode, Box<Kind>),
    /// `CHECK TABLE`.
    Check(super::CheckTables),
    /// A query at a past snapshot.
    AsOf(AsOf, Box<Kind>),
    /// `ALTER TABLE name SPLIT AT VALUES (...), ...`.
    SplitTable(Vec<String>, Vec<Vec<ast::Expr>>),
    /// `ALTER TABLE name TRANSFER LEADER TO REGION 'region'`.
    TransferTable(Vec<String>, String),
    /// `ALTER RANGE id TRANSFER LEADER TO NODE id`.
    TransferRange(u64, u64),
    /// A knob of the process around the node is turned.
    Knob(knobs::KnobStatement),
    /// Something that Meridian has no use for and that is harmless to accept: its tag.
    Nothing(&'static str),
}

/// The tag a transaction's start is answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BeginTag {
    /// `BEGIN`.
    Begin,
    /// `START TRANSACTION`.
    StartTransaction,
}

/// `AND CHAIN`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chain {
    /// A new transaction with the same modes follows.
    Yes,
    /// None does.
    No,
}

/// What `BEGIN` or `SET TRANSACTION` ask of a transaction.
#[derive(Clone, Debug, Default)]
pub struct TransactionModes {
    /// In the order given; later ones win.
    pub modes: Vec<Mode>,
}

/// One of them.
#[derive(Clone, Debug)]
pub enum Mode {
    /// `ISOLATION LEVEL`.
    Isolation(IsolationName),
    /// `READ ONLY`.
    ReadOnly,
    /// `READ WRITE`.
    ReadWrite,
    /// `[NOT] DEFERRABLE`: a snapshot here never waits, so it changes nothing.
    Deferrable,
    /// `AS OF SYSTEM TIME`.
    AsOf(AsOf),
}

/// The SQL standard's isolation levels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IsolationName {
    /// Strict serializable.
    Serializable,
    /// Snapshot isolation.
    RepeatableRead,
    /// A snapshot per statement.
    ReadCommitted,
    /// As read committed.
    ReadUncommitted,
}

impl IsolationName {
    /// As `SHOW transaction_isolation` prints it.
    pub fn name(self) -> &'static str {
        match self {
            IsolationName::Serializable => "serializable",
            IsolationName::RepeatableRead => "repeatable read",
            IsolationName::ReadCommitted => "read committed",
            IsolationName::ReadUncommitted => "read uncommitted",
        }
    }

    /// The level with this name, in any case.
    pub fn from_name(name: &str) -> Option<IsolationName> {
        let all = [
            IsolationName::Serializable,
            IsolationName::RepeatableRead,
            IsolationName::ReadCommitted,
            IsolationName::ReadUncommitted,
        ];
        all.into_iter().find(|level| level.name().eq_ignore_ascii_case(name.trim()))
    }
}

/// For how long a `SET` holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetScope {
    /// For the session.
    Session,
    /// For the transaction.
    Local,
}

/// What a setting is set to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SetValue {
    /// `DEFAULT`.
    Default,
    /// A value; a list is joined with `, `.
    Text(String),
}

/// What `RESET` is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResetTarget {
    /// Everything.
    All,
    /// One setting.
    Name(String),
}

/// What `SHOW` is about.
#[derive(Clone, Debug)]
pub enum Show {
    /// A setting.
    Setting(String),
    /// All settings.
    All,
    /// Ranges of a table, or all.
    Ranges(Option<Vec<String>>),
    /// Regions.
    Regions,
    /// Nodes.
    Nodes,
    /// Clocks.
    Clocks,
    /// Tables.
    Tables,
    /// Columns of a table.
    Columns(Vec<String>),
    /// Indexes of a table.
    Indexes(Vec<String>),
    /// Constraints of a table.
    Constraints(Vec<String>),
    /// Locks held and waited for.
    Locks,
    /// Sessions of this node.
    Sessions,
    /// The last commit's timestamp.
    CommitTimestamp,
    /// The last snapshot's timestamp.
    ReadTimestamp,
    /// Where the last commit's time went.
    CommitStats,
    /// What the knobs are at, and what comes of it.
    Knobs(knobs::KnobShow),
    /// A checksum per range and replica.
    Checksums(Vec<String>, Option<AsOf>),
    /// The spans of a trace.
    Trace(super::trace::ShowTrace),
    /// The traces that began here.
    Traces,
}

/// Reads a statement if its first words are known here; else the cursor has not moved.
pub fn read(cursor: &mut Cursor<'_>) -> Result<Option<Utility>, SqlError> {
    if let Some(utility) = transaction(cursor)? {
        return Ok(Some(utility));
    }
    if let Some(utility) = setting(cursor)? {
        return Ok(Some(utility));
    }
    if cursor.word("EXPLAIN") {
        return explain::read(cursor).map(Some);
    }
    if cursor.word("PREPARE") {
        return prepare(cursor).map(Some);
    }
    if cursor.word("EXECUTE") {
        let name = cursor.name()?;
        let mut arguments = Vec::new();
        if cursor.token(&Token::LParen) {
            arguments = cursor.expressions()?;
            cursor.expect(&Token::RParen)?;
        }
        return Ok(Some(Utility::Execute(name, arguments)));
    }
    if cursor.word("DEALLOCATE") {
        cursor.word("PREPARE");
        let name = if cursor.word("ALL") { None } else { Some(cursor.name()?) };
        return Ok(Some(Utility::Deallocate(name)));
    }
    if let Some(check) = super::check::read(cursor)? {
        return Ok(Some(Utility::Check(check)));
    }
    if let Some(utility) = ranges(cursor)? {
        return Ok(Some(utility));
    }
    nothing(cursor)
}

fn transaction(cursor: &mut Cursor<'_>) -> Result<Option<Utility>, SqlError> {
    let utility = if cursor.word("BEGIN") {
        cursor.one_of(&["WORK", "TRANSACTION"]);
        Utility::Begin(modes(cursor)?, BeginTag::Begin)
    } else if cursor.words(&["START", "TRANSACTION"]) {
        Utility::Begin(modes(cursor)?, BeginTag::StartTransaction)
    } else if cursor.one_of(&["COMMIT", "END"]).is_some() {
        if cursor.word("PREPARED") {
            return Err(SqlError::unsupported("COMMIT PREPARED"));
        }
        cursor.one_of(&["WORK", "TRANSACTION"]);
        Utility::Commit(chain(cursor)?)
    } else if cursor.one_of(&["ROLLBACK", "ABORT"]).is_some() {
        if cursor.word("PREPARED") {
            return Err(SqlError::unsupported("ROLLBACK PREPARED"));
        }
        cursor.one_of(&["WORK", "TRANSACTION"]);
        if cursor.word("TO") {
            cursor.word("SAVEPOINT");
            Utility::RollbackTo(cursor.name()?)
        } else {
            Utility::Rollback(chain(cursor)?)
        }
    } else if cursor.word("SAVEPOINT") {
        Utility::Savepoint(cursor.name()?)
    } else if cursor.word("RELEASE") {
        cursor.word("SAVEPOINT");
        Utility::Release(cursor.name()?)
    } else if cursor.words(&["PREPARE", "TRANSACTION"]) {
        return Err(SqlError::unsupported("PREPARE TRANSACTION"));
    } else {
        return Ok(None);
    };
    Ok(Some(utility))
}

fn chain(cursor: &mut Cursor<'_>) -> Result<Chain, SqlError> {
    if !cursor.word("AND") {
        return Ok(Chain::No);
    }
    let chain = if cursor.word("NO") { Chain::No } else { Chain::Yes };
    cursor.expect_words(&["CHAIN"])?;
    Ok(chain)
}

fn modes(cursor: &mut Cursor<'_>) -> Result<TransactionModes, SqlError> {
    let mut modes = Vec::new();
    while !cursor.at_end() {
        if cursor.words(&["ISOLATION", "LEVEL"]) {
            modes.push(Mode::Isolation(isolation(cursor)?));
        } else if cursor.words(&["READ", "ONLY"]) {
            modes.push(Mode::ReadOnly);
        } else if cursor.words(&["READ", "WRITE"]) {
            modes.push(Mode::ReadWrite);
        } else if cursor.words(&["NOT", "DEFERRABLE"]) || cursor.word("DEFERRABLE") {
            modes.push(Mode::Deferrable);
        } else if cursor.words(&["AS", "OF", "SYSTEM", "TIME"]) {
            modes.push(Mode::AsOf(as_of(cursor)?));
        } else {
            return Err(cursor.unexpected());
        }
        cursor.token(&Token::Comma);
    }
    Ok(TransactionModes { modes })
}

/// One expression up to the end or a comma.
pub(super) fn as_of(cursor: &mut Cursor<'_>) -> Result<AsOf, SqlError> {
    let mut expressions = cursor.expressions()?;
    match expressions.pop() {
        Some(at) if expressions.is_empty() => Ok(AsOf { at: Box::new(at) }),
        _ => Err(cursor.unexpected()),
    }
}

fn isolation(cursor: &mut Cursor<'_>) -> Result<IsolationName, SqlError> {
    if cursor.word("SERIALIZABLE") {
        Ok(IsolationName::Serializable)
    } else if cursor.words(&["REPEATABLE", "READ"]) {
        Ok(IsolationName::RepeatableRead)
    } else if cursor.words(&["READ", "COMMITTED"]) {
        Ok(IsolationName::ReadCommitted)
    } else if cursor.words(&["READ", "UNCOMMITTED"]) {
        Ok(IsolationName::ReadUncommitted)
    } else {
        Err(cursor.unexpected())
    }
}

fn setting(cursor: &mut Cursor<'_>) -> Result<Option<Utility>, SqlError> {
    if cursor.word("SET") {
        return set(cursor).map(Some);
    }
    if cursor.word("RESET") {
        return Ok(Some(Utility::Reset(if cursor.word("ALL") {
            ResetTarget::All
        } else if cursor.word("ROLE") || cursor.words(&["SESSION", "AUTHORIZATION"]) {
            return Err(SqlError::unsupported("RESET ROLE or SESSION AUTHORIZATION"));
        } else if cursor.words(&["TIME", "ZONE"]) {
            ResetTarget::Name("timezone".to_owned())
        } else if cursor.words(&["TRANSACTION", "ISOLATION", "LEVEL"]) {
            ResetTarget::Name("transaction_isolation".to_owned())
        } else {
            ResetTarget::Name(setting_name(cursor)?)
        })));
    }
    if cursor.word("SHOW") {
        return show(cursor).map(|show| Some(Utility::Show(show)));
    }
    if cursor.word("DISCARD") {
        let what = ["ALL", "PLANS", "SEQUENCES", "TEMP", "TEMPORARY"];
        let found = cursor.one_of(&what).ok_or_else(|| cursor.unexpected())?;
        return Ok(Some(Utility::Discard(what[found].to_owned())));
    }
    Ok(None)
}

fn set(cursor: &mut Cursor<'_>) -> Result<Utility, SqlError> {
    if cursor.words(&["SESSION", "CHARACTERISTICS", "AS", "TRANSACTION"]) {
        return modes(cursor).map(Utility::SetCharacteristics);
    }
    let scope = match cursor.one_of(&["SESSION", "LOCAL"]) {
        Some(1) => SetScope::Local,
        _ => SetScope::Session,
    };
    if cursor.word("TRANSACTION") {
        if cursor.word("SNAPSHOT") {
            return Err(SqlError::unsupported("SET TRANSACTION SNAPSHOT"));
        }
        return modes(cursor).map(Utility::SetTransaction);
    }
    if cursor.words(&["TIME", "ZONE"]) {
        let value = if cursor.word("LOCAL") { SetValue::Default } else { set_value(cursor)? };
        return Ok(Utility::Set(scope, "timezone".to_owned(), value));
    }
    if cursor.word("NAMES") {
        let value = if cursor.at_end() { SetValue::Default } else { set_value(cursor)? };
        return Ok(Utility::Set(scope, "client_encoding".to_owned(), value));
    }
    if cursor.one_of(&["ROLE", "AUTHORIZATION", "CONSTRAINTS"]).is_some() {
        return Err(SqlError::unsupported("SET ROLE, SESSION AUTHORIZATION or CONSTRAINTS"));
    }
    let name = setting_name(cursor)?;
    if !cursor.token(&Token::Eq) && !cursor.word("TO") {
        return Err(cursor.unexpected());
    }
    Ok(Utility::Set(scope, name, set_value(cursor)?))
}

fn setting_name(cursor: &mut Cursor<'_>) -> Result<String, SqlError> {
    Ok(cursor.dotted_name()?.join(".").to_lowercase())
}

fn set_value(cursor: &mut Cursor<'_>) -> Result<SetValue, SqlError> {
    if cursor.word("DEFAULT") {
        return Ok(SetValue::Default);
    }
    let mut values = Vec::new();
    loop {
        let sign = if cursor.token(&Token::Minus) { "-" } else { "" };
        cursor.token(&Token::Plus);
        values.push(match cursor.peek() {
            Some(Token::Number(digits, _)) => {
                cursor.take();
                format!("{sign}{digits}")
            }
            Some(Token::Word(word)) if sign.is_empty() => {
                cursor.take();
                word.value.clone()
            }
            _ if sign.is_empty() => cursor.text()?,
            _ => return Err(cursor.unexpected()),
        });
        if !cursor.token(&Token::Comma) {
            return Ok(SetValue::Text(values.join(", ")));
        }
    }
}

fn show(cursor: &mut Cursor<'_>) -> Result<Show, SqlError> {
    let from_table = |cursor: &mut Cursor<'_>| {
        cursor.expect_words(&["FROM"])?;
        cursor.word("TABLE");
        cursor.dotted_name()
    };
    if let Some(knobs) = knobs::show(cursor)? {
        return Ok(Show::Knobs(knobs));
    }
    Ok(if cursor.word("ALL") {
        Show::All
    } else if cursor.word("RANGES") {
        Show::Ranges(if cursor.at_end() { None } else { Some(from_table(cursor)?) })
    } else if cursor.word("REGIONS") {
        Show::Regions
    } else if cursor.word("NODES") {
        Show::Nodes
    } else if cursor.word("CLOCKS") {
        Show::Clocks
    } else if cursor.word("TABLES") {
        Show::Tables
    } else if cursor.word("COLUMNS") {
        Show::Columns(from_table(cursor)?)
    } else if cursor.word("INDEXES") {
        Show::Indexes(from_table(cursor)?)
    } else if cursor.word("CONSTRAINTS") {
        Show::Constraints(from_table(cursor)?)
    } else if cursor.word("LOCKS") {
        Show::Locks
    } else if cursor.word("SESSIONS") {
        Show::Sessions
    } else if cursor.words(&["COMMIT", "TIMESTAMP"]) {
        Show::CommitTimestamp
    } else if cursor.words(&["READ", "TIMESTAMP"]) {
        Show::ReadTimestamp
    } else if cursor.words(&["COMMIT", "STATS"]) {
        Show::CommitStats
    } else if cursor.word("CHECKSUMS") {
        let table = from_table(cursor)?;
        let past = cursor.words(&["AS", "OF", "SYSTEM", "TIME"]);
        Show::Checksums(table, if past { Some(as_of(cursor)?) } else { None })
    } else if let Some(trace) = super::trace::read(cursor)? {
        trace
    } else if cursor.words(&["TRANSACTION", "ISOLATION", "LEVEL"]) {
        Show::Setting("transaction_isolation".to_owned())
    } else if cursor.words(&["TIME", "ZONE"]) {
        Show::Setting("timezone".to_owned())
    } else if cursor.words(&["SESSION", "AUTHORIZATION"]) {
        Show::Setting("session_authorization".to_owned())
    } else {
        Show::Setting(setting_name(cursor)?)
    })
}

fn prepare(cursor: &mut Cursor<'_>) -> Result<Utility, SqlError> {
    let name = cursor.name()?;
    let mut types = Vec::new();
    if cursor.token(&Token::LParen) {
        loop {
            types.push(data_type(cursor)?);
            if cursor.token(&Token::RParen) {
                break;
            }
            cursor.expect(&Token::Comma)?;
        }
    }
    cursor.expect_words(&["AS"])?;
    // What ran another by its name could come to run itself.
    if cursor.clone().word("EXECUTE") {
        return Err(cursor.unexpected());
    }
    let source = cursor.source();
    let tokens = cursor.rest();
    if tokens.is_empty() {
        return Err(cursor.unexpected());
    }
    Ok(Utility::Prepare(name, types, Box::new(nested(source, tokens)?)))
}

/// A type up to a comma or closing bracket at its level.
fn data_type(cursor: &mut Cursor<'_>) -> Result<Type, SqlError> {
    let mut probe = cursor.clone();
    let (mut depth, mut length) = (0_usize, 0);
    while let Some(token) = probe.take() {
        match token {
            Token::LParen => depth += 1,
            Token::RParen | Token::Comma if depth == 0 => break,
            Token::RParen => depth -= 1,
            _ => {}
        }
        length += 1;
    }
    let tokens = cursor.clone().rest()[..length].to_vec();
    for _ in 0..length {
        cursor.take();
    }
    let read = with_parser(cursor.source(), tokens, |parser| parser.parse_data_type())?;
    crate::types::from_ast(&read)
}

/// `ALTER TABLE .. SPLIT AT`, `.. TRANSFER LEADER`, `ALTER RANGE`.
fn ranges(cursor: &mut Cursor<'_>) -> Result<Option<Utility>, SqlError> {
    if cursor.words(&["ALTER", "RANGE"]) {
        let range = cursor.number()?;
        cursor.expect_words(&["TRANSFER", "LEADER", "TO", "NODE"])?;
        return Ok(Some(Utility::TransferRange(range, cursor.number()?)));
    }
    let mut ahead = cursor.clone();
    if !ahead.words(&["ALTER", "TABLE"]) {
        return Ok(None);
    }
    let Ok(table) = ahead.dotted_name() else { return Ok(None) };
    if ahead.words(&["SPLIT", "AT", "VALUES"]) {
        let mut rows = Vec::new();
        loop {
            ahead.expect(&Token::LParen)?;
            rows.push(ahead.expressions()?);
            ahead.expect(&Token::RParen)?;
            if !ahead.token(&Token::Comma) {
                break;
            }
        }
        *cursor = ahead;
        return Ok(Some(Utility::SplitTable(table, rows)));
    }
    if ahead.words(&["TRANSFER", "LEADER", "TO", "REGION"]) {
        let region = if let Ok(region) = ahead.text() { region } else { ahead.name()? };
        *cursor = ahead;
        return Ok(Some(Utility::TransferTable(table, region)));
    }
    Ok(None)
}

/// What is accepted and does nothing: there is no storage to clean by hand, no statistics, no
/// channel to listen to. And `CLOSE`, which has only the protocol's portals to close.
fn nothing(cursor: &mut Cursor<'_>) -> Result<Option<Utility>, SqlError> {
    let tags = [("VACUUM", "VACUUM"), ("ANALYZE", "ANALYZE"), ("CHECKPOINT", "CHECKPOINT")];
    for (word, tag) in tags {
        if cursor.word(word) {
            cursor.rest();
            return Ok(Some(Utility::Nothing(tag)));
        }
    }
    if cursor.word("CLOSE") {
        let name = if cursor.word("ALL") { None } else { Some(cursor.name()?) };
        return Ok(Some(Utility::Close(name)));
    }
    if cursor.word("UNLISTEN") {
        cursor.rest();
        return Ok(Some(Utility::Nothing("UNLISTEN")));
    }
    Ok(None)
}
