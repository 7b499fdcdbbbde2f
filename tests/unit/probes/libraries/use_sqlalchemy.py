"""SQLAlchemy with drivers whose calls would be counted by themselves, its pool, and its awaited API."""

import tempfile

import sqlalchemy
from sqlalchemy import text
from sqlalchemy.orm import Session

ORDERS = "postgresql orders"
OLD = sqlalchemy.__version__.startswith("1.")
"""Knows of no psycopg 3, and has the ways of version 2 for those who ask for them."""


def session(seen, url, name, **options):
    if OLD:
        options["future"] = True
    engine = seen(None, lambda: sqlalchemy.create_engine(url, pool_size=1, max_overflow=0, pool_timeout=0.2, **options))
    metadata = sqlalchemy.MetaData()
    columns = sqlalchemy.Column("id", sqlalchemy.Integer, primary_key=True), sqlalchemy.Column("name", sqlalchemy.String(20))
    items = sqlalchemy.Table(f"items_{engine.driver}", metadata, *columns)
    with engine.connect() as first:  # what a dialect asks a new server for is not counted alike by all versions
        seen(name, lambda: first.execute(text("select 1")).scalar())
        with Session(engine) as second:
            seen(name, lambda: second.execute(text("select 1")), "exhausted")
    with engine.begin() as connection:
        seen(name, lambda: connection.execute(sqlalchemy.schema.CreateTable(items)))
        rows = [{"id": number, "name": "a"} for number in range(3)]
        seen(name, lambda: connection.execute(items.insert(), rows).rowcount)
        seen(name, lambda: connection.execute(sqlalchemy.select(items.c.id).order_by(items.c.id)).scalars().all())
    seen.expect(name)  # the commit
    with engine.connect() as connection:
        seen(name, lambda: connection.execute(items.insert(), {"id": 1, "name": "b"}), "error")
        connection.rollback()
        seen(name, lambda: connection.execute(text("select wrong")), "error")
    with Session(engine) as orm:
        seen(name, lambda: orm.execute(sqlalchemy.select(items.c.name).limit(1)).scalar())
        seen(name, orm.commit)
    with engine.begin() as connection:
        seen(name, lambda: connection.execute(sqlalchemy.schema.DropTable(items)))
    seen.expect(name)
    engine.dispose()


async def awaited(seen, url):
    from sqlalchemy.ext.asyncio import create_async_engine

    engine = create_async_engine(url)
    async with engine.connect() as connection:
        await seen.awaited(None, connection.get_raw_connection)
        await seen.awaited(ORDERS, lambda: connection.execute(text("select 1")))
        await seen.awaited(ORDERS, connection.commit)
        await seen.awaited(ORDERS, lambda: connection.execute(text("select wrong")), "error")
    await engine.dispose()


def scenario(seen, addresses):
    server = f"postgres:secret@127.0.0.1:{addresses['postgresql']}/orders"
    pool = {"poolclass": sqlalchemy.pool.QueuePool}
    with tempfile.TemporaryDirectory() as folder:
        session(seen, f"sqlite:///{folder}/feed.db", "sqlite feed.db", **pool)
    for driver in ("psycopg2",) if OLD else ("psycopg2", "psycopg"):
        session(seen, f"postgresql+{driver}://{server}", ORDERS)
    session(seen, f"mysql+pymysql://app@127.0.0.1:{addresses['mariadb']}/shop", "mysql shop")
    refused = sqlalchemy.create_engine("postgresql+psycopg2://postgres:secret@127.0.0.1:1/orders")
    seen(ORDERS, refused.connect, "refused")
    return None if OLD else awaited(seen, f"postgresql+psycopg://{server}")
