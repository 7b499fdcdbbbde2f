<?php
/**
 * Rollcall's probe for PHP: tells the agent when a request begins, when it has ended, and what went wrong.
 *
 * Runs in front of every script (auto_prepend_file), PHP 7.4 to 8.4, any SAPI but the command line. A few small messages per
 * request go over one unix stream per FPM worker, which PHP keeps open between requests; nothing waits for an answer. What
 * cannot be sent is given up silently. No output, no warning, no global variable or function, no change of error handlers.
 *
 * Messages, little-endian, `u16 length | u8 type | body`, length counting type and body, 512 at most:
 *   1 BEGIN      u64 start (CLOCK_MONOTONIC, microseconds) | u64 visitor's hash (0: none) | endpoint (`GET /index.php`)
 *   2 END        u64 duration (microseconds) | u16 status | u8 flags (1: a fatal error, 2: client gone) | endpoint, if another
 *   3 ERROR      name, message, function, file, line, with a NUL between them; before the END of its request
 *   4 STEP       u64 since (CLOCK_MONOTONIC, microseconds) | what the request is at; empty: not known any more
 *   5 RESOURCES  what the container's cgroup says, when the agent has asked for it by a byte down the stream (resources.php)
 */

declare(strict_types=1);

namespace Rollcall\Probe;

if (!\class_exists(Request::class, false)) {
    final class Request
    {
        private const RUN = '/rollcall/run';
        private const MAX_ENDPOINT_BYTES = 126;
        private const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'TRACE', 'CONNECT'];
        private const FLAG_FATAL = 1;
        private const FLAG_ABORTED = 2;
        private const RESERVE_BYTES = 32768;

        /** @var self|null the request that this process is at */
        private static $current = null;

        /** @var string|false|null false: not looked for yet */
        private static $prepended = false;

        /** @var int nanoseconds */
        private $start;

        /** @var string */
        private $run = self::RUN;

        /** @var string */
        private $method = '';

        /** @var string */
        private $endpoint;

        /** @var int keyed hash, 0: no visitor known */
        private $visitor = 0;

        /** @var resource|null */
        private $stream = null;

        /** @var string|null memory to work in when the script has used up its own */
        private $reserve;

        /** @var array|null what error_get_last() said before the application's own shutdown functions ran */
        private $error = null;

        /** @var bool */
        private $ended = false;

        private function __construct()
        {
            $this->start = \hrtime(true);
            $this->endpoint = $this->script();
            $this->reserve = \str_repeat('.', self::RESERVE_BYTES);
            $run = \getenv('ROLLCALL_RUN');
            if ($run !== false && $run !== '') {
                $this->run = $run;
            }
        }

        /** Begin the request, unless there is one or the environment cannot do it. */
        public static function begin(): void
        {
            if (self::$current !== null || \PHP_SAPI === 'cli' || \PHP_SAPI === 'phpdbg' || \PHP_INT_SIZE !== 8) {
                return;
            }
            foreach (['hrtime', 'stream_socket_client', 'stream_set_blocking', 'register_shutdown_function'] as $function) {
                if (!\function_exists($function)) {
                    return;
                }
            }
            self::$current = $request = new self();
            self::quietly([$request, 'sendBegin']);
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
            self::quietly([$this, 'sendEnd']);
        }

        /** Tell what the request is at, '' when that is over; only for `Steps`. */
        public function step(string $text, int $sinceMicros): void
        {
            if (!$this->ended && $this->stream !== null) {
                $this->send(self::message(4, \pack('P', $sinceMicros) . $text));
            }
        }

        /** What php.ini itself has in front of every script, if anything; our own setting has hidden it. */
        public static function prepended(): ?string
        {
            if (self::$prepended === false) {
                self::$prepended = self::quietly([self::class, 'readPrepended']);
            }
            return self::$prepended;
        }

        private static function readPrepended(): ?string
        {
            $ini = \function_exists('php_ini_loaded_file') ? \php_ini_loaded_file() : false;
            $text = $ini === false ? '' : (string) \file_get_contents($ini);
            $value = '(?|"([^"\r\n]+)"|\'([^\'\r\n]+)\'|([^\s;"\']+))';
            if (!\preg_match('/^[ \t]*auto_prepend_file[ \t]*=[ \t]*' . $value . '/m', $text, $match)) {
                return null;
            }
            $file = \stream_resolve_include_path($match[1]);
            return $file === false || $file === __FILE__ || \strtolower($match[1]) === 'none' ? null : $file;
        }

        /** Call something of ours, such that neither a warning nor an exception nor error_get_last() shows outside. */
        public static function quietly(callable $method)
        {
            \set_error_handler(static function (): bool {
                return true;
            });
            try {
                return $method();
            } catch (\Throwable $error) {
                return null;
            } finally {
                \restore_error_handler();
            }
        }

        private function sendBegin(): void
        {
            $this->visitor = $this->visitor();
            $message = $this->beginMessage();
            if (!$this->send($message) && !$this->send($message)) {
                return;
            }
            if (\extension_loaded('uopz') || \extension_loaded('excimer')) {
                require_once __DIR__ . '/steps.php';
                Steps::arm($this);
            }
            $asked = \stream_socket_recvfrom($this->stream, 16);
            if ($asked !== false && $asked !== '') {
                require_once __DIR__ . '/resources.php';
                $body = (new Resources())->body();
                if ($body !== null) {
                    $this->send(self::message(5, $body));
                }
            }
        }

        private function sendEnd(): void
        {
            $micros = \intdiv(\hrtime(true) - $this->start, 1000);
            if ($this->stream === null) {
                return;
            }
            if (\class_exists(Steps::class, false)) {
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
                $route = $this->route($failure, $flags);
            }
            $end = \pack('PvC', $micros, (int) \http_response_code() ?: 200, $flags) . $route;
            $message = ($failure === '' ? '' : self::message(3, $failure)) . self::message(2, $end);
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
            if (
                !\class_exists('WP', false)
                && !\class_exists('Illuminate\Container\Container', false)
                && !\class_exists('Symfony\Component\HttpFoundation\Request', false)
            ) {
                return '';
            }
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
            return self::message(1, \pack('PP', \intdiv($this->start, 1000), $this->visitor) . $this->endpoint);
        }

        private static function message(int $type, string $body): string
        {
            return \pack('vC', \strlen($body) + 1, $type) . $body;
        }

        /** Send whole messages over this worker's stream; false when the stream was of no use and has been closed. */
        private function send(string $messages): bool
        {
            if ($this->stream === null) {
                $flags = \STREAM_CLIENT_CONNECT | \STREAM_CLIENT_PERSISTENT;
                $stream = \stream_socket_client('unix://' . $this->run . '/php.sock', $number, $text, 0.2, $flags);
                if ($stream === false) {
                    return false;
                }
                \stream_set_blocking($stream, false);
                \stream_set_write_buffer($stream, 0);
                $this->stream = $stream;
            }
            if (\fwrite($this->stream, $messages) === \strlen($messages)) {
                return true;
            }
            \fclose($this->stream);
            $this->stream = null;
            return false;
        }

        /** Method and script: never the path that was asked for, which is unbounded and may hold personal data. */
        private function script(): string
        {
            $method = $_SERVER['REQUEST_METHOD'] ?? '';
            $script = $_SERVER['SCRIPT_FILENAME'] ?? '';
            $root = $_SERVER['DOCUMENT_ROOT'] ?? '';
            if (!\is_string($method) || !\is_string($script) || !\in_array($method, self::METHODS, true)) {
                return 'other';
            }
            $this->method = $method;
            $root = \is_string($root) ? \rtrim($root, '/') : '';
            $inside = $root !== '' && \strncmp($script, $root . '/', \strlen($root) + 1) === 0;
            $name = $inside ? \substr($script, \strlen($root)) : '/' . \basename($script);
            return \substr($method . ' ' . $name, 0, self::MAX_ENDPOINT_BYTES);
        }

        /**
         * The keyed hash of who asks, by the first line of the agent's file (`cookie:sid`, `header:X-User`, `clientIP`) and the
         * key in its second; 0 without the file, or without an identifier. The identifier itself is never sent.
         */
        private function visitor(): int
        {
            $file = \file_get_contents($this->run . '/agent/visitors', false, null, 0, 512);
            if ($file === false || \count($lines = \explode("\n", $file)) < 2) {
                return 0;
            }
            $name = \strstr($lines[0], ':');
            if ($name === false) {
                $identifier = $lines[0] === 'clientIP' ? $_SERVER['REMOTE_ADDR'] ?? '' : '';
            } elseif ($lines[0][0] === 'c') {
                $identifier = self::cookie(\substr($name, 1), $_SERVER['HTTP_COOKIE'] ?? '');
            } else {
                $identifier = $_SERVER['HTTP_' . \strtoupper(\strtr(\substr($name, 1), '-', '_'))] ?? '';
            }
            if (!\is_string($identifier) || $identifier === '') {
                return 0;
            }
            $hash = \hash_hmac('sha256', $identifier, (string) \hex2bin(\trim($lines[1])), true);
            return \unpack('P', $hash)[1] ?: 1;
        }

        /** The raw value of a cookie, not decoded: other languages' probes in the same service hash the same bytes. */
        private static function cookie(string $name, string $header): string
        {
            foreach (\explode(';', $header) as $pair) {
                $pair = \ltrim($pair, ' ');
                if (\strncmp($pair, $name . '=', \strlen($name) + 1) === 0) {
                    return \trim(\substr($pair, \strlen($name) + 1), ' "');
                }
            }
            return '';
        }
    }

    Request::begin();
}

if (Request::prepended() !== null) {
    require Request::prepended();
}
