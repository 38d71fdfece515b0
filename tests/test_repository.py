"""Claims about the repository as a whole."""

import ast
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import skyloom

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "platform" / "skyloom"
SOURCES = sorted(PACKAGE.rglob("*.py"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PINS = (ROOT / "constraints.txt").read_text().split()


def test_import_platform_is_the_standard_librarys():
    done = subprocess.run(
        [sys.executable, "-c", "import platform; print(platform.python_version())"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == ".".join(map(str, sys.version_info[:3]))


def test_the_platform_folder_is_no_package():
    assert not (ROOT / "platform" / "__init__.py").exists()


def test_torch_is_pinned_exactly_and_nothing_else_needs_gigabytes_of_cuda():
    assert [line for line in PROJECT["dependencies"] if line.startswith("torch")] == ["torch==2.13.0"]
    assert "torch==2.13.0" in PINS


def test_every_dependency_has_an_exact_version_in_the_constraints():
    pinned = {canonical(pin.partition("==")[0]) for pin in PINS}
    wanted = [*PROJECT["dependencies"], *(d for extra in PROJECT["optional-dependencies"].values() for d in extra)]
    names = {canonical(re.match(r"[\w.-]+", line).group()) for line in wanted}
    assert names - pinned == set()
    assert all(re.fullmatch(r"[\w.-]+==[\w.!]+", pin) for pin in PINS)


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


FORBIDDEN = {
    "unpickling": re.compile(r"\b(c?pickle|cloudpickle|dill|joblib|marshal|shelve)\.(load|loads|open)\("),
    "torch.load": re.compile(r"torch\.load\("),
    "eval and exec": re.compile(r"(?<![\w.])(eval|exec)\("),
    "yaml.load": re.compile(r"yaml\.(unsafe_|full_)?load\("),
    "a shell": re.compile(r"shell\s*=\s*True|os\.system\(|os\.popen\("),
    "pickled arrays": re.compile(r"allow_pickle\s*=\s*True"),
    "archives unpacked anywhere": re.compile(r"\.extractall\("),
}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_the_package_never_executes_what_it_reads(what):
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in SOURCES
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if FORBIDDEN[what].search(line)
    ]
    assert found == []


def test_no_module_is_called_utils_or_helpers():
    assert [path for path in SOURCES if path.stem in {"utils", "helpers", "misc", "common"}] == []


def test_nothing_in_the_repository_is_named_like_a_pickle():
    endings = {".pkl", ".pickle", ".pt", ".pth", ".joblib", ".npz"}
    tracked = [
        p for folder in ("platform", "jobs", "catalogs", "deploy", "tests") for p in (ROOT / folder).rglob("*")
    ]
    assert [path for path in tracked if path.suffix in endings] == []


MODULES = [
    "skyloom",
    *(m.name for m in pkgutil.walk_packages(skyloom.__path__, "skyloom.") if "__main__" not in m.name),
]


@pytest.mark.parametrize("name", MODULES)
def test_everything_public_has_a_docstring(name):
    module = importlib.import_module(name)
    assert module.__doc__ or not Path(module.__file__).read_text().strip(), f"{name} says not what it is"
    for public in getattr(module, "__all__", ()):
        thing = getattr(module, public)
        if not (inspect.isclass(thing) or inspect.isfunction(thing)):
            continue
        assert inspect.getdoc(thing), f"{name}.{public} has no docstring"
        if inspect.isclass(thing) and thing.__module__.startswith("skyloom"):
            for method_name, method in vars(thing).items():
                if inspect.isfunction(method) and not method_name.startswith("_"):
                    assert inspect.getdoc(method), f"{name}.{public}.{method_name} has no docstring"


def test_every_name_that_a_module_offers_exists():
    for path in SOURCES:
        names = [
            ast.literal_eval(node.value)
            for node in ast.parse(path.read_text()).body
            if isinstance(node, ast.Assign) and any(getattr(t, "id", "") == "__all__" for t in node.targets)
        ]
        module = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
        for name in names[0] if names else ():
            assert hasattr(importlib.import_module(module), name), f"{module}.{name}"


def test_the_sample_that_ships_names_its_authors_and_licence():
    text = (PACKAGE / "cli" / "demo_data" / "ATTRIBUTION.md").read_text()
    for word in ("PLAsTiCC team", "CC-BY-4.0", "2539456", "snmachine"):
        assert word in text


def test_the_sample_that_ships_is_small():
    assert sum(path.stat().st_size for path in (PACKAGE / "cli" / "demo_data").rglob("*")) < 6_000_000


def test_links_in_the_documentation_lead_somewhere():
    pages = [ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "platform" / "docs").rglob("*.md")]
    for page in pages:
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
            assert target.startswith("http") or (page.parent / target).exists(), f"{page.name}: {target}"
