<?php
/** A Symfony application of one file; its front controller leaves nothing in global variables, as Symfony's Runtime does. */

require '/usr/share/php/Symfony/Bundle/FrameworkBundle/autoload.php';

use Symfony\Bundle\FrameworkBundle\FrameworkBundle;
use Symfony\Bundle\FrameworkBundle\Kernel\MicroKernelTrait;
use Symfony\Component\DependencyInjection\Loader\Configurator\ContainerConfigurator;
use Symfony\Component\HttpFoundation\Request;
use Symfony\Component\HttpFoundation\Response;
use Symfony\Component\HttpKernel\Exception\NotFoundHttpException;
use Symfony\Component\HttpKernel\Kernel as BaseKernel;
use Symfony\Component\Routing\Loader\Configurator\RoutingConfigurator;

class Kernel extends BaseKernel
{
    use MicroKernelTrait;

    public function registerBundles(): iterable
    {
        return [new FrameworkBundle()];
    }

    protected function configureContainer(ContainerConfigurator $container): void
    {
        $container->extension('framework', ['secret' => 'of a test', 'http_method_override' => false]);
        $container->services()->set('logger', Psr\Log\NullLogger::class);
    }

    protected function configureRoutes(RoutingConfigurator $routes): void
    {
        $routes->add('feed_show', '/feed/{user}')->controller([$this, 'show']);
        $routes->add('feed_fail', '/fail/{user}')->controller([$this, 'fail']);
        $routes->add('feed_missing', '/missing/{user}')->controller([$this, 'missing']);
        $routes->add('feed_warn', '/warn/{user}')->controller([$this, 'warn']);
    }

    public function show(string $user): Response
    {
        return new Response("feed of $user");
    }

    public function fail(string $user): Response
    {
        throw new DomainException("no feed of $user");
    }

    public function missing(): Response
    {
        throw new NotFoundHttpException('not here');
    }

    public function warn(array $nothing = []): Response
    {
        return new Response((string) $nothing['undefined']);
    }

    public function getCacheDir(): string
    {
        return $_SERVER['APP_VAR'] . '/cache';
    }

    public function getLogDir(): string
    {
        return $_SERVER['APP_VAR'] . '/log';
    }

    public function getProjectDir(): string
    {
        return __DIR__;
    }
}

(static function (): void {
    $kernel = new Kernel('prod', false);
    $request = Request::createFromGlobals();
    $response = $kernel->handle($request);
    $response->send();
    $kernel->terminate($request, $response);
})();
