<?php
declare(strict_types=1);

// Writes the posts that feed.php reads. Run once, while the image is built: php make_database.php FILE
$database = new PDO('sqlite:' . $argv[1]);
$database->setAttribute(PDO::ATTR_ERRMODE, PDO::ERRMODE_EXCEPTION);
$database->exec('CREATE TABLE post (id INTEGER PRIMARY KEY, author INTEGER NOT NULL, at INTEGER NOT NULL, body TEXT NOT NULL)');
$database->beginTransaction();
$insert = $database->prepare('INSERT INTO post (author, at, body) VALUES (?, ?, ?)');
for ($author = 0; $author < 200; $author++) {
    for ($at = 0; $at < 25; $at++) {
        $insert->execute([$author, $at, "Post $at of user $author"]);
    }
}
$database->commit();
$database->exec('CREATE INDEX post_by_author ON post (author, at DESC)');
