"""libpq's pipeline mode, call by call: what PostgreSQL's own tests of it demand.

Those that need a cursor or an unlogged table are not among them.
"""

import select
import sys

import psycopg
from psycopg import pq

OK, TUPLES, SINGLE = pq.ExecStatus.COMMAND_OK, pq.ExecStatus.TUPLES_OK, pq.ExecStatus.SINGLE_TUPLE
SYNC, ABORTED, FATAL = (
    pq.ExecStatus.PIPELINE_SYNC,
    pq.ExecStatus.PIPELINE_ABORTED,
    pq.ExecStatus.FATAL_ERROR,
)


def flushed(conn):
    while conn.flush():
        conn.consume_input()


def next_result(conn):
    """The next result, or None at the end of a statement's results."""
    flushed(conn)
    while conn.is_busy():
        ready, _, _ = select.select([conn.socket], [], [], 30)
        assert ready, "no answer"
        conn.consume_input()
    return conn.get_result()


def expect(conn, *wanted):
    """The next results have these states; `None` is the end of a statement's results."""
    results = []
    for status in wanted:
        result = next_result(conn)
        found = result and result.status
        message = result and result.error_message
        assert found == status, f"{found} instead of {status}: {message}"
        results.append(result)
    return results


def simple_pipeline(conn):
    conn.send_query_params(b"SELECT $1", [b"1"], param_types=[23])
    conn.pipeline_sync()
    result, _, _ = expect(conn, TUPLES, None, SYNC)
    assert result.get_value(0, 0) == b"1"
    assert conn.transaction_status == pq.TransactionStatus.IDLE


def disallowed_in_pipeline(conn):
    """libpq refuses several statements and simple queries; the connection is none the worse."""
    for call in conn.exec_, conn.send_query:
        try:
            result = call(b"SELECT 1")
        except psycopg.OperationalError:
            continue
        assert result is not None and result.status == FATAL
    conn.pipeline_sync()
    expect(conn, SYNC)


def multi_pipelines(conn):
    for value in b"1", b"2", b"3":
        conn.send_query_params(b"SELECT $1", [value], param_types=[23])
        conn.pipeline_sync()
    for value in b"1", b"2", b"3":
        result, _, _ = expect(conn, TUPLES, None, SYNC)
        assert result.get_value(0, 0) == value


def nosync(conn):
    """The server sends what it has when it is asked to flush, or when it is much."""
    for _ in range(10):
        conn.send_query_params(b"SELECT repeat('xyzxz', 12000)", [])
        flushed(conn)
    conn.send_flush_request()
    for _ in range(10):
        result, _ = expect(conn, TUPLES, None)
        assert len(result.get_value(0, 0)) == 60000
    conn.pipeline_sync()
    expect(conn, SYNC)


def an_error_is_there_at_flush(conn):
    conn.send_query_params(b"SELECT 1", [])
    conn.send_query_params(b"SELECT 1 / $1::int", [b"0"])
    conn.send_query_params(b"SELECT 2", [])
    conn.send_flush_request()
    *_, error, _, _, _ = expect(conn, TUPLES, None, FATAL, None, ABORTED, None)
    assert error.error_field(pq.DiagnosticField.SQLSTATE) == b"22012"
    conn.pipeline_sync()
    expect(conn, SYNC)


def pipeline_abort(conn):
    """What is behind an error is not run, what is before it in the pipeline is undone."""
    insert = b"INSERT INTO pipe (itemno) VALUES ($1)"
    conn.send_query_params(b"DROP TABLE IF EXISTS pipe", [])
    conn.send_query_params(b"CREATE TABLE pipe (id SERIAL PRIMARY KEY, itemno INT)", [])
    conn.pipeline_sync()
    expect(conn, OK, None, OK, None, SYNC)
    conn.send_query_params(insert, [b"1"], param_types=[23])
    conn.send_query_params(b"SELECT no_such_function($1)", [b"1"], param_types=[23])
    conn.send_query_params(insert, [b"2"], param_types=[23])
    conn.pipeline_sync()
    conn.send_query_params(insert, [b"3"], param_types=[23])
    conn.pipeline_sync()
    expect(conn, OK, None, FATAL, None, ABORTED, None, SYNC, OK, None, SYNC)
    # An error of a row in the midst: the rows before it may come, the state is an error.
    conn.send_query_params(b"SELECT 1.0 / g FROM generate_series(3, -1, -1) g", [])
    conn.pipeline_sync()
    expect(conn, FATAL, None, SYNC)
    conn.send_query_params(b"SELECT itemno FROM pipe", [])
    conn.pipeline_sync()
    result, _, _ = expect(conn, TUPLES, None, SYNC)
    assert [result.get_value(row, 0) for row in range(result.ntuples)] == [b"3"]


def pipelined_insert(conn):
    """Several statements, prepared ones too, with many rows, in one pipeline."""
    conn.send_query_params(b"BEGIN", [])
    conn.send_query_params(b"DROP TABLE IF EXISTS pipe", [])
    conn.send_query_params(b"CREATE TABLE pipe (id SERIAL PRIMARY KEY, itemno INT, eight INT8)", [])
    conn.send_prepare(b"insertion", b"INSERT INTO pipe (itemno, eight) VALUES ($1, $2)", [23, 20])
    for number in range(500):
        values = [b"%d" % number, b"%d" % (number << 40)]
        conn.send_query_prepared(b"insertion", values)
        flushed(conn)
    conn.send_query_params(b"COMMIT", [])
    conn.pipeline_sync()
    expect(conn, *[OK, None] * 505, SYNC)


def prepared(conn):
    conn.send_prepare(b"select_one", b"SELECT $1, '42', $1::numeric, interval '1 sec'", [23])
    conn.send_describe_prepared(b"select_one")
    conn.pipeline_sync()
    _, _, described, _, _ = expect(conn, OK, None, OK, None, SYNC)
    assert [described.ftype(column) for column in range(described.nfields)] == [23, 25, 1700, 1186]
    conn.send_query_params(b"DEALLOCATE select_one", [])
    conn.send_describe_prepared(b"select_one")
    conn.pipeline_sync()
    expect(conn, OK, None, FATAL, None, SYNC)


def singlerow(conn):
    for number in range(3):
        conn.send_query_params(b"SELECT * FROM generate_series(42, $1)", [b"%d" % (44 + number)])
    conn.pipeline_sync()
    for number in range(3):
        conn.set_single_row_mode()
        expect(conn, *[SINGLE] * (3 + number), TUPLES, None)
    expect(conn, SYNC)
    # Off again for the next statement, and not kept over an empty result.
    conn.send_query_params(b"SELECT 1", [])
    conn.send_query_params(b"SELECT 1 WHERE false", [])
    conn.pipeline_sync()
    conn.set_single_row_mode()
    expect(conn, SINGLE, TUPLES, None, TUPLES, None, SYNC)


def transaction(conn):
    """Blocks begun, failed and ended within and across pipelines."""
    conn.send_query_params(b"DROP TABLE IF EXISTS tst", [])
    conn.send_query_params(b"CREATE TABLE tst (id INT)", [])
    conn.pipeline_sync()
    expect(conn, OK, None, OK, None, SYNC)
    conn.send_prepare(b"rollback", b"ROLLBACK", [])
    conn.send_query_params(b"BEGIN", [])
    conn.send_query_params(b"SELECT 0 / 0", [])
    # A prepared ROLLBACK in the same pipeline is skipped with everything else.
    conn.send_query_prepared(b"rollback", [])
    conn.send_query_params(b"INSERT INTO tst VALUES (1)", [])
    conn.pipeline_sync()
    conn.send_query_params(b"INSERT INTO tst VALUES (2)", [])
    conn.pipeline_sync()
    conn.send_query_prepared(b"rollback", [])
    conn.send_query_params(b"INSERT INTO tst VALUES (3)", [])
    conn.pipeline_sync()
    conn.pipeline_sync()
    expect(conn, OK, None, OK, None, FATAL, None, ABORTED, None, ABORTED, None, SYNC)
    expect(conn, FATAL, None, SYNC, OK, None, OK, None, SYNC, SYNC)
    conn.send_query_params(b"SELECT id FROM tst", [])
    conn.pipeline_sync()
    result, _, _ = expect(conn, TUPLES, None, SYNC)
    assert [result.get_value(row, 0) for row in range(result.ntuples)] == [b"3"]


def pipeline_idle(conn):
    """Pipeline mode can be left and entered while nothing is under way, with notices in between."""
    for _ in range(2):
        conn.send_query_params(b"SELECT 1", [])
        conn.send_flush_request()
        expect(conn, TUPLES, None)
        conn.pipeline_sync()
        expect(conn, SYNC)
        conn.exit_pipeline_mode()
        result = conn.exec_(b"DROP TABLE IF EXISTS not_there; SELECT 1")
        assert result.status == TUPLES
        conn.enter_pipeline_mode()


def uniqviol(conn):
    """Errors come while more and more statements are under way without Sync."""
    conn.exit_pipeline_mode()
    for text in b"DROP TABLE IF EXISTS uniq", b"CREATE TABLE uniq (id BIGINT PRIMARY KEY, d TEXT)":
        assert conn.exec_(text).status == OK
    conn.enter_pipeline_mode()
    conn.send_prepare(b"insertion2", b"INSERT INTO uniq VALUES ($1, $2) RETURNING id", [20, 25])
    keys = [number % 300 for number in range(600)]
    for key in keys:
        conn.send_query_prepared(b"insertion2", [b"%d" % key, b"x" * 500])
        flushed(conn)
    conn.pipeline_sync()
    expect(conn, OK, None, *[TUPLES, None] * 300, FATAL, None, *[ABORTED, None] * 299, SYNC)


def main(port):
    where = f"host=127.0.0.1 port={port} user=root dbname=meridian"
    tests = [
        simple_pipeline, disallowed_in_pipeline, multi_pipelines, nosync,
        an_error_is_there_at_flush, pipeline_abort, pipelined_insert, prepared, singlerow,
        transaction, pipeline_idle, uniqviol,
    ]
    for test in tests:
        conn = pq.PGconn.connect(where.encode())
        assert conn.status == pq.ConnStatus.OK, conn.error_message
        conn.nonblocking = 1
        conn.enter_pipeline_mode()
        test(conn)
        conn.exit_pipeline_mode()
        conn.finish()
        print(f"libpq: {test.__name__}")


main(int(sys.argv[1]))
