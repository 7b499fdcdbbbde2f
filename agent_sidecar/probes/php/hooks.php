<?php
/**
 * Stands in for PHP's functions that wait, by the extension uopz: tells `Steps` and `Calls`, then lets the original do its work.
 *
 * What stands in runs in the scope of what it stands in for, so it reaches this class by its name; it must not raise.
 * uopz forgets hooks with the request, so they are made anew in each: only those that open something at its begin, the others when
 * that has been opened.
 */

declare(strict_types=1);

namespace Rollcall\Probe;

final class Hooks
{
    /** Hooked when the class on the left, or an extension's function, has been used. `+`: told before and after, else before only. */
    private const THEN = [
        'PDO' => [
            'db' => [
                'PDO' => ['+query', '+exec', '+prepare', '+beginTransaction', '+commit', '+rollBack'],
                'PDOStatement' => ['+execute'],
            ],
        ],
        'mysqli' => [
            'db' => [
                'mysqli' => ['+query', '+real_query', '+multi_query', '+prepare', '+commit', 'select_db'],
                'mysqli_stmt' => ['+execute'],
                '' => ['+mysqli_query', '+mysqli_real_query', '+mysqli_prepare', '+mysqli_stmt_execute', 'mysqli_select_db'],
            ],
        ],
        'pg' => ['db' => ['' => ['pg_query', 'pg_query_params', 'pg_execute']]],
        'curl' => ['http' => ['' => ['+curl_exec', '+curl_multi_select', '+curl_multi_info_read']]],
        'Redis' => [
            'cache' => [
                'Redis' => [
                    '+get', '+set', '+setex', '+mGet', '+mSet', '+incr', '+incrBy', '+decr', '+del', '+exists', '+expire', '+ttl',
                    '+hGet', '+hSet', '+hGetAll', '+hMGet', '+hMSet', '+hDel', '+hIncrBy', '+lPush', '+rPush', '+lPop', '+rPop',
                    '+lRange', '+sAdd', '+sRem', '+sMembers', '+sIsMember', '+zAdd', '+zRem', '+zRange', '+zRevRange',
                    '+zRangeByScore', '+zIncrBy', '+eval', '+evalSha', '+exec', '+publish',
                ],
            ],
            'queue' => ['Redis' => ['+blPop', '+brPop', '+xAdd', '+xRead', '+xReadGroup']],
        ],
        'Memcached' => [
            'cache' => [
                'Memcached' => [
                    '+get', '+getMulti', '+set', '+setMulti', '+add', '+replace', '+delete', '+increment', '+decrement', '+touch',
                ],
            ],
        ],
    ];
    /** Told, but no calls of their own: little or nothing of them goes to the server. */
    private const UNCOUNTED = ['prepare' => 0, 'beginTransaction' => 0, 'rollBack' => 0, 'mysqli_prepare' => 0];
    /** Functions of an extension whose first argument is an object of this class. */
    private const OBJECTS = [
        'mysqli_query' => 'mysqli',
        'mysqli_real_query' => 'mysqli',
        'mysqli_prepare' => 'mysqli',
        'mysqli_stmt_execute' => 'mysqli_stmt',
    ];

    /** @var bool[] what of THEN is hooked */
    private static $isHooked = [];

    /**
     * Hook what opens something, and what waits without that. With uopz, each call of a function costs much more, that of
     * `function_exists` but when the name is written in it, where opcache knows the answer: hence no loop, and closures that are
     * written down.
     */
    public static function arm(): void
    {
        $able = \function_exists('phpversion') ? (string) \phpversion(Request::$extension) : '';
        if (\strncmp($able, '3', 1) !== 0) {
            self::armWaiting();
        }
        \function_exists('curl_init') && \uopz_set_hook('curl_init', static function (): void {
            Hooks::use('curl');
        });
        if (!isset($able[0]) || $able[0] === '1') {
            require_once __DIR__ . '/catchers.php'; // our extension does not see what is thrown
            Catchers::arm();
        }
        if (\extension_loaded('mysqli')) {
            self::hookMethods('db', 'mysqli', ['__construct', 'real_connect']);
            self::hookFunctions('db', ['mysqli_connect', 'mysqli_init', 'mysqli_real_connect']);
        }
        \extension_loaded('pdo') && \uopz_set_hook('PDO', '__construct', self::entry('db', 'PDO', '__construct'));
        \extension_loaded('redis') && self::hookMethods('cache', 'Redis', ['connect', 'pconnect']);
        \extension_loaded('memcached') && self::hookMethods('cache', 'Memcached', ['__construct']);
    }

    /** What waits without that anything has been opened, or opens it: our extension tells of it from a worker's second request on. */
    private static function armWaiting(): void
    {
        \function_exists('sleep') && \uopz_set_return('sleep', self::aroundFunction('sleep', 'sleep'), true);
        \function_exists('usleep') && \uopz_set_return('usleep', self::aroundFunction('sleep', 'usleep'), true);
        \function_exists('time_nanosleep') && \uopz_set_return('time_nanosleep', self::aroundFunction('sleep', 'time_nanosleep'), true);
        \function_exists('flock') && \uopz_set_hook('flock', static function (): void {
            Steps::before('lock flock');
            Steps::stands();
        });
        \function_exists('sem_acquire') && \uopz_set_hook('sem_acquire', static function (): void {
            Steps::before('lock sem_acquire');
            Steps::stands();
        });
        \function_exists('fsockopen') && \uopz_set_hook('fsockopen', static function (): void {
            Steps::before('http fsockopen');
            Steps::stands();
        });
        \function_exists('stream_socket_client') && \uopz_set_hook('stream_socket_client', static function (): void {
            Steps::before('http stream_socket_client');
            Steps::stands();
        });
        \function_exists('file_get_contents') && \uopz_set_hook('file_get_contents', static function ($url = null): void {
            if (\is_string($url) && \strncasecmp($url, 'http', 4) === 0) {
                Steps::before('http file_get_contents');
                Steps::stands();
            }
        });
        \extension_loaded('pgsql') && self::hookFunctions('db', ['pg_connect', 'pg_pconnect']);
    }

    /** The messages CALLS and, of an exception that a framework answered with a 5xx, ERROR; $failure is what else is known. */
    public static function finish(string $failure): string
    {
        $error = \class_exists(Catchers::class, false) ? Catchers::finish() : '';
        if (!\class_exists(Calls::class, false)) {
            return $error;
        }
        if (isset(self::$isHooked['mysqli']) && \mysqli_connect_errno() !== 0) {
            Calls::failedToConnect(\mysqli_connect_errno() . ' ' . \mysqli_connect_error());
        } elseif (\preg_match('~^exception (?:PDO|mysqli_sql_|Redis)Exception\b~', $failure)) {
            Calls::failedToConnect($failure);
        }
        return Calls::take() . $error;
    }

    private static function hook(array $functions): void
    {
        foreach ($functions as $kind => $classes) {
            foreach ($classes as $class => $names) {
                if ($class === '') {
                    self::hookFunctions($kind, $names);
                } elseif (\class_exists($class, false)) {
                    self::hookMethods($kind, $class, $names);
                }
            }
        }
    }

    private static function hookFunctions(string $kind, array $names): void
    {
        foreach ($names as $name) {
            if ($name[0] !== '+') {
                if (\function_exists($name)) {
                    \uopz_set_hook($name, self::entry($kind, '', $name));
                }
            } elseif (\function_exists($name = \substr($name, 1))) {
                \uopz_set_return($name, self::aroundFunction($kind, $name), true);
            }
        }
    }

    private static function hookMethods(string $kind, string $class, array $names): void
    {
        foreach ($names as $name) {
            if ($name[0] !== '+') {
                if (\method_exists($class, $name)) {
                    \uopz_set_hook($class, $name, self::entry($kind, $class, $name));
                }
            } elseif (\method_exists($class, $name = \substr($name, 1))) {
                \uopz_set_return($class, $name, self::aroundMethod($kind, $class, $name), true);
            }
        }
    }

    /** Something of this client is used: what it does from here on is to be told. */
    public static function use(string $client): void
    {
        if (!isset(self::$isHooked[$client])) {
            self::$isHooked[$client] = true;
            require_once __DIR__ . '/calls.php';
            self::hook(self::THEN[$client]);
        }
    }

    /** The function that stands in for one of PHP's: uopz has it call the original by its name. */
    private static function aroundFunction(string $kind, string $function): \Closure
    {
        if ($function === 'curl_exec') {
            return self::aroundTransfer();
        }
        if ($function === 'curl_multi_info_read') {
            return self::aroundTransfers();
        }
        $text = "$kind $function";
        $class = self::OBJECTS[$function] ?? '';
        $isCounted = !isset(self::UNCOUNTED[$function]);
        return static function (...$arguments) use ($text, $function, $class, $isCounted) {
            $start = Steps::before($text);
            $result = $thrown = null;
            try {
                return $result = $function(...$arguments);
            } catch (\Throwable $error) {
                throw $thrown = Hooks::asThrownByCaller($error);
            } finally {
                $micros = Steps::after($start);
                if ($class !== '' && $start !== 0 && \is_object($arguments[0] ?? null)) {
                    Calls::ended($class, $arguments[0], $isCounted, $result, $thrown, $micros);
                }
            }
        };
    }

    private static function aroundMethod(string $kind, string $class, string $function): \Closure
    {
        $text = "$kind $class::$function";
        $isCounted = !isset(self::UNCOUNTED[$function]);
        return function (...$arguments) use ($text, $class, $function, $isCounted) {
            $start = Steps::before($text);
            $result = $thrown = null;
            try {
                return $result = $class::$function(...$arguments); // on this object, not what a subclass has of that name
            } catch (\Throwable $error) {
                throw $thrown = Hooks::asThrownByCaller($error);
            } finally {
                $micros = Steps::after($start);
                if ($start !== 0) {
                    Calls::ended($class, $this, $isCounted, $result, $thrown, $micros);
                }
            }
        };
    }

    private static function aroundTransfer(): \Closure
    {
        return static function (...$arguments) {
            $handle = $arguments[0] ?? null;
            $name = $handle instanceof \CurlHandle || \is_resource($handle) ? Calls::ofHandle($handle) : '';
            $start = Steps::before('http curl_exec');
            try {
                return \curl_exec(...$arguments);
            } catch (\Throwable $error) {
                throw Hooks::asThrownByCaller($error);
            } finally {
                $micros = Steps::after($start);
                if ($start !== 0) {
                    Calls::transferred($name, $handle, \curl_errno($handle), $micros);
                }
            }
        };
    }

    /** Transfers that go on side by side are counted as the application asks for their ends. */
    private static function aroundTransfers(): \Closure
    {
        return static function ($multi, &$queued = null) {
            $ended = \curl_multi_info_read($multi, $queued);
            if (isset($ended['handle'])) {
                $handle = $ended['handle'];
                $name = Calls::ofHandle($handle);
                $micros = (int) (1e6 * \curl_getinfo($handle, \CURLINFO_TOTAL_TIME));
                Calls::transferred($name, $handle, (int) $ended['result'], $micros);
            }
            return $ended;
        };
    }

    /** What is told before a function begins. */
    private static function entry(string $kind, string $class, string $function): \Closure
    {
        $text = $class === '' ? "$kind $function" : "$kind $class::$function";
        if ($class === '') {
            return static function (...$arguments) use ($text, $function): void {
                $start = Steps::before($text);
                Hooks::opens($function, $arguments, $start);
                Steps::stands();
            };
        }
        return function (...$arguments) use ($text, $class, $function): void {
            $start = Steps::before($text);
            Hooks::opensObject($class, $function, $this, $arguments, $start);
            Steps::stands();
        };
    }

    /** Functions that open something, or change what is open. */
    public static function opens(string $function, array $arguments, int $start): void
    {
        try {
            self::open($function, $arguments, $start);
        } catch (\Throwable $trouble) {
            // told to nobody
        }
    }

    private static function open(string $function, array $arguments, int $start): void
    {
        if (\strncmp($function, 'mysqli_', 7) === 0) {
            self::use('mysqli');
            $object = \is_object($arguments[0] ?? null) ? $arguments[0] : null;
            if ($function === 'mysqli_select_db') {
                Calls::selected('mysqli', $object, (string) ($arguments[1] ?? ''));
            } elseif ($function !== 'mysqli_init') {
                $database = (string) ($arguments[$object === null ? 3 : 4] ?? '');
                Calls::connecting('mysqli', $object, \rtrim("mysql $database"), $start);
            }
        } elseif (\strncmp($function, 'pg_', 3) === 0) {
            self::use('pg');
        }
    }

    /** The same of objects. */
    public static function opensObject(string $class, string $function, object $object, array $arguments, int $start): void
    {
        try {
            self::openObject($class, $function, $object, $arguments, $start);
        } catch (\Throwable $trouble) {
            // told to nobody
        }
    }

    private static function openObject(string $class, string $function, object $object, array $arguments, int $start): void
    {
        self::use($class);
        $first = $arguments[0] ?? '';
        $first = \is_string($first) ? $first : '';
        if ($class === 'PDO') {
            Calls::connecting($class, $object, Calls::ofDsn($first), $start);
        } elseif ($class === 'Redis') {
            $port = (int) ($arguments[1] ?? 0);
            Calls::connecting($class, $object, Calls::ofHost('redis', $first, $port > 0 ? $port : 6379, 6379), $start);
        } elseif ($function === 'select_db') {
            Calls::selected($class, $object, $first);
        } elseif ($class === 'mysqli' && ($function === 'real_connect' || $first !== '')) {
            Calls::connecting($class, $object, \rtrim('mysql ' . (\is_string($arguments[3] ?? '') ? $arguments[3] ?? '' : '')), $start);
        }
    }

    /** An exception of the original, with file, line and trace as if nothing stood between it and its caller. */
    public static function asThrownByCaller(\Throwable $error): \Throwable
    {
        $trace = $error->getTrace();
        if ($error->getFile() !== __FILE__ || ($trace[0]['file'] ?? '') !== __FILE__ || !isset($trace[1])) {
            return $error;
        }
        $class = $error instanceof \Exception ? \Exception::class : \Error::class;
        $call = \array_intersect_key($trace[1], ['file' => 0, 'line' => 0]);
        $first = $call + $trace[0];
        if ($call === []) {
            unset($first['file'], $first['line']);
        }
        \array_splice($trace, 0, 2, [$first]);
        $values = ['trace' => $trace] + $call;
        foreach ($values as $name => $value) {
            $property = new \ReflectionProperty($class, $name);
            if (\PHP_VERSION_ID < 80100) {
                $property->setAccessible(true); // later versions need it not, and 8.5 warns of it
            }
            $property->setValue($error, $value);
        }
        return $error;
    }
}
