<?php

use Illuminate\Support\Facades\Route;

Route::get('/feed/{user}', static function (string $user) {
    return "feed of $user";
});
Route::get('/fail/{user}', static function (string $user) {
    throw new DomainException("no feed of $user");
});
