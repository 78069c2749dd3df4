//! What clients send, decoded from bytes that nobody has checked.
//!
//! A message is a type byte, a length and a body. [`Kind`] judges the first two as soon as they
//! arrive; [`Message::decode`] reads a body whose length was kept to. Nothing here trusts a count or
//! a length within a body: each is held against what is left, and nothing is reserved ahead of it.
//!
//! A body that is not what its type promises is the statement's error (`08P01`, `22021` for text
//! that is not UTF-8), since the frame around it is whole and the conversation can go on. A type that
//! does not exist, or a length that cannot be, means that both sides have lost each other: the
//! connection ends.

#[cfg(test)]
mod tests;

use expr::SqlError;

use crate::errors::protocol_violation;

/// The longest body of a message that carries a text or values. Longer ones are skipped: `54000`.
pub const MAX_BODY: usize = 16 << 20;
/// The longest length that a client in its right mind announces (PostgreSQL's own limit).
const MAX_ANNOUNCED: usize = (1 << 30) - 1;
/// The longest body of a message that carries a name at most (PostgreSQL's own limit).
const MAX_SMALL_BODY: usize = 10_000;

/// The type of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A text of statements.
    Query,
    /// A statement to prepare.
    Parse,
    /// Values for one.
    Bind,
    /// What does it look like?
    Describe,
    /// Run it.
    Execute,
    /// Forget it.
    Close,
    /// Send what you have.
    Flush,
    /// The end of a pipeline.
    Sync,
    /// The old way to call a function; not supported.
    Call,
    /// Part of a COPY.
    Copy,
    /// Goodbye.
    Terminate,
}

/// What becomes of a message, told by its first five bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Its body, of so many bytes, is taken in.
    Take(usize),
    /// Its body, of so many bytes, is skipped and refused.
    Skip(usize),
    /// The length cannot be.
    Broken,
}

impl Kind {
    /// The type with this byte.
    pub fn from_byte(byte: u8) -> Option<Kind> {
        Some(match byte {
            b'Q' => Kind::Query,
            b'P' => Kind::Parse,
            b'B' => Kind::Bind,
            b'D' => Kind::Describe,
            b'E' => Kind::Execute,
            b'C' => Kind::Close,
            b'H' => Kind::Flush,
            b'S' => Kind::Sync,
            b'F' => Kind::Call,
            b'd' | b'c' | b'f' => Kind::Copy,
            b'X' => Kind::Terminate,
            _ => return None,
        })
    }

    /// Whether it is heard while everything up to Sync is skipped. Nothing else is, also no simple
    /// query: what a client sent behind an error counts on what failed.
    pub fn ends_skipping(self) -> bool {
        match self {
            Kind::Sync | Kind::Terminate => true,
            Kind::Parse | Kind::Bind | Kind::Describe | Kind::Execute | Kind::Close => false,
            Kind::Flush | Kind::Query | Kind::Call | Kind::Copy => false,
        }
    }

    /// Judges a length, which counts its own four bytes.
    pub fn judge(self, length: i32) -> Verdict {
        let Some(body) = usize::try_from(length).ok().and_then(|length| length.checked_sub(4))
        else {
            return Verdict::Broken;
        };
        match self {
            Kind::Query | Kind::Parse | Kind::Bind | Kind::Call | Kind::Copy => match body {
                0..=MAX_BODY => Verdict::Take(body),
                _ if body <= MAX_ANNOUNCED => Verdict::Skip(body),
                _ => Verdict::Broken,
            },
            Kind::Describe
            | Kind::Execute
            | Kind::Close
            | Kind::Flush
            | Kind::Sync
            | Kind::Terminate => match body {
                0..=MAX_SMALL_BODY => Verdict::Take(body),
                _ => Verdict::Broken,
            },
        }
    }
}

/// What Describe and Close are about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A prepared statement.
    Statement(String),
    /// A portal.
    Portal(String),
}

/// A statement to prepare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parse {
    /// Its name; empty: the unnamed one.
    pub name: String,
    /// Its text.
    pub text: String,
    /// OIDs of its parameters' types, as far as given; zero leaves one open.
    pub types: Vec<u32>,
}

/// Values for a prepared statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bind {
    /// The name of the portal they make; empty: the unnamed one.
    pub portal: String,
    /// The name of the statement.
    pub statement: String,
    /// Format codes of the values.
    pub formats: Vec<i16>,
    /// The values; `None` is NULL.
    pub values: Vec<Option<Vec<u8>>>,
    /// Format codes of the columns of the result.
    pub result_formats: Vec<i16>,
}

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// A text of statements.
    Query(String),
    /// A statement to prepare.
    Parse(Parse),
    /// Values for one.
    Bind(Bind),
    /// What does it look like?
    Describe(Target),
    /// Run it: at most so many rows, all if that is not positive.
    Execute(String, i32),
    /// Forget it.
    Close(Target),
    /// Send what you have.
    Flush,
    /// The end of a pipeline.
    Sync,
    /// Call a function.
    Call,
    /// Part of a COPY: what is left of one that was refused. It is skipped, as PostgreSQL does.
    Copy,
    /// Goodbye.
    Terminate,
}

impl Message {
    /// Reads the body of a message of this type.
    ///
    /// # Errors
    /// `08P01` if it is cut short, too long or not what it should be; `22021` for text that is not
    /// UTF-8.
    pub fn decode(kind: Kind, body: Vec<u8>) -> Result<Message, SqlError> {
        let mut rest = Body(&body);
        let message = match kind {
            Kind::Query => return Ok(Message::Query(only_text(body)?)),
            Kind::Parse => Message::Parse(rest.parse()?),
            Kind::Bind => Message::Bind(rest.bind()?),
            Kind::Describe => Message::Describe(rest.target("DESCRIBE")?),
            Kind::Execute => Message::Execute(rest.text()?, rest.i32()?),
            Kind::Close => Message::Close(rest.target("CLOSE")?),
            Kind::Flush => Message::Flush,
            Kind::Sync => Message::Sync,
            // What they carry is never looked at.
            Kind::Call => return Ok(Message::Call),
            Kind::Copy => return Ok(Message::Copy),
            Kind::Terminate => return Ok(Message::Terminate),
        };
        rest.end()?;
        Ok(message)
    }
}

/// The one text that makes a whole body; it may be long, so it is not copied.
fn only_text(mut body: Vec<u8>) -> Result<String, SqlError> {
    match body.iter().position(|byte| *byte == 0) {
        None => return Err(protocol_violation("invalid string in message")),
        Some(end) if end + 1 == body.len() => body.truncate(end),
        Some(_) => return Err(protocol_violation("invalid message format")),
    }
    String::from_utf8(body).map_err(|error| utf8(error.as_bytes()).expect_err("it is no text"))
}

/// The rest of a body.
#[derive(Clone, Copy, Debug)]
pub struct Body<'a>(pub &'a [u8]);

impl<'a> Body<'a> {
    fn parse(&mut self) -> Result<Parse, SqlError> {
        Ok(Parse { name: self.text()?, text: self.text()?, types: self.list(|body| body.u32())? })
    }

    fn bind(&mut self) -> Result<Bind, SqlError> {
        Ok(Bind {
            portal: self.text()?,
            statement: self.text()?,
            formats: self.list(|body| body.i16())?,
            values: self.list(Body::value)?,
            result_formats: self.list(|body| body.i16())?,
        })
    }

    fn target(&mut self, message: &str) -> Result<Target, SqlError> {
        let [kind] = self.array()?;
        match kind {
            b'S' => self.text().map(Target::Statement),
            b'P' => self.text().map(Target::Portal),
            other => Err(protocol_violation(format!("invalid {message} message subtype {other}"))),
        }
    }

    /// So many as a count in front tells.
    fn list<T>(
        &mut self,
        mut read: impl FnMut(&mut Self) -> Result<T, SqlError>,
    ) -> Result<Vec<T>, SqlError> {
        let count = u16::from_be_bytes(self.array()?);
        // Collecting fallible items reserves nothing ahead, so the count need not be believed.
        (0..count).map(|_| read(self)).collect()
    }

    fn value(&mut self) -> Result<Option<Vec<u8>>, SqlError> {
        match self.i32()? {
            -1 => Ok(None),
            length => {
                let length = usize::try_from(length).map_err(|_| too_short())?;
                self.take(length).map(|bytes| Some(bytes.to_vec()))
            }
        }
    }

    /// A text with its closing zero.
    pub fn text(&mut self) -> Result<String, SqlError> {
        let end = self.0.iter().position(|byte| *byte == 0);
        let end = end.ok_or_else(|| protocol_violation("invalid string in message"))?;
        let text = self.take(end)?;
        self.take(1)?;
        utf8(text).map(str::to_owned)
    }

    /// A number of four bytes.
    pub fn i32(&mut self) -> Result<i32, SqlError> {
        self.array().map(i32::from_be_bytes)
    }

    fn u32(&mut self) -> Result<u32, SqlError> {
        self.array().map(u32::from_be_bytes)
    }

    fn i16(&mut self) -> Result<i16, SqlError> {
        self.array().map(i16::from_be_bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], SqlError> {
        let (first, rest) = self.0.split_first_chunk().ok_or_else(too_short)?;
        self.0 = rest;
        Ok(*first)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], SqlError> {
        let (first, rest) = self.0.split_at_checked(length).ok_or_else(too_short)?;
        self.0 = rest;
        Ok(first)
    }

    /// Nothing is left.
    pub fn end(self) -> Result<(), SqlError> {
        if self.0.is_empty() { Ok(()) } else { Err(protocol_violation("invalid message format")) }
    }
}

fn too_short() -> SqlError {
    protocol_violation("insufficient data left in message")
}

/// The bytes as text.
///
/// # Errors
/// `22021` if they are none, or hold a zero.
pub fn utf8(bytes: &[u8]) -> Result<&str, SqlError> {
    expr::wire::utf8(bytes)
}
