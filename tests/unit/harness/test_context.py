"""Which files a Dockerfile copies, and that nothing else changes the digest."""

from pathlib import Path

import pytest

from tests.harness import context, paths
from tests.harness.errors import HarnessError


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with two folders of sources."""
    monkeypatch.setattr(paths, "REPOSITORY", tmp_path)
    for name in ("app/main.py", "app/deep/part.py", "app/__pycache__/main.pyc", "other/x.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    return tmp_path


def _dockerfile(folder: Path, *lines: str) -> Path:
    file = folder / "Dockerfile"
    file.write_text("\n".join(["FROM scratch", *lines]))
    return file


@pytest.mark.parametrize(
    ("line", "sources"),
    [
        ("COPY app /app", ["app"]),
        ("copy app/main.py other/x.py /srv/", ["app/main.py", "other/x.py"]),
        ("COPY --chown=1:1 app /app", ["app"]),
        ('COPY ["app", "/app"]', ["app"]),
        ("COPY app \\\n other \\\n /srv/", ["app", "other"]),
        ("COPY --from=build /opt /opt", []),
        ("RUN cp app /app", []),
    ],
)
def test_sources_of_a_copy(tmp_path: Path, line: str, sources: list[str]) -> None:
    assert context.copied(_dockerfile(tmp_path, line)) == sources


def test_the_staged_context_holds_what_is_copied_and_nothing_else(
    repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    target = tmp_path_factory.mktemp("context")
    context.stage(_dockerfile(repository, "COPY app /app"), target)
    files = {str(file.relative_to(target)) for file in target.rglob("*") if file.is_file()}
    assert files == {"app/main.py", "app/deep/part.py"}


@pytest.mark.parametrize(
    ("changed", "matters"),
    [
        ("app/main.py", True),
        ("app/deep/part.py", True),
        ("app/new.py", True),
        ("other/x.py", False),
        ("app/__pycache__/a.pyc", False),
    ],
)
def test_the_digest_changes_with_what_is_copied(repository: Path, changed: str, matters: bool) -> None:
    dockerfile = _dockerfile(repository, "COPY app /app")
    before = context.digest(dockerfile)
    (repository / changed).write_text("changed")
    assert (context.digest(dockerfile) != before) is matters


def test_a_source_that_is_missing_is_named(repository: Path) -> None:
    with pytest.raises(HarnessError, match=r"copies nowhere/\*\.py, which does not exist"):
        context.digest(_dockerfile(repository, "COPY nowhere/*.py /srv/"))
