<?php
/** An application with a broken extension. Knows nothing of the probe. */
if (isset($_GET['way'])) {
    breaks($_GET['way']);
}
echo 'fine';
