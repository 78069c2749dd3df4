//! What a conversation is like: when errors are told, what is skipped, how portals and settings behave.

use crate::server::{Client, Server, field, severity_and_state, summary};

const PARSE_BAD: (char, &[u8]) = ('P', b"\0SELECT nope\0\0\0");
const BIND: (char, &[u8]) = ('B', b"\0\0\0\0\0\0\0\0");
const EXECUTE: (char, &[u8]) = ('E', b"\0\0\0\0\0");
const SYNC: (char, &[u8]) = ('S', b"");
const FLUSH: (char, &[u8]) = ('H', b"");

/// Messages to send: types and bodies.
type Messages<'a> = &'a [(char, &'a [u8])];

/// Parse of the unnamed statement.
fn parse(sql: &str) -> Vec<u8> {
    format!("\0{sql}\0\0\0").into_bytes()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_is_told_without_sync() {
    let server = Server::start().await;
    for (messages, state) in [
        (vec![PARSE_BAD], "42703"),
        (vec![PARSE_BAD, ('D', &b"S\0"[..])], "42703"),
        (vec![('B', &b"\0nope\0\0\0\0\0\0\0"[..])], "26000"),
        (vec![('D', &b"Snope\0"[..])], "26000"),
        (vec![('D', &b"Pnope\0"[..])], "34000"),
        (vec![('E', &b"nope\0\0\0\0\0"[..])], "34000"),
        // Cut short, and too long.
        (vec![('P', &b"\0SELECT 1"[..])], "08P01"),
        (vec![('B', &b"\0\0\0\x01"[..])], "08P01"),
        (vec![('E', &b"\0"[..])], "08P01"),
        (vec![('C', &b""[..])], "08P01"),
    ] {
        let mut client = server.client().await;
        client.send(&messages).await;
        assert_eq!(client.error().await, format!("ERROR {state}"), "{messages:?}");
        // The rest is skipped up to Sync; then everything is as before.
        client.send(&[BIND, EXECUTE, FLUSH, SYNC]).await;
        assert_eq!(client.answer().await, "/I");
        assert_eq!(client.query("SELECT 1").await, "TDC/I");
    }
    let mut client = server.client().await;
    client.send(&[('S', b"x")]).await;
    assert_eq!(client.answer().await, "E/I", "a Sync that is none is the end of its pipeline");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_of_execute_is_told_at_flush() {
    let server = Server::start().await;
    let mut client = server.client().await;
    client.send(&[('P', &parse("SELECT 1 / 0")), BIND, EXECUTE, FLUSH]).await;
    assert_eq!([client.receive().await.0, client.receive().await.0], ['1', '2']);
    assert_eq!(client.error().await, "ERROR 22012");
    client.send(&[SYNC]).await;
    assert_eq!(client.answer().await, "/I");
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_before_an_error_are_sent() {
    let server = Server::start().await;
    let mut client = server.client().await;
    client.send(&[('P', &parse("SELECT 7")), BIND, EXECUTE, PARSE_BAD]).await;
    for kind in ['1', '2', 'D', 'C'] {
        assert_eq!(client.receive().await.0, kind);
    }
    assert_eq!(client.error().await, "ERROR 42703");
    client.send(&[SYNC]).await;
    assert_eq!(client.answer().await, "/I");
    assert_eq!(client.query("SELECT 1; SELECT 1 / 0; SELECT 2").await, "TDCE/I");
    assert_eq!(client.query("SELECT 1; SELECT nope; SELECT 2").await, "TDCE/I");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_goes_out_before_the_next_statement_ends() {
    let server = Server::start().await;
    let mut client = server.client().await;
    // More than the buffer holds, then a statement that takes for ever.
    let text = "SELECT repeat('x', 100000); SELECT pg_sleep(1000)\0";
    client.send(&[('Q', text.as_bytes())]).await;
    assert_eq!([client.receive().await.0, client.receive().await.0], ['T', 'D']);
}

#[tokio::test(flavor = "multi_thread")]
async fn text_is_utf_8() {
    let server = Server::start().await;
    let mut client = server.client().await;
    client.send(&[('Q', b"SELECT '\xff'\0")]).await;
    assert_eq!(client.error().await, "ERROR 22021");
    assert_eq!(client.answer().await, "/I");
    let one = parse("SELECT $1::text");
    let one: (char, &[u8]) = ('P', &one);
    let cases: [(&str, Messages<'_>); 6] = [
        ("a text", &[('P', b"\0SELECT '\xe2\x82'\0\0\0"), SYNC]),
        ("a name", &[('P', b"\xff\0SELECT 1\0\0\0"), SYNC]),
        ("a name", &[('D', b"S\xff\0"), SYNC]),
        ("a value", &[one, ('B', b"\0\0\0\0\0\x01\0\0\0\x02\xc3(\0\0"), SYNC]),
        ("a zero", &[one, ('B', b"\0\0\0\0\0\x01\0\0\0\x03a\0b\0\0"), SYNC]),
        ("binary", &[one, ('B', b"\0\0\0\x01\0\x01\0\x01\0\0\0\x03a\0b\0\0"), SYNC]),
    ];
    for (what, messages) in cases {
        client.send(messages).await;
        let answers = client.until_ready().await;
        let error = answers.iter().find(|(kind, _)| *kind == 'E').expect("an error");
        assert_eq!(severity_and_state(&error.1), "ERROR 22021", "{what}");
        let message = field(&error.1, 'M');
        assert!(
            message.starts_with("invalid byte sequence for encoding \"UTF8\": 0x"),
            "{message}"
        );
    }
}

/// A driver that declares a type by its OID reads what a text with the type's name would get.
#[tokio::test(flavor = "multi_thread")]
async fn a_type_that_is_not_built_is_told_by_its_name() {
    let server = Server::start().await;
    let mut client = server.client().await;
    for (oid, state, message) in [
        (1083_i32, "0A000", "type time is not supported"),
        (3802, "0A000", "type jsonb is not supported"),
        (869, "0A000", "type inet is not supported"),
        (3807, "0A000", "type jsonb[] is not supported"),
        (2249, "0A000", "type record is not supported"),
        (999_999, "42704", "type with OID 999999 is not known"),
    ] {
        let mut body = b"\0SELECT $1\0\0\x01".to_vec();
        body.extend(oid.to_be_bytes());
        client.send(&[('P', &body), SYNC]).await;
        let answers = client.until_ready().await;
        assert_eq!(summary(&answers), "E/I", "{oid}");
        let told = (field(&answers[0].1, 'C'), field(&answers[0].1, 'M'));
        assert_eq!(told, (state.to_owned(), message.to_owned()));
    }
    client.send(&[('Q', b"SELECT NULL::time\0")]).await;
    let answers = client.until_ready().await;
    assert_eq!(field(&answers[0].1, 'M'), "type time is not supported");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_portal_is_suspended_after_as_many_rows_as_asked_for() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let two: (char, &[u8]) = ('E', b"\0\0\0\0\x02");
    let text = parse("SELECT * FROM generate_series(1, 4)");
    client.send(&[('P', &text), BIND, two, two, two, two, SYNC]).await;
    let answers = client.until_ready().await;
    assert_eq!(summary(&answers), "12DDsDDsCC/I");
    let tags: Vec<&[u8]> =
        answers.iter().filter(|(kind, _)| *kind == 'C').map(|(_, tag)| &tag[..]).collect();
    assert_eq!(tags, [b"SELECT 0\0", b"SELECT 0\0"]);
    client.send(&[('P', &text), BIND, two, EXECUTE, SYNC]).await;
    let answers = client.until_ready().await;
    assert_eq!(summary(&answers), "12DDsDDC/I");
    // What answers with no rows runs once.
    client.send(&[('P', &parse("SET work_mem = '8MB'")), BIND, EXECUTE, EXECUTE, SYNC]).await;
    let answers = client.until_ready().await;
    assert_eq!(summary(&answers), "12CE/I");
    assert_eq!(severity_and_state(&answers[3].1), "ERROR 55000");
}

#[tokio::test(flavor = "multi_thread")]
async fn close_reaches_portals() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let state = async |client: &mut Client, messages: &[(char, &[u8])]| {
        client.send(messages).await;
        let answers = client.until_ready().await;
        let error = answers.iter().find(|(kind, _)| *kind == 'E');
        error.map_or_else(|| summary(&answers), |(_, body)| field(body, 'C'))
    };
    let select = parse("SELECT * FROM generate_series(1, 3)");
    let named: (char, &[u8]) = ('B', b"c\0\0\0\0\0\0\0\0");
    let one: (char, &[u8]) = ('E', b"c\0\0\0\0\x01");
    assert_eq!(client.query("BEGIN").await, "C/T");
    assert_eq!(state(&mut client, &[('P', &select), named, one, SYNC]).await, "12Ds/T");
    assert_eq!(client.query("CLOSE c").await, "C/T");
    assert_eq!(state(&mut client, &[one, SYNC]).await, "34000");
    assert_eq!(client.query("ROLLBACK").await, "C/I");
    assert_eq!(client.query("CLOSE nope").await, "E/I");
    assert_eq!(client.query("CLOSE ALL").await, "C/I");
    // A portal cannot close itself.
    let close = parse("CLOSE c");
    assert_eq!(state(&mut client, &[('P', &close), named, one, SYNC]).await, "24000");
    assert_eq!(state(&mut client, &[('P', &close), BIND, EXECUTE, SYNC]).await, "34000");
}

#[tokio::test(flavor = "multi_thread")]
async fn sql_knows_the_statements_of_the_protocol() {
    let server = Server::start().await;
    let mut client = server.client().await;
    client.send(&[('P', b"mine\0SELECT 7\0\0\0"), ('P', b"none\0\0\0\0"), SYNC]).await;
    assert_eq!(client.answer().await, "11/I");
    assert_eq!(client.value("EXECUTE mine").await, "7");
    assert_eq!(client.query("PREPARE mine AS SELECT 8").await, "E/I");
    assert_eq!(client.query("PREPARE other AS SELECT 8").await, "C/I");
    for name in ["mine", "none", "other"] {
        client.send(&[('P', format!("{name}\0SELECT 9\0\0\0").as_bytes()), SYNC]).await;
        assert_eq!(client.answer().await, "E/I", "{name} is taken");
    }
    client.send(&[('B', b"\0other\0\0\0\0\0\0\0"), EXECUTE, SYNC]).await;
    assert_eq!(client.answer().await, "2DC/I");
    assert_eq!(client.query("DEALLOCATE mine").await, "C/I");
    client.send(&[('D', b"Smine\0"), SYNC]).await;
    assert_eq!(client.answer().await, "E/I");
    client.send(&[('C', b"Sother\0"), SYNC]).await;
    assert_eq!(client.answer().await, "3/I");
    assert_eq!(client.query("EXECUTE other").await, "E/I");
}

#[tokio::test(flavor = "multi_thread")]
async fn changed_settings_are_told_before_the_client_may_go_on() {
    let server = Server::start().await;
    let mut client = server.client().await;
    client.send(&[('Q', b"SET application_name = 'me'\0")]).await;
    let answers = client.until_ready().await;
    assert_eq!(summary(&answers), "CS/I");
    assert_eq!(answers[1].1, b"application_name\0me\0");
    assert_eq!(client.query("SET application_name = 'me'").await, "C/I", "it was that already");
    assert_eq!(client.query("BEGIN; SET timezone = 'Asia/Tokyo'").await, "CCS/T");
    assert_eq!(client.query("ROLLBACK").await, "CS/I", "taken back");
    assert_eq!(client.query("SET work_mem = '1MB'; SELECT 1 / 0").await, "CE/I");
    assert_eq!(client.value("SHOW work_mem").await, "4MB", "an error takes back its text's SET");
    assert_eq!(client.query("SET LOCAL work_mem = '1MB'").await, "NC/I");
    assert_eq!(client.query("SET LOCAL work_mem = '1MB'; SHOW work_mem").await, "CTDC/I");
    assert_eq!(client.value("SHOW work_mem").await, "4MB");
    // The same for a pipeline.
    let set = parse("SET work_mem = '2MB'");
    client.send(&[('P', &set), BIND, EXECUTE, PARSE_BAD, SYNC]).await;
    assert_eq!(client.answer().await, "12CE/I");
    assert_eq!(client.value("SHOW work_mem").await, "4MB");
    client.send(&[('P', &set), BIND, EXECUTE, SYNC]).await;
    assert_eq!(client.answer().await, "12C/I");
    assert_eq!(client.value("SHOW work_mem").await, "2MB");
    assert_eq!(client.value("SELECT set_config('my.var', 'x', true)").await, "x");
    assert_eq!(client.value("SELECT current_setting('my.var') = ''").await, "t");
    assert_eq!(client.query("DISCARD ALL").await, "CS/I", "the name is the first again");
    assert_eq!(client.value("SHOW work_mem").await, "4MB");
}

#[tokio::test(flavor = "multi_thread")]
async fn bytea_is_written_as_the_session_wants() {
    let server = Server::start().await;
    let mut client = server.client().await;
    assert_eq!(client.value(r"SELECT '\x5c41ff'::bytea").await, r"\x5c41ff");
    assert_eq!(client.query("SET bytea_output = 'escape'").await, "C/I");
    assert_eq!(client.value(r"SELECT '\x5c41ff'::bytea").await, r"\\A\377");
    assert_eq!(client.value(r"SELECT '\x41ff'::bytea::text || '!'").await, r"A\377!");
    assert_eq!(client.value(r"SELECT ARRAY['\x41ff'::bytea]").await, r#"{"A\\377"}"#);
    assert_eq!(client.query("RESET bytea_output").await, "C/I");
    assert_eq!(client.value(r"SELECT '\x41ff'::bytea::text || '!'").await, r"\x41ff!");
}

#[tokio::test(flavor = "multi_thread")]
async fn options_of_the_start_are_settings() {
    let server = Server::start().await;
    let mut client = server.stranger().await;
    let options = r"-c default_transaction_isolation=repeatable\ read --work-mem=1GB -cmy.var=a\\b";
    client.start_up(&[("user", "root"), ("options", options), ("lc_messages", "C")]).await;
    client.until_ready().await;
    assert_eq!(client.value("SHOW transaction_isolation").await, "repeatable read");
    assert_eq!(client.query("SET work_mem = '1MB'; RESET work_mem").await, "CC/I");
    assert_eq!(client.value("SHOW work_mem").await, "1GB");
    assert_eq!(client.value("SHOW my.var").await, r"a\b");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_client_is_sent_away_if_it_wants_that() {
    let server = Server::start().await;
    let mut client = server.client().await;
    client.query("SET idle_in_transaction_session_timeout = '10ms'").await;
    client.query("SELECT 1").await;
    client.send(&[('Q', b"BEGIN\0")]).await;
    assert_eq!(client.answer().await, "C/T");
    assert_eq!(client.error().await, "FATAL 25P03");
    client.is_hung_up_on().await;
    let mut client = server.client().await;
    client.query("SET idle_session_timeout = '10ms'").await;
    assert_eq!(client.error().await, "FATAL 57P05");
    client.is_hung_up_on().await;
}
