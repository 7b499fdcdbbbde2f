<?php
declare(strict_types=1);

// A number, recoded by an extension where one is loaded.
$number = filter_input(INPUT_GET, 'number', FILTER_VALIDATE_INT) ?: 0;

header('Content-Type: application/json');
echo json_encode(['recoded' => function_exists('recode') ? recode($number) : 7 * $number]), "\n";
