"""FITS images with WCS, and cutouts of them at given positions: arrays in, arrays out."""

from skyloom.imaging.cut import Cut, cut_rows
from skyloom.imaging.images import Image, ImageSet, find_images

__all__ = ["Cut", "Image", "ImageSet", "cut_rows", "find_images"]
