<?php

return ['paths' => [], 'compiled' => $_SERVER['APP_VAR']];
