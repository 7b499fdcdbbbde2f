<?php
/** What applications wait for, by `?m=`. Knows nothing of the probe. */
class Store
{
    /** @var PDO */
    public $pdo;

    public function __construct()
    {
        $this->pdo = new PDO('sqlite::memory:');
    }

    public function slow(): array
    {
        $text = 'with recursive n(i) as (select 1 union all select i + 1 from n where i < 9000000) select count(*) from n';
        return $this->pdo->query($text)->fetchAll(PDO::FETCH_COLUMN);
    }
}

class OwnPdo extends PDO
{
    #[ReturnTypeWillChange]
    public function query($text, $mode = null, ...$more)
    {
        return parent::query($text);
    }
}

function nap(): void
{
    sleep(2);
}

function fetch(string $url): void
{
    $handle = curl_init($url);
    curl_setopt_array($handle, [CURLOPT_RETURNTRANSFER => true, CURLOPT_TIMEOUT_MS => 1500]);
    var_dump(curl_exec($handle), curl_errno($handle));
}

function spin(float $seconds): void
{
    for ($end = microtime(true) + $seconds; microtime(true) < $end;) {
    }
}

switch ($_GET['m'] ?? '') {
    case 'sleep':
        nap();
        break;
    case 'usleep':
        usleep(1500000);
        break;
    case 'db':
        echo json_encode((new Store())->slow());
        break;
    case 'http':
        fetch($_GET['url']);
        break;
    case 'url':
        var_dump(@file_get_contents($_GET['url'], false, stream_context_create(['http' => ['timeout' => 1.5]])));
        break;
    case 'lock':
        $file = fopen($_GET['file'], 'c');
        var_dump(flock($file, LOCK_EX | LOCK_NB, $would_block), $would_block);
        flock($file, LOCK_EX);
        break;
    case 'spin':
        spin((float) $_GET['s']);
        break;
    case 'after':
        nap();
        spin(2.0);
        break;
    case 'many':
        $store = new Store();
        for ($i = 0; $i < 20000; $i++) {
            $store->pdo->query('select 1')->fetchAll();
        }
        echo 'many';
        break;
    case 'cost':
        $pdo = (new Store())->pdo;
        $statement = $pdo->prepare('select 1');
        for ($i = 0; $i < 1000; $i++) {
            $statement->execute();
        }
        $times = [];
        for ($round = 0; $round < 20; $round++) {
            $start = hrtime(true);
            for ($i = 0; $i < 50; $i++) {
                $statement->execute();
            }
            $times[] = (hrtime(true) - $start) / 50;
            usleep(110000);
        }
        sort($times);
        printf('%d', $times[10]);
        break;
    case 'burst':
        $pdo = (new Store())->pdo;
        $statement = $pdo->prepare('select 1');
        $start = hrtime(true);
        for ($i = 0; $i < 5000; $i++) {
            $statement->execute();
        }
        printf('%d', (hrtime(true) - $start) / 5000);
        break;
    case 'throws':
        $own = new OwnPdo('sqlite::memory:');
        $found = [];
        foreach (
            [
                static function () { (new Store())->pdo->query('no sql'); },
                static function () use ($own) { $own->query('no sql'); },
                static function () { (new Store())->pdo->exec('no sql'); },
                static function () { array_map([(new Store())->pdo, 'exec'], ['no sql']); },
                static function () { usleep(-1); },
                static function () { new PDO('sqlite:/no/such/file'); },
                static function () { new PDO('mysql:host=127.0.0.1;port=1'); },
                static function () { mysqli_connect('127.0.0.1', 'u', 'p', 'd', 1); },
                static function () { mysqli_query(mysqli_init(), 'select 1'); },
                static function () { (new Redis())->get('x'); },
                static function () { (new Store())->pdo->prepare('select :a')->execute(['b' => 1]); },
            ] as $number => $case
        ) {
            try {
                $case();
            } catch (Throwable $error) {
                $found[] = [$number, get_class($error), (string) $error, $error->getTrace()];
            }
        }
        echo json_encode($found, JSON_PARTIAL_OUTPUT_ON_ERROR | JSON_PRETTY_PRINT);
        break;
    case 'warns':
        echo file_get_contents('/no/such/file');
        var_dump(fsockopen('127.0.0.1', 1, $number, $text, 0.1), $number, $text);
        var_dump(stream_socket_client('tcp://127.0.0.1:1', $number, $text, 0.1), $number, $text);
        var_dump(curl_exec(curl_init('http://127.0.0.1:1/')), usleep(1), sleep(0), time_nanosleep(0, 1));
        var_dump((new Store())->pdo->query('select 1', PDO::FETCH_NUM)->fetch(), error_get_last());
        curl_multi_select(curl_multi_init(), 0.01);
        var_dump((new ReflectionFunction('usleep'))->getNumberOfParameters(), get_class(new PDO('sqlite::memory:')));
        break;
    case 'exit':
        echo 'bye';
        exit(0);
}
