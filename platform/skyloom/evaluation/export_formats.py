"""One network as a file of another program, written and read back."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skyloom.errors import ErrorKind, NotFoundError

if TYPE_CHECKING:
    import torch

__all__ = ["FORMATS", "METADATA", "Call"]

METADATA = "skyloom.json"
"""Name of the metadata: an extra file of a ``pt2``, a metadata property of an ONNX model."""


@dataclass(slots=True, eq=False)
class Call:
    """What a network got and gave when rows were scored: one tile."""

    inputs: dict[str, torch.Tensor] = field(default_factory=dict)
    outputs: dict[str, tuple[int, ...]] = field(default_factory=dict)
    """Shape of each output."""
    named: bool = True
    """Whether the network gives a dict; else one tensor, called ``"out"``."""

    @property
    def any_rows(self) -> dict[str, dict[int, Any]]:
        """Dynamic shapes: the first axis is rows, as many as one likes if the network allows it."""
        import torch

        return {name: {0: torch.export.Dim.AUTO} for name in self.inputs}


def _program(module: torch.nn.Module, call: Call) -> tuple[Any, int | None]:
    """Trace a network; return the program, and the number of rows that it is bound to (None: to none)."""
    import torch

    program = torch.export.export(module, (), call.inputs, dynamic_shapes=call.any_rows)
    users = set(program.graph_signature.user_inputs)
    # A symbol ("s40") where any number will do, else that number: as text, since torch may wrap it as a symbol.
    first = [str(node.meta["val"].shape[0]) for node in program.graph.nodes if node.name in users]
    bound = [int(rows) for rows in first if rows.isdigit()]
    return program, bound[0] if bound else None


def _as_pt2(module: torch.nn.Module, call: Call, path: Path, about: Mapping[str, Any]) -> torch.nn.Module:
    """Write by ``torch.export``; return what the file computes."""
    import torch

    program, rows = _program(module, call)
    torch.export.save(program, path, extra_files={METADATA: json.dumps({**about, "rows": rows}, indent=1)})
    loaded: torch.nn.Module = torch.export.load(path).module()
    return loaded


@contextmanager
def _quiet(name: str) -> Iterator[None]:
    """Let a logger say errors only: torch lists what it skips because torchvision is not there."""
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def _as_onnx(module: torch.nn.Module, call: Call, path: Path, about: Mapping[str, Any]) -> torch.nn.Module:
    """Write as ONNX; return what onnxruntime makes of the file.

    Raises
    ------
    NotFoundError
        If onnx, onnxscript or onnxruntime is not installed.
    """
    import torch

    try:
        import onnx
        import onnxruntime
        import onnxscript  # noqa: F401  (what torch writes ONNX with)
    except ImportError as error:
        msg = f"ONNX needs {error.name}, which is not installed; pip install 'skyloom[export]'"
        raise NotFoundError(msg, kind=ErrorKind.NO_SUCH_FILE, library=str(error.name)) from error
    _, rows = _program(module, call)
    outputs = list(call.outputs)
    with warnings.catch_warnings(), _quiet("torch.onnx"):
        warnings.simplefilter("ignore")  # of torch's exporter about itself
        torch.onnx.export(
            module,
            (),
            path,
            kwargs=call.inputs,
            dynamo=True,
            dynamic_shapes=call.any_rows,
            input_names=list(call.inputs),
            output_names=outputs,
            external_data=False,
            verbose=False,
        )
    model = onnx.load(path)
    onnx.helper.set_model_props(model, {METADATA: json.dumps({**about, "rows": rows})})
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    class Runtime(torch.nn.Module):
        """What onnxruntime computes, as a torch module."""

        def forward(self, **inputs: torch.Tensor) -> dict[str, torch.Tensor] | torch.Tensor:
            given = {name: tensor.numpy() for name, tensor in inputs.items()}
            made = dict(zip(outputs, map(torch.from_numpy, session.run(outputs, given)), strict=True))
            return made if call.named else made["out"]

    return Runtime().eval()


FORMATS: Mapping[str, Callable[[torch.nn.Module, Call, Path, Mapping[str, Any]], torch.nn.Module]] = {
    "pt2": _as_pt2,
    "onnx": _as_onnx,
}
"""By name: writes a file, and returns what the file computes."""
