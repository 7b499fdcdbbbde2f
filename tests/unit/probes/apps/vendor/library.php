<?php
class Library
{
    public static function call(): void
    {
        throw new OutOfBoundsException('deep in a library');
    }
}

function ask_library(): void
{
    Library::call();
}
