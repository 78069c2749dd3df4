//! What the server sends: messages written to a buffer, whole or not at all.

use expr::{SqlError, SqlState};

/// Answers on their way to a client. What is in it are whole messages: one that fails half-way,
/// for a value that cannot be written, is taken out again.
#[derive(Debug, Default)]
pub struct Answers {
    bytes: Vec<u8>,
    /// The end of the last whole message; all there is, unless a panic came in between.
    whole: usize,
}

/// The state of the session, as `ReadyForQuery` tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// No transaction block.
    Idle,
    /// In one.
    InTransaction,
    /// In one that failed.
    Failed,
}

/// A column of a result.
#[derive(Clone, Copy, Debug)]
pub struct Field<'a> {
    /// Its name.
    pub name: &'a str,
    /// OID of its type.
    pub oid: u32,
    /// Length of its type in bytes; negative: it varies.
    pub length: i16,
    /// What its type was declared with, or -1.
    pub typmod: i32,
    /// The format's code: 0 text, 1 binary.
    pub format: i16,
}

impl Answers {
    /// Their number of bytes.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The bytes of whole messages.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.whole]
    }

    /// They were sent.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.whole = 0;
        // A buffer that one large row made large is not kept.
        self.bytes.shrink_to(2 * crate::wire::OUTPUT_BYTES);
    }

    /// Forgets the part of a message whose writing was cut short by a panic.
    pub fn forget_partial(&mut self) {
        self.bytes.truncate(self.whole);
    }

    /// A message whose body may turn out to be impossible to write.
    ///
    /// # Errors
    /// What `write` says, or `54000` if the message gets longer than its length can tell.
    pub fn try_message(
        &mut self,
        kind: u8,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), SqlError>,
    ) -> Result<(), SqlError> {
        self.forget_partial();
        self.bytes.push(kind);
        self.bytes.extend_from_slice(&[0; 4]);
        let written = write(&mut self.bytes);
        let length = i32::try_from(self.bytes.len() - self.whole - 1);
        match (written, length) {
            (Ok(()), Ok(length)) => {
                let at = self.whole + 1;
                self.bytes[at..at + 4].copy_from_slice(&length.to_be_bytes());
                self.whole = self.bytes.len();
                Ok(())
            }
            (Err(error), _) => {
                self.forget_partial();
                Err(error)
            }
            (Ok(()), Err(_)) => {
                self.forget_partial();
                let message = "a row is larger than a message can be";
                Err(SqlError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message))
            }
        }
    }

    fn message(&mut self, kind: u8, write: impl FnOnce(&mut Vec<u8>)) {
        let written = self.try_message(kind, |body| {
            write(body);
            Ok(())
        });
        written.expect("everything but rows is far from the limit of a message");
    }

    fn empty(&mut self, kind: u8) {
        self.message(kind, |_| {});
    }

    /// The client may stay.
    pub fn welcome(&mut self) {
        self.message(b'R', |body| body.extend_from_slice(&0_i32.to_be_bytes()));
    }

    /// The newest version that is spoken here, and the options that are not known.
    pub fn negotiate(&mut self, version: i32, unknown: &[String]) {
        self.message(b'v', |body| {
            body.extend_from_slice(&version.to_be_bytes());
            let count = i32::try_from(unknown.len()).expect("a start-up message is short");
            body.extend_from_slice(&count.to_be_bytes());
            unknown.iter().for_each(|name| text(body, name));
        });
    }

    /// The value of a setting.
    pub fn parameter_status(&mut self, name: &str, value: &str) {
        self.message(b'S', |body| {
            text(body, name);
            text(body, value);
        });
    }

    /// What a cancel request must name.
    pub fn backend_key(&mut self, pid: i32, secret: i32) {
        self.message(b'K', |body| {
            body.extend_from_slice(&pid.to_be_bytes());
            body.extend_from_slice(&secret.to_be_bytes());
        });
    }

    /// The next query may come.
    pub fn ready(&mut self, status: Status) {
        let letter = match status {
            Status::Idle => b'I',
            Status::InTransaction => b'T',
            Status::Failed => b'E',
        };
        self.message(b'Z', |body| body.push(letter));
    }

    /// The columns of a result.
    pub fn row_description<'a>(&mut self, fields: impl ExactSizeIterator<Item = Field<'a>>) {
        self.message(b'T', |body| {
            let count = u16::try_from(fields.len()).expect("a select list is shorter than that");
            body.extend_from_slice(&count.to_be_bytes());
            for field in fields {
                text(body, field.name);
                // Which column of which table it is: of none.
                body.extend_from_slice(&[0; 6]);
                body.extend_from_slice(&field.oid.to_be_bytes());
                body.extend_from_slice(&field.length.to_be_bytes());
                body.extend_from_slice(&field.typmod.to_be_bytes());
                body.extend_from_slice(&field.format.to_be_bytes());
            }
        });
    }

    /// Types of a statement's parameters.
    pub fn parameter_description(&mut self, oids: impl ExactSizeIterator<Item = u32>) {
        self.message(b't', |body| {
            let count = u16::try_from(oids.len()).expect("parameters are fewer");
            body.extend_from_slice(&count.to_be_bytes());
            oids.for_each(|oid| body.extend_from_slice(&oid.to_be_bytes()));
        });
    }

    /// A statement is done.
    pub fn command_complete(&mut self, tag: &str) {
        self.message(b'C', |body| text(body, tag));
    }

    /// There was no statement.
    pub fn empty_query(&mut self) {
        self.empty(b'I');
    }

    /// A statement is prepared.
    pub fn parse_complete(&mut self) {
        self.empty(b'1');
    }

    /// A portal is bound.
    pub fn bind_complete(&mut self) {
        self.empty(b'2');
    }

    /// A statement or portal is forgotten.
    pub fn close_complete(&mut self) {
        self.empty(b'3');
    }

    /// It answers with no rows.
    pub fn no_data(&mut self) {
        self.empty(b'n');
    }

    /// There may be more rows.
    pub fn portal_suspended(&mut self) {
        self.empty(b's');
    }

    /// An error (`E`) or a notice (`N`): letters and what they stand for.
    pub fn report(&mut self, kind: u8, fields: &[(u8, String)]) {
        self.message(kind, |body| {
            for (letter, value) in fields {
                body.push(*letter);
                text(body, value);
            }
            body.push(0);
        });
    }
}

/// A text and its closing zero. A zero within it would end it early, so it does so here.
fn text(body: &mut Vec<u8>, text: &str) {
    body.extend(text.bytes().take_while(|byte| *byte != 0));
    body.push(0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_that_fails_leaves_nothing() {
        let mut answers = Answers::default();
        answers.command_complete("BEGIN");
        let before = answers.bytes().to_vec();
        assert_eq!(before, b"C\0\0\0\x0aBEGIN\0");
        let failed = answers.try_message(b'D', |body| {
            body.extend_from_slice(b"half");
            Err(SqlError::syntax("no"))
        });
        assert!(failed.is_err());
        assert_eq!(answers.bytes(), before);
        answers.ready(Status::Idle);
        assert_eq!(answers.bytes()[before.len()..], *b"Z\0\0\0\x05I");
    }

    #[test]
    fn a_zero_ends_a_text() {
        let mut answers = Answers::default();
        answers.report(b'E', &[(b'M', "a\0b".to_owned())]);
        assert_eq!(answers.bytes(), b"E\0\0\0\x08Ma\0\0");
    }
}
