<?php
declare(strict_types=1);

// Holds the request for ?s= seconds, 60 at most.
$seconds = max(0.0, min(60.0, (float) ($_GET['s'] ?? 10)));
usleep((int) ($seconds * 1e6));

header('Content-Type: application/json');
echo json_encode(['slept' => $seconds]), "\n";
