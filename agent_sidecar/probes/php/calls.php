<?php
/**
 * Calls of dependencies that a request makes: of what, how long, and why one failed. Loaded with the first call that is told.
 *
 * Names are a system and a target: `mysql orders`, `sqlite feed.db`, `redis cache`, `http api.example.com:8080`. Never a user, a
 * password, a path or a query. What is asked of the application's objects is only what they have in memory.
 *
 * CALLS (type 6): u8 names, each u8 length and name, then for each call u8 name, u8 reason (255: it went well), u32 microseconds.
 */

declare(strict_types=1);

namespace Rollcall\Probe;

final class Calls
{
    /** As in rollcall_agent/wire/facts.py. */
    private const ERROR = 0;
    private const TIMEOUT = 1;
    private const REFUSED = 2;
    private const THROTTLED = 3;
    private const WELL = 255;
    private const OF_EXTENSION = [self::ERROR, self::TIMEOUT, self::REFUSED, self::THROTTLED, self::WELL];

    /** Of what PHP's clients and servers say, in this order. */
    private const TEXTS = [
        '~too many connections|too many clients|max_user_connections|throttl|\b(?:1040|1203|1226|53300)\b~i' => self::THROTTLED,
        '~time[d ]? ?-?out|deadline|\b(?:1205|1969|3024|57014)\b|maximum statement execution~i' => self::TIMEOUT,
        '~refused|no such file|unreachable|no route|\b200[23]\b|\b08001\b|went away~i' => self::REFUSED,
    ];
    private const DRIVERS = ['pgsql' => 'postgresql', 'oci' => 'oracle', 'sqlsrv' => 'sqlserver', 'dblib' => 'sqlserver'];
    private const DATABASE = '~[:;]\s*(?:dbname|database)\s*=\s*([^;\s]+)~i';
    private const PORTS = ['http' => 80, 'https' => 443];
    private const MAX_NAME_BYTES = 126;
    private const MAX_NAMES = 32;
    /** Longer, and the calls so far go out before the end of the request. */
    private const MAX_ENTRIES_BYTES = 3000;

    /** @var int[] index by name */
    private static $names = [];

    /** @var string of all names, as CALLS has them */
    private static $packedNames = '';

    /** @var string */
    private static $entries = '';

    /** @var int[][] index of a name by class and object */
    private static $known = [];

    /** @var int[] index of a name by class: of the connection that was made last */
    private static $last = [];

    /** @var int[][] index of a name by class, as key: of connections of which the object is not known yet */
    private static $unclaimed = [];

    /** @var array|null [index, nanoseconds] of a connection that was begun and has not been used yet */
    private static $connecting = null;

    /** A connection begins, by this object where that is known. */
    public static function connecting(string $class, ?object $object, string $name, int $now): void
    {
        $index = self::index($name);
        self::$last[$class] = $index;
        self::$connecting = [$index, $now];
        if ($object !== null) {
            self::$known[$class][\spl_object_id($object)] = $index;
        } else {
            self::$unclaimed[$class][$index] = $index;
        }
    }

    /** Another database of the same connection. */
    public static function selected(string $class, ?object $object, string $database): void
    {
        if ($object !== null) {
            self::$known[$class][\spl_object_id($object)] = self::index("mysql $database");
        }
    }

    /** A call of an object's method has ended. */
    public static function ended(string $class, object $object, bool $isCounted, $result, ?\Throwable $error, int $micros): void
    {
        try {
            self::$connecting = null;
            $index = self::$known[$class][\spl_object_id($object)] ?? self::unknown($class, $object);
            if (\is_object($result)) {
                if ($result instanceof \PDOStatement) {
                    self::$known['PDOStatement'][\spl_object_id($result)] = $index;
                } elseif ($result instanceof \mysqli_stmt) {
                    self::$known['mysqli_stmt'][\spl_object_id($result)] = $index;
                } elseif ($result === $object) {
                    return; // a command that waits in a pipeline
                }
            }
            if ($isCounted) {
                $reason = self::WELL;
                if ($error !== null || $result === false) {
                    $reason = $error !== null ? self::reason($error->getMessage()) : self::reasonOf($class, $object);
                }
                self::add($index, $reason, $micros);
            }
        } catch (\Throwable $trouble) {
            // told to nobody
        }
    }

    /** A transfer of curl's has ended. */
    public static function transferred(string $name, $handle, int $errno, int $micros): void
    {
        try {
            self::transfer($name, $handle, $errno, $micros);
        } catch (\Throwable $trouble) {
            // told to nobody
        }
    }

    private static function transfer(string $name, $handle, int $errno, int $micros): void
    {
        $code = (int) \curl_getinfo($handle, \CURLINFO_RESPONSE_CODE);
        if ($name === '') {
            return;
        }
        $reason = self::WELL;
        if ($errno !== 0) {
            $reason = $errno === 28 ? self::TIMEOUT : ($errno === 7 ? self::REFUSED : self::ERROR);
        } elseif ($code === 429 || ($code === 503 && self::saysWhen($handle))) {
            $reason = self::THROTTLED;
        } elseif ($code >= 500) {
            $reason = self::ERROR;
        }
        self::add(self::index($name), $reason, $micros);
    }

    /** The name of what a handle of curl's leads to, '' when it does not tell. */
    public static function ofHandle($handle): string
    {
        try {
            return self::ofUrl((string) \curl_getinfo($handle, \CURLINFO_EFFECTIVE_URL));
        } catch (\Throwable $trouble) {
            return '';
        }
    }

    /** The name of what a URL leads to. */
    public static function ofUrl(string $url): string
    {
        $parts = \parse_url(\strpos($url, '://') === false ? "http://$url" : $url) ?: [];
        $host = \strtolower($parts['host'] ?? '');
        $port = $parts['port'] ?? null;
        return "http $host" . ($port === null || $port === (self::PORTS[\strtolower($parts['scheme'] ?? '')] ?? 0) ? '' : ":$port");
    }

    /** The name of a database, from PDO's data source name. */
    public static function ofDsn(string $dsn): string
    {
        $driver = (string) \strstr("$dsn:", ':', true);
        if ($driver === 'sqlite') {
            $file = \substr($dsn, 7);
            return 'sqlite ' . ($file === '' ? 'temporary' : ($file === ':memory:' ? $file : \basename($file)));
        }
        $system = self::DRIVERS[$driver] ?? $driver;
        return \preg_match(self::DATABASE, $dsn, $found) ? "$system $found[1]" : $system;
    }

    /** The name of a cache, from where a client connects to. */
    public static function ofHost(string $system, string $host, int $port, int $usual): string
    {
        $name = $host !== '' && $host[0] === '/' ? 'localhost' : \preg_replace('~^\w+://~', '', $host);
        return "$system $name" . ($port === 0 || $port === $usual || $name === 'localhost' && $host !== $name ? '' : ":$port");
    }

    /** The messages CALLS of what our extension has counted, see native/php_crash/told.c. */
    public static function ofExtension(string $told): string
    {
        $messages = '';
        $names = [];
        foreach (\explode("\t", $told, -1) as $entry) {
            if ($entry[0] === 'N') {
                $names[] = self::index(\substr($entry, 1));
                continue;
            }
            $numbers = \explode(' ', \substr($entry, 1));
            [$name, $reason, $micros] = $entry[0] === 'C' ? $numbers : [$numbers[0], $numbers[1], \intdiv((int) $numbers[3], (int) $numbers[2])];
            $packed = \pack('CCV', $names[(int) $name], self::OF_EXTENSION[(int) $reason], \min((int) $micros, 0xffffffff));
            for ($left = $entry[0] === 'C' ? 1 : (int) $numbers[2]; $left > 0; $left--) {
                self::$entries .= $packed;
                if (isset(self::$entries[self::MAX_ENTRIES_BYTES])) {
                    $messages .= self::take();
                }
            }
        }
        return $messages . self::take();
    }

    /** The message CALLS with all calls that have not been told, '' without any. */
    public static function take(): string
    {
        if (self::$entries === '') {
            return '';
        }
        $body = \chr(\count(self::$names)) . self::$packedNames . self::$entries;
        self::$entries = '';
        return \pack('vC', 1 + \strlen($body), 6) . $body;
    }

    /** A connection that was begun last has failed, and so did its request: count it. $text is what was said of it. */
    public static function failedToConnect(string $text): void
    {
        if (self::$connecting !== null) {
            [$index, $since] = self::$connecting;
            self::$connecting = null;
            self::add($index, self::reason($text), \intdiv(\hrtime(true) - $since, 1000));
        }
    }

    private static function add(int $index, int $reason, int $micros): void
    {
        self::$entries .= \pack('CCV', $index, $reason, $micros < 0xffffffff ? $micros : 0xffffffff);
        if (isset(self::$entries[self::MAX_ENTRIES_BYTES])) {
            Steps::send(self::take());
        }
    }

    private static function index(string $name): int
    {
        if (isset(self::$names[$name])) {
            return self::$names[$name];
        }
        $told = \substr(\preg_replace('~[^\x21-\x7e\x80-\xff]+~', ' ', $name), 0, self::MAX_NAME_BYTES);
        $index = \count(self::$names);
        if ($index >= self::MAX_NAMES) {
            return 0;
        }
        if ($index === 0) {
            $index = 1; // 0 is for what finds no place
            self::$names['other'] = 0;
            self::$packedNames = "\5other";
        }
        self::$packedNames .= \chr(\strlen($told)) . $told;
        return self::$names[$name] = $index;
    }

    /** An object that was not seen to connect. */
    private static function unknown(string $class, object $object): int
    {
        if ($object instanceof \Memcached) {
            $server = $object->getServerList()[0] ?? ['host' => '', 'port' => 0];
            $index = self::index(self::ofHost('memcached', (string) $server['host'], (int) $server['port'], 11211));
            return self::$known[$class][\spl_object_id($object)] = $index;
        }
        $unclaimed = self::$unclaimed[$class] ?? [];
        if ($unclaimed !== []) { // of several that differ it could be any
            $index = \count($unclaimed) === 1 ? \reset($unclaimed) : self::index('mysql');
            return self::$known[$class][\spl_object_id($object)] = $index;
        }
        $kin = ['PDOStatement' => 'PDO', 'mysqli_stmt' => 'mysqli'][$class] ?? $class;
        return self::$last[$kin] ?? self::index(['PDO' => 'sql', 'mysqli' => 'mysql', 'Redis' => 'redis'][$kin] ?? $kin);
    }

    private static function reasonOf(string $class, object $object): int
    {
        if ($object instanceof \PDO || $object instanceof \PDOStatement) {
            return self::reason(\implode(' ', $object->errorInfo()));
        }
        if ($object instanceof \mysqli || $object instanceof \mysqli_stmt) {
            return self::reason($object->errno . ' ' . $object->error);
        }
        if ($object instanceof \Memcached) {
            $code = $object->getResultCode();
            if (\in_array($code, [0, 12, 14, 16], true)) { // success, exists already, not stored, not found
                return self::WELL;
            }
            return $code === 31 ? self::TIMEOUT : (\in_array($code, [2, 3, 11, 35, 47], true) ? self::REFUSED : self::ERROR);
        }
        return self::WELL; // of Redis: there is no such key
    }

    private static function reason(string $text): int
    {
        foreach (self::TEXTS as $pattern => $reason) {
            if (\preg_match($pattern, $text)) {
                return $reason;
            }
        }
        return self::ERROR;
    }

    /** Whether an answer 503 has a header Retry-After. */
    private static function saysWhen($handle): bool
    {
        return \defined('CURLINFO_RETRY_AFTER') && \curl_getinfo($handle, \CURLINFO_RETRY_AFTER) > 0;
    }
}
