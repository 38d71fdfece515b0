"""What vraenn reads and writes, its settings, and why a row may have no score."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skyloom.columns import Column
from skyloom.errors import ErrorKind, SpecError
from skyloom.features.padding import LENGTHS
from skyloom.runtime.contract import Flag
from skyloom.timeseries.lightcurves import LightCurveFlag

__all__ = ["CUTS_D", "FLAGS", "LATENTS", "PREFIX", "Config", "reads_of", "writes_of"]

PREFIX = "vr"
LATENTS = 10

CUTS_D = (5, 10, 20, 30, 50, 100)
"""Observed days after the first detection at which the score is given as it would have been then."""

_DETECTED_SNR = 5.0


@dataclass(frozen=True, slots=True)
class Config:
    """Settings of the anomaly score."""

    bands: tuple[str, ...] = ("u", "g", "r", "i", "z", "y")
    """Labels in ``lc.band``."""
    wavelength_nm: tuple[float, ...] = (367.1, 482.7, 622.3, 754.6, 869.1, 971.2)
    """Effective wavelength of each passband; by default those of LSST."""
    min_points: int = 8
    """Points, within -70 to 200 rest-frame days of the brightest, below which there is no score."""
    evolution: bool = True
    """Whether the score is also given as it was 5 to 100 days after the first detection; costs as much again."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "bands", tuple(self.bands))
        object.__setattr__(self, "wavelength_nm", tuple(float(each) for each in self.wavelength_nm))
        if not self.bands or len(set(self.bands)) != len(self.bands):
            msg = f"bands must name at least one passband, and each once, got {list(self.bands)}"
            raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)
        if len(self.wavelength_nm) != len(self.bands) or not all(
            100.0 < each < 3000.0 for each in self.wavelength_nm
        ):
            msg = (
                f"wavelength_nm must have one wavelength of 100 to 3000 nm for each of {len(self.bands)} bands, "
                f"got {list(self.wavelength_nm)}"
            )
            raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER)
        if not 1 <= self.min_points <= LENGTHS[-1]:
            msg = f"min_points must be 1 to {LENGTHS[-1]}, got {self.min_points}"
            raise SpecError(msg, kind=ErrorKind.BAD_PARAMETER, min_points=self.min_points)

    @property
    def cuts_d(self) -> tuple[float, ...]:
        """Days after the first detection at which light curves are cut; the last one is never."""
        return (*(CUTS_D if self.evolution else ()), np.inf)


def _flag(bit: LightCurveFlag, description: str, *, nulls: bool = False) -> Flag:
    return Flag(bit.value.bit_length() - 1, str(bit.name), description, nulls=nulls)


NOT_DETECTED = Flag(7, "NOT_DETECTED", f"no point stands {_DETECTED_SNR:g} sigma above the template")
FEW_POINTS = Flag(8, "LC_FEW", "fewer than min_points points near the brightest one")
NO_REDSHIFT = Flag(9, "NO_REDSHIFT", "no redshift above 0: no luminosity, and nothing to compare with")
THINNED = Flag(
    10,
    "LC_THINNED",
    f"more than {LENGTHS[-1]} points: those nearest in time to the brightest were used",
    nulls=False,
)
NO_EXTINCTION = Flag(11, "NO_EXTINCTION", "mwebv is not known: taken to be 0", nulls=False)

FLAGS = (
    _flag(LightCurveFlag.LC_EMPTY, "no usable point in any passband", nulls=True),
    _flag(LightCurveFlag.LC_UNSORTED, "times did not ascend; they were sorted"),
    _flag(LightCurveFlag.LC_DUPTIME, "two points of one passband share a time; both were kept"),
    _flag(LightCurveFlag.LC_BADERR, "points with a missing, infinite, zero or negative error were dropped"),
    _flag(LightCurveFlag.LC_NONFINITE, "points with a missing or infinite time or flux were dropped"),
    _flag(LightCurveFlag.LC_UNKNOWN_BAND, "points of passbands outside the settings were dropped"),
    _flag(LightCurveFlag.LC_UNEQUAL, "the lists of the light curve differ in length", nulls=True),
    NOT_DETECTED, FEW_POINTS, NO_REDSHIFT, THINNED, NO_EXTINCTION,
)  # fmt: skip


def reads_of() -> tuple[Column, ...]:
    """Return the columns read: the light curve in nJy, the host's redshift and the extinction."""
    return (
        Column("lc.mjd", "d", "time of each point, days", "list<double>", "time.epoch"),
        Column("lc.flux", "nJy", "flux density of each point; 0 is no source", "list<float>", "phot.flux"),
        Column("lc.flux_err", "nJy", "1-sigma error of each point", "list<float>", "stat.error;phot.flux"),
        Column("lc.band", "", "passband of each point", "list<string>", "instr.bandpass"),
        Column("hostgal_photoz", "", "redshift of the host; 0 in the Milky Way", ucd="src.redshift.phot"),
        Column("mwebv", "mag", "Milky Way extinction E(B-V)", ucd="phot.color.excess"),
    )


def writes_of(config: Config) -> tuple[Column, ...]:
    """Return the score, its percentile and uncertainty, the encoding, the fit, and the score as it was."""
    value = "stat.value"
    scores = (
        Column(f"{PREFIX}_score", "", "distance of the encoding to common ones, over the usual one: high is odd",
               "float32", value),
        Column(f"{PREFIX}_score_sd", "", "standard deviation of the score over draws of the encoding", "float32",
               "stat.stdev"),
        Column(f"{PREFIX}_pct", "%", "percentage of held-out common supernovae with a lower score", "float32",
               "stat.rank"),
        Column(f"{PREFIX}_forest", "", "isolation-forest score of the encoding: 0 to 1, high is odd", "float32",
               value),
    )  # fmt: skip
    latent = tuple(
        column
        for k in range(LATENTS)
        for column in (
            Column(f"{PREFIX}_z_{k}", "", f"mean of number {k} of the encoding", "float32", value),
            Column(
                f"{PREFIX}_z_sd_{k}", "", "its standard deviation, as the network has it", "float32", "stat.stdev"
            ),
        )
    )
    fitted = (
        Column(f"{PREFIX}_misfit", "", "how badly the decoded light curve fits: weighted mean square, scaled",
               "float32", "stat.fit.residual"),
        Column(f"{PREFIX}_peak_absmag", "mag", "brightest point, absolute magnitude (no K correction)", "float32",
               "phys.magAbs"),
        Column(f"{PREFIX}_rise", "d", "observed days from the first detection to the brightest point", "float32",
               "time.interval"),
        Column(f"{PREFIX}_gp_lnlike", "", "log likelihood of the Gaussian process per point", "float32",
               "stat.likelihood"),
        Column(f"{PREFIX}_gp_time", "d", "its time scale, rest frame", "float32", "time.scale"),
        Column(f"{PREFIX}_gp_wave", "", "its scale in the natural logarithm of wavelength", "float32", value),
    )  # fmt: skip
    then = tuple(
        Column(f"{PREFIX}_score_t{day}", "", f"score as it was {day} observed days after the first detection",
               "float32", value)
        for day in (CUTS_D if config.evolution else ())
    )  # fmt: skip
    return (*scores, *latent, *fitted, *then)
