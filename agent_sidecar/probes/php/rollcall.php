<?php
/**
 * Rollcall's probe for PHP: tells the agent when a request begins, when it has ended, and what went wrong (request.php).
 *
 * Runs in front of every script (auto_prepend_file), PHP 7.4 to 8.4, any SAPI but the command line. No output, no warning, no
 * global variable or function, no change of error handlers. PHP reads this file anew for each request, so it is short.
 */

declare(strict_types=1);

namespace Rollcall\Probe;

if (!\class_exists(Request::class, false)) {
    require __DIR__ . '/request.php';
    Request::begin();
    if (Request::$prepended !== null) {
        require Request::$prepended;
    }
}
