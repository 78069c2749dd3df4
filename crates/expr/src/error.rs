//! Errors as a PostgreSQL client sees them: a SQLSTATE, a message, and what may help.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The five characters by which programs tell errors apart.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SqlState([u8; 5]);

macro_rules! sqlstates {
    ($($(#[$doc:meta])* $name:ident = $code:literal;)*) => {
        impl SqlState {
            $($(#[$doc])* pub const $name: SqlState = SqlState::new($code);)*
        }
    };
}

sqlstates! {
    /// All went well.
    SUCCESSFUL_COMPLETION = "00000";
    /// A warning.
    WARNING = "01000";
    /// The connection failed.
    CONNECTION_FAILURE = "08006";
    /// The client broke the wire protocol.
    PROTOCOL_VIOLATION = "08P01";
    /// Not built.
    FEATURE_NOT_SUPPORTED = "0A000";
    /// More than one row from a scalar subquery; a row changed twice by one command.
    CARDINALITY_VIOLATION = "21000";
    /// A text longer than its type allows.
    STRING_DATA_RIGHT_TRUNCATION = "22001";
    /// A number outside its type.
    NUMERIC_VALUE_OUT_OF_RANGE = "22003";
    /// A date or time that cannot be read.
    INVALID_DATETIME_FORMAT = "22007";
    /// A date or time outside its type.
    DATETIME_FIELD_OVERFLOW = "22008";
    /// An unknown time zone offset.
    INVALID_TIME_ZONE_DISPLACEMENT_VALUE = "22009";
    /// A substring of negative length.
    SUBSTRING_ERROR = "22011";
    /// Division by zero.
    DIVISION_BY_ZERO = "22012";
    /// An interval outside its type.
    INTERVAL_FIELD_OVERFLOW = "22015";
    /// A logarithm of zero or less.
    INVALID_ARGUMENT_FOR_LOG = "2201E";
    /// A power that has no real value.
    INVALID_ARGUMENT_FOR_POWER_FUNCTION = "2201F";
    /// A negative LIMIT.
    INVALID_ROW_COUNT_IN_LIMIT_CLAUSE = "2201W";
    /// A negative OFFSET.
    INVALID_ROW_COUNT_IN_RESULT_OFFSET_CLAUSE = "2201X";
    /// A regular expression that cannot be read.
    INVALID_REGULAR_EXPRESSION = "2201B";
    /// A byte that is not of the client's encoding.
    CHARACTER_NOT_IN_REPERTOIRE = "22021";
    /// An argument that makes no sense.
    INVALID_PARAMETER_VALUE = "22023";
    /// A LIKE pattern that ends in its escape character.
    INVALID_ESCAPE_SEQUENCE = "22025";
    /// An array that cannot be indexed so.
    ARRAY_SUBSCRIPT_ERROR = "2202E";
    /// A pattern that uses its escape character too often.
    INVALID_USE_OF_ESCAPE_CHARACTER = "2200C";
    /// An ESCAPE that is not one character.
    INVALID_ESCAPE_CHARACTER = "22019";
    /// A text that is no value of the type.
    INVALID_TEXT_REPRESENTATION = "22P02";
    /// Bytes that are no value of the type.
    INVALID_BINARY_REPRESENTATION = "22P03";
    /// A character that the encoding has not.
    UNTRANSLATABLE_CHARACTER = "22P05";
    /// NULL where the column forbids it.
    NOT_NULL_VIOLATION = "23502";
    /// A null where there must be a value.
    NULL_VALUE_NOT_ALLOWED = "22004";
    /// A key that another table refers to, or that is missing there.
    FOREIGN_KEY_VIOLATION = "23503";
    /// A key that is there already.
    UNIQUE_VIOLATION = "23505";
    /// A row that a CHECK forbids.
    CHECK_VIOLATION = "23514";
    /// A command that this transaction cannot run now.
    ACTIVE_SQL_TRANSACTION = "25001";
    /// A write in a read-only transaction.
    READ_ONLY_SQL_TRANSACTION = "25006";
    /// A command that needs a transaction.
    NO_ACTIVE_SQL_TRANSACTION = "25P01";
    /// A command in a transaction that failed.
    IN_FAILED_SQL_TRANSACTION = "25P02";
    /// The session sat idle inside a transaction for too long.
    IDLE_IN_TRANSACTION_SESSION_TIMEOUT = "25P03";
    /// An unknown prepared statement.
    INVALID_SQL_STATEMENT_NAME = "26000";
    /// Who the client claims to be is not believed.
    INVALID_AUTHORIZATION_SPECIFICATION = "28000";
    /// An object that others depend on.
    DEPENDENT_OBJECTS_STILL_EXIST = "2BP01";
    /// A cursor in the wrong state for what is asked of it.
    INVALID_CURSOR_STATE = "24000";
    /// An unknown cursor or portal.
    INVALID_CURSOR_NAME = "34000";
    /// An unknown savepoint.
    INVALID_SAVEPOINT_SPECIFICATION = "3B001";
    /// An unknown database.
    INVALID_CATALOG_NAME = "3D000";
    /// An unknown schema.
    INVALID_SCHEMA_NAME = "3F000";
    /// The transaction had to give way: run it again from its start.
    SERIALIZATION_FAILURE = "40001";
    /// Whether the commit happened is unknown: neither retry nor forget.
    STATEMENT_COMPLETION_UNKNOWN = "40003";
    /// Two transactions waited for each other.
    DEADLOCK_DETECTED = "40P01";
    /// A statement that cannot be read.
    SYNTAX_ERROR = "42601";
    /// Without the right to do that.
    INSUFFICIENT_PRIVILEGE = "42501";
    /// A cast that does not exist.
    CANNOT_COERCE = "42846";
    /// A column outside GROUP BY; an aggregate where none may be.
    GROUPING_ERROR = "42803";
    /// Types that do not fit.
    DATATYPE_MISMATCH = "42804";
    /// An object of the wrong kind.
    WRONG_OBJECT_TYPE = "42809";
    /// An unknown column.
    UNDEFINED_COLUMN = "42703";
    /// An unknown function or operator.
    UNDEFINED_FUNCTION = "42883";
    /// An unknown table.
    UNDEFINED_TABLE = "42P01";
    /// An unknown parameter.
    UNDEFINED_PARAMETER = "42P02";
    /// An unknown object of another kind: type, index, setting.
    UNDEFINED_OBJECT = "42704";
    /// A column named twice.
    DUPLICATE_COLUMN = "42701";
    /// A database that is there already.
    DUPLICATE_DATABASE = "42P04";
    /// A prepared statement that is there already.
    DUPLICATE_PREPARED_STATEMENT = "42P05";
    /// A cursor or portal that is there already.
    DUPLICATE_CURSOR = "42P03";
    /// A schema that is there already.
    DUPLICATE_SCHEMA = "42P06";
    /// A table that is there already.
    DUPLICATE_TABLE = "42P07";
    /// A table named twice in one FROM.
    DUPLICATE_ALIAS = "42712";
    /// Another object that is there already.
    DUPLICATE_OBJECT = "42710";
    /// A column name that fits several tables.
    AMBIGUOUS_COLUMN = "42702";
    /// A call that fits several functions.
    AMBIGUOUS_FUNCTION = "42725";
    /// A parameter used as two types.
    AMBIGUOUS_PARAMETER = "42P08";
    /// A reference that no unique key matches.
    INVALID_COLUMN_REFERENCE = "42P10";
    /// A table that cannot be made so.
    INVALID_TABLE_DEFINITION = "42P16";
    /// An object that cannot be made so.
    INVALID_OBJECT_DEFINITION = "42P17";
    /// A parameter whose type nothing tells.
    INDETERMINATE_DATATYPE = "42P18";
    /// A name that cannot be.
    INVALID_NAME = "42602";
    /// A name that is too long.
    NAME_TOO_LONG = "42622";
    /// A name that the system keeps for itself.
    RESERVED_NAME = "42939";
    /// Something ran out.
    INSUFFICIENT_RESOURCES = "53000";
    /// The disk is full.
    DISK_FULL = "53100";
    /// A statement needs more memory than it may have.
    OUT_OF_MEMORY = "53200";
    /// The node serves as many sessions as it may.
    TOO_MANY_CONNECTIONS = "53300";
    /// Beyond a limit of this program.
    PROGRAM_LIMIT_EXCEEDED = "54000";
    /// A statement too deep or too large.
    STATEMENT_TOO_COMPLEX = "54001";
    /// Too many columns.
    TOO_MANY_COLUMNS = "54011";
    /// Too many arguments.
    TOO_MANY_ARGUMENTS = "54023";
    /// The object is not in the state that takes.
    OBJECT_NOT_IN_PREREQUISITE_STATE = "55000";
    /// Somebody uses the object.
    OBJECT_IN_USE = "55006";
    /// A setting that cannot be changed now.
    CANT_CHANGE_RUNTIME_PARAM = "55P02";
    /// A lock that NOWAIT or a timeout did not get.
    LOCK_NOT_AVAILABLE = "55P03";
    /// The client, or a timeout, cancelled the statement.
    QUERY_CANCELED = "57014";
    /// A range has no quorum, or a node does not answer. Meridian's own: see
    /// `docs/decisions/0011-a-code-for-what-is-unavailable.md`.
    RANGE_UNAVAILABLE = "57M01";
    /// The node goes down.
    ADMIN_SHUTDOWN = "57P01";
    /// The client was idle for too long.
    IDLE_SESSION_TIMEOUT = "57P05";
    /// The node does not serve.
    CANNOT_CONNECT_NOW = "57P03";
    /// The disk or the operating system failed.
    IO_ERROR = "58030";
    /// The snapshot asked for is gone.
    SNAPSHOT_TOO_OLD = "72000";
    /// Our bug.
    INTERNAL_ERROR = "XX000";
    /// Stored data is damaged.
    DATA_CORRUPTED = "XX001";
}

impl SqlState {
    /// The state with this code.
    ///
    /// # Panics
    /// If it has not five characters.
    #[must_use]
    pub const fn new(code: &str) -> SqlState {
        let bytes = code.as_bytes();
        assert!(bytes.len() == 5, "a SQLSTATE has five characters");
        SqlState([bytes[0], bytes[1], bytes[2], bytes[3], bytes[4]])
    }

    /// The five characters.
    #[must_use]
    pub fn code(&self) -> &str {
        std::str::from_utf8(&self.0).expect("made from a string of five bytes")
    }
}

impl fmt::Display for SqlState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl fmt::Debug for SqlState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// The objects an error is about, for programs: PostgreSQL's fields of the same names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorObjects {
    /// Schema of the table; `None`: not told.
    pub schema: Option<String>,
    /// Table; `None`: not told.
    pub table: Option<String>,
    /// Column; `None`: not about one column.
    pub column: Option<String>,
    /// Data type; `None`: not about one type.
    pub data_type: Option<String>,
    /// Constraint; `None`: not about one constraint.
    pub constraint: Option<String>,
}

/// An error as the client gets it. The caller's fault, a conflict, or a failing environment; a bug
/// of ours is a panic, unless it can be told before anything is harmed
/// ([`SqlState::INTERNAL_ERROR`]).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct SqlError {
    /// The kind of error, for programs.
    pub sqlstate: SqlState,
    /// One line for people, without a full stop, starting in lower case.
    pub message: String,
    /// More about this case; `None`: the message says it all.
    pub detail: Option<String>,
    /// What to do about it; `None`: nothing in particular.
    pub hint: Option<String>,
    /// Where in the statement's text: the byte offset, 0 for the first. `None`: nowhere in
    /// particular.
    pub position: Option<usize>,
    /// The objects concerned; `None`: none in particular.
    pub objects: Option<Box<ErrorObjects>>,
}

/// What most of this crate returns.
pub type Result<T, E = SqlError> = std::result::Result<T, E>;

impl SqlError {
    /// An error with a message only.
    #[must_use]
    pub fn new(sqlstate: SqlState, message: impl Into<String>) -> SqlError {
        SqlError {
            sqlstate,
            message: message.into(),
            detail: None,
            hint: None,
            position: None,
            objects: None,
        }
    }

    /// The error with a detail.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> SqlError {
        self.detail = Some(detail.into());
        self
    }

    /// The error with a hint.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> SqlError {
        self.hint = Some(hint.into());
        self
    }

    /// The error at a byte offset of the statement's text. One that has a place already keeps it.
    #[must_use]
    pub fn at(mut self, position: usize) -> SqlError {
        self.position.get_or_insert(position);
        self
    }

    /// The error with the objects it is about.
    #[must_use]
    pub fn with_objects(mut self, objects: ErrorObjects) -> SqlError {
        self.objects = Some(Box::new(objects));
        self
    }

    /// Whether the client should run the whole transaction again.
    #[must_use]
    pub fn is_retriable(&self) -> bool {
        matches!(self.sqlstate, SqlState::SERIALIZATION_FAILURE | SqlState::DEADLOCK_DETECTED)
    }

    /// Something that is not built: `0A000`.
    #[must_use]
    pub fn unsupported(what: impl fmt::Display) -> SqlError {
        SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, format!("{what} is not supported"))
    }

    /// Several things that are not built, named in the plural: `0A000`.
    #[must_use]
    pub fn unsupported_all(what: impl fmt::Display) -> SqlError {
        SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, format!("{what} are not supported"))
    }

    /// A statement that cannot be read: `42601`.
    #[must_use]
    pub fn syntax(message: impl Into<String>) -> SqlError {
        SqlError::new(SqlState::SYNTAX_ERROR, message)
    }

    /// Types that do not fit: `42804`.
    #[must_use]
    pub fn type_mismatch(message: impl Into<String>) -> SqlError {
        SqlError::new(SqlState::DATATYPE_MISMATCH, message)
    }

    /// An argument that makes no sense: `22023`.
    #[must_use]
    pub fn invalid_parameter(message: impl Into<String>) -> SqlError {
        SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message)
    }

    /// A text that is no value of a type: `22P02`, worded as PostgreSQL does.
    #[must_use]
    pub fn invalid_input(type_name: impl fmt::Display, text: &str) -> SqlError {
        SqlError::new(
            SqlState::INVALID_TEXT_REPRESENTATION,
            format!("invalid input syntax for type {type_name}: \"{text}\""),
        )
    }

    /// A value outside its type: `22003`, `integer out of range`.
    #[must_use]
    pub fn out_of_range(type_name: impl fmt::Display) -> SqlError {
        SqlError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, format!("{type_name} out of range"))
    }

    /// A date, timestamp or interval outside its type: `22008`.
    #[must_use]
    pub fn datetime_out_of_range(type_name: impl fmt::Display) -> SqlError {
        SqlError::new(SqlState::DATETIME_FIELD_OVERFLOW, format!("{type_name} out of range"))
    }

    /// `22012`.
    #[must_use]
    pub fn division_by_zero() -> SqlError {
        SqlError::new(SqlState::DIVISION_BY_ZERO, "division by zero")
    }

    /// Stored or received bytes that cannot be decoded: `XX001`.
    #[must_use]
    pub fn corrupted(what: impl fmt::Display) -> SqlError {
        SqlError::new(SqlState::DATA_CORRUPTED, format!("cannot decode {what}"))
    }

    /// Our bug, told before anything is harmed: `XX000`.
    #[must_use]
    pub fn internal(message: impl Into<String>) -> SqlError {
        SqlError::new(SqlState::INTERNAL_ERROR, message)
    }

    /// The error as bytes, for interfaces that know no SQL.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        postcard::to_stdvec(self).expect("an error always serializes")
    }

    /// The error behind the bytes of [`SqlError::encode`]. Bytes that are none become an internal
    /// error with this message.
    #[must_use]
    pub fn decode(encoded: &[u8], message: &str) -> SqlError {
        postcard::from_bytes(encoded).unwrap_or_else(|_| SqlError::internal(message))
    }
}
