<?php
/**
 * What a request in flight is at, and what it calls: needs one of the extensions uopz or excimer, without which PHP has no way to
 * tell.
 *
 * With uopz, calls that wait (databases, HTTP, caches, locks, sleep) are told before and after, and counted (calls.php). Those that
 * may emit a warning, whose text names the file it comes from, and constructors are told before only: their step stands until the
 * next. What a client's first connection shows to be used is hooked then (hooks.php): a request pays for what it uses. With
 * excimer, code that runs for more than a second tells every second where it is. Loaded where PHP has one of the two.
 */

declare(strict_types=1);

namespace Rollcall\Probe;

final class Steps
{
    private const MAX_TEXT = 126;
    private const WINDOW_NS = 100000000;
    /** The agent reads every 100 ms; a stream that overflows before that would be given up. */
    private const STEPS_PER_WINDOW = 80;
    private const CODE_AFTER_S = 1.0;

    /** @var Request|null */
    private static $request = null;

    /** @var int */
    private static $depth = 0;

    /** @var bool the call that goes on now was told */
    private static $isTold = false;

    /** @var int */
    private static $windowStart = 0;

    /** @var int */
    private static $inWindow = 0;

    /** @var string */
    private static $lastCode = '';

    /** @var \Closure takes the place of the application's error handler while something is sent */
    private static $ignore;

    /** @var \ExcimerTimer|null */
    private static $timer = null;

    /** Begin to tell the steps of a request. */
    public static function arm(Request $request): void
    {
        self::$request = $request;
        self::$ignore = static function (): bool {
            return true;
        };
        if (\function_exists('uopz_set_return')) {
            require_once __DIR__ . '/hooks.php';
            Hooks::arm();
        }
        if (\class_exists('ExcimerTimer', false)) {
            self::$timer = new \ExcimerTimer();
            self::$timer->setEventType(\EXCIMER_REAL);
            self::$timer->setPeriod(self::CODE_AFTER_S);
            self::$timer->setCallback([self::class, 'atTimer']);
            self::$timer->start();
        }
    }

    /** Nothing is told any more, and a timer must not outlive the request; the messages for calls that have not been told. */
    public static function finish(string $failure): string
    {
        self::$request = null;
        if (self::$timer !== null) {
            self::$timer->stop();
            self::$timer = null;
        }
        try {
            return \class_exists(Hooks::class, false) ? Hooks::finish($failure) : '';
        } catch (\Throwable $error) {
            return ''; // told to nobody
        }
    }

    // With uopz each call costs several times as much, of a function of PHP's or of ours: hence few of them here.

    /** A call begins: when, in nanoseconds; 0 within another call. Told if it is one of so many in a short time. */
    public static function before(string $text): int
    {
        if (self::$depth++ > 0 || self::$request === null) {
            return 0;
        }
        $now = \hrtime(true);
        if ($now - self::$windowStart > self::WINDOW_NS) {
            self::$windowStart = $now;
            self::$inWindow = 0;
        }
        self::$isTold = ++self::$inWindow <= self::STEPS_PER_WINDOW && self::$request->stream !== null;
        if (self::$isTold) {
            \set_error_handler(self::$ignore);
            try {
                // 0: the closure that stands in, 1: the call in the application, 2: the function that it is in
                $text .= self::from(\debug_backtrace(\DEBUG_BACKTRACE_IGNORE_ARGS, 3));
                $text = isset($text[self::MAX_TEXT]) ? \substr($text, 0, self::MAX_TEXT) : $text;
                \stream_socket_sendto(self::$request->stream, \pack('vCP', 9 + \strlen($text), 4, (int) ($now / 1000)) . $text);
            } catch (\Throwable $error) {
                self::$isTold = false; // told to nobody
            }
            \restore_error_handler();
        }
        return $now;
    }

    /** The call is over that began at `$start`; how long it took, in microseconds. */
    public static function after(int $start): int
    {
        self::$depth--;
        if ($start === 0) {
            return 0;
        }
        $now = \hrtime(true);
        if (self::$isTold && self::$request !== null) {
            \set_error_handler(self::$ignore);
            try {
                \stream_socket_sendto(self::$request->stream, \pack('vCP', 9, 4, (int) ($now / 1000)));
            } catch (\Throwable $error) {
                // told to nobody
            }
            \restore_error_handler();
        }
        return (int) (($now - $start) / 1000);
    }

    /** The step that was told last stands until the next: nobody will know when it is over. */
    public static function stands(): void
    {
        self::$depth--;
    }

    /** Tell the agent; what cannot be sent is given up. */
    public static function send(string $messages): void
    {
        if (self::$request !== null && self::$request->stream !== null) {
            Request::sendQuietly(self::$request->stream, $messages);
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
        if ($text !== self::$lastCode) {
            self::$lastCode = $text;
            self::tell($text, \hrtime(true));
        }
    }

    private static function tell(string $text, int $now): void
    {
        $text = \substr($text, 0, self::MAX_TEXT);
        self::send(\pack('vCP', 9 + \strlen($text), 4, (int) ($now / 1000)) . $text);
    }

    /** In which function of the application, and where, by the frames of the stack. */
    private static function from(array $frames): string
    {
        $caller = $frames[2] ?? [];
        $function = isset($caller['function']) ? ($caller['class'] ?? '') . ($caller['type'] ?? '') . $caller['function'] : '{main}';
        $call = $frames[1] ?? [];
        return " from $function" . (isset($call['file']) ? ' (' . \basename($call['file']) . ':' . ($call['line'] ?? 0) . ')' : '');
    }

    private static function functionOf(array $frame): string
    {
        return isset($frame['function']) ? ($frame['class'] ?? '') . ($frame['type'] ?? '') . $frame['function'] : '';
    }
}
