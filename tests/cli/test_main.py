import inspect
import os
import re
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import cyclopts
import pytest

from skyloom.cli import app, main
from skyloom.errors import DataError, ErrorKind

HEAVY = {
    "astropy",
    "dask",
    "distributed",
    "duckdb",
    "hats",
    "lsdb",
    "numpy",
    "pandas",
    "pyarrow",
    "sklearn",
    "torch",
}
ROOT = Path(__file__).parents[2]


def verbs(tree=app, words=()):
    """Every command that runs something, as the words one types."""
    for name in tree:
        if name.startswith("-"):
            continue
        child = tree[name]
        yield from verbs(child, (*words, name))
        if child.default_command is not None:
            yield (*words, name)


VERBS = list(verbs())


def test_the_commands_of_the_design_are_there():
    wanted = """demo; run; query; explore; report; layer list; layer history; layer verify; layer repair;
    layer expire; layer collect; layer abort; layer shift; cluster certs; catalog import;
    catalog describe; catalog check; catalog list; status; layer describe; model export;
    cutouts make; cutouts import; cutouts check; cutouts describe;
    label; label list; label undo; label import; label export; rank;
    spectra make; spectra import; spectra check; spectra describe; model list;
     model describe; model check; model train; model evaluate"""
    assert {" ".join(words) for words in VERBS} == {verb.strip() for verb in wanted.split(";")}


@pytest.mark.parametrize("words", VERBS, ids=" ".join)
def test_every_verb_has_help_with_an_example(words, capsys):
    assert main([*words, "--help"]) == 0
    text = capsys.readouterr().out
    assert "For example:" in text
    assert f"skyloom {' '.join(words)}" in text.partition("For example:")[2]


@pytest.mark.parametrize("words", VERBS, ids=" ".join)
def test_every_option_of_every_verb_is_described(words):
    command = app
    for word in words:
        command = command[word]
    docstring = inspect.getdoc(command.default_command)
    for name in inspect.signature(command.default_command).parameters:
        assert re.search(rf"^{name}\n    \S", docstring, re.MULTILINE), f"{name} is not described"


def run_help() -> tuple[set[str], float]:
    """Modules that `skyloom --help` imports in a fresh process, and its CPU seconds."""
    code = (
        "import sys, time; from skyloom.cli import main; code = main(['--help']);"
        "print(code, time.process_time(), *sorted({m.partition('.')[0] for m in sys.modules}), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    rc, cpu_s, *modules = done.stderr.split()
    assert rc == "0"
    assert "catalog" in done.stdout
    return set(modules), float(cpu_s)


def test_help_is_immediate_because_it_imports_nothing_heavy():
    modules, cpu_s = run_help()
    assert modules & HEAVY == set()
    assert min(cpu_s, run_help()[1]) < 0.3


def test_python_dash_m_skyloom_is_the_same_command():
    installed = pytest.importorskip("importlib.metadata")
    try:
        installed.version("skyloom")
    except installed.PackageNotFoundError:
        pytest.skip("skyloom is on the path but not installed, so it has no version")
    done = subprocess.run(
        [sys.executable, "-m", "skyloom", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


def test_a_misspelt_command_is_a_wrong_request_with_the_close_one(capsys):
    assert main(["catalog", "descrbe", "x"]) == 2
    assert "describe" in capsys.readouterr().err


def test_a_misspelt_option_is_a_wrong_request_with_the_close_one(capsys):
    assert main(["run", "--plann"]) == 2
    assert "--plan" in capsys.readouterr().err


def test_an_error_of_the_library_is_printed_and_its_code_returned(monkeypatch, capsys):
    fake = cyclopts.App(name="skyloom", result_action="return_value")

    @fake.command
    def boom() -> int:
        raise DataError("Npix=3.parquet ends in garbage", kind=ErrorKind.BAD_FILE)

    monkeypatch.setattr("skyloom.cli.app", fake)
    assert main(["boom"]) == 1
    assert "error [bad-file]: Npix=3.parquet ends in garbage" in capsys.readouterr().err


def test_ctrl_c_says_that_the_work_resumes(monkeypatch, capsys):
    fake = cyclopts.App(name="skyloom", result_action="return_value", suppress_keyboard_interrupt=False)

    @fake.command
    def wait() -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("skyloom.cli.app", fake)
    assert main(["wait"]) == 130
    assert "goes on from there" in capsys.readouterr().err


def test_a_reader_that_leaves_early_is_no_traceback():
    process = subprocess.Popen(
        [sys.executable, "-m", "skyloom", "--help"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ,
    )
    process.stdout.close()
    deadline = time.monotonic() + 20
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    assert b"Traceback" not in process.stderr.read()
