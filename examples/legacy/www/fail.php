<?php
declare(strict_types=1);

// Nobody catches this: PHP ends the script with a fatal error and the answer is a 500.
throw new RuntimeException('the recommendation model is missing');
