<?php
/** Laravel's own front controller, with Debian's autoloader. */

require '/usr/share/php/Illuminate/autoload.php';

$app = require __DIR__ . '/../bootstrap.php';
$kernel = $app->make(Illuminate\Contracts\Http\Kernel::class);
$response = $kernel->handle($request = Illuminate\Http\Request::capture())->send();
$kernel->terminate($request, $response);
