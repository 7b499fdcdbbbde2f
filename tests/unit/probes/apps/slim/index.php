<?php
/** A Slim 3 application. */

require '/usr/share/php/Slim/autoload.php';

$app = new Slim\App();
$app->get('/feed/{user}', function ($request, $response, array $arguments) {
    return $response->write('feed of ' . $arguments['user']);
});
$app->get('/fail/{user}', function (): void {
    throw new DomainException('no feed');
});
$app->run();
