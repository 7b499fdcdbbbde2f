<?php
/** Calls by functions that warn, by `?m=`; ports of the servers are in `?port=`. Knows nothing of the probe. */
$port = (int) ($_GET['port'] ?? 0);
$times = (int) ($_GET['n'] ?? 3);

switch ($_GET['m'] ?? '') {
    case 'http':
        $found = [];
        foreach (['/status/200', '/status/404', '/status/500', '/status/429', '/status/503'] as $path) {
            $found[] = file_get_contents("http://anna:secret@127.0.0.1:$port$path?key=secret");
        }
        $found[] = stream_get_contents(fopen("HTTP://127.0.0.1:$port/status/200", 'r'));
        $found[] = @file("http://127.0.0.1:$port/status/200");
        $found[] = readfile("http://127.0.0.1:$port/status/200");
        $found[] = file_get_contents("http://LOCALHOST:1/");
        $found[] = file_get_contents("http://127.0.0.1:$port/slow/2", false, stream_context_create(['http' => ['timeout' => 0.2]]));
        $found[] = strlen(file_get_contents(__FILE__)) > 0;
        echo json_encode($found);
        break;
    case 'thrown':
        set_error_handler(static function (int $number, string $text) { throw new ErrorException($text); });
        try {
            file_get_contents('http://127.0.0.1:1/');
        } catch (ErrorException $error) {
            echo $error->getMessage(), $error->getLine();
        }
        break;
    case 'pgsql':
        $orders = pg_connect("host=127.0.0.1 port=$port dbname=orders user=postgres password=secret");
        $other = pg_connect("postgresql://postgres:secret@127.0.0.1:$port/postgres?connect_timeout=3", PGSQL_CONNECT_FORCE_NEW);
        for ($i = 0; $i < $times; $i++) {
            $found = pg_fetch_all(pg_query($orders, "select $i as n"));
            pg_query_params($other, 'select $1::int', [$i]);
        }
        pg_prepare($orders, 'one', 'select 1');
        pg_execute($orders, 'one', []);
        pg_query($orders, "set statement_timeout = '100ms'");
        echo json_encode([$found, pg_query($orders, 'select pg_sleep(5)'), pg_query($other, 'no sql')]);
        break;
    case 'pgsql-refused':
        var_dump(pg_connect("host=127.0.0.1 port=$port dbname = 'shop' user=app"));
        break;
    case 'hashes':
        $differ = [];
        for ($length = 1; $length <= 300; $length++) {
            $key = random_bytes(64);
            $text = random_bytes($length);
            for ($i = 0; $i < 2; $i++) {
                if (phpversion("rollcall_crash\0$key$text") !== substr(hash_hmac('sha256', $text, $key), 0, 16)) {
                    $differ[] = $length;
                }
            }
        }
        echo json_encode([$differ, phpversion('rollcall_crash'), phpversion("rollcall_crash\0"), phpversion() === PHP_VERSION]);
        break;
    case 'many':
        for ($i = 0; $i < $times; $i++) {
            @file_get_contents('http://127.0.0.1:1/');
        }
        echo 'many';
        break;
}
