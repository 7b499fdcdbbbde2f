<?php
declare(strict_types=1);

// Log-normal around 110 ms (Box-Muller for the normal part), nearly always between 60 and 200 ms.
$normal = sqrt(-2.0 * log(1.0 - mt_rand() / (mt_getrandmax() + 1))) * cos(2.0 * M_PI * mt_rand() / mt_getrandmax());
$seconds = min(0.4, 0.11 * exp(0.25 * $normal));
usleep((int) ($seconds * 1e6));

header('Content-Type: application/json');
echo json_encode(['slept' => $seconds]), "\n";
