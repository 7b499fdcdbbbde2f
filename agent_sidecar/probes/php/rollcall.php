<?php
/**
 * Rollcall's probe for PHP: tells the agent when a request begins, when it has ended, who asks, and what went wrong.
 *
 * Runs in front of every script (auto_prepend_file), PHP 7.4 to 8.4, any SAPI but the command line. No output, no warning, no
 * global variable or function, no change of error handlers.
 *
 * A few small messages per request go over one unix stream per FPM worker, which PHP keeps open between requests; nothing waits
 * for an answer, and what cannot be sent is given up silently. The agent's last line stays in the stream's buffer: it says from
 * what visitors are known and how they are hashed, at the price of one system call, and is all that a PHP process can keep from
 * request to request.
 *
 * Messages, little-endian, `u16 length | u8 type | body`, length counting type and body, 8192 at most:
 *   1 BEGIN      u64 start (CLOCK_MONOTONIC, microseconds) | u32 process id | u64 hash of who asks, 0: not told | endpoint
 *   2 END        u64 duration (microseconds) | u16 status | u8 flags (1: a fatal error, 2: client gone) | u32 CPU time that it
 *                used (microseconds; all ones: not known) | endpoint, if another
 *   3 ERROR      name, message, function, file, line, with a NUL between them; before the END of its request
 *   4 STEP       u64 since (CLOCK_MONOTONIC, microseconds) | what the request is at; empty: not known any more
 *   5 RESOURCES  what the container's cgroup says (resources.php), whenever the agent has sent another line
 *   6 CALLS      calls of dependencies (calls.php), before the END of their request
 *   7 WARNING    as ERROR, of a warning that our extension has counted (native/php_crash/warnings.c)
 * The agent's lines: `u8 c, s or - | key, 64 bytes | name | \n`: visitors are known by the cookie (c) or the entry of $_SERVER (s) of
 * that name, and hashed with that key; `-` when none are counted.
 *
 * For PHP everything is new in each request: it loads each file, looks up each function and each property that code touches.
 * That is most of what the probe costs: hence one file, few methods, locals, few calls, names of classes in lower case, which PHP
 * has not to convert, and everything rare in files of its own (rare.php).
 */

declare(strict_types=1);

namespace Rollcall\Probe;

if (!\class_exists('rollcall\probe\request', false)) {
    final class Request
    {
        private const MAX_ENDPOINT_BYTES = 126;
        private const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'TRACE', 'CONNECT'];
        private const MAX_LINES_BYTES = 2048;
        private const KEY_BYTES = 64;
        private const MAX_VISITOR_BYTES = 4096;
        private const NOBODY = '0000000000000000';
        private const CPU_ONE_IN = 8;
        private const CPU_UNKNOWN = 0xffffffff;

        /** @var \Closure|null takes the place of the application's error handler while something is sent */
        private static $ignore = null;

        /** @var string ours, whose version is what it tells (native/php_crash/told.c). No constant: opcache would ask only once */
        public static $extension = 'rollcall_crash';

        /** @var int nanoseconds */
        public $start;

        /** @var string the shared folder */
        public $run;

        /** @var resource|null null: nobody is told anything, or not any more */
        public $stream;

        /** @var string the message BEGIN, which another stream would need again */
        public $begin;

        /** @var array|null what error_get_last() said before the application's own shutdown functions ran */
        public $error = null;

        /** @var bool */
        public $hasSteps = false;

        /** @var int|null CPU time that this process had used when the request began; null: not asked */
        private $cpu = null;

        /** @var string|null memory to work in when the script has used up its own: PHP keeps all the room that it read into */
        private $reserve;

        /** Begin the request, unless the environment cannot do it. */
        public static function begin(array $server): void
        {
            if (\PHP_SAPI === 'cli' || \PHP_SAPI === 'phpdbg' || \PHP_INT_SIZE !== 8 || !\function_exists('hrtime')) {
                return;
            }
            if (!\function_exists('stream_socket_client') || !\function_exists('stream_set_blocking')) {
                return; // switched off by disable_functions
            }
            $start = \hrtime(true);
            try {
                // Of the pool's configuration: no header of a request is called so. Elsewhere it may be in the process's environment.
                $run = $server['ROLLCALL_RUN'] ?? (\PHP_SAPI === 'fpm-fcgi' ? '' : \getenv('ROLLCALL_RUN'));
                if (!\is_string($run) || $run === '') {
                    $run = '/rollcall/run';
                }
                // The application has no error handler yet: `@` is enough, and costs less than one of our own.
                $flags = \STREAM_CLIENT_CONNECT | \STREAM_CLIENT_PERSISTENT;
                $stream = @\stream_socket_client("unix://$run/php.sock", $number, $text, 0.2, $flags);
                if ($stream === false) {
                    \error_clear_last();
                    return;
                }
                $request = new self();
                $request->start = $start;
                $request->run = $run;
                $request->sendBegin($stream, $server, (int) ($start / 1000));
                if ($request->stream !== null) {
                    \register_shutdown_function([$request, 'atShutdown']);
                }
            } catch (\Throwable $error) {
                // told to nobody: the application is not to be disturbed
            }
        }

        /**
         * Registered first, so called first. PHP lets go of the request behind the shutdown functions of the application, which ends
         * it; but after a fatal error it calls no destructor any more, so that `end` has to queue up with those functions.
         */
        public function atShutdown(): void
        {
            $error = \error_get_last();
            if ($error !== null) {
                $this->error = $error;
                \register_shutdown_function([$this, '__destruct']);
            }
        }

        /** The request has ended. Later calls do nothing. */
        public function __destruct()
        {
            $stream = $this->stream;
            if ($stream === null) {
                return;
            }
            $this->stream = null;
            $micros = (int) ((\hrtime(true) - $this->start) / 1000);
            $status = \http_response_code() ?: 200;
            if (
                $status < 500 && $this->error === null && \error_get_last() === null && !\class_exists('wp', false)
                && !\class_exists('symfony\component\httpfoundation\request', false) // Laravel's requests are Symfony's
                && !(\function_exists('phpversion') && isset(\phpversion(self::$extension)[2])) // it has something to tell
            ) {
                // The way of nearly all requests: no handler of errors sees a failure, PHP itself keeps quiet, and forgets it.
                $cpu = $this->cpu === null ? self::CPU_UNKNOWN : $this->cpuMicros();
                // Few and large numbers for its fields, which takes less time: the duration is below 2 ** 40.
                $fields = $status << 24 | \connection_aborted() << 41 | $cpu << 48;
                $message = \pack('PPv', 16 | 2 << 16 | $micros << 24, $fields, $cpu >> 16);
                if ($this->hasSteps) {
                    $message = Steps::finish('') . $message;
                }
                \set_error_handler(null);
                try {
                    $isSent = @\stream_socket_sendto($stream, $message) === \strlen($message);
                } catch (\Throwable $error) {
                    $isSent = false; // switched off by disable_functions
                }
                \restore_error_handler();
                if ($isSent) {
                    return;
                }
                \error_clear_last();
            }
            $this->reserve = null;
            $limit = null;
            $error = \error_get_last();
            if ($error !== null && \strncmp($error['message'], 'Allowed memory size', 19) === 0) {
                $limit = @\ini_set('memory_limit', '-1');
                if ($limit === false) {
                    $this->endWithoutMemory($stream, $micros, $error['line']);
                    return;
                }
            }
            require_once __DIR__ . '/rare.php';
            Rare::end($this, $stream, $micros, $limit);
        }

        /** The message END. */
        public function endMessage(int $micros, int $flags, string $route): string
        {
            $cpu = $this->cpu === null ? self::CPU_UNKNOWN : $this->cpuMicros();
            $status = \http_response_code() ?: 200;
            return \pack('vCPvCV', 16 + \strlen($route), 2, $micros, $status, $flags, $cpu) . $route;
        }

        /** CPU time that this process has used since the request began. */
        private function cpuMicros(): int
        {
            $used = \getrusage();
            return ($used['ru_utime.tv_sec'] + $used['ru_stime.tv_sec']) * 1000000
                + $used['ru_utime.tv_usec'] + $used['ru_stime.tv_usec'] - $this->cpu;
        }

        /**
         * Send, such that neither a warning nor an exception shows outside, whoever handles errors there.
         *
         * @param resource $stream
         */
        public static function sendQuietly($stream, string $message): bool
        {
            \set_error_handler(self::$ignore ?? self::$ignore = static function (): bool {
                return true;
            });
            try {
                return \stream_socket_sendto($stream, $message) === \strlen($message);
            } catch (\Throwable $error) {
                return false; // switched off by disable_functions
            } finally {
                \restore_error_handler();
            }
        }

        /** There is no room to load what would look closer. */
        private function endWithoutMemory($stream, int $micros, int $line): void
        {
            $failure = "fatal memory limit\0\0\0\0$line";
            $error = \pack('vC', 1 + \strlen($failure), 3) . $failure;
            self::sendQuietly($stream, $error . $this->endMessage($micros, 1, ''));
        }

        /** @param resource $stream */
        private function sendBegin($stream, array $server, int $micros): void
        {
            if ($micros % self::CPU_ONE_IN === 0 && \function_exists('getrusage')) {
                $this->cpu = 0;
                $this->cpu = $this->cpuMicros(); // here and at the end: as much as a sixth of all the rest
            }
            $isNew = \ftell($stream) === 0; // nothing was ever written
            if ($isNew) {
                \stream_set_blocking($stream, false);
                \stream_set_write_buffer($stream, 0);
            }
            // The agent's last line is left where it is, for the next request; another behind it is new.
            $line = $this->reserve = (string) \stream_socket_recvfrom($stream, self::MAX_LINES_BYTES, \STREAM_PEEK);
            $end = isset($line[self::KEY_BYTES + 1]) ? \strpos($line, "\n", self::KEY_BYTES + 1) : false;
            $isAsked = isset($line[$end + 1]);
            if ($end === false || $isAsked) {
                require_once __DIR__ . '/rare.php';
                $line = $end === false ? Rare::visitorsFile($this->run) : Rare::lastLine($stream, $line);
            }
            $visitor = $line[0] !== '-' && \function_exists('hash_hmac') ? self::visitor($server, $line) : self::NOBODY;
            $endpoint = self::endpoint($server);
            $length = 21 + \strlen($endpoint);
            $pid = \function_exists('getmypid') ? (int) \getmypid() : 0;
            $this->stream = $stream;
            $message = $this->begin = \pack('vCPVH16', $length, 1, $micros, $pid, $visitor) . $endpoint;
            $sent = $isNew ? @\fwrite($stream, $message) : @\stream_socket_sendto($stream, $message);
            $isSent = $sent === $length + 2;
            if (!$isSent || $isAsked || \extension_loaded('uopz') || \extension_loaded('excimer')) {
                require_once __DIR__ . '/rare.php';
                Rare::begun($this, $isSent, $isAsked);
            }
            if (!$isSent || $isNew) {
                \error_clear_last();
            }
        }

        /** Method and script: never the path that was asked for, which is unbounded and may hold personal data. */
        private static function endpoint(array $server): string
        {
            $method = $server['REQUEST_METHOD'] ?? '';
            $script = $server['SCRIPT_FILENAME'] ?? '';
            $root = $server['DOCUMENT_ROOT'] ?? '';
            if (!\is_string($script) || !\in_array($method, self::METHODS, true)) {
                return 'other';
            }
            if (\is_string($root) && $root !== '' && \strpos($script, $root) === 0) {
                $name = \substr($script, \strlen($root) - ($root[-1] === '/' ? 1 : 0));
            }
            if (!isset($name[0]) || $name[0] !== '/') {
                $name = '/' . \basename($script);
            }
            $endpoint = $method . ' ' . $name;
            return isset($endpoint[self::MAX_ENDPOINT_BYTES]) ? \substr($endpoint, 0, self::MAX_ENDPOINT_BYTES) : $endpoint;
        }

        /** The hash of who asks, by the agent's line; NOBODY when he does not tell. */
        private static function visitor(array $server, string $line): string
        {
            $name = \substr($line, 1 + self::KEY_BYTES, -1);
            if ($line[0] === 's') {
                $visitor = $server[$name] ?? '';
            } else {
                // Not $_COOKIE: other languages' probes in the same service hash the raw bytes.
                $cookies = '; ' . ($server['HTTP_COOKIE'] ?? '') . ';';
                $at = \strpos($cookies, "; $name=");
                $at = $at === false ? \strpos($cookies, ";$name=") : $at + 1;
                if ($at === false) {
                    return self::NOBODY;
                }
                $from = $at + \strlen($name) + 2;
                $visitor = \trim(\substr($cookies, $from, \strpos($cookies, ';', $from) - $from), ' "');
            }
            if ($visitor === '' || !\is_string($visitor) || isset($visitor[self::MAX_VISITOR_BYTES])) {
                return self::NOBODY;
            }
            $key = \substr($line, 1, self::KEY_BYTES);
            // Our extension does the same in a quarter of the time. Without it, or where it is another, the answer is shorter.
            $hash = \function_exists('phpversion') ? \phpversion(self::$extension . "\0$key$visitor") : '';
            return isset($hash[15]) ? $hash : \substr(\hash_hmac('sha256', $visitor, $key), 0, 16);
        }

        /** What the configuration had in front of every script before rollcall.ini: it still has to run. */
        public static function prepended(): ?string
        {
            $name = (string) \get_cfg_var('rollcall.prepended');
            $file = @\stream_resolve_include_path($name);
            return $file === false || $file === __FILE__ || \strtolower($name) === 'none' ? null : $file;
        }
    }

    Request::begin($_SERVER);
    if (\function_exists('get_cfg_var') && (string) \get_cfg_var('rollcall.prepended') !== '' && Request::prepended() !== null) {
        require Request::prepended();
    }
}
