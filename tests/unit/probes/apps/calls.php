<?php
/** What applications call, by `?m=`; ports of the servers are in `?port=`. Knows nothing of the probe. */
$port = (int) ($_GET['port'] ?? 0);
$times = (int) ($_GET['n'] ?? 3);

function pdo(string $dsn, ?string $user = null): PDO
{
    return new PDO($dsn, $user, null, [PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION]);
}

function attempt(callable $action)
{
    try {
        return $action();
    } catch (Throwable $error) {
        return get_class($error);
    }
}

function url(string $url)
{
    $handle = curl_init($url);
    curl_setopt_array($handle, [CURLOPT_RETURNTRANSFER => true, CURLOPT_TIMEOUT_MS => 300]);
    return curl_exec($handle);
}

switch ($_GET['m'] ?? '') {
    case 'sqlite':
        $pdo = pdo("sqlite:$_GET[folder]/feed.db");
        $other = pdo('sqlite::memory:');
        $statement = $pdo->prepare('select :a');
        for ($i = 0; $i < $times; $i++) {
            $statement->execute(['a' => $i]);
            $other->query('select 1')->fetchAll();
        }
        echo json_encode([$statement->fetchColumn(), attempt(static function () use ($pdo) { return $pdo->query('no'); })]);
        break;
    case 'mysql':
        $pdo = pdo("mysql:host=127.0.0.1;port=$port;dbname=shop", 'app');
        $statement = $pdo->prepare('select ? + 1');
        for ($i = 0; $i < $times; $i++) {
            $statement->execute([$i]);
        }
        $pdo->query('select sleep(0.2)')->fetchAll();
        echo json_encode([(int) $statement->fetchColumn(), attempt(static function () use ($pdo) {
            return $pdo->query('set statement max_statement_time=0.1 for select sleep(3) from mysql.user, mysql.user b');
        })]);
        break;
    case 'mysqli':
        mysqli_report(MYSQLI_REPORT_OFF);
        $link = mysqli_connect('127.0.0.1', 'app', '', 'shop', $port);
        $more = new mysqli('127.0.0.1', 'app', '', 'information_schema', $port);
        for ($i = 0; $i < $times; $i++) {
            $found = mysqli_query($link, 'select 1')->fetch_row();
            $more->query('select 2');
        }
        $statement = $more->prepare('select ?');
        $statement->bind_param('i', $times);
        $statement->execute();
        echo json_encode([$found, mysqli_query($link, 'no sql'), $link->errno]);
        break;
    case 'mysqli-refused':
        mysqli_report(MYSQLI_REPORT_OFF);
        $link = mysqli_init();
        var_dump(@mysqli_real_connect($link, '127.0.0.1', 'app', 'secret', 'shop', $port));
        break;
    case 'pdo-refused':
        pdo("mysql:host=127.0.0.1;port=$port;dbname=shop", 'app');
    case 'pgsql':
        $pdo = pdo("pgsql:host=127.0.0.1;port=$port;dbname=orders;user=postgres;password=secret");
        for ($i = 0; $i < $times; $i++) {
            $statement = $pdo->prepare('select ?::int');
            $statement->execute([$i]);
        }
        $pdo->exec("set statement_timeout = '100ms'");
        echo json_encode([$statement->fetchColumn(), attempt(static function () use ($pdo) { return $pdo->query('select pg_sleep(5)'); })]);
        break;
    case 'redis':
        $redis = new Redis();
        $redis->connect('127.0.0.1', $port);
        for ($i = 0; $i < $times; $i++) {
            $redis->set("key$i", "value$i");
        }
        $piped = $redis->multi(Redis::PIPELINE)->get('key0')->get('none')->exec();
        echo json_encode([$redis->get('key1'), $redis->get('none'), $piped, attempt(static function () use ($redis) { return $redis->hGetAll('key1'); })]);
        break;
    case 'redis-refused':
        $redis = new Redis();
        $redis->connect('127.0.0.1', $port);
    case 'memcached':
        $cache = new Memcached();
        $cache->addServer('127.0.0.1', $port);
        for ($i = 0; $i < $times; $i++) {
            $cache->set("key$i", $i);
        }
        echo json_encode([$cache->get('key1'), $cache->get('none'), $cache->getResultCode()]);
        break;
    case 'http':
        $found = [];
        foreach (['/status/200', '/status/404', '/status/500', '/status/429', '/status/503', '/status/503?retry', '/slow/2'] as $path) {
            $found[] = url("http://anna:secret@127.0.0.1:$port$path");
        }
        $found[] = url('http://127.0.0.1:1/');
        echo json_encode($found);
        break;
    case 'multi':
        $multi = curl_multi_init();
        foreach (range(1, $times) as $i) {
            $handle = curl_init("http://127.0.0.1:$port/slow/0.3");
            curl_setopt($handle, CURLOPT_RETURNTRANSFER, true);
            curl_multi_add_handle($multi, $handle);
        }
        $found = [];
        do {
            curl_multi_exec($multi, $running);
            curl_multi_select($multi, 0.05);
            while ($ended = curl_multi_info_read($multi, $queued)) {
                $found[] = [$ended['msg'], $ended['result'], $queued, curl_multi_getcontent($ended['handle'])];
            }
        } while ($running);
        echo json_encode($found);
        break;
    case 'wrong':
        $found = [];
        foreach (
            [
                static function () { return curl_exec(); },
                static function () { return curl_exec('no handle'); },
                static function () { return mysqli_query('no link', 'select 1'); },
                static function () { return curl_multi_info_read('nothing'); },
                static function () { return (new Memcached())->get('x'); },
                static function () { return (new PDO('sqlite::memory:'))->query(); },
            ] as $case
        ) {
            try {
                $found[] = $case();
            } catch (Throwable $error) {
                $found[] = [get_class($error), $error->getMessage(), $error->getFile(), $error->getLine(), $error->getTraceAsString()];
            }
        }
        echo json_encode($found);
        break;
}
