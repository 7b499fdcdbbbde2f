"""PyMySQL."""

import pymysql
import pymysql.cursors

NAME = "mysql shop"


class OwnCursor(pymysql.cursors.Cursor):
    """Adds something of its own."""

    def execute(self, query, args=None):
        return super().execute(query + " -- own", args)


def scenario(seen, addresses):
    options = {"host": "127.0.0.1", "port": addresses["mariadb"], "user": "app", "database": "shop"}
    connection = seen(None, lambda: pymysql.connect(**options))
    cursor = seen(None, connection.cursor)
    seen(NAME, lambda: cursor.execute("create temporary table items (id int primary key, name text)"))
    seen(NAME, lambda: cursor.executemany("insert into items values (%s, %s)", [(1, "a"), (2, "b")]))
    seen(NAME, lambda: cursor.executemany("update items set name = %s where id = %s", [("x", 1), ("y", 2)]))
    seen(NAME, connection.commit)
    seen(NAME, lambda: cursor.execute("select name from items order by id"))
    seen(None, lambda: list(cursor.fetchall()))
    seen(NAME, lambda: connection.cursor(pymysql.cursors.SSDictCursor).execute("select 1 as one"))
    seen(NAME, lambda: connection.cursor(OwnCursor).execute("select 1"))
    seen(NAME, lambda: cursor.execute("insert into items values (1, 'c')"), "error")
    seen(NAME, lambda: cursor.execute("select wrong"), "error")
    seen(NAME, lambda: cursor.execute("set statement max_statement_time=0.1 for select sleep(5)"), "timeout")
    seen("mysql shop", lambda: pymysql.connect(**dict(options, port=1)), "refused")
    slow = pymysql.connect(read_timeout=0.2, **options)
    seen(NAME, lambda: slow.cursor().execute("select sleep(5)"), "timeout")
    other = pymysql.connect(**dict(options, database=None))
    seen("mysql 127.0.0.1", lambda: other.cursor().execute("select 1"))
    other.select_db("shop")
    seen("mysql 127.0.0.1", lambda: other.cursor().execute("select 1"))  # it does not remember
    cursor.close()
    seen(None, lambda: cursor.execute("select 1"))
    connection.close()
    seen(NAME, lambda: connection.cursor().execute("select 1"), "error")
