"""The image: what reaches it, as whom it runs, which packages it holds."""

from __future__ import annotations

import fnmatch
import re
import tomllib
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from jobu_core.config import load_settings
from scripts.runtime_lock import entries, needed, roots_of

PROJECT = Path(__file__).resolve().parents[2]
DOCKERFILE = (PROJECT / "docker" / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
STAGES = re.split(r"^FROM ", DOCKERFILE, flags=re.MULTILINE)[1:]
LOCK = (PROJECT / "requirements.lock").read_text(encoding="utf-8")


def _is_sent(path: str) -> bool:
    """Say whether .dockerignore lets ``path`` into the build; the last match decides."""
    sent = True
    for line in (PROJECT / ".dockerignore").read_text(encoding="utf-8").splitlines():
        pattern = line.removeprefix("!")
        if not line or line.startswith("#"):
            continue
        nested = pattern.removeprefix("**/")
        if (
            fnmatch.fnmatch(path.split("/", maxsplit=1)[0] if pattern == "*" else path, pattern)
            or path.startswith(f"{pattern}/")
            or (nested != pattern and any(fnmatch.fnmatch(p, nested) for p in path.split("/")))
        ):
            sent = line.startswith("!")
    return sent


@pytest.mark.parametrize(
    "path",
    [".git/config", ".env", ".jobu/pg/PG_VERSION", "data/raw/sample.csv", ".venv/pyvenv.cfg",
     "tests/conftest.py", "jobu_core/__pycache__/x.pyc", "docker/docker-compose.yaml"],
)  # fmt: skip
def test_state_secrets_and_data_stay_out_of_the_image(path: str) -> None:
    """The build sees what is named, not all but what somebody thought of."""
    assert not _is_sent(path)


def test_everything_that_the_image_copies_exists_and_is_sent() -> None:
    """Each COPY from the project names a file that .dockerignore lets through."""
    lines = re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE)
    sources = [word for line in lines for word in line.split()[:-1]]
    assert {"jobu_core", "jobu_dagster", "jobu_admin", "config", "dagster.yaml"} <= set(sources)
    for source in sources:
        path = PROJECT / source
        files = [path] if path.is_file() else list(path.rglob("*.py")) + list(path.glob("*.yaml"))
        assert files, source
        assert all(_is_sent(str(each.relative_to(PROJECT))) for each in files if each.is_file())


def test_the_image_is_built_in_stages_and_is_not_root() -> None:
    """Both stages have one pinned base; the last runs as a numbered user from the venv."""
    assert len(STAGES) == 2
    bases = {stage.split()[0] for stage in STAGES}
    assert re.fullmatch(r"python:3\.11\.\d+-slim-bookworm", bases.pop())
    assert not bases, "a venv works on the interpreter that it was made with"
    assert re.search(r"^USER 1000:1000$", STAGES[1], re.MULTILINE)
    assert "pip install" not in STAGES[1]
    assert "--require-hashes" in STAGES[0]


def test_the_variables_of_the_image_are_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """A JOBU_ variable that no setting knows would end every process at its start."""
    block = re.search(r"^ENV (.+)$", STAGES[1], re.MULTILINE)
    assert block is not None
    given = dict(each.split("=", 1) for each in block[1].split())
    for name, value in given.items():
        if name.startswith("JOBU_"):
            monkeypatch.setenv(name, value)
    assert str(load_settings().root) == given["JOBU_ROOT"] == given["PYTHONPATH"]
    assert given["DAGSTER_HOME"] == f"{given['JOBU_ROOT']}/.jobu/dagster_home"


def _required(requirement: Requirement, seen: set[tuple[str, str]]) -> None:
    """Gather what ``requirement`` installs here, as the packages themselves say."""
    for extra in requirement.extras or {""}:
        key = (canonicalize_name(requirement.name), extra)
        if key in seen:
            continue
        seen.add(key)
        try:
            texts = requires(requirement.name) or []
        except PackageNotFoundError:
            continue
        for text in texts:
            child = Requirement(text)
            if child.marker is None or child.marker.evaluate({"extra": extra}):
                _required(child, seen)


def test_the_runtime_lock_is_what_the_packages_themselves_require() -> None:
    """The part of the lock for the image agrees with the installed packages' metadata."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
    seen: set[tuple[str, str]] = set()
    for text in [*project["project"]["dependencies"], *project["build-system"]["requires"]]:
        _required(Requirement(text), seen)
    kept = {entry.name for entry in needed(roots_of(project), entries(LOCK))}
    assert {name for name, _ in seen} <= kept
    assert not kept & {"pytest", "mypy", "ruff", "hypothesis", "pip-tools"}
    surplus = kept - {name for name, _ in seen}
    assert surplus <= {"async-timeout"}, surplus


def test_the_runtime_lock_keeps_every_hash() -> None:
    """Each pin comes with its hashes, word by word as in the whole lock."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
    for entry in needed(roots_of(project), entries(LOCK)):
        assert entry.text in LOCK
        assert "--hash=sha256:" in entry.text


def test_a_requirement_that_the_lock_lacks_ends_the_build() -> None:
    """Nothing is left out in silence."""
    with pytest.raises(SystemExit, match="lacks nothing-like-it"):
        needed(["Nothing.like_it"], entries(LOCK))
