<?php
/** What goes wrong in applications, by `?m=`. Knows nothing of the probe. */
class NoCapacity extends RuntimeException {}

class Feed
{
    public function read(string $user): array
    {
        if ($user === 'anna') {
            throw new NoCapacity('no capacity for anna@example.com, card 4111 1111 1111 1111, password=hunter2 and key 0123456789abcdef0');
        }
        return [];
    }
}

function open_database(): PDO
{
    return new PDO('sqlite:/no/such/folder/feed.db');
}

switch ($_GET['m'] ?? '') {
    case 'ok':
        echo 'fine';
        break;
    case 'hello':
        echo 'hello ', $_SERVER['REQUEST_URI'];
        break;
    case 'uncaught':
        (new Feed())->read('anna');
    case 'chained':
        try {
            (new Feed())->read('anna');
        } catch (NoCapacity $error) {
            throw new LogicException('the feed is empty', 7, $error);
        }
    case 'internal':
        open_database();
    case 'library':
        require __DIR__ . '/vendor/library.php';
        ask_library();
    case 'top':
        throw new DomainException("in the script\nitself");
    case 'call':
        no_such_function();
    case 'type':
        strlen([]);
    case 'anonymous':
        throw new class('without a name') extends Exception {};
    case 'memory':
        ini_set('memory_limit', '4M');
        for ($hoard = [];;) {
            $hoard[] = str_repeat('x', 1000);
        }
    case 'time':
        set_time_limit(1);
        for (;;) {
        }
    case 'parse':
        eval('this is no PHP');
    case 'user':
        trigger_error('given up', E_USER_ERROR);
    case 'warning':
        echo 'warned', $undefined;
        break;
    case 'deprecated':
        trigger_error('old ways', E_USER_DEPRECATED);
        echo 'deprecated';
        break;
    case 'suppressed':
        echo 'suppressed', @file_get_contents('/no/such/file');
        break;
    case 'unwanted':
        error_reporting(E_ALL & ~E_NOTICE & ~E_WARNING);
        echo 'unwanted', $undefined;
        break;
    case 'handled':
        set_error_handler(static function ($number, $text) { echo "handler saw $text"; return true; });
        echo $undefined, 'handled';
        break;
    case 'caught':
        set_exception_handler(static function (Throwable $error) { http_response_code(500); echo 'sorry: ', $error->getMessage(); });
        throw new DomainException('caught by the application');
    case 'status':
        http_response_code(503);
        echo 'busy';
        break;
    case 'in-shutdown':
        register_shutdown_function(static function () { throw new DomainException('while shutting down'); });
        echo 'shutting down';
        break;
    case 'cleared':
        register_shutdown_function(static function () { error_clear_last(); });
        throw new DomainException('cleared by a framework');
    case 'long':
        for ($i = 0; $i < 200000; $i++) {
            echo str_repeat('long ', 20);
        }
        break;
    case 'handlers':
        var_dump(set_error_handler(null), set_exception_handler(null), error_get_last(), get_included_files() === [] ?: 'files');
        break;
}
