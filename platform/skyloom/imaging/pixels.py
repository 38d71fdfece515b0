"""Pixels of images: a small image is read once and kept, a large one window by window."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyloom.errors import DataError, ErrorKind
from skyloom.imaging.images import Image

__all__ = ["ImageSet"]

OPEN_BYTES = 512_000_000
"""Decoded pixels that are kept; the images used longest ago go first."""
WHOLE_BYTES = 128_000_000
"""An image with more bytes, as float32, is never read whole, unless it lies in a gzip file."""
OPEN_FILES = 64
"""Files of large images that are kept open."""


class ImageSet:
    """Images whose pixels are opened when first needed, and kept while there is room.

    Parameters
    ----------
    images : sequence of Image
    open_bytes : int
        Pixels that are kept, as float32.
    whole_bytes : int
        Above that, an image stays in its file, and only the windows asked for are read.
    """

    def __init__(
        self, images: Sequence[Image], *, open_bytes: int = OPEN_BYTES, whole_bytes: int = WHOLE_BYTES
    ) -> None:
        self.images = tuple(images)
        self.opened = 0
        """How often an image was opened: once each, as long as all fit."""
        self._open_bytes, self._whole_bytes = open_bytes, whole_bytes
        self._pixels: dict[int, NDArray[np.float32]] = {}
        self._files: dict[int, Any] = {}

    def window(self, number: int, rows: slice, columns: slice) -> NDArray[np.float32]:
        """Return part of an image as float32, NaN where there are no data.

        Parameters
        ----------
        number : int
            Which image.
        rows, columns : slice
            With both ends, within the image, of step 1.

        Raises
        ------
        DataError
            If the pixels cannot be read.
        """
        image = self.images[number]
        # A stream that is packed as a whole can only be read from its beginning.
        packed = image.path.name.lower().endswith(".gz")
        if packed or 4 * image.shape[0] * image.shape[1] <= self._whole_bytes:
            return self.pixels(number)[rows, columns]
        try:
            return _clean(self._file(number)[image.hdu].section[*(0,) * image.leading, rows, columns])
        except (OSError, TypeError, ValueError) as error:
            raise _unreadable(image, error) from error

    def pixels(self, number: int) -> NDArray[np.float32]:
        """Return all pixels of an image as float32, NaN where there are no data.

        Raises
        ------
        DataError
            If they cannot be read.
        """
        found = self._pixels.pop(number, None)
        if found is None:
            found = self._read(self.images[number])
            self.opened += 1
        self._pixels[number] = found
        while len(self._pixels) > 1 and sum(p.nbytes for p in self._pixels.values()) > self._open_bytes:
            del self._pixels[next(iter(self._pixels))]
        return found

    def close(self) -> None:
        """Close the files of large images, and forget the pixels of small ones."""
        self._pixels.clear()
        while self._files:
            self._files.popitem()[1].close()

    def _file(self, number: int) -> Any:
        from astropy.io import fits

        file = self._files.pop(number, None)
        if file is None:
            file = fits.open(self.images[number].path, memmap=False)
            self.opened += 1
        self._files[number] = file
        while len(self._files) > OPEN_FILES:
            self._files.pop(next(iter(self._files))).close()
        return file

    @staticmethod
    def _read(image: Image) -> NDArray[np.float32]:
        from astropy.io import fits

        try:
            with fits.open(image.path, memmap=False) as hdus:
                return _clean(hdus[image.hdu].data).reshape(image.shape)
        except (OSError, TypeError, ValueError) as error:
            raise _unreadable(image, error) from error


def _clean(data: Any) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):
        values = np.array(np.ma.getdata(data), np.float32)
    values[np.ma.getmaskarray(data) | ~np.isfinite(values)] = np.nan
    return values


def _unreadable(image: Image, error: Exception) -> DataError:
    msg = f"{image.path}[{image.hdu}]: its pixels cannot be read: {error}"
    return DataError(msg, kind=ErrorKind.BAD_FILE, file=str(image.path))
