"""Does the code keep the rules of the house that import-linter cannot see?

Effects: reads files
"""

import ast
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "xenios"
MODULES = sorted(PACKAGE.rglob("*.py"))
LINES_MAX = 600
EFFECTS = re.compile(r"Effects: \S.*")
# Whoever talks to a hypervisor; everybody else goes through them.
CLIENTS_ONLY = {"libvirt", "aiohttp", "httpx", "requests", "urllib3", "http"}
MODEL_MAY_IMPORT = {"msgspec", "enum", "collections", "typing", "xenios", "re", "zlib"}
# The last two read and write the text of a mark.
PURE_MAY_NOT_CALL = {"uuid1", "uuid4", "now", "utcnow", "today", "open", "print", "input"}


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


modules = pytest.mark.parametrize("path", MODULES, ids=name_of)


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imports_of(path: Path) -> Iterator[str]:
    """Every module that a file imports, wherever in the file and by whichever means."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called in ("__import__", "import_module", "importlib.import_module") and node.args:
                yield ast.unparse(node.args[0]).strip("'\"")


def test_there_is_code() -> None:
    assert len(MODULES) > 30


@modules
def test_a_file_says_what_it_is_for_and_what_it_touches(path: Path) -> None:
    text = ast.get_docstring(tree_of(path))
    assert text, "no docstring"
    *words, effects = text.splitlines()
    assert EFFECTS.fullmatch(effects), f"the last line of the docstring is {effects!r}"
    assert words[0].strip()


@modules
def test_a_file_is_short(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LINES_MAX


@modules
def test_only_a_client_talks_to_a_hypervisor(path: Path) -> None:
    if path.name == "client.py" and path.parent.parent == PACKAGE / "drivers":
        return
    assert not {imported.partition(".")[0] for imported in imports_of(path)} & CLIENTS_ONLY


@pytest.mark.parametrize("path", sorted((PACKAGE / "model").glob("*.py")), ids=name_of)
def test_the_model_imports_nothing_of_ours_but_itself(path: Path) -> None:
    for imported in imports_of(path):
        assert imported.partition(".")[0] in MODEL_MAY_IMPORT, imported
        assert not imported.startswith("xenios") or imported.startswith("xenios.model"), imported


@pytest.mark.parametrize(
    "path",
    sorted(path for folder in ("model", "decide", "replay") for path in (PACKAGE / folder).rglob("*.py")),
    ids=name_of,
)
def test_what_is_pure_draws_no_ids_and_asks_no_clock(path: Path) -> None:
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Call):
            assert ast.unparse(node.func).rpartition(".")[2] not in PURE_MAY_NOT_CALL, ast.unparse(node)


@modules
def test_safety_does_not_hang_on_assert(path: Path) -> None:
    lines = [node.lineno for node in ast.walk(tree_of(path)) if isinstance(node, ast.Assert)]
    assert not lines, f"assert in lines {lines}: Python may be told to leave it out"


@modules
def test_a_module_is_named_by_what_it_answers(path: Path) -> None:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    for part in parts:
        assert not re.search(r"(^|_)(utils?|helpers?|managers?|common|misc)($|_)", part)


@pytest.mark.parametrize("path", sorted((PACKAGE / "drivers").rglob("*.py")), ids=name_of)
def test_an_observer_has_no_method_that_writes(path: Path) -> None:
    writing = re.compile(
        r"_*(destroy|shut_?down|power_off|start|stop|create|define|undefine|set|write|delete|attach|migrate)(_|$)"
    )
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.ClassDef) and node.name.endswith("Observer"):
            named = [
                item.name for item in node.body if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef)
            ]
            assert not [name for name in named if writing.match(name)]


# --- files of every kind ---------------------------------------------------------------------------------------------

# Put together from pieces, or this file would be the first to break its rule.
PRIVATE = [
    "/ho" + "me/",
    "/Us" + "ers/",
    "/wo" + "rk/",
    "/ro" + "ot/",
    "C:" + "\\Us" + "ers",
]
REGISTRIES = [
    "pypi" + ".org/simple",
    "file" + "s.pythonhosted" + ".org",
    "ghcr" + ".io",
    "quay" + ".io",
    "docker" + ".io",
]
REGISTRIES += ["registry.npm" + "js", "pkg.dev" + "/", "jfrog" + ".io", "artif" + "actory"]


@cache
def tracked_texts() -> dict[str, str]:
    """Every file that git knows of or will, and that is text."""
    try:
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT,
            capture_output=True,
            check=True,
        ).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"not a git checkout: {error}")
    texts: dict[str, str] = {}
    for name in filter(None, listed.decode().split("\0")):
        path = ROOT / name
        data = path.read_bytes() if path.is_file() else b""
        if b"\0" not in data[:8192]:
            texts[name] = data.decode("utf-8", "replace")
    return texts


@pytest.mark.parametrize("word", PRIVATE + REGISTRIES)
def test_no_file_tells_of_somebodys_machine_or_registry(word: str) -> None:
    found = [
        f"{name}:{number}"
        for name, text in tracked_texts().items()
        if word in text
        for number, line in enumerate(text.splitlines(), 1)
        if word in line
    ]
    assert not found


def test_texts_end_in_one_line_end_and_hide_nothing() -> None:
    hidden = re.compile("[\u200b\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\r]")
    for name, text in tracked_texts().items():
        if name.endswith((".py", ".md", ".toml", ".j2", ".yml", ".yaml")) and text:
            assert text.endswith("\n"), name
            assert not hidden.search(text), name


def test_promised_folders_are_there() -> None:
    for folder in ("model", "decide", "drivers", "report", "cli", "simulator"):
        assert (PACKAGE / folder / "__init__.py").is_file()
