<?php
$found = array_diff_key(get_defined_vars(), array_flip(['_GET', '_POST', '_COOKIE', '_FILES', '_SERVER', '_REQUEST', '_ENV', 'argv', 'argc']));
switch ($_GET['m'] ?? '') {
    case 'ok':
        echo 'fine';
        break;
    case 'clean':
        echo json_encode([$found, error_get_last(), get_defined_functions()['user'], ob_get_level()]);
        break;
    case 'exit':
        echo 'bye';
        exit(3);
    case 'fatal':
        no_such_function();
    case 'memory':
        ini_set('memory_limit', '8M');
        for ($hoard = [];;) {
            $hoard[] = str_repeat('x', 100000);
        }
    case 'early':
        echo 'early';
        fastcgi_finish_request();
        break;
    case 'missing':
        http_response_code(404);
        echo 'missing';
        break;
    case 'exit-in-shutdown':
        register_shutdown_function(function () { exit(1); });
        echo 'ended twice';
        break;
    case 'late':
        register_shutdown_function(function () { http_response_code(503); echo 'late'; });
        break;
    case 'handler':
        set_error_handler(function ($number, $text) { echo "handler saw $text"; return true; });
        echo 'handled';
        break;
    case 'hang':
        usleep((int) $_GET['us']);
        echo 'woke up';
        break;
}
