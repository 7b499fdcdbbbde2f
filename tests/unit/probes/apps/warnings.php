<?php
/** Warns of many kinds, `?n=` times each, and of some that are nobody's business. Knows nothing of the probe. */
class Late
{
    public function __destruct()
    {
        trigger_error('after the script', E_USER_NOTICE);
    }
}

function tells(int $number, string $text): bool
{
    global $heard;
    $heard++;
    return $text === 'mine';
}

$n = (int) ($_GET['n'] ?? 1);
$late = new Late();
for ($i = 0; $i < $n; $i++) {
    echo $undefined, [] . '', '';                       // two E_WARNING
    trigger_error('look', E_USER_WARNING);
    trigger_error('by the way', E_USER_NOTICE);
    trigger_error('old ways', E_USER_DEPRECATED);
    strlen(null);                                       // E_DEPRECATED
    eval('class Old' . uniqid() . ' implements Serializable { function serialize() {} function unserialize($x) {} }'); // E_DEPRECATED
    $heard = @$undefined . @file_get_contents('/no/such/file') . @trigger_error('hidden', E_USER_WARNING);
    $level = error_reporting(E_ALL & ~E_WARNING);
    echo $undefined;
    error_reporting($level);
    $heard = 0;
    set_error_handler('tells');
    trigger_error('mine', E_USER_WARNING);              // taken by the application
    trigger_error('yours', E_USER_WARNING);             // heard of, and left to PHP
    restore_error_handler();
    try {
        new SplFileObject('/no/such/file');             // PHP makes an exception of its warning
    } catch (RuntimeException $error) {
        echo get_class($error), $heard;
    }
    error_clear_last();
}
