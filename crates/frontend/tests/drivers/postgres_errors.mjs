// npm's `postgres` sees every error at once and goes on. It waits for errors of Parse at Flush.

import assert from 'node:assert/strict'
import { createRequire } from 'node:module'

const [port, modules] = process.argv.slice(2)
const postgres = createRequire(`${modules}/`)('postgres')

const sql = postgres({
  host: '127.0.0.1', port: Number(port), user: 'root', database: 'meridian', max: 1,
  fetch_types: false, onnotice: () => {},
  connection: { application_name: 'drivers', lc_messages: 'C', 'my.var': 'kept' },
})

const PATIENCE_MS = 30_000

async function fails(state, query) {
  const late = new Promise((_, reject) => {
    setTimeout(() => reject(new Error(`no answer, ${state} was expected`)), PATIENCE_MS).unref()
  })
  await assert.rejects(Promise.race([query, late]), error => {
    assert.equal(error.code, state, error.message)
    return true
  })
}

await fails('42601', sql`SELEC 1`)
await fails('42P01', sql`SELECT * FROM nope WHERE a = ${1}`)
await fails('42703', sql`SELECT nope`)
await fails('22012', sql`SELECT 1 / ${0}::int`)
await fails('22P02', sql`SELECT ${'x'}::text::int`)
await fails('22012', sql.unsafe('SELECT 1; SELECT 1 / 0'))
assert.equal((await sql`SELECT ${41}::int + 1 AS n`)[0].n, 42)
assert.equal((await sql`SELECT current_setting('my.var') AS v`)[0].v, 'kept')
console.log('postgres: single statements')

await sql`CREATE TABLE n (id INT PRIMARY KEY, v TEXT)`
await fails('23505', sql.begin(async sql => {
  await sql`INSERT INTO n ${sql([{ id: 1, v: 'a' }, { id: 2, v: 'b' }])}`
  await sql`INSERT INTO n VALUES (1, 'again')`
}))
assert.equal((await sql`SELECT count(*)::int AS n FROM n`)[0].n, 0)
await sql.begin(async sql => {
  await sql`INSERT INTO n VALUES (1, 'a')`
  await fails('23505', sql.savepoint(sql => sql`INSERT INTO n VALUES (1, 'b')`))
  await sql`INSERT INTO n VALUES (2, 'b')`
})
assert.deepEqual((await sql`SELECT id FROM n ORDER BY id`).map(row => row.id), [1, 2])
console.log('postgres: transactions')

// Many at once share a connection: each gets its own answer.
const answers = await Promise.allSettled(
  Array.from({ length: 50 }, (_, n) => sql`SELECT ${n}::int / ${n % 5}::int AS n`))
answers.forEach((answer, n) => {
  if (n % 5 === 0) assert.equal(answer.reason.code, '22012')
  else assert.equal(answer.value[0].n, Math.trunc(n / (n % 5)))
})
const rows = []
await sql`SELECT * FROM generate_series(1, 10) AS g`.cursor(3, part => rows.push(part.length))
assert.deepEqual(rows, [3, 3, 3, 1])
console.log('postgres: pipelines and cursors')

const sleeping = sql`SELECT pg_sleep(1000)`.execute()
setTimeout(() => sleeping.cancel(), 200)
await fails('57014', sleeping)
console.log('postgres: cancel')
await sql.end({ timeout: 5 })
