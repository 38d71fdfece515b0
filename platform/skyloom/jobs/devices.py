"""Where a job's networks will compute, decided once, before anything runs; and what that does to its columns.

``auto`` is what the machines say that will compute: this one, or the workers of a cluster.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from skyloom.cluster import ClusterSpec, RunningCluster, start
from skyloom.errors import ErrorKind, SpecError, TransientError
from skyloom.evaluation.numerics import Difference, check_tolerated, measure, tolerances
from skyloom.jobs.models import LoadedModel, load_model
from skyloom.jobs.numerics import CPU, Numerics
from skyloom.jobs.spec import RunSpec
from skyloom.runtime.device import DeviceSettings, device_class
from skyloom.runtime.scoring import layer_columns

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["decide", "differences"]

WORKERS_S = 60
"""How long to wait for a worker that can be asked what it has."""


def decide(
    run: RunSpec, model: LoadedModel, cluster: ClusterSpec | RunningCluster | None = None
) -> Numerics | None:
    """Return the numerics of a job; None for a model without networks, which computes on the CPU alone.

    Parameters
    ----------
    run : RunSpec
        What the job file says.
    model : LoadedModel
    cluster : ClusterSpec or RunningCluster, optional
        Who will compute, and so is asked; default: this machine.

    Raises
    ------
    SpecError
        If a GPU is asked for that is not there, workers differ, a setting has no meaning for the
        model, or the columns would change by more than the card tolerates.
    TransientError
        If there is no worker to ask.
    """
    if not model.is_network:
        _refuse_unused(run, model)
        return None
    wanted = DeviceSettings(
        device=run.device,
        precision=run.precision,
        channels_last=model.channels_last if run.channels_last is None else run.channels_last,
        tile_rows=run.tile_rows or model.tile_rows,
        threads=1,
    )
    if wanted.device == CPU and not _needs_test(wanted, model):
        return _numerics(CPU, wanted)
    with _asked(cluster) as workers:
        numerics = _numerics(_class_of(workers, wanted), wanted)
        if not _needs_test(numerics.settings, model):
            return numerics
        question = (model.name, model.place, dict(model.settings), numerics.settings)
        if workers is None:
            measured = differences(*question)
        else:
            measured = workers.submit(differences, *question, pure=False, retries=0).result()
    columns = {c.name: c.type for c in layer_columns(model.system, model.config, layer="numerics")[:-1]}
    tolerated = {**tolerances(columns, model.tolerance), "flag": 0.0}
    found = tuple(Difference(name, value, tolerated[name]) for name, value in measured.items())
    check_tolerated(model.name, numerics.settings, found)
    return replace(numerics, differences=found)


def differences(
    name: str, weights: str | None, settings: Mapping[str, Any], device: DeviceSettings
) -> dict[str, float]:
    """Return what `skyloom.evaluation.numerics.measure` finds, on the machine where this is called."""
    model = load_model(name, weights, settings)
    return measure(model.system, model.config, model.weights, device)


@contextmanager
def _asked(cluster: ClusterSpec | RunningCluster | None) -> Iterator[Client | None]:
    """Yield a client of the workers to ask; None where this machine is the one."""
    if isinstance(cluster, RunningCluster):
        yield cluster.client
    elif cluster is not None and cluster.kind == "scheduler":
        with start(cluster) as running:
            yield running.client
    else:
        yield None


def _class_of(workers: Client | None, wanted: DeviceSettings) -> str:
    """Return the one class of device that all have."""
    if workers is None:
        return device_class(wanted)
    if wanted.device == CPU:
        return CPU
    try:
        workers.wait_for_workers(1, timeout=WORKERS_S)
        found: dict[str, str] = workers.run(device_class, replace(wanted, device="auto"))
    except TimeoutError:
        msg = (
            f"no worker joined within {WORKERS_S} s, and device = {wanted.device} means what the workers have: "
            "start them and run the same command again, or say device = cpu"
        )
        raise TransientError(msg, kind=ErrorKind.CLUSTER_LOST) from None
    except (ImportError, AttributeError, TypeError) as error:
        msg = (
            f"the cluster's workers cannot say what device they have: {type(error).__name__}: {error}. They need "
            "the same versions of skyloom, torch and Python as here"
        )
        raise TransientError(msg, kind=ErrorKind.CLUSTER_LOST) from error
    classes = sorted(set(found.values()))
    without = sorted(address for address, each in found.items() if each == CPU)
    if wanted.device == "cuda" and without:
        msg = (
            f"device = cuda, and torch finds no GPU on {len(without)} of {len(found)} workers (such as "
            f"{without[0]}); start workers where there is one, with a CUDA build of torch, or say device = cpu"
        )
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, device="cuda")
    if len(classes) > 1:
        msg = (
            f"the workers compute on {' and on '.join(classes)}, whose last bits differ: one job computes on one. "
            "Say device = cpu, or keep workers of one kind"
        )
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, device=", ".join(classes))
    return classes[0]


def _numerics(found: str, wanted: DeviceSettings) -> Numerics:
    assert wanted.tile_rows is not None
    return Numerics(found, wanted.precision, bool(wanted.channels_last), wanted.tile_rows)


def _needs_test(settings: DeviceSettings, model: LoadedModel) -> bool:
    """Whether columns may differ from what the card's scores were measured with."""
    own = settings.channels_last == model.channels_last
    return not (settings.device == CPU and settings.precision == "float32" and own)


def _refuse_unused(run: RunSpec, model: LoadedModel) -> None:
    said = {
        "device": run.device if run.device == "cuda" else None,
        "precision": run.precision if run.precision != "float32" else None,
        "channels_last": run.channels_last,
        "tile_rows": run.tile_rows,
    }
    names = [name for name, value in said.items() if value is not None]
    if names:
        msg = (
            f"[run] {', '.join(names)}: model {model.name} has no network and computes on the CPU alone, so this "
            "would change nothing; leave it out"
        )
        raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, model=model.name)
