"""FITS images with WCS, and cutouts of them at given positions: arrays in, arrays out."""

from skyloom.imaging.cut import Cut, cut_rows
from skyloom.imaging.images import Image, find_images
from skyloom.imaging.pixels import ImageSet
from skyloom.imaging.stamps import Stamps, open_stamps

__all__ = ["Cut", "Image", "ImageSet", "Stamps", "cut_rows", "find_images", "open_stamps"]
