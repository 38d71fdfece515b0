"""Places on the sky: regions, and which HEALPix pixels they touch."""

from skyloom.sky.regions import Box, Cone, MocRegion, Polygon, Region

__all__ = ["Box", "Cone", "MocRegion", "Polygon", "Region"]
