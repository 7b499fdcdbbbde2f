<?php
declare(strict_types=1);

// The newest posts of ?user= and of the two whom that user follows.
const USERS = 200;

$user = filter_input(INPUT_GET, 'user', FILTER_VALIDATE_INT) ?: 0;
$database = new PDO('sqlite:/srv/legacy/feed.db', options: [
    PDO::SQLITE_ATTR_OPEN_FLAGS => PDO::SQLITE_OPEN_READONLY,
    PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION,
]);
$query = $database->prepare('SELECT id, author, at, body FROM post WHERE author IN (?, ?, ?) ORDER BY at DESC LIMIT 10');
$query->execute([$user % USERS, ($user + 1) % USERS, ($user + 7) % USERS]);

header('Content-Type: application/json');
echo json_encode(['user' => $user, 'posts' => $query->fetchAll(PDO::FETCH_ASSOC)]), "\n";
