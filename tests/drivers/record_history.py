"""Records what transactions on lists see, as `meridian check` reads it."""
import json, random, sys, threading, time
import psycopg

URL, CLIENTS, TRANSACTIONS = sys.argv[1], 4, 25
lock, out = threading.Lock(), sys.stdout


def client(process, random):
    connection = None
    for number in range(TRANSACTIONS):
        value = process * 1000 + number  # appended once and never again
        key, other = random.sample("xyz", 2)
        steps, outcome, note = [], "fail", None
        invoked = time.monotonic_ns()
        try:
            connection = connection or psycopg.connect(URL, autocommit=False)
            rows = connection.execute("SELECT k, v FROM lists WHERE k IN (%s, %s)", (key, other))
            held = dict(rows.fetchall())
            for k in (key, other):
                steps.append(["list", k, json.loads(held.get(k, "[]"))])
            longer = json.dumps(json.loads(held.get(key, "[]")) + [value])
            steps.append(["append", key, value])
            connection.execute("UPDATE lists SET v = %s WHERE k = %s", (longer, key))
            outcome = "unknown"  # a commit whose answer is lost may have happened
            connection.commit()
            outcome = "ok"
        except psycopg.Error as error:
            note = f"{error.sqlstate}: {error}".strip()
            if error.sqlstate is not None and error.sqlstate != "40003":
                outcome = "fail"  # the server says that it did not happen
            connection = connection and connection.close()
        operation = {"process": process, "invoked": invoked, "completed": time.monotonic_ns()}
        with lock:
            out.write(json.dumps({**operation, "outcome": outcome, "txn": steps, "note": note}) + "\n")


with psycopg.connect(URL, autocommit=True) as setup:
    setup.execute("CREATE TABLE lists (k text PRIMARY KEY, v text)")
    setup.execute("INSERT INTO lists VALUES ('x', '[]'), ('y', '[]'), ('z', '[]')")
threads = [threading.Thread(target=client, args=(n, random.Random(n))) for n in range(CLIENTS)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
