<?php
/**
 * The request that this PHP process is at: tells the agent when it begins, when it has ended, who asks, and what went wrong.
 *
 * A few small messages per request go over one unix stream per FPM worker, which PHP keeps open between requests; nothing waits
 * for an answer, and what cannot be sent is given up silently. The agent's last line stays in the stream's buffer: it says from
 * what visitors are known, at the price of one system call, and is all that a PHP process can keep from request to request.
 *
 * Messages, little-endian, `u16 length | u8 type | body`, length counting type and body, 8192 at most:
 *   1 BEGIN      u64 start (CLOCK_MONOTONIC, microseconds) | u32 process id | u16 bytes of | who asks | endpoint
 *   2 END        u64 duration (microseconds) | u16 status | u8 flags (1: a fatal error, 2: client gone) | endpoint, if another
 *   3 ERROR      name, message, function, file, line, with a NUL between them; before the END of its request
 *   4 STEP       u64 since (CLOCK_MONOTONIC, microseconds) | what the request is at; empty: not known any more
 *   5 RESOURCES  what the container's cgroup says (resources.php), whenever the agent has sent another line
 * The agent's lines: `cookie:sid\n`, `header:X-User\n` or `clientIP\n`, by what visitors are known; `\n` when none are counted.
 * The agent hashes who asks, with the service's key, and forgets him: PHP's own SHA-256 would double what visitors cost here.
 *
 * PHP looks up each function that a request calls anew, which is most of what the probe costs: hence few calls in begin() and
 * end(), and everything rare in methods and files of its own.
 */

declare(strict_types=1);

namespace Rollcall\Probe;

final class Request
{
    private const RUN = '/rollcall/run';
    private const MAX_ENDPOINT_BYTES = 126;
    private const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'TRACE', 'CONNECT'];
    private const FRAMEWORKS = ['WP', 'Symfony\Component\HttpFoundation\Request']; // Laravel's requests are Symfony's
    private const FLAG_FATAL = 1;
    private const FLAG_ABORTED = 2;
    private const RESERVE_BYTES = 2048;
    private const MAX_LINES_BYTES = 512;
    private const MAX_VISITOR_BYTES = 4096;

    /** @var string|null what the configuration had in front of every script before rollcall.ini: it still has to run */
    public static $prepended = null;

    /** @var self|null the request that this process is at */
    private static $current = null;

    /** @var \Closure|null takes the place of the application's error handler while a step is told: there may be many */
    private static $ignore = null;

    /** @var int nanoseconds */
    private $start;

    /** @var string */
    private $run = self::RUN;

    /** @var string */
    private $method = '';

    /** @var string */
    private $endpoint = 'other';

    /** @var string who asks, '' when that is not to be told */
    private $visitor = '';

    /** @var resource|null */
    private $stream = null;

    /** @var string|null memory to work in when the script has used up its own */
    private $reserve;

    /** @var array|null what error_get_last() said before the application's own shutdown functions ran */
    private $error = null;

    /** @var bool */
    private $hasSteps = false;

    /** @var bool */
    private $ended = false;

    /** Begin the request, unless there is one or the environment cannot do it. */
    public static function begin(): void
    {
        $start = \function_exists('hrtime') ? \hrtime(true) : 0;
        $prepended = \function_exists('get_cfg_var') ? \get_cfg_var('rollcall.prepended') : false;
        if ($prepended !== false && $prepended !== '') {
            self::$prepended = self::resolved($prepended);
        }
        if (self::$current !== null || \PHP_SAPI === 'cli' || \PHP_SAPI === 'phpdbg' || \PHP_INT_SIZE !== 8) {
            return;
        }
        if ($start === 0 || !\function_exists('stream_socket_client') || !\function_exists('stream_set_blocking')) {
            return; // switched off by disable_functions
        }
        self::$current = $request = new self();
        $request->start = $start;
        try {
            // The application has no error handler yet: `@` is enough, and costs less than one of our own.
            if (!$request->sendBegin()) {
                \error_clear_last();
            }
        } catch (\Throwable $error) {
            // told to nobody: the application is not to be disturbed
        }
        \register_shutdown_function([$request, 'atShutdown']);
    }

    /** Registered first, so called first: queue up again behind the shutdown functions of the application. */
    public function atShutdown(): void
    {
        $this->error = \error_get_last();
        \register_shutdown_function([$this, 'end']);
    }

    /** Only reached without `end` when a shutdown function of the application called exit(). */
    public function __destruct()
    {
        $this->end();
    }

    /** The request has ended. Later calls do nothing. */
    public function end(): void
    {
        if ($this->ended) {
            return;
        }
        $this->ended = true;
        $this->reserve = null;
        if ($this->stream === null) {
            return;
        }
        $micros = \intdiv(\hrtime(true) - $this->start, 1000);
        if ($this->endedWell($micros)) {
            return;
        }
        self::quietly(function () use ($micros): void {
            $this->sendEnd($micros);
        });
    }

    /** The way of nearly all requests: nothing went wrong, no framework, and nothing that may emit a warning is called. */
    private function endedWell(int $micros): bool
    {
        if ($this->hasSteps || $this->error !== null || \error_get_last() !== null) {
            return false;
        }
        foreach (self::FRAMEWORKS as $class) {
            if (\class_exists($class, false)) {
                return false;
            }
        }
        $flags = \connection_aborted() === 1 ? self::FLAG_ABORTED : 0;
        $message = \pack('vCPvC', 12, 2, $micros, (int) \http_response_code() ?: 200, $flags);
        try {
            return \stream_socket_sendto($this->stream, $message) === 14;
        } catch (\Throwable $error) {
            return false; // switched off by disable_functions
        }
    }

    /** Tell what the request is at, '' when that is over; only for `Steps`. */
    public function step(string $text, int $sinceMicros): void
    {
        if ($this->ended || $this->stream === null) {
            return;
        }
        \set_error_handler(self::$ignore ?? self::$ignore = static function (): bool {
            return true;
        });
        try {
            $this->send(\pack('vCP', 9 + \strlen($text), 4, $sinceMicros) . $text);
        } catch (\Throwable $error) {
            // told to nobody
        } finally {
            \restore_error_handler();
        }
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

    private static function resolved(string $name): ?string
    {
        $file = @\stream_resolve_include_path($name);
        return $file === false || $file === __DIR__ . '/rollcall.php' || \strtolower($name) === 'none' ? null : $file;
    }

    /** False when something may have left a warning behind. */
    private function sendBegin(): bool
    {
        $this->nameScript();
        $this->reserve = \str_repeat('.', self::RESERVE_BYTES);
        // Of the pool's configuration: no header of a request is called so. Elsewhere it may be in the process's own environment.
        $run = $_SERVER['ROLLCALL_RUN'] ?? (\PHP_SAPI === 'fpm-fcgi' ? '' : \getenv('ROLLCALL_RUN'));
        if (\is_string($run) && $run !== '') {
            $this->run = $run;
        }
        if (!$this->connect()) {
            return false;
        }
        // The agent's last line is left where it is, for the next request; another behind it is new.
        $line = (string) @\stream_socket_recvfrom($this->stream, self::MAX_LINES_BYTES, \STREAM_PEEK);
        $isAsked = false;
        if ($line === '') {
            $line = $this->visitorsFile();
        } elseif (\strpos($line, "\n") !== \strlen($line) - 1) {
            $isAsked = true;
            $line = $this->lastLine($line);
        }
        if (isset($line[8])) {
            $this->visitor = self::visitor($line);
        }
        $message = $this->beginMessage();
        $isSent = $this->send($message);
        if (!$isSent && !$this->send($message)) {
            return false;
        }
        if (\extension_loaded('uopz') || \extension_loaded('excimer')) {
            require_once __DIR__ . '/steps.php';
            Steps::arm($this);
            $this->hasSteps = true;
        }
        if ($isAsked) {
            self::quietly(function (): void {
                $this->sendResources();
            });
        }
        return $isSent;
    }

    /** Method and script: never the path that was asked for, which is unbounded and may hold personal data. */
    private function nameScript(): void
    {
        $method = $_SERVER['REQUEST_METHOD'] ?? '';
        $script = $_SERVER['SCRIPT_FILENAME'] ?? '';
        $root = $_SERVER['DOCUMENT_ROOT'] ?? '';
        if (!\is_string($script) || !\in_array($method, self::METHODS, true)) {
            return;
        }
        $this->method = $method;
        if (\is_string($root) && $root !== '' && \strpos($script, $root) === 0) {
            $name = \substr($script, \strlen($root) - ($root[-1] === '/' ? 1 : 0));
        }
        if (!isset($name[0]) || $name[0] !== '/') {
            $name = '/' . \basename($script);
        }
        $this->endpoint = isset($name[self::MAX_ENDPOINT_BYTES - 8])
            ? \substr($method . ' ' . $name, 0, self::MAX_ENDPOINT_BYTES) : $method . ' ' . $name;
    }

    /** The same as the agent's line, for the first request of a stream, to which the agent has said nothing yet. */
    private function visitorsFile(): string
    {
        $file = $this->run . '/agent/visitors';
        $text = \is_file($file) ? (string) @\file_get_contents($file, false, null, 0, 512) : '';
        return \strstr($text . "\n", "\n", true) . "\n";
    }

    /** The last of the agent's lines; those before it are taken out of the stream. */
    private function lastLine(string $lines): string
    {
        $end = (int) \strrpos($lines, "\n");
        $start = $end === 0 ? false : \strrpos($lines, "\n", $end - \strlen($lines) - 1);
        if ($start === false) {
            return "\n";
        }
        \stream_socket_recvfrom($this->stream, $start + 1);
        return \substr($lines, $start + 1, $end - $start);
    }

    /** Who asks, by the agent's line; '' when he does not tell. */
    private static function visitor(string $line): string
    {
        $name = \substr($line, 7, -1);
        if ($line[0] === 'h') {
            $visitor = $_SERVER['HTTP_' . \strtoupper(\strtr($name, '-', '_'))] ?? '';
        } elseif ($line[1] === 'l') {
            $visitor = $_SERVER['REMOTE_ADDR'] ?? '';
        } else {
            // Not $_COOKIE: other languages' probes in the same service hash the raw bytes.
            $cookies = ';' . ($_SERVER['HTTP_COOKIE'] ?? '') . ';';
            $at = \strpos($cookies, "; $name=");
            $at = $at === false ? \strpos($cookies, ";$name=") : $at + 1;
            if ($at === false) {
                return '';
            }
            $from = $at + \strlen($name) + 2;
            $visitor = \trim(\substr($cookies, $from, \strpos($cookies, ';', $from) - $from), ' "');
        }
        return \is_string($visitor) && !isset($visitor[self::MAX_VISITOR_BYTES]) ? $visitor : '';
    }

    private function sendResources(): void
    {
        require_once __DIR__ . '/resources.php';
        $body = (new Resources())->body();
        if ($body !== null) {
            $this->send(self::message(5, $body));
        }
    }

    private function sendEnd(int $micros): void
    {
        if ($this->hasSteps) {
            Steps::disarm();
        }
        $error = \error_get_last();
        $failure = '';
        $route = '';
        $flags = \connection_aborted() === 1 ? self::FLAG_ABORTED : 0;
        $limit = $error !== null && \strncmp($error['message'], 'Allowed memory size', 19) === 0
            ? \ini_set('memory_limit', '-1') : null; // else there is no room to look closer
        if ($limit === false) {
            $failure = "fatal memory limit\0\0\0\0" . $error['line'];
            $flags |= self::FLAG_FATAL;
        } else {
            if ($error !== null || $this->error !== null) {
                require_once __DIR__ . '/errors.php';
                $failure = Errors::fields($this->error ?? $error, $error ?? $this->error, $isFatal);
                $flags |= $isFatal ? self::FLAG_FATAL : 0;
            }
            foreach (self::FRAMEWORKS as $class) {
                if (\class_exists($class, false)) {
                    $route = $this->route($failure, $flags);
                    break;
                }
            }
        }
        // type, duration, status, flags
        $message = \pack('vCPvC', 12 + \strlen($route), 2, $micros, (int) \http_response_code() ?: 200, $flags) . $route;
        if ($failure !== '') {
            $message = self::message(3, $failure) . $message;
        }
        if (!$this->send($message)) {
            $this->send($this->beginMessage() . $message);
        }
        if (\is_string($limit)) {
            \ini_set('memory_limit', $limit);
        }
    }

    /** The endpoint that a framework knows, '' when that is the script; adds the error that the framework caught. */
    private function route(string &$failure, int &$flags): string
    {
        require_once __DIR__ . '/frameworks.php';
        $found = Frameworks::look();
        if ($found->exception !== null && ($flags & self::FLAG_FATAL) === 0) {
            require_once __DIR__ . '/errors.php';
            $failure = Errors::ofThrowable($found->exception);
            $flags |= self::FLAG_FATAL;
        }
        if ($found->route === '' || $this->method === '') {
            return '';
        }
        return \substr($this->method . ' ' . $found->route, 0, self::MAX_ENDPOINT_BYTES);
    }

    private function beginMessage(): string
    {
        $size = \strlen($this->visitor);
        $length = 15 + $size + \strlen($this->endpoint);
        $head = \pack('vCPVv', $length, 1, \intdiv($this->start, 1000), (int) \getmypid(), $size);
        return $head . $this->visitor . $this->endpoint;
    }

    private static function message(int $type, string $body): string
    {
        return \pack('vC', \strlen($body) + 1, $type) . $body;
    }

    private function connect(): bool
    {
        $flags = \STREAM_CLIENT_CONNECT | \STREAM_CLIENT_PERSISTENT;
        $stream = @\stream_socket_client('unix://' . $this->run . '/php.sock', $number, $text, 0.2, $flags);
        if ($stream === false) {
            return false;
        }
        if (\ftell($stream) === 0) { // nothing was ever sent: it is new
            \stream_set_blocking($stream, false);
            \stream_set_write_buffer($stream, 0);
        }
        $this->stream = $stream;
        return true;
    }

    /** Send whole messages over this worker's stream; false when the stream was of no use and has been closed. */
    private function send(string $messages): bool
    {
        if ($this->stream === null && !$this->connect()) {
            return false;
        }
        if (@\fwrite($this->stream, $messages) === \strlen($messages)) {
            return true;
        }
        \fclose($this->stream);
        $this->stream = null;
        return false;
    }
}
