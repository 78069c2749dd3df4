"""psycopg, also in its pipeline mode, sees every error and goes on."""

import sys

import psycopg
from psycopg import errors


def fails(state, call):
    try:
        result = call()
    except psycopg.Error as error:
        assert error.sqlstate == state, f"{error.sqlstate} instead of {state}: {error}"
    else:
        raise AssertionError(f"{state} was expected, came {result!r}")


def single_statements(conn):
    fails("42601", lambda: conn.execute("SELEC 1"))
    fails("42P01", lambda: conn.execute("SELECT * FROM nope WHERE a = %s", (1,)))
    fails("22012", lambda: conn.execute("SELECT 1 / %s::int", (0,)))
    fails("22P02", lambda: conn.execute("SELECT %s::int", ("x",)))
    assert conn.execute("SELECT %s + 1", (41,)).fetchone() == (42,)
    assert conn.execute("SELECT %b::bytea", (b"\0\xff",), binary=True).fetchone() == (b"\0\xff",)


def transactions(conn):
    conn.execute("CREATE TABLE p (id INT PRIMARY KEY)")
    with conn.transaction(force_rollback=True):
        conn.execute("INSERT INTO p VALUES (1)")
        with conn.transaction(force_rollback=True):
            fails("23505", lambda: conn.execute("INSERT INTO p VALUES (%s)", (1,)))
            fails("25P02", lambda: conn.execute("SELECT 1"))
        assert conn.execute("SELECT count(*) FROM p").fetchone() == (1,), "back to the savepoint"
    assert conn.execute("SELECT count(*) FROM p").fetchone() == (0,)


def pipelines(conn):
    with conn.pipeline():
        results = [conn.execute("SELECT %s::int", (number,)) for number in range(50)]
        assert [cursor.fetchone()[0] for cursor in results] == list(range(50))
    # What comes before an error is there, what comes behind it is not run.
    with conn.pipeline() as pipeline:
        before, behind = conn.execute("SELECT 1"), conn.cursor()

        def wrong():
            # The error may arrive while more is sent, or when it is waited for.
            conn.execute("SELECT * FROM nope")
            behind.execute("SELECT 2")
            pipeline.sync()

        fails("42P01", wrong)
        assert before.fetchone() == (1,)
        try:
            pipeline.sync()
        except errors.PipelineAborted:
            pass  # The statement behind is told so only now.
        assert behind.rownumber is None, "a statement behind an error ran"
        assert conn.execute("SELECT 3").fetchone() == (3,)
    with conn.pipeline():
        cursor = conn.cursor()
        cursor.executemany("INSERT INTO p VALUES (%s)", [(number,) for number in range(200)])
    assert conn.execute("SELECT count(*) FROM p").fetchone() == (200,)
    try:
        with conn.pipeline():
            conn.cursor().executemany("INSERT INTO p VALUES (%s)", [(500,), (1,), (501,)])
    except errors.UniqueViolation:
        pass
    else:
        raise AssertionError("a key was there twice")
    assert conn.execute("SELECT count(*) FROM p").fetchone() == (200,)


def options(port):
    where = f"host=127.0.0.1 port={port} user=root dbname=meridian"
    given = r"-c default_transaction_isolation=repeatable\ read -c lc_messages=C"
    with psycopg.connect(where, options=given, autocommit=True) as conn:
        assert conn.execute("SHOW transaction_isolation").fetchone() == ("repeatable read",)


def main(port):
    where = f"host=127.0.0.1 port={port} user=root dbname=meridian"
    with psycopg.connect(where, autocommit=True) as conn:
        for step in single_statements, transactions, pipelines:
            step(conn)
            print(f"psycopg: {step.__name__}")
    options(port)


main(int(sys.argv[1]))
