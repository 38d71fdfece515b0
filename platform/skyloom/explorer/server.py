"""The server of the page: what all browsers share, and how they are kept apart and at home."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from skyloom.active import LabelStore
from skyloom.errors import ErrorKind, SpecError
from skyloom.explorer.objects import open_stores
from skyloom.explorer.points import LIMIT_ROWS, Points
from skyloom.explorer.ranking import features_of
from skyloom.explorer.state import State
from skyloom.jobs import CatalogView
from skyloom.query import start_ahead
from skyloom.tensors import TensorStore

__all__ = ["DEFAULT_PORT", "Explorer", "serve"]

DEFAULT_PORT = 5006
HOST = "127.0.0.1"
IDLE_MS = 15_000
"""After a browser is gone, its session is kept so long: a reload makes a new one."""


@dataclass(frozen=True, eq=False)
class Explorer:
    """A catalog as the page shows it; shared by all browsers, changed by none.

    Labels and saved selections are files, and so are shared on purpose.
    """

    points: Points
    stores: tuple[TensorStore, ...]
    labels: LabelStore | None
    """None where there is nowhere to keep labels."""
    features: tuple[str, ...]
    selections: Path
    by: str = "me"
    classes: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        view: CatalogView,
        *,
        tensors: Sequence[str] = (),
        labels: Path | None = None,
        features: str = "",
        selections: Path = Path("selections"),
        by: str = "me",
        classes: Sequence[str] = (),
        limit: int = LIMIT_ROWS,
    ) -> Self:
        """Read the points of a catalog, and open what lies beside it.

        Parameters
        ----------
        view : CatalogView
            The catalog and its layers.
        tensors : sequence of str
            Stores of cutouts and spectra of this catalog.
        labels : Path, optional
            Folder to keep labels in; beside the first layer unless told.
        features : str
            Columns that objects are ranked by; all floats of the layers unless told.
        selections : Path
            Folder of saved selections; made when one is saved.
        by : str
            Who labels, unless told otherwise on the page.
        classes : sequence of str
            Offered as labels beside anomaly and normal.
        limit : int
            Rows to hold in memory at most.

        Raises
        ------
        SpecError, NotFoundError, DataError, ConflictError
            As `Points.of`, `skyloom.tensors.open_tensors` and `LabelStore.open`.
        """
        points = Points.of(view, limit=limit)
        store = None
        if labels is not None or view.layers:
            store = LabelStore.open(labels if labels is not None else view.layers[0])
        stores, columns = open_stores(tensors, points), features_of(points, features)
        return cls(points, stores, store, columns, selections, by, tuple(classes))

    @cached_property
    def default(self) -> State:
        """What a browser without parameters sees: the first two floats of the last layer, or of the catalog."""
        base = self.points.view.base
        names = [column.name for column in self.points.numeric]
        if not names:
            msg = f"catalog {base.name} has no column of numbers to draw"
            raise SpecError(msg, kind=ErrorKind.UNKNOWN_COLUMN)
        floats = {column.name for column in self.points.numeric if column.dtype.startswith(("float", "double"))}
        # What was computed last is what one wants to see; flags and counts are not.
        first = [c.name for layer in reversed(self.points.view.layers) for c in layer.columns if c.name in floats]
        others = [name for name in names if name in floats and name not in {base.ra_column, base.dec_column}]
        ranked = [*first, *others, *names]
        return State(x=ranked[0], y=next((name for name in ranked if name != ranked[0]), ranked[0]))

    def parsed(self, asked: Mapping[str, str]) -> State:
        """Return the state that the parameters of an address say.

        Raises
        ------
        SpecError
            As `State.of_query`.
        """
        numeric = [c.name for c in self.points.numeric]
        return State.of_query(asked, numeric=numeric, columns=self.points.sortable, default=self.default)


def serve(
    explorer: Explorer, *, port: int = DEFAULT_PORT, announce: Callable[[str], None], stop: Any = None
) -> None:
    """Serve the page to browsers on this machine until interrupted.

    It listens on the loopback address and answers its own pages only: whoever can log in here can
    see it, and nobody else. From elsewhere, use ``ssh -L``.

    Parameters
    ----------
    explorer : Explorer
    port : int
        0 takes one that is free.
    announce : callable
        Told the address of the page, once it can be opened.
    stop : threading.Event, optional
        Looked at five times a second; the server ends when it is set.

    Raises
    ------
    SpecError
        BAD_PARAMETER if the port is taken.
    """
    from panel.io.server import get_server
    from tornado.ioloop import IOLoop, PeriodicCallback

    from skyloom.explorer.page import page, prepare
    from skyloom.explorer.shade import warm_up

    warm_up()
    prepare(explorer)
    start_ahead()
    port = _free(port)
    loop = IOLoop(make_current=True)

    def opened() -> Any:
        return page(explorer)

    server = get_server(
        {"/": opened},
        port=port,
        address=HOST,
        websocket_origin=[f"{HOST}:{port}", f"localhost:{port}"],
        loop=loop,
        title=f"skyloom: {explorer.points.view.name}",
        unused_session_lifetime_milliseconds=IDLE_MS,
        check_unused_sessions_milliseconds=IDLE_MS // 3,
    )
    announce(f"http://{HOST}:{port}/")
    if stop is not None:
        PeriodicCallback(lambda: loop.stop() if stop.is_set() else None, 200).start()
    server.start()
    try:
        loop.start()
    finally:
        server.stop()
        loop.close()


def _free(port: int) -> int:
    """Return a port of this machine that can be listened on."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except (OSError, OverflowError) as error:
            msg = f"port {port} of {HOST} cannot be listened on ({error}); name another with --port, or 0"
            raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, port=port) from None
        return int(probe.getsockname()[1])
