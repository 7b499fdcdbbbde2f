<?php
/**
 * What went wrong in a request, from what PHP itself keeps (`error_get_last()`): the application's handlers are not touched.
 *
 * PHP keeps the last error only: of several warnings in one request that one is told, a sample where our extension counts them all
 * (native/php_crash/warnings.c). Loaded in requests that had an error.
 */

declare(strict_types=1);

namespace Rollcall\Probe;

final class Errors
{
    private const FATAL = \E_ERROR | \E_PARSE | \E_CORE_ERROR | \E_COMPILE_ERROR | \E_USER_ERROR | \E_RECOVERABLE_ERROR;
    private const FATAL_NAMES = [
        \E_PARSE => 'fatal parse error',
        \E_CORE_ERROR => 'fatal core error',
        \E_COMPILE_ERROR => 'fatal compile error',
        \E_USER_ERROR => 'fatal E_USER_ERROR',
    ];
    private const WARNING_NAMES = [
        \E_WARNING => 'E_WARNING',
        \E_NOTICE => 'E_NOTICE',
        \E_CORE_WARNING => 'E_CORE_WARNING',
        \E_COMPILE_WARNING => 'E_COMPILE_WARNING',
        \E_USER_WARNING => 'E_USER_WARNING',
        \E_USER_NOTICE => 'E_USER_NOTICE',
        \E_DEPRECATED => 'E_DEPRECATED',
        \E_USER_DEPRECATED => 'E_USER_DEPRECATED',
    ];
    /** Code that is not the application's own. */
    private const FOREIGN = '~/(?:vendor|wp-includes|wp-admin)/|^/usr/(?:share|local/lib)/php/|^\[internal function\]~';
    private const MAX_MESSAGE = 200;
    private const MAX_NAME = 80;
    private const MAX_FUNCTION = 60;
    private const MAX_FILE = 90;
    private const MAX_SOURCE_LINE = 20000;

    /** What may tell of a person or open a door, and what stands in its place. */
    private const REDACTIONS = [
        '~\b([\w-]*(?:passw(?:or)?d|pwd|secret|token|api[_-]?key|session|sid)["\']?\s*(?:=>|[=:])\s*)'
            . '(?:"[^"]*"|\'[^\']*\'|[^\s,;&)]+)~i' => '$1<hidden>',
        '~\b(bearer|basic)\s+[\w.+/=-]+~i' => '$1 <hidden>',
        '~://[^\s/@:]*:[^\s/@]*@~' => '://<hidden>@',
        '~[\w.+-]+@[\w-]+(?:\.[\w-]+)+~' => '<email>',
        '~\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b~i' => '<token>',
        '~\b[0-9a-f]{16,}\b~i' => '<token>',
        '~\b(?=[\w-]*\d)(?=[\w-]*[A-Za-z])[\w-]{20,}\b~' => '<token>',
        '~\d(?:[ -]?\d){5,}~' => '<number>',
    ];

    /**
     * The body of ERROR for the first of two errors that is fatal, else for the warning; '' when there is nothing to tell.
     *
     * @param array $early what error_get_last() said before the shutdown functions, $late after them
     */
    public static function fields(array $early, array $late, ?bool &$isFatal): string
    {
        $error = ($late['type'] & self::FATAL) !== 0 ? $late : $early;
        $isFatal = ($error['type'] & self::FATAL) !== 0;
        if (!$isFatal) {
            return self::warning($late);
        }
        $message = $error['message'];
        if (\strncmp($message, 'Allowed memory size', 19) === 0 || \strncmp($message, 'Out of memory', 13) === 0) {
            return self::short('fatal memory limit', $error);
        }
        if (\strncmp($message, 'Maximum execution time', 22) === 0) {
            return self::short('timeout max_execution_time', $error);
        }
        return self::uncaught($error) ?? self::short(self::FATAL_NAMES[$error['type']] ?? 'fatal error', $error);
    }

    /** The body of ERROR for an exception that a framework has caught and answered with an error page. */
    public static function ofThrowable(\Throwable $error): string
    {
        $text = '';
        foreach ($error->getTrace() as $number => $frame) {
            $place = isset($frame['file']) ? $frame['file'] . '(' . ($frame['line'] ?? 0) . ')' : '[internal function]';
            $text .= "#$number $place: " . ($frame['class'] ?? '') . ($frame['type'] ?? '') . $frame['function'] . "()\n";
        }
        return self::body(\get_class($error), $error->getMessage(), $error->getFile(), $error->getLine(), $text . '#99 {main}');
    }

    /** The body of ERROR for an exception that our extension has seen thrown: class, message, file, line, with tabs between them. */
    public static function ofThrown(string $told): string
    {
        [$type, $message, $file, $line] = \explode("\t", $told) + ['', '', '', ''];
        return self::join('exception ' . $type, $message, '', $file, (int) $line);
    }

    /** An exception that nobody caught: its text ends with `Type: message in file:line`, then the trace. Null: it is none. */
    private static function uncaught(array $error): ?string
    {
        $text = $error['message'];
        if (\strncmp($text, 'Uncaught ', 9) !== 0) {
            return null;
        }
        $last = \strrpos($text, "\n\nNext ");
        $text = $last === false ? \substr($text, 9) : \substr($text, $last + 7);
        $place = \strpos($text, ' in ' . $error['file'] . ':' . $error['line']);
        $head = $place === false ? \strstr($text . "\n", "\n", true) : \substr($text, 0, $place);
        if (!\preg_match('~^([\w\\\\]+)(?:@anonymous[^\x00]*\x00[^:]*)?(?::[0-9a-f$]*)?(?:: (.*))?$~s', $head, $match)) {
            return null;
        }
        $trace = $place === false ? '' : (string) \strstr(\substr($text, $place), "\n#");
        return self::body($match[1], $match[2] ?? '', $error['file'], $error['line'], $trace);
    }

    /** @param string $trace as PHP writes it: `#0 /app/feed.php(12): Feed->read()` on each line */
    private static function body(string $type, string $message, string $file, int $line, string $trace): string
    {
        $frame = '~^#\d+ (?:(.+?)\((\d+)\): |(\[internal function\]): |(\{main\}))([^(\n]*)~m';
        \preg_match_all($frame, $trace, $frames, \PREG_SET_ORDER);
        $places = [[$file, $line]];
        $functions = [];
        foreach ($frames as $number => $frame) {
            $functions[] = $frame[4] !== '' ? '{main}' : $frame[5];
            // A function of PHP itself throws where it is called: that frame tells no other place.
            if ($number === 0 && $frame[1] === $file && (int) $frame[2] === $line) {
                $functions = [];
                continue;
            }
            if ($frame[4] === '') {
                $places[] = [$frame[1] !== '' ? $frame[1] : '[internal function]', (int) $frame[2]];
            }
        }
        $own = 0;
        while ($own < \count($places) - 1 && \preg_match(self::FOREIGN, $places[$own][0])) {
            $own++;
        }
        if (\preg_match(self::FOREIGN, $places[$own][0])) {
            $own = 0;
        }
        return self::join('exception ' . $type, $message, $functions[$own] ?? '', $places[$own][0], $places[$own][1]);
    }

    /** The last warning, unless the application does not want to hear of it or has put `@` in front. */
    private static function warning(array $error): string
    {
        $name = self::WARNING_NAMES[$error['type']] ?? null;
        if ($name === null || (\error_reporting() & $error['type']) === 0 || self::isSuppressed($error)) {
            return '';
        }
        return self::short("warning $name", $error);
    }

    /** PHP keeps a suppressed error like any other, so look at the line that it comes from. */
    private static function isSuppressed(array $error): bool
    {
        $file = $error['line'] <= self::MAX_SOURCE_LINE ? \fopen($error['file'], 'r') : false;
        if ($file === false) {
            return false;
        }
        $line = '';
        for ($number = 0; $number < $error['line'] && $line !== false; $number++) {
            $line = \fgets($file);
        }
        \fclose($file);
        return $line !== false && \preg_match('~@\s*[\w\\\\$(]~', $line) === 1;
    }

    private static function short(string $name, array $error): string
    {
        return self::join($name, $error['message'], '', $error['file'], $error['line']);
    }

    private static function join(string $name, string $message, string $function, string $file, int $line): string
    {
        return \implode("\0", [
            self::cut(\strstr($name . "\0", "\0", true), self::MAX_NAME),
            self::cut(self::redacted($message), self::MAX_MESSAGE),
            self::cut($function, self::MAX_FUNCTION),
            \substr(\str_replace("\0", ' ', self::path($file)), -self::MAX_FILE),
            (string) $line,
        ]);
    }

    private static function redacted(string $message): string
    {
        $message = \substr($message, 0, 4 * self::MAX_MESSAGE);
        return (string) \preg_replace(\array_keys(self::REDACTIONS), \array_values(self::REDACTIONS), $message);
    }

    /** Below the document root or its parent, where that is where the application is. */
    private static function path(string $file): string
    {
        $root = $_SERVER['DOCUMENT_ROOT'] ?? '';
        foreach (\is_string($root) && \strlen($root) > 1 ? [\rtrim($root, '/'), \dirname($root)] : [] as $folder) {
            if ($folder !== '/' && \strncmp($file, $folder . '/', \strlen($folder) + 1) === 0) {
                return \substr($file, \strlen($folder) + 1);
            }
        }
        return $file;
    }

    /** At most so many bytes, no byte of a character cut off, nothing but printable text. */
    private static function cut(string $text, int $bytes): string
    {
        $text = \preg_replace('~[\x00-\x1f\x7f]+~', ' ', $text);
        if (\strlen($text) <= $bytes) {
            return $text;
        }
        return (string) \preg_replace('~[\xc0-\xff][\x80-\xbf]{0,3}$~', '', \substr($text, 0, $bytes));
    }
}
