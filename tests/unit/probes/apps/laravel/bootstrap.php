<?php
/** What Laravel's skeleton has in bootstrap/app.php, app/Http/Kernel.php and app/Providers. */

class HttpKernel extends Illuminate\Foundation\Http\Kernel
{
}

class Routes extends Illuminate\Foundation\Support\Providers\RouteServiceProvider
{
    public function map(): void
    {
        require __DIR__ . '/routes/web.php';
    }
}

$_SERVER['APP_PACKAGES_CACHE'] = $_SERVER['APP_VAR'] . '/packages.php';
$_SERVER['APP_SERVICES_CACHE'] = $_SERVER['APP_VAR'] . '/services.php';
$app = new Illuminate\Foundation\Application(__DIR__);
$app->useStoragePath($_SERVER['APP_VAR']);
$app->singleton(Illuminate\Contracts\Http\Kernel::class, HttpKernel::class);
$app->singleton(Illuminate\Contracts\Console\Kernel::class, Illuminate\Foundation\Console\Kernel::class);
$app->singleton(Illuminate\Contracts\Debug\ExceptionHandler::class, Illuminate\Foundation\Exceptions\Handler::class);
return $app;
