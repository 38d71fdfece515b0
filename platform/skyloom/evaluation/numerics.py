"""Are other numerics near enough? A model's columns, on seeded rows, beside those of plain float32.

Plain is float32 on the CPU in the usual memory order. What a GPU, a lower precision or another
memory order makes of the same rows may differ from it by what the card of the weights tolerates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from skyloom.errors import ErrorKind, SpecError
from skyloom.evaluation.examples import example_rows
from skyloom.evaluation.parity import Difference, difference
from skyloom.runtime.contract import System, Weights
from skyloom.runtime.device import DeviceSettings, use
from skyloom.runtime.scoring import score

__all__ = ["DEFAULT_TOLERANCE", "PLAIN", "TEST_ROWS", "Difference", "check_tolerated", "measure", "tolerances"]

PLAIN = DeviceSettings(device="cpu", precision="float32", channels_last=False, threads=1)
"""What is compared with."""
DEFAULT_TOLERANCE = 1e-5
"""Of a floating column that the card says nothing of: absolute, some hundred roundings of a number near 1."""
TEST_ROWS = 256
SEED = 20_260_101
_LAYER = "numerics"


def measure(system: System, config: Any, weights: Weights | None, settings: DeviceSettings) -> dict[str, float]:
    """Return how far each column is from plain float32, on `TEST_ROWS` made-up rows.

    Parameters
    ----------
    system, config, weights
        A model, its settings and its weights.
    settings : DeviceSettings
        What to compare with `PLAIN`, in the same tiles.

    Returns
    -------
    dict of str to float
        As `Difference.measured` has it, by column; the flag column is called ``flag``.

    Raises
    ------
    SpecError
        If the device is not there, or the model can score none of the rows.
    """
    rows = example_rows(system, config, TEST_ROWS, seed=SEED)

    def scored(settings: DeviceSettings) -> pa.RecordBatch:
        with use(settings):
            estimator = system.build(config, weights)
        return score(system, estimator, config, rows, layer=_LAYER, batch_rows=TEST_ROWS)[0]

    plain = scored(_with_tiles(settings))
    if not any(len(column) - column.null_count for column in plain.columns[:-1]):
        msg = (
            f"model {system.NAME} scores none of {TEST_ROWS} made-up rows, so nothing shows what "
            f"{_words(settings)} would change; leave device, precision and channels_last at their defaults"
        )
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, model=system.NAME)
    found = scored(settings)
    names = [*plain.schema.names[:-1], "flag"]
    pairs = zip(names, plain.columns, found.columns, strict=True)
    return {name: difference(a, b) for name, a, b in pairs}


def _with_tiles(settings: DeviceSettings) -> DeviceSettings:
    return DeviceSettings(
        device=PLAIN.device,
        precision=PLAIN.precision,
        channels_last=PLAIN.channels_last,
        tile_rows=settings.tile_rows,
        threads=PLAIN.threads,
    )


def tolerances(columns: Mapping[str, Any], card: Mapping[str, float]) -> dict[str, float]:
    """Return the tolerance of each column: the card's, else `DEFAULT_TOLERANCE`, or 0 for what is no float.

    Parameters
    ----------
    columns : mapping of str to pyarrow.DataType
    card : mapping of str to float
    """
    return {
        name: float(card.get(name, DEFAULT_TOLERANCE if pa.types.is_floating(kind) else 0.0))
        for name, kind in columns.items()
    }


def check_tolerated(model: str, settings: DeviceSettings, differences: Sequence[Difference]) -> None:
    """Refuse numerics that change a column by more than is tolerated.

    Raises
    ------
    SpecError
        With the measured difference of every such column.
    """
    beyond = [each for each in differences if not each.tolerated]
    if not beyond:
        return
    said = "; ".join(f"{each.column} by {each.measured:.3g} (tolerated: {each.tolerance:.3g})" for each in beyond)
    msg = (
        f"{_words(settings)} would change {len(beyond)} of {len(differences)} columns of model {model} beyond "
        f"what its card tolerates, against float32 on a CPU, over {TEST_ROWS} made-up rows: {said}. Nothing was "
        "computed. Leave device, precision and channels_last in [run] at their defaults, or state in the card "
        "of the weights what the columns may lose"
    )
    raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, model=model, columns=", ".join(e.column for e in beyond))


def _words(settings: DeviceSettings) -> str:
    words = [f"device = {settings.device}", f"precision = {settings.precision}"]
    if settings.channels_last:
        words.append("channels_last = true")
    return ", ".join(words)
