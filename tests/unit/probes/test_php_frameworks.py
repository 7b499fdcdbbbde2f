"""PHP frameworks as Debian has them, on a real php-fpm: endpoints are routes, errors have a type, answers stay as they are."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.agent.pod import Pod
from tests.unit.probes import wordpress
from tests.unit.probes.fastcgi import call
from tests.unit.probes.fpm import Fpm, Listener

APPS = Path(__file__).parent / "apps"
EXTENSIONS = ("ctype", "iconv", "mbstring", "tokenizer", "xml", "dom", "fileinfo", "mysqlnd", "mysqli")
INI = "display_errors=Off\nlog_errors=Off\nerror_reporting=-1\nvariables_order=EGPCS\n"


@pytest.fixture
def agent(pod: Pod) -> Iterator[Listener]:
    with Listener(pod) as made:
        yield made


class Site:
    """An application whose front controller gets every request."""

    def __init__(self, pod: Pod, root: Path, *, probe: bool = True, native: bool = True, uopz: bool = False) -> None:
        self._pod, self._root = pod, root
        var = pod.folder / "var"
        for name in ("framework/views", "framework/cache", "logs"):
            (var / name).mkdir(parents=True, exist_ok=True)
        extensions = (*(("uopz",) if uopz else ()), *EXTENSIONS)
        ini = INI + ("uopz.exit=1\n" if uopz else "")
        extra = f"env[APP_VAR]={var}"
        self.fpm = Fpm(pod, probe=probe, native=native, ini=ini, extensions=extensions, extra=extra, workers=1)

    def get(self, uri: str, script: str = "index.php", method: str = "GET") -> bytes:
        path, _, query = uri.partition("?")
        return call(
            self.fpm.socket,
            self._root / script,
            query,
            method,
            20.0,
            DOCUMENT_ROOT=str(self._root),
            REQUEST_URI=uri,
            SCRIPT_NAME=f"/{script}",
            HTTP_HOST="localhost",
            SERVER_NAME="localhost",
            SERVER_PORT="80",
            PATH_INFO=path if script == "index.php" else "",
        )


def requests_of(agent: Listener) -> dict[str, int]:
    """Requests by endpoint, but for the page that tells that php-fpm is up."""
    return {name: count for name, count in agent.endpoints.items() if name != "GET /page.php"}


def failures(agent: Listener) -> dict[str, int]:
    """Errors by name, but for warnings."""
    return {name: count for name, count in agent.errors.items() if not name.startswith("warning")}


FRAMEWORKS = {
    # name: (document root, endpoint of a good request, of one that fails, the file that throws)
    "symfony": (APPS / "symfony", "GET feed_show", "GET feed_fail", "index.php"),
    "laravel": (APPS / "laravel/public", "GET /feed/{user}", "GET /fail/{user}", "routes/web.php"),
    "slim": (APPS / "slim", "GET /index.php", "GET /index.php", "index.php"),
}


def check_the_failure(agent: Listener, name: str) -> None:
    root, _, bad, file = FRAMEWORKS[name]
    assert failures(agent) == {"exception DomainException": 1}  # and warnings: Slim 3 uses what PHP 8.2 deprecates
    assert agent.file.totals.errors == 1
    [sample] = [sample for sample in agent.samples if sample["error"] == "exception DomainException"]
    assert sample["message"] == ("no feed" if name == "slim" else "no feed of bob")
    assert (sample["endpoint"], sample["file"]) == (bad, file)
    source = next(path for folder in (root, root.parent) if (path := folder / file).exists())
    assert "throw new DomainException" in source.read_text().splitlines()[sample["line"] - 1]


@pytest.mark.parametrize("uopz", [False, True])
@pytest.mark.parametrize("name", FRAMEWORKS)
def test_endpoint_and_error(pod: Pod, agent: Listener, name: str, uopz: bool) -> None:
    """Of what a framework answers itself: with uopz by the method that takes it, else by the extension that sees it thrown."""
    root, good, bad, _ = FRAMEWORKS[name]
    site = Site(pod, root, native=not uopz, uopz=uopz)
    assert site.get("/feed/anna").endswith(b"feed of anna")
    assert b"Status: 500" in site.get("/fail/bob")
    if name == "symfony":
        assert b"Status: 404" in site.get("/missing/bob")  # an exception as well, but no failure
    agent.finished(4 if name == "symfony" else 3)
    ended = requests_of(agent)
    assert (ended.pop("GET feed_missing", 0), ended) == (name == "symfony", {good: 1, bad: 1} if good != bad else {good: 2})
    check_the_failure(agent, name)


@pytest.mark.parametrize("name", ["symfony", "slim"])
def test_without_any_extension_what_a_framework_answers_itself_is_its_status(pod: Pod, agent: Listener, name: str) -> None:
    site = Site(pod, FRAMEWORKS[name][0], native=False)
    assert b"Status: 500" in site.get("/fail/bob")
    agent.finished(2)
    assert failures(agent) == {"http 500": 1}


@pytest.mark.parametrize("uopz", [False, True])
@pytest.mark.parametrize("name", FRAMEWORKS)
def test_answers_are_the_same_without_the_probe(pod: Pod, agent: Listener, name: str, uopz: bool) -> None:
    root = FRAMEWORKS[name][0]
    answers = []
    for probe in (True, False):
        site = Site(pod, root, probe=probe, uopz=uopz)
        pages = [site.get(uri) for uri in ("/feed/anna", "/fail/anna", "/none", "/missing/anna", "/warn/anna")]
        answers.append([re.sub(rb"(?i)\r\ndate: [^\r]*", b"", page) for page in pages])
        pod.stop(site.fpm.process)
    assert answers[0] == answers[1]


def test_symfony_goes_on_turning_warnings_into_exceptions(pod: Pod, agent: Listener) -> None:
    """Its error handler is not installed behind another one, so the probe must not have one."""
    site = Site(pod, APPS / "symfony")
    assert b"Status: 404" in site.get("/missing/anna")
    site.get("/warn/anna")
    site.get("/none")
    agent.finished(4)
    assert requests_of(agent) == {"GET feed_missing": 1, "GET feed_warn": 1, "GET /index.php": 1}


@pytest.fixture(scope="module")
def wordpress_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("wordpress")
    with wordpress.database(folder) as socket:
        yield wordpress.install(folder, socket)


PAGES = {
    # uri: (script, status, endpoint)
    "/": ("index.php", 200, "GET /"),
    "/2024/news/": ("index.php", 200, "GET /{post}"),
    "/2024/nothing/": ("index.php", 404, "GET /{not-found}"),
    "/sample-page/": ("index.php", 200, "GET /{page}"),
    "/category/uncategorized/": ("index.php", 200, "GET /{category}"),
    "/author/anna/": ("index.php", 200, "GET /{author}"),
    "/2024/": ("index.php", 200, "GET /{date}"),
    "/?s=secret+words": ("index.php", 200, "GET /{search}"),
    "/feed/": ("index.php", 200, "GET /{feed}"),
    "/robots.txt": ("index.php", 200, "GET /robots.txt"),
    "/wp-json/wp/v2/posts": ("index.php", 200, "GET /wp-json/wp/v2/{rest}"),
    "/wp-json/nothing/at/all": ("index.php", 404, "GET /wp-json/{rest}"),
    "/wp-login.php": ("wp-login.php", 200, "GET /wp-login.php"),
    "/wp-admin/admin-ajax.php?action=feed_poll": (
        "wp-admin/admin-ajax.php",
        200,
        "GET /wp-admin/admin-ajax.php?action=feed_poll",
    ),
    "/wp-admin/admin-ajax.php?action=anything": ("wp-admin/admin-ajax.php", 400, "GET /wp-admin/admin-ajax.php"),
}


def test_wordpress_pages_have_the_name_of_their_kind(pod: Pod, agent: Listener, wordpress_site: Path) -> None:
    site = Site(pod, wordpress_site)
    for number, (uri, (script, status, endpoint)) in enumerate(PAGES.items(), 2):
        before = agent.endpoints.get(endpoint, 0)
        answer = site.get(uri, script)
        assert (b"Status: %d" % status in answer) == (status != 200), (uri, answer[:300])
        agent.finished(number)
        assert agent.endpoints.get(endpoint, 0) == before + 1, (uri, agent.endpoints)
    assert agent.file.totals.errors == 0
    assert not any("secret" in name or "news" in name or "sample" in name for name in agent.endpoints)


def test_wordpress_errors_are_told_although_it_answers_them_itself(pod: Pod, agent: Listener, wordpress_site: Path) -> None:
    site = Site(pod, wordpress_site)
    assert b"There has been a critical error" in site.get("/2024/news/?uncaught=1")
    site.get("/2024/news/?fatal=1")
    agent.finished(3)
    assert failures(agent) == {"exception DomainException": 1, "timeout max_execution_time": 1}
    [sample] = [sample for sample in agent.samples if sample["error"] == "exception DomainException"]
    assert sample["message"] == "a plugin of the test"
    assert sample["endpoint"] == "GET /{post}"
    assert sample["file"] == "wp-content/mu-plugins/trouble.php"


def test_wordpress_answers_are_the_same_without_the_probe(pod: Pod, agent: Listener, wordpress_site: Path) -> None:
    answers = []
    for probe in (True, False):
        site = Site(pod, wordpress_site, probe=probe)
        pages = ("/2024/news/", "/2024/nothing/", "/wp-json/wp/v2/posts", "/2024/news/?uncaught=1")
        answers.append([_without_chance(site.get(uri)) for uri in pages])
        pod.stop(site.fpm.process)
    assert answers[0] == answers[1]
    assert all(len(page) > 300 for page in answers[0])


def _without_chance(page: bytes) -> bytes:
    """Without the time of day and numbers that WordPress draws anew for each answer."""
    page = re.sub(rb'(-(?:modal-)?)[0-9a-f]{13}\b|"nonce":"\w+"|[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} [\d:]+ GMT', b"", page)
    return re.sub(rb"wp-container-\d+|wp-elements-\w+|\b[0-9a-f]{13}\b", b"", page)
