<?php
/**
 * Stands in for rollcall.php while the operator has the probes taken out of a pod: only what php.ini itself puts in front of
 * every script is run, as without us. No variable, because this is the application's scope.
 */

declare(strict_types=1);

if (
    \function_exists('get_cfg_var')
    && !\in_array(\strtolower((string) \get_cfg_var('rollcall.prepended')), ['', 'none', \strtolower(__FILE__)], true)
    && @\stream_resolve_include_path((string) \get_cfg_var('rollcall.prepended')) !== false
) {
    require \stream_resolve_include_path((string) \get_cfg_var('rollcall.prepended'));
}
