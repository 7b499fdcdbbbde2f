"""psycopg 3 and its pool, called and awaited."""

import psycopg
import psycopg_pool

NAME = "postgresql orders"


class OwnCursor(psycopg.Cursor):
    """Adds something of its own."""

    def execute(self, query, *args, **kwargs):
        return super().execute(query + " -- own", *args, **kwargs)


def called(seen, url, refused):
    connection = seen(None, lambda: psycopg.connect(url))
    cursor = connection.cursor()
    seen(NAME, lambda: cursor.execute("create temp table items (id int primary key, name text)"))
    seen(NAME, lambda: cursor.executemany("insert into items values (%s, %s)", [(1, "a"), (2, "b")]))
    seen(NAME, connection.commit)
    seen(NAME, lambda: cursor.execute("select name from items order by id").fetchall())
    seen(NAME, lambda: connection.execute("select count(*) from items").fetchone())
    seen(NAME, lambda: connection.cursor("named").execute("select 1").fetchone())
    seen(NAME, lambda: OwnCursor(connection, row_factory=psycopg.rows.tuple_row).execute("select 1").fetchone())
    seen(NAME, lambda: cursor.execute("insert into items values (1, 'c')"), "error")
    connection.rollback()
    seen(NAME, lambda: cursor.execute("set statement_timeout = 100"))
    seen(NAME, lambda: cursor.execute("select pg_sleep(5)"), "timeout")
    connection.rollback()
    with psycopg.connect(url) as other:
        seen(NAME, lambda: other.execute("select 1").fetchone())
    seen.expect(NAME)  # the commit
    seen(NAME, lambda: psycopg.connect(refused), "refused")
    connection.close()
    seen(NAME, lambda: cursor.execute("select 1"), "error")
    pool = psycopg_pool.ConnectionPool(url, min_size=1, max_size=1, open=True, timeout=0.2)
    pool.wait(30)
    with pool.connection() as held:
        seen(NAME, lambda: held.execute("select 1").fetchone())
        seen(NAME, lambda: pool.getconn(), "exhausted")
    seen.expect(NAME)  # the commit
    pool.close()


async def awaited(seen, url, refused):
    connection = await seen.awaited(None, lambda: psycopg.AsyncConnection.connect(url))
    cursor = connection.cursor()
    await seen.awaited(NAME, lambda: cursor.execute("select 1"))
    await seen.awaited(None, cursor.fetchone)
    await seen.awaited(NAME, lambda: connection.execute("select 1"))
    await seen.awaited(NAME, connection.commit)
    await seen.awaited(NAME, lambda: cursor.execute("select wrong"), "error")
    await seen.awaited(NAME, lambda: psycopg.AsyncConnection.connect(refused), "refused")
    await connection.close()
    async with psycopg_pool.AsyncConnectionPool(url, min_size=1, max_size=1, open=False, timeout=0.2) as pool:
        await pool.wait(30)
        async with pool.connection() as held:
            await seen.awaited(NAME, lambda: held.execute("select 1"))
            await seen.awaited(NAME, lambda: pool.getconn(), "exhausted")
        seen.expect(NAME)  # the commit


def scenario(seen, addresses):
    url = f"postgresql://postgres:secret@127.0.0.1:{addresses['postgresql']}/orders?connect_timeout=5"
    refused = "postgresql://postgres:secret@127.0.0.1:1/orders"
    called(seen, url, refused)
    return awaited(seen, url, refused)
