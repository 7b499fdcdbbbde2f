<?php
/**
 * What not every request has: an end with an error or a framework's route, steps, a question of the agent's, a stream that is of
 * no use any more. Loaded when there is such a thing, by rollcall.php, where the messages are explained.
 */

declare(strict_types=1);

namespace Rollcall\Probe;

final class Rare
{
    private const MAX_ENDPOINT_BYTES = 126;
    private const KEY_BYTES = 64;
    private const FLAG_FATAL = 1;
    private const FLAG_ABORTED = 2;

    /** The agent's line, for the first request of a stream, to which the agent has said nothing yet: from the same file. */
    public static function visitorsFile(string $run): string
    {
        $file = $run . '/agent/visitors';
        $text = \is_file($file) ? (string) @\file_get_contents($file, false, null, 0, 512) : '';
        if (!\preg_match('~^(?:(cookie):([!-\~]+)|(header):([!-\~]+)|(clientIP))\n((?:[0-9a-f]{2}){1,64})\n~', $text, $found)) {
            return '-';
        }
        $key = \str_pad(\hex2bin($found[6]), self::KEY_BYTES, "\0");
        if ($found[1] !== '') {
            return "c$key$found[2]\n";
        }
        $name = $found[5] === '' ? 'HTTP_' . \strtoupper(\strtr($found[4], '-', '_')) : 'REMOTE_ADDR';
        return "s$key$name\n";
    }

    /**
     * The last of the agent's lines; those before it are taken out of the stream.
     *
     * @param resource $stream
     */
    public static function lastLine($stream, string $lines): string
    {
        $last = $next = 0;
        while (isset($lines[$next + 1 + self::KEY_BYTES]) && ($end = \strpos($lines, "\n", $next + 1 + self::KEY_BYTES)) !== false) {
            $last = $next;
            $next = $end + 1;
        }
        if ($last > 0) {
            \stream_socket_recvfrom($stream, $last);
        }
        return \substr($lines, $last, $next - $last);
    }

    /** The request has begun: tell it again if that was not to be sent, arm the steps, answer the agent. */
    public static function begun(Request $request, bool $isSent, bool $isAsked): void
    {
        if (!$isSent) {
            \fclose($request->stream);
            $request->stream = null;
            if (!self::send($request->stream, $request, $request->begin)) {
                return;
            }
        }
        if (\extension_loaded('uopz') || \extension_loaded('excimer')) {
            require_once __DIR__ . '/steps.php';
            Steps::arm($request);
            $request->hasSteps = true;
        }
        if ($isAsked) {
            self::quietly(static function () use ($request): void {
                require_once __DIR__ . '/resources.php';
                $body = (new Resources())->body();
                if ($body !== null) {
                    self::send($request->stream, $request, self::message(5, $body));
                }
            });
        }
    }

    /**
     * Tell the end of the request, with what there is to say of it.
     *
     * @param resource $stream that of the request, which has let go of it
     * @param string|null $limit of memory, which was in the way
     */
    public static function end(Request $request, $stream, int $micros, ?string $limit): void
    {
        self::quietly(static function () use ($request, $stream, $micros, $limit): void {
            self::sendEnd($request, $stream, $micros);
            if ($limit !== null) {
                \ini_set('memory_limit', $limit);
            }
        });
    }

    /** Do something of ours, such that neither a warning nor an exception shows outside, whoever handles errors there. */
    private static function quietly(\Closure $action): void
    {
        \set_error_handler(static function (): bool {
            return true;
        });
        try {
            $action();
        } catch (\Throwable $error) {
            // told to nobody
        } finally {
            \restore_error_handler();
        }
    }

    /** @param resource $stream */
    private static function sendEnd(Request $request, $stream, int $micros): void
    {
        $error = \error_get_last();
        $failure = '';
        $route = '';
        $flags = \connection_aborted() === 1 ? self::FLAG_ABORTED : 0;
        if ($error !== null || $request->error !== null) {
            require_once __DIR__ . '/errors.php';
            $failure = Errors::fields($request->error ?? $error, $error ?? $request->error, $isFatal);
            $flags |= $isFatal ? self::FLAG_FATAL : 0;
        }
        if (\class_exists('WP', false) || \class_exists('Symfony\Component\HttpFoundation\Request', false)) {
            $route = self::route($request, $failure, $flags);
        }
        $message = $request->endMessage($micros, $flags, $route);
        if ($request->hasSteps) {
            $message = Steps::finish($failure) . $message;
        }
        [$counted, $calls, $thrown] = \explode("\n", self::told(), 3) + ['', '', ''];
        if ($calls !== '') {
            require_once __DIR__ . '/calls.php';
            $message = Calls::ofExtension($calls) . $message;
        }
        if ($thrown !== '' && ($flags & self::FLAG_FATAL) === 0 && \http_response_code() >= 500) {
            require_once __DIR__ . '/errors.php';
            $message = self::message(3, Errors::ofThrown($thrown)) . $message;
        } elseif ($failure !== '') {
            $isCounted = ($counted[1] ?? '') === 'w' && ($flags & self::FLAG_FATAL) === 0;
            $message = self::message($isCounted ? 7 : 3, $failure) . $message;
        }
        if (!self::send($stream, $request, $message)) {
            self::send($stream, $request, $request->begin . $message);
        }
    }

    /** The endpoint that a framework knows, '' when that is the script; adds the error that the framework caught. */
    private static function route(Request $request, string &$failure, int &$flags): string
    {
        require_once __DIR__ . '/frameworks.php';
        $found = Frameworks::look();
        if ($found->exception !== null && ($flags & self::FLAG_FATAL) === 0) {
            require_once __DIR__ . '/errors.php';
            $failure = Errors::ofThrowable($found->exception);
            $flags |= self::FLAG_FATAL;
        }
        $method = (string) \strstr(\substr($request->begin, 23), ' ', true);
        if ($found->route === '' || $method === '') {
            return '';
        }
        return \substr($method . ' ' . $found->route, 0, self::MAX_ENDPOINT_BYTES);
    }

    /** What our extension has to tell, see native/php_crash/told.c; '' without it. */
    private static function told(): string
    {
        if (!\function_exists('phpversion')) {
            return \extension_loaded('rollcall_crash') ? '2w' : ''; // switched off by disable_functions: most likely it counts
        }
        return (string) \phpversion(Request::$extension);
    }

    public static function message(int $type, string $body): string
    {
        return \pack('vC', \strlen($body) + 1, $type) . $body;
    }

    /**
     * Send whole messages over this worker's stream; false when the stream was of no use and has been closed.
     *
     * @param resource|null $stream null: a new one is made
     */
    private static function send(&$stream, Request $request, string $messages): bool
    {
        $stream = $stream ?? self::connect($request->run);
        if ($stream === null) {
            return false;
        }
        if (@\fwrite($stream, $messages) === \strlen($messages)) {
            return true;
        }
        \fclose($stream);
        $stream = null;
        return false;
    }

    /** @return resource|null */
    private static function connect(string $run)
    {
        $flags = \STREAM_CLIENT_CONNECT | \STREAM_CLIENT_PERSISTENT;
        $stream = @\stream_socket_client("unix://$run/php.sock", $number, $text, 0.2, $flags);
        if ($stream === false) {
            return null;
        }
        \stream_set_blocking($stream, false);
        \stream_set_write_buffer($stream, 0);
        return $stream;
    }
}
