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

    /** @var \ExcimerTimer|null */
    private static $timer = null;

    /** Begin to tell the steps of a request. */
    public static function arm(Request $request): void
    {
        self::$request = $request;
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
        self::$isTold = ++self::$inWindow <= self::STEPS_PER_WINDOW;
        if (self::$isTold) {
            try {
                // 0: the closure that stands in, 1: the call in the application, 2: the function that it is in
                $frames = \debug_backtrace(\DEBUG_BACKTRACE_IGNORE_ARGS, 3);
                self::tell($text . self::from($frames[1] ?? [], $frames[2] ?? []), $now);
            } catch (\Throwable $error) {
                self::$isTold = false; // told to nobody
            }
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
        if (self::$isTold) {
            self::send(\pack('vCP', 9, 4, (int) ($now / 1000)));
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

    private static function from(array $call, array $caller): string
    {
        $function = self::functionOf($caller);
        $place = isset($call['file']) ? ' (' . \basename($call['file']) . ':' . ($call['line'] ?? 0) . ')' : '';
        return ' from ' . ($function === '' ? '{main}' : $function) . $place;
    }

    private static function functionOf(array $frame): string
    {
        return isset($frame['function']) ? ($frame['class'] ?? '') . ($frame['type'] ?? '') . $frame['function'] : '';
    }
}
