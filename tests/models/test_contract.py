"""The contract that every system keeps: one test per rule and registry line."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from skyloom.errors import ErrorKind, SpecError
from skyloom.evaluation.contract import RULES, check_contract
from skyloom.models import registry
from skyloom.models.weights import load_weights, variants
from skyloom.runtime.contract import PLATFORM_FLAGS

NAMES = registry.names()
SETTINGS = {"colors": {"magnitudes": ("mag_g", "mag_r", "mag_i")}}
"""For systems whose config has no defaults."""


@pytest.fixture(scope="module")
def kept():
    return {name: check_contract(name, settings=SETTINGS.get(name)) for name in NAMES}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", NAMES)
def test_system_keeps_the_rule(kept, name, rule):
    assert kept[name][rule], f"{name} breaks the rule: it {rule}"


@pytest.mark.parametrize("name", NAMES)
def test_flags_have_their_own_bits_below_the_platforms(name):
    flags = registry.system(name).FLAGS
    bits = [flag.bit for flag in flags]
    assert len(set(bits)) == len(bits)
    assert max(bits) < min(flag.bit for flag in PLATFORM_FLAGS)
    assert all(flag.description for flag in flags)


@pytest.mark.parametrize("name", NAMES)
def test_the_card_says_what_the_code_does(name):
    system = registry.system(name)
    for variant in variants(name):
        card, _ = load_weights(name, variant)
        assert card.name == name
        assert card.variant == variant
        assert card.reads == tuple(c.name for c in system.reads(system.Config()))
        assert card.writes == tuple(c.name for c in system.writes(system.Config()))
        assert set(card.flags) == {flag.name for flag in system.FLAGS}


def test_a_misspelt_name_is_answered_with_the_close_ones():
    with pytest.raises(SpecError, match="transient-class") as caught:
        registry.system("transient-clas")
    assert caught.value.kind == ErrorKind.UNKNOWN_MODEL


def test_a_worker_imports_the_systems_fast_and_without_heavy_libraries():
    # Those that compute with torch say so, and cost its import.
    code = (
        "import json, sys, time, numpy, pyarrow, pyarrow.compute\n"
        "start = time.process_time()\n"
        "from skyloom.models import registry, weights\n"
        "import skyloom.runtime.scoring\n"
        "settings = json.loads(sys.argv[1])\n"
        "for name in registry.names():\n"
        "    system = registry.system(name)\n"
        "    if 'torch' in getattr(system, 'LIBRARIES', ()):\n"
        "        continue\n"
        "    chosen = weights.default_variant(name)\n"
        "    stored = weights.load_weights(name, chosen)[1] if chosen else None\n"
        "    system.build(system.Config(**settings.get(name, {})), stored)\n"
        "spent = time.process_time() - start\n"
        "slow = ('torch', 'sklearn', 'scipy', 'pandas', 'astropy', 'coniferest', 'dask')\n"
        "print(json.dumps([spent, [name for name in slow if name in sys.modules]]))"
    )
    out = subprocess.run(
        [sys.executable, "-c", code, json.dumps(SETTINGS)], capture_output=True, text=True, check=True
    )
    spent, heavy = json.loads(out.stdout)
    assert heavy == []
    assert spent < 0.6  # 0.1 s was measured; a busy machine gets some room
