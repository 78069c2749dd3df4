"""asyncpg sees every error at once and goes on. It waits for errors of Parse and Describe at Flush."""

import asyncio
import datetime
import sys
import uuid

import asyncpg

PATIENCE_S = 30


async def fails(state, awaitable):
    try:
        result = await asyncio.wait_for(awaitable, PATIENCE_S)
    except asyncpg.PostgresError as error:
        assert error.sqlstate == state, f"{error.sqlstate} instead of {state}: {error}"
    else:
        raise AssertionError(f"{state} was expected, came {result!r}")


async def single_statements(conn):
    await fails("42601", conn.fetch("SELEC 1"))
    await fails("42P01", conn.fetch("SELECT * FROM nope"))
    await fails("42703", conn.prepare("SELECT nope"))
    await fails("22012", conn.fetch("SELECT 1 / $1::int", 0))
    await fails("22012", conn.execute("SELECT 1 / 0"))
    await fails("42601", conn.execute("SELECT 1; SELEC 2"))
    await fails("22P02", conn.fetch("SELECT $1::text::int", "x"))
    assert await conn.fetchval("SELECT $1::int + 1", 41) == 42


async def transactions(conn):
    await conn.execute("CREATE TABLE a (id INT PRIMARY KEY, v TEXT)")
    try:
        async with conn.transaction():
            await conn.execute("INSERT INTO a VALUES (1, 'x')")
            await fails("23505", conn.execute("INSERT INTO a VALUES ($1, $2)", 1, "y"))
            await fails("25P02", conn.fetch("SELECT 1"))
            raise KeyError
    except KeyError:
        pass
    assert await conn.fetchval("SELECT count(*) FROM a") == 0
    many = [(number, str(number)) for number in range(100)]
    await conn.executemany("INSERT INTO a VALUES ($1, $2)", many)
    await fails("23505", conn.executemany("INSERT INTO a VALUES ($1, $2)", [(200, "x"), (1, "y")]))
    assert await conn.fetchval("SELECT count(*) FROM a") == 100, "executemany is one transaction"
    async with conn.transaction():
        rows = [row["id"] async for row in conn.cursor("SELECT id FROM a ORDER BY id", prefetch=7)]
    assert rows == list(range(100))


async def values(conn):
    now = datetime.datetime(2026, 11, 30, 12, 0, 0, 123456, tzinfo=datetime.timezone.utc)
    given = (7, "é", b"\x00\xff", now, uuid.UUID(int=5), True, 1.5)
    # No arrays: for their types asyncpg reads the system catalogs.
    types = "int8 text bytea timestamptz uuid bool float8".split()
    selected = ", ".join(f"${number + 1}::{name}" for number, name in enumerate(types))
    assert tuple(await conn.fetchrow(f"SELECT {selected}", *given)) == given


async def cancelled(conn):
    try:
        await conn.fetch("SELECT pg_sleep(1000)", timeout=0.2)
    except asyncio.TimeoutError:
        pass
    else:
        raise AssertionError("it slept")
    assert await conn.fetchval("SELECT 1") == 1


async def main(port):
    settings = {"lc_messages": "C", "jit": "off", "work_mem": "8MB", "my.var": "kept"}
    where = dict(host="127.0.0.1", port=port, user="root", database="meridian")
    conn = await asyncpg.connect(**where, server_settings=settings)
    assert conn.get_settings().application_name == ""
    for step in single_statements, transactions, values, cancelled:
        await asyncio.wait_for(step(conn), 2 * PATIENCE_S)
        print(f"asyncpg: {step.__name__}")
    await conn.execute("SET work_mem = '1MB'")
    await conn.reset()
    assert await conn.fetchval("SELECT current_setting('work_mem')") == "8MB"
    assert await conn.fetchval("SELECT current_setting('my.var')") == "kept"
    await conn.close()


asyncio.run(main(int(sys.argv[1])))
