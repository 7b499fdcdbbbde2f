<?php
/**
 * What a framework knows of the request that it has served: the route's template, never the path, and an exception that it
 * caught.
 *
 * Loaded at the end of a request in which a framework's classes are there. It only reads what is in memory anyway: nothing is
 * registered, resolved or called that runs code of the application.
 */

declare(strict_types=1);

namespace Rollcall\Probe;

final class Frameworks
{
    /** @var string `/feed/{user}`, or a route's name where the framework has no template at hand; '' when not known */
    public $route = '';

    /** @var \Throwable|null */
    public $exception = null;

    public static function look(): self
    {
        $found = new self();
        if (\class_exists('WP', false)) {
            $found->wordPress();
        } elseif (\class_exists('Illuminate\Container\Container', false)) {
            $found->laravel();
        } else {
            $found->symfony();
        }
        return $found;
    }

    /** Kinds of pages, as WordPress' template hierarchy has them; types of posts are a set that themes and plugins register. */
    private function wordPress(): void
    {
        $script = \basename((string) ($_SERVER['SCRIPT_FILENAME'] ?? ''));
        if ($script === 'admin-ajax.php') {
            $action = $_REQUEST['action'] ?? '';
            $hooks = $GLOBALS['wp_filter'] ?? [];
            if (\is_string($action) && (isset($hooks["wp_ajax_$action"]) || isset($hooks["wp_ajax_nopriv_$action"]))) {
                $this->route = "/wp-admin/admin-ajax.php?action=$action";
            }
            return;
        }
        $query = $GLOBALS['wp_query'] ?? null;
        if ($script !== 'index.php' || !$query instanceof \WP_Query) {
            return;
        }
        $this->route = '/' . ($this->wordPressRest() ?? $this->wordPressPage($query));
    }

    private function wordPressRest(): ?string
    {
        $rest = $GLOBALS['wp']->query_vars['rest_route'] ?? '';
        if (!\is_string($rest) || $rest === '') {
            return null;
        }
        $server = $GLOBALS['wp_rest_server'] ?? null;
        foreach ($server instanceof \WP_REST_Server ? $server->get_namespaces() : [] as $namespace) {
            if (\strpos($rest . '/', "/$namespace/") === 0) {
                return "wp-json/$namespace/{rest}";
            }
        }
        return 'wp-json/{rest}';
    }

    private function wordPressPage(\WP_Query $query): string
    {
        $kinds = [
            'is_404' => '{not-found}',
            'is_robots' => 'robots.txt',
            'is_feed' => '{feed}',
            'is_search' => '{search}',
            'is_home' => '',
            'is_attachment' => '{attachment}',
            'is_page' => '{page}',
            'is_category' => '{category}',
            'is_tag' => '{tag}',
            'is_tax' => '{taxonomy}',
            'is_author' => '{author}',
            'is_date' => '{date}',
            'is_archive' => '{archive}',
        ];
        foreach ($kinds as $property => $route) {
            if (!empty($query->$property)) {
                return $route;
            }
        }
        $type = $query->is_single && isset($query->posts[0]->post_type) ? $query->posts[0]->post_type : '';
        return $type !== '' ? '{' . $type . '}' : '';
    }

    private function laravel(): void
    {
        $app = \Illuminate\Container\Container::getInstance();
        if (\method_exists($app, 'resolved') && $app->resolved('request')) {
            $request = $app->make('request');
            $route = \is_object($request) && \method_exists($request, 'route') ? $request->route() : null;
            if (\is_object($route) && \method_exists($route, 'uri')) {
                $this->route = '/' . \ltrim($route->uri(), '/');
            }
        }
        $exception = $GLOBALS['response']->exception ?? null;
        if ($exception instanceof \Throwable && $GLOBALS['response']->isServerError()) {
            $this->exception = $exception;
        }
    }

    private function symfony(): void
    {
        $request = $GLOBALS['request'] ?? self::symfonyRequest();
        if ($request instanceof \Symfony\Component\HttpFoundation\Request) {
            $name = $request->attributes->get('_route');
            $this->route = \is_string($name) ? $name : '';
        }
    }

    /** The kernel leaves the request with the handler of uncaught exceptions: nothing else leads to it from outside. */
    private static function symfonyRequest(): ?object
    {
        $handler = \set_exception_handler(null);
        \restore_exception_handler();
        $handler = \is_array($handler) ? $handler[0] : null;
        if (!$handler instanceof \Symfony\Component\ErrorHandler\ErrorHandler) {
            return null;
        }
        $property = new \ReflectionProperty(\Symfony\Component\ErrorHandler\ErrorHandler::class, 'exceptionHandler');
        if (\PHP_VERSION_ID < 80100) {
            $property->setAccessible(true);
        }
        $closure = $property->getValue($handler);
        if (!$closure instanceof \Closure) {
            return null;
        }
        return (new \ReflectionFunction($closure))->getStaticVariables()['request'] ?? null;
    }
}
