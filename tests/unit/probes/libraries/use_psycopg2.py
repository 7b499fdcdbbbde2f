"""psycopg2, its own kinds of connections and cursors, and its pool."""

import json

import psycopg2
import psycopg2.extensions
import psycopg2.extras
import psycopg2.pool

NAME = "postgresql orders"


class OwnConnection(psycopg2.extensions.connection):
    """An application's own."""


def scenario(seen, addresses):
    options = {
        "host": "127.0.0.1",
        "port": addresses["postgresql"],
        "user": "postgres",
        "password": "secret",
        "dbname": "orders",
    }
    connection = seen(None, lambda: psycopg2.connect(**options))
    cursor = seen(None, connection.cursor)
    types = psycopg2.extensions.connection, psycopg2.extensions.cursor
    seen(None, lambda: [isinstance(connection, types[0]), isinstance(cursor, types[1])])
    seen(NAME, lambda: cursor.execute("create temp table items (id int primary key, data jsonb)"))
    psycopg2.extras.register_uuid(conn_or_curs=connection)
    psycopg2.extras.register_default_jsonb(connection, loads=json.loads)
    seen(NAME, lambda: cursor.executemany("insert into items values (%s, %s)", [(1, '{"a": 1}'), (2, "[]")]))
    seen(NAME, connection.commit)
    seen(NAME, lambda: cursor.execute("select data from items order by id"))
    seen(None, cursor.fetchall)
    seen(NAME, lambda: psycopg2.extras.execute_values(cursor, "insert into items values %s", [(3, "1"), (4, "2")]))
    seen(None, lambda: cursor.mogrify("select %s", ("x",)).decode())
    seen(None, lambda: psycopg2.extensions.quote_ident("a b", connection))
    named = connection.cursor("named")
    seen(NAME, lambda: named.execute("select id from items order by id"))
    seen(None, named.fetchall)
    for factory in (psycopg2.extras.RealDictCursor, psycopg2.extras.DictCursor, psycopg2.extras.NamedTupleCursor):
        own = seen(None, lambda factory=factory: connection.cursor(cursor_factory=factory))
        seen(NAME, lambda own=own: own.execute("select 1 as one"))
        row = own.fetchone()
        seen(None, lambda row=row: [row.one if hasattr(row, "one") else row["one"]])
    for factory in (psycopg2.extras.DictConnection, psycopg2.extras.RealDictConnection, OwnConnection):
        other = seen(None, lambda factory=factory: psycopg2.connect(connection_factory=factory, **options))
        seen(None, lambda other=other, factory=factory: isinstance(other, factory))
        own = seen(None, other.cursor)
        seen(NAME, lambda own=own: own.execute("select 1 as one"))
        seen(None, own.fetchone)
        other.close()
    with psycopg2.connect(cursor_factory=psycopg2.extras.RealDictCursor, **options) as other:
        seen(NAME, lambda: other.cursor().execute("select 1"))
    seen.expect(NAME)  # the commit
    connection.commit()
    seen.expect(NAME)
    seen(NAME, lambda: cursor.execute("insert into items values (1, '1')"), "error")
    connection.rollback()
    seen(NAME, lambda: cursor.execute("set statement_timeout = 100"))
    seen(NAME, lambda: cursor.execute("select pg_sleep(5)"), "timeout")
    connection.rollback()
    seen(NAME, lambda: psycopg2.connect(**dict(options, port=1)), "refused")
    seen(None, lambda: psycopg2.connect())
    pool = psycopg2.pool.SimpleConnectionPool(1, 1, **options)
    pooled = pool.getconn()
    seen(NAME, lambda: pooled.cursor().execute("select 1"))
    seen(None, lambda: pool.getconn())
    connection.close()
    seen(NAME, lambda: cursor.execute("select 1"), "error")
