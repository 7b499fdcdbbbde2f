<?php
/**
 * Exceptions that Symfony and Slim answer with a page themselves: by the extension uopz, which tells who takes one. Loaded where
 * our own extension does not see what is thrown.
 *
 * A framework is there, if at all, once it has set a handler of exceptions or begun to buffer output.
 */

declare(strict_types=1);

namespace Rollcall\Probe;

final class Catchers
{
    /** Where a framework takes an exception, to answer it with an error page. */
    private const CATCHERS = [
        'Symfony\Component\HttpKernel\HttpKernel' => ['handleThrowable', 'handleException'],
        'Slim\App' => ['handleException', 'handlePhpError'],
    ];

    /** @var bool[] by class: its methods are hooked */
    private static $isHooked = [];

    /** @var string the body of ERROR for the exception that a framework took last */
    private static $caught = '';

    public static function arm(): void
    {
        $look = static function (): void {
            Catchers::look();
        };
        \function_exists('set_exception_handler') && \uopz_set_hook('set_exception_handler', $look);
        \function_exists('ob_start') && \uopz_set_hook('ob_start', $look);
    }

    /** The message ERROR for an exception that a framework answered with a 5xx, '' without. */
    public static function finish(): string
    {
        return self::$caught !== '' && \http_response_code() >= 500 ? Rare::message(3, self::$caught) : '';
    }

    /** Hook where a framework that is there by now takes exceptions. */
    public static function look(): void
    {
        try {
            foreach (self::CATCHERS as $class => $methods) {
                if (isset(self::$isHooked[$class]) || !\class_exists($class, false)) {
                    continue;
                }
                self::$isHooked[$class] = true;
                foreach ($methods as $method) {
                    if (\method_exists($class, $method)) {
                        \uopz_set_hook($class, $method, static function (...$arguments): void {
                            Catchers::caught($arguments[0] ?? null);
                        });
                    }
                }
            }
        } catch (\Throwable $trouble) {
            // told to nobody
        }
    }

    /** Written down at once: an exception that is kept keeps what its trace holds, beyond the time that it would have had. */
    public static function caught($error): void
    {
        try {
            require_once __DIR__ . '/errors.php';
            self::$caught = $error instanceof \Throwable ? Errors::ofThrowable($error) : '';
        } catch (\Throwable $trouble) {
            // told to nobody
        }
    }
}
