<?php
/**
 * What a request in flight is at: needs one of the extensions uopz or excimer, without which PHP has no way to tell.
 *
 * With uopz, calls that wait (databases, HTTP, caches, locks, sleep) are told before and after. Those that may emit a warning,
 * whose text names the file it comes from, and constructors are told before only: their step stands until the next. With
 * excimer, code that runs for more than a second tells every second where it is. Loaded where PHP has one of the two.
 */

declare(strict_types=1);

namespace Rollcall\Probe;

final class Steps
{
    /** Told before and after, by the kind of step. */
    private const CALLS = [
        'db' => [
            'PDO' => ['query', 'exec', 'prepare', 'beginTransaction', 'commit', 'rollBack'],
            'PDOStatement' => ['execute'],
            'mysqli' => ['query', 'real_query', 'multi_query', 'prepare', 'commit'],
            'mysqli_stmt' => ['execute'],
            '' => ['mysqli_query', 'mysqli_real_query', 'mysqli_stmt_execute', 'pg_query', 'pg_query_params', 'pg_execute'],
        ],
        'http' => ['' => ['curl_exec', 'curl_multi_select']],
        'cache' => [
            'Redis' => ['get', 'set', 'mGet', 'hGet', 'hGetAll', 'hSet', 'incr', 'del', 'eval', 'exec', 'lPush', 'zRange'],
            'Memcached' => ['get', 'set', 'getMulti', 'setMulti', 'add', 'delete', 'increment'],
        ],
        'queue' => ['Redis' => ['blPop', 'brPop', 'xRead', 'xReadGroup']],
        'sleep' => ['' => ['sleep', 'usleep', 'time_nanosleep']],
    ];
    /** Told before only. */
    private const ENTRIES = [
        'db' => [
            'PDO' => ['__construct'],
            'mysqli' => ['__construct', 'real_connect'],
            '' => ['mysqli_connect', 'mysqli_real_connect', 'pg_connect'],
        ],
        'cache' => ['Redis' => ['connect', 'pconnect']],
        'http' => ['' => ['file_get_contents', 'fsockopen', 'stream_socket_client']],
        'lock' => ['' => ['flock', 'sem_acquire']],
    ];
    private const MAX_TEXT = 126;
    private const WINDOW_NS = 100000000;
    /** The agent reads every 100 ms; a stream that overflows before that would be given up. */
    private const STEPS_PER_WINDOW = 80;
    private const CODE_AFTER_S = 1.0;

    /** @var Request|null */
    private static $request = null;

    /** @var int */
    private static $depth = 0;

    /** @var int */
    private static $windowStart = 0;

    /** @var int */
    private static $inWindow = 0;

    /** @var string */
    private static $lastCode = '';

    /** @var \ExcimerTimer|null */
    private static $timer = null;

    /** Begin to tell the steps of a request. */
    public static function arm(Request $request): void
    {
        self::$request = $request;
        if (\function_exists('uopz_set_return')) {
            self::hook();
        }
        if (\class_exists('ExcimerTimer', false)) {
            self::$timer = new \ExcimerTimer();
            self::$timer->setEventType(\EXCIMER_REAL);
            self::$timer->setPeriod(self::CODE_AFTER_S);
            self::$timer->setCallback([self::class, 'atTimer']);
            self::$timer->start();
        }
    }

    /** Nothing is told any more; a timer must not outlive the request. */
    public static function disarm(): void
    {
        self::$request = null;
        if (self::$timer !== null) {
            self::$timer->stop();
            self::$timer = null;
        }
    }

    private static function hook(): void
    {
        foreach (self::CALLS as $kind => $classes) {
            foreach ($classes as $class => $functions) {
                if ($class === '') {
                    foreach (\array_filter($functions, 'function_exists') as $function) {
                        \uopz_set_return($function, self::functionCall($kind, $function), true);
                    }
                } elseif (\class_exists($class, false)) {
                    foreach ($functions as $function) {
                        \uopz_set_return($class, $function, self::methodCall($kind, $class, $function), true);
                    }
                }
            }
        }
        foreach (self::ENTRIES as $kind => $classes) {
            foreach ($classes as $class => $functions) {
                if ($class === '') {
                    foreach (\array_filter($functions, 'function_exists') as $function) {
                        \uopz_set_hook($function, self::entry($kind, $function));
                    }
                } elseif (\class_exists($class, false)) {
                    foreach ($functions as $function) {
                        \uopz_set_hook($class, $function, self::entry($kind, "$class::$function"));
                    }
                }
            }
        }
    }

    /** The function that stands in for one of PHP's: uopz has it call the original by its name. */
    private static function functionCall(string $kind, string $function): \Closure
    {
        return static function (...$arguments) use ($kind, $function) {
            $told = Steps::before($kind, $function);
            try {
                return $function(...$arguments);
            } catch (\Throwable $error) {
                throw Steps::asThrownByCaller($error);
            } finally {
                Steps::after($told);
            }
        };
    }

    private static function methodCall(string $kind, string $class, string $function): \Closure
    {
        return function (...$arguments) use ($kind, $class, $function) {
            $told = Steps::before($kind, "$class::$function");
            try {
                return $class::$function(...$arguments); // on this object, and not what a subclass has of that name
            } catch (\Throwable $error) {
                throw Steps::asThrownByCaller($error);
            } finally {
                Steps::after($told);
            }
        };
    }

    private static function entry(string $kind, string $name): \Closure
    {
        $isUrl = $name === 'file_get_contents';
        return static function (...$arguments) use ($kind, $name, $isUrl): void {
            if (!$isUrl || (\is_string($arguments[0] ?? null) && \strncasecmp($arguments[0], 'http', 4) === 0)) {
                Steps::before($kind, $name);
                Steps::after(false);
            }
        };
    }

    /** Tell that a call begins; whether it was told: only the outermost of nested calls, only so many in a short time. */
    public static function before(string $kind, string $name): bool
    {
        if (self::$depth++ > 0 || self::$request === null) {
            return false;
        }
        $now = \hrtime(true);
        if ($now - self::$windowStart > self::WINDOW_NS) {
            self::$windowStart = $now;
            self::$inWindow = 0;
        }
        if (++self::$inWindow > self::STEPS_PER_WINDOW) {
            return false;
        }
        // 0: the closure that stands in, 1: the call in the application, 2: the function that it is in
        $frames = \debug_backtrace(\DEBUG_BACKTRACE_IGNORE_ARGS, 3);
        self::tell("$kind $name" . self::from($frames[1] ?? [], $frames[2] ?? []), $now);
        return true;
    }

    /** Tell that the call is over, if its begin was told. */
    public static function after(bool $told): void
    {
        self::$depth--;
        if ($told) {
            self::tell('', \hrtime(true));
        }
    }

    /** The request's code is running, and has been for a while: where is it? */
    public static function atTimer(): void
    {
        $frames = \debug_backtrace(\DEBUG_BACKTRACE_IGNORE_ARGS, 3);
        $where = $frames[0] ?? [];
        $function = self::functionOf($frames[1] ?? []);
        $place = \basename($where['file'] ?? '') . ':' . ($where['line'] ?? 0);
        $text = 'code ' . ($function === '' ? '{main}' : $function) . " ($place)";
        if (self::$request !== null && $text !== self::$lastCode) {
            self::$lastCode = $text;
            self::tell($text, \hrtime(true));
        }
    }

    private static function from(array $call, array $caller): string
    {
        $function = self::functionOf($caller);
        $place = isset($call['file']) ? \basename($call['file']) . ':' . ($call['line'] ?? 0) : '';
        return ' from ' . ($function === '' ? '{main}' : $function) . ($place === '' ? '' : " ($place)");
    }

    private static function functionOf(array $frame): string
    {
        return isset($frame['function']) ? ($frame['class'] ?? '') . ($frame['type'] ?? '') . $frame['function'] : '';
    }

    private static function tell(string $text, int $now): void
    {
        if ($text !== '') {
            self::$lastCode = $text;
        }
        if (self::$request !== null) {
            Rare::step(self::$request, \substr($text, 0, self::MAX_TEXT), \intdiv($now, 1000));
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
