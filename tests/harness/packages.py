"""Debian packages that the local cluster and image builds need; installed when a tool is missing."""

import os
import shutil
import sys
import sysconfig
from pathlib import Path

from .commands import run, succeeds
from .errors import HarnessError
from .progress import step

_TOOLS = {
    "containerd": "containerd",
    "runc": "runc",
    "/usr/lib/cni/ptp": "containernetworking-plugins",
    "ip": "iproute2",
    "iptables": "iptables",
    "conntrack": "conntrack",
    "nsenter": "util-linux",
    "mount": "mount",
}
_C = {"cc": "gcc", "/usr/include/stdio.h": "libc6-dev"}
_BUILD_TOOLS = {"buildah": "buildah", "debootstrap": "debootstrap"}
_MODULES = "/usr/lib/php/20220829"
_TEST_TOOLS = {
    "chromium": "chromium",
    "php-fpm8.2": "php8.2-fpm",
    "php": "php8.2-cli",
    "/usr/include/php/20220829/main/php.h": "php8.2-dev",
    f"{_MODULES}/curl.so": "php8.2-curl",
    f"{_MODULES}/excimer.so": "php-excimer",
    f"{_MODULES}/memcached.so": "php8.2-memcached",
    f"{_MODULES}/mysqli.so": "php8.2-mysql",
    f"{_MODULES}/pdo_pgsql.so": "php8.2-pgsql",
    f"{_MODULES}/pdo_sqlite.so": "php8.2-sqlite3",
    f"{_MODULES}/redis.so": "php8.2-redis",
    f"{_MODULES}/mbstring.so": "php8.2-mbstring",
    f"{_MODULES}/uopz.so": "php8.2-uopz",
    f"{_MODULES}/xml.so": "php8.2-xml",
    "/usr/share/php/Symfony/Bundle/FrameworkBundle": "php-symfony-framework-bundle",
    "/usr/share/php/Illuminate/Foundation": "php-laravel-framework",
    "/usr/share/php/Slim": "php-slim",
    "/usr/share/wordpress/wp-load.php": "wordpress",
    "/usr/share/wordpress/wp-content/themes/twentytwentythree": "wordpress-theme-twentytwentythree",
    "mariadbd": "mariadb-server",
    "/usr/sbin/nginx": "nginx-light",
    "/usr/lib/postgresql/15/bin/postgres": "postgresql-15",
    "redis-server": "redis-server",
    "memcached": "memcached",
    "/usr/lib/apache2/modules/libphp8.2.so": "libapache2-mod-php8.2",
}
"""What the tests of the probes run outside of any cluster; those of PHP's load its modules themselves, by name."""
# An ordinary user's PATH lacks the folders that some of them are in.
_SEARCH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


def ensure_node_tools() -> None:
    """Install what nodes need: containerd, runc, CNI plugins, iproute2, iptables, conntrack."""
    _ensure(_TOOLS)


def ensure_build_tools() -> None:
    """Install what image builds need: buildah and debootstrap."""
    _ensure(_BUILD_TOOLS)


def ensure_compiler(header: Path) -> None:
    """Install what compiles the native part of the probe: a C compiler, and Python's headers, of which `header` is one."""
    _ensure(_C | {str(header): "python3-dev"})


def ensure_c_compiler() -> None:
    """Install what compiles C."""
    _ensure(_C)


def ensure_php_headers() -> None:
    """Install what compiles an extension of PHP."""
    _ensure(_C | {"/usr/include/php/20220829/main/php.h": "php8.2-dev"})


def ensure_uwsgi() -> None:
    """Build uWSGI for this environment's Python: there are no wheels of it, so it is no extra of ours."""
    if (Path(sys.prefix) / "bin" / "uwsgi").exists():
        return
    ensure_compiler(Path(sysconfig.get_path("include")) / "Python.h")
    with step("build uWSGI"):
        run([sys.executable, "-m", "pip", "install", "-q", "uwsgi>=2.0.28"])


def ensure_sdk_tools() -> None:
    """Install what fetches and runs OpenTelemetry's SDKs of other languages."""
    _ensure({"node": "nodejs", "npm": "npm", "javac": "openjdk-17-jdk-headless", "mvn": "maven"})


def _ensure(tools: dict[str, str]) -> None:
    missing = sorted({package for tool, package in tools.items() if not _is_there(tool)})
    if not missing:
        return
    if shutil.which("apt-get") is None:
        raise HarnessError(f"cannot install {', '.join(missing)}: this system has no apt-get; install them by hand")
    if os.geteuid() != 0:
        raise HarnessError(f"cannot install {', '.join(missing)}: that needs root; install them by hand")
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}  # no service of theirs is to start
    with step(f"install {', '.join(missing)}"):
        run(["apt-get", "update", "-q"], env=environment)
        run(["apt-get", "install", "-y", "-q", "--no-install-recommends", *missing], env=environment)


def _is_there(tool: str) -> bool:
    return os.path.exists(tool) or shutil.which(tool, path=_SEARCH) is not None


def main() -> int:
    """Install everything that the tests need on a fresh machine: `python -m tests.harness.packages`."""
    try:
        # Where Docker is, it runs the cluster and builds the images.
        _ensure(_TEST_TOOLS if succeeds(["docker", "info"]) else _TOOLS | _BUILD_TOOLS | _TEST_TOOLS)
        ensure_uwsgi()
    except HarnessError as error:
        print(f"harness: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
