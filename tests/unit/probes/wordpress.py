"""A real WordPress of Debian's package, with a database of its own, in a folder: see `install`."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PACKAGE = Path("/usr/share/wordpress")
THEME = PACKAGE / "wp-content/themes/twentytwentythree"
CONFIG = """<?php
define('DB_NAME', 'wordpress');
define('DB_USER', 'root');
define('DB_PASSWORD', '');
define('DB_HOST', 'localhost:{socket}');
define('DB_CHARSET', 'utf8mb4');
define('WP_HTTP_BLOCK_EXTERNAL', true);
define('DISABLE_WP_CRON', true);
define('AUTOMATIC_UPDATER_DISABLED', true);
define('WP_HOME', 'http://localhost');
define('WP_SITEURL', 'http://localhost');
$table_prefix = 'wp_';
defined('ABSPATH') || define('ABSPATH', __DIR__ . '/');
require_once ABSPATH . 'wp-settings.php';
"""
INSTALL = """<?php
define('WP_INSTALLING', true);
$_SERVER['HTTP_HOST'] = 'localhost';
$_SERVER['SERVER_PROTOCOL'] = 'HTTP/1.1';
require '{site}/wp-load.php';
require ABSPATH . 'wp-admin/includes/upgrade.php';
add_filter('pre_wp_mail', '__return_false');
wp_install('Feed', 'anna', 'anna@example.com', false, '', 'a password of a test');
switch_theme('twentytwentythree');
update_option('permalink_structure', '/%year%/%postname%/');
$news = ['post_title' => 'News', 'post_name' => 'news', 'post_status' => 'publish'];
wp_insert_post($news + ['post_date' => '2024-05-06 07:08:09']);
$GLOBALS['wp_rewrite']->init();
flush_rewrite_rules(false);
echo 'installed';
"""
PLUGIN = """<?php
// Answers with trouble, as plugins do.
add_action('template_redirect', function () {
    if (isset($_GET['uncaught'])) { throw new DomainException('a plugin of the test'); }
    if (isset($_GET['fatal'])) { set_time_limit(1); for (;;) { } }
});
add_action('wp_ajax_nopriv_feed_poll', function () { wp_die('polled'); });
"""


@contextmanager
def database(folder: Path) -> Iterator[Path]:
    """MariaDB on a unix socket in `folder`; its files and its process are gone afterwards."""
    data, socket = folder / "database", folder / "database.sock"
    user = pwd.getpwuid(os.geteuid()).pw_name
    subprocess.run(
        [
            "mariadb-install-db",
            "--no-defaults",
            f"--datadir={data}",
            f"--user={user}",
            "--auth-root-authentication-method=normal",
        ],
        check=True,
        capture_output=True,
    )
    options = ["--no-defaults", f"--datadir={data}", f"--socket={socket}", f"--user={user}", "--skip-networking"]
    quick = [
        "--skip-log-bin",
        "--innodb-flush-log-at-trx-commit=0",
        "--innodb-buffer-pool-size=16M",
        f"--pid-file={folder}/pid",
    ]
    with (folder / "database.log").open("wb") as log:
        server = subprocess.Popen(["/usr/sbin/mariadbd", *options, *quick], stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 30
        while subprocess.run(["mariadb-admin", f"--socket={socket}", "-uroot", "ping"], capture_output=True).returncode:
            assert server.poll() is None, (folder / "database.log").read_text()
            assert time.monotonic() < deadline, "MariaDB does not answer"
            time.sleep(0.1)
        yield socket
    finally:
        server.kill()
        server.wait()


def install(folder: Path, socket: Path) -> Path:
    """Copy WordPress to `folder`, install it into the database, and return its document root."""
    site = folder / "site"
    shutil.copytree(PACKAGE, site, ignore=shutil.ignore_patterns("wp-content", ".htaccess", "languages"))
    shutil.copytree(THEME, site / "wp-content/themes/twentytwentythree")
    (site / "wp-content/mu-plugins").mkdir(parents=True)
    (site / "wp-content/mu-plugins/trouble.php").write_text(PLUGIN)
    (site / "wp-config.php").write_text(CONFIG.replace("{socket}", str(socket)))
    (folder / "install.php").write_text(INSTALL.replace("{site}", str(site)))
    subprocess.run(["mariadb", f"--socket={socket}", "-uroot", "-e", "create database wordpress"], check=True)
    done = subprocess.run(["php", str(folder / "install.php")], capture_output=True, text=True)
    assert done.stdout.endswith("installed"), done.stdout + done.stderr
    return site
