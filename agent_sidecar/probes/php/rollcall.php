<?php
/**
 * Rollcall's probe for PHP: tells the agent when a request begins and when it has ended.
 *
 * Runs in front of every script (auto_prepend_file), PHP 7.4 to 8.4, any SAPI but the command line. Two small messages per request
 * go over one unix stream per FPM worker, which PHP keeps open between requests; nothing waits for an answer. What cannot be
 * sent is given up silently. No output, no warning, no global variable or function, no change of error handlers.
 *
 * Messages, little-endian, `u16 length | u8 type | body`, length counting type and body, 512 at most:
 *   1 BEGIN  u64 start (CLOCK_MONOTONIC, microseconds) | endpoint (`GET /index.php`, the rest of the message)
 *   2 END    u64 duration (microseconds) | u16 status | u8 flags (1: ended by a fatal error) | endpoint, if it became another
 */

declare(strict_types=1);

namespace Rollcall\Probe;

if (!\class_exists(Request::class, false)) {
    final class Request
    {
        private const SOCKET = '/rollcall/run/php.sock';
        private const MAX_ENDPOINT_BYTES = 126;
        private const FATAL = \E_ERROR | \E_PARSE | \E_CORE_ERROR | \E_COMPILE_ERROR | \E_USER_ERROR | \E_RECOVERABLE_ERROR;
        private const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'TRACE', 'CONNECT'];

        /** @var self|null the request that this process is at */
        private static $current = null;

        /** @var string|false|null false: not looked for yet */
        private static $prepended = false;

        /** @var int nanoseconds */
        private $start;

        /** @var string */
        private $endpoint;

        /** @var resource|null */
        private $stream = null;

        /** @var string|null memory to work in when the script has used up its own */
        private $reserve;

        /** @var bool */
        private $ended = false;

        private function __construct()
        {
            $this->start = \hrtime(true);
            $this->endpoint = self::endpoint();
            $this->reserve = \str_repeat('.', 16384);
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

        /** Call a method of ours, such that neither a warning nor an exception nor error_get_last() shows outside. */
        private static function quietly(callable $method)
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
            $message = $this->beginMessage();
            if (!$this->send($message)) {
                $this->send($message);
            }
        }

        private function sendEnd(): void
        {
            $error = \error_get_last();
            $fatal = $error !== null && ($error['type'] & self::FATAL) !== 0;
            $status = (int) \http_response_code();
            $micros = \intdiv(\hrtime(true) - $this->start, 1000);
            $body = \pack('CPvC', 2, $micros, $status ?: 200, $fatal ? 1 : 0);
            $message = \pack('v', \strlen($body)) . $body;
            if ($this->stream !== null && !$this->send($message)) {
                $this->send($this->beginMessage() . $message);
            }
        }

        private function beginMessage(): string
        {
            $body = \pack('CP', 1, \intdiv($this->start, 1000)) . $this->endpoint;
            return \pack('v', \strlen($body)) . $body;
        }

        /** Send a whole message over this worker's stream; false when the stream was of no use and has been closed. */
        private function send(string $message): bool
        {
            if ($this->stream === null) {
                $path = self::SOCKET;
                $run = \getenv('ROLLCALL_RUN');
                if ($run !== false && $run !== '') {
                    $path = $run . '/php.sock';
                }
                $flags = \STREAM_CLIENT_CONNECT | \STREAM_CLIENT_PERSISTENT;
                $stream = \stream_socket_client('unix://' . $path, $number, $text, 0.2, $flags);
                if ($stream === false) {
                    return false;
                }
                \stream_set_blocking($stream, false);
                \stream_set_write_buffer($stream, 0);
                $this->stream = $stream;
            }
            if (\fwrite($this->stream, $message) === \strlen($message)) {
                return true;
            }
            \fclose($this->stream);
            $this->stream = null;
            return false;
        }

        /** Method and script: never the path that was asked for, which is unbounded and may hold personal data. */
        private static function endpoint(): string
        {
            $method = $_SERVER['REQUEST_METHOD'] ?? '';
            $script = $_SERVER['SCRIPT_FILENAME'] ?? '';
            $root = $_SERVER['DOCUMENT_ROOT'] ?? '';
            if (!\is_string($method) || !\is_string($script) || !\in_array($method, self::METHODS, true)) {
                return 'other';
            }
            $root = \is_string($root) ? \rtrim($root, '/') : '';
            $inside = $root !== '' && \strncmp($script, $root . '/', \strlen($root) + 1) === 0;
            $name = $inside ? \substr($script, \strlen($root)) : '/' . \basename($script);
            return \substr($method . ' ' . $name, 0, self::MAX_ENDPOINT_BYTES);
        }
    }

    Request::begin();
}

if (Request::prepended() !== null) {
    require Request::prepended();
}
