#!/bin/sh
# PostgreSQL with a database `orders`, made anew in a folder that goes with the pod. Listens on port 5432.
set -eu
bin=$(echo /usr/lib/postgresql/*/bin)
"$bin/initdb" --pgdata=/tmp/data --username=orders --auth=trust --no-sync > /dev/null
echo "host all all all trust" >> /tmp/data/pg_hba.conf
"$bin/pg_ctl" --pgdata=/tmp/data --wait --silent --log=/tmp/log --options="-k /tmp -c listen_addresses=127.0.0.1" start
createdb --host=/tmp --username=orders orders
psql --host=/tmp --username=orders --quiet orders <<'SQL'
create table orders (id serial primary key, customer int not null, item text not null);
insert into orders (customer, item) select n % 100, 'item ' || n from generate_series(1, 1000) n;
create index on orders (customer);
SQL
"$bin/pg_ctl" --pgdata=/tmp/data --wait --silent --mode=fast stop
exec "$bin/postgres" -D /tmp/data -k /tmp -c listen_addresses='*' -c max_connections=200
