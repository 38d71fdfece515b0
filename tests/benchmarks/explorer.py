"""How long the page lets one wait: first paint, zoom, object, label, in a real browser.

    python -m tests.benchmarks.explorer --rows 5000000

writes a seeded catalog of simulated objects with short light curves, serves it with
`skyloom explore`, and prints seconds as the browser's own clock has them.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq

ORDER = 2
PARTITIONS = 12 * 4**ORDER
POINTS = 4
TARGETS_S = {"first paint": 3.0, "zoom": 1.0, "object": 1.0}
WAIT_MS = 60_000

PAINTED = "() => window.Bokeh && Bokeh.documents.length && Bokeh.documents[0].is_idle && performance.now() / 1000"
LISTEN = """
() => {
  for (const kind of ["wheel", "pointerdown"])
    window.addEventListener(kind, () => { window.began = performance.now(); }, {capture: true});
}
"""
IMAGE = 'Bokeh.documents[0].get_model_by_name("sky-map").renderers[0].data_source.data.image[0]'
OBJECT = 'Bokeh.documents[0].get_model_by_name("object").text'
FRAME = """
() => {
  const view = Bokeh.index.find_one(Bokeh.documents[0].get_model_by_name("sky-map"));
  const at = view.el.getBoundingClientRect(), box = view.frame.bbox;
  return [at.left + box.left, at.top + box.top, box.width, box.height];
}
"""


def write_sky(root: Path, rows: int, *, seed: int = 0) -> None:
    """Write a HATS catalog of about `rows` objects, denser in some pixels, partition by partition."""
    from astropy import units
    from cdshealpix.nested import healpix_to_lonlat

    rng = np.random.default_rng(seed)
    weight = rng.lognormal(0, 0.5, PARTITIONS)
    counts = np.round(rows * weight / weight.sum()).astype(int)
    schema = None
    done = 0
    for npix, count in enumerate(counts.tolist()):
        span = 1 << 2 * (29 - ORDER)
        healpix = np.sort(rng.integers(npix * span, (npix + 1) * span, count))
        longitude, latitude = healpix_to_lonlat(healpix.astype(np.uint64), 29)
        colour = rng.normal(0.8, 0.4, count).astype("f4")
        offsets = pa.array(np.arange(count + 1, dtype=np.int32) * POINTS)
        flux = rng.normal(1000, 50, count * POINTS).astype("f4")
        lists = {
            "mjd": np.sort(rng.uniform(60_000, 60_400, (count, POINTS)), axis=1).ravel(),
            "flux": flux,
            "flux_err": np.full(len(flux), 30, "f4"),
        }
        arrays = [pa.ListArray.from_arrays(offsets, pa.array(values)) for values in lists.values()]
        table = pa.table(
            {
                "_healpix_29": healpix,
                "object_id": np.arange(done, done + count),
                "ra": longitude.to_value(units.deg),
                "dec": latitude.to_value(units.deg),
                "mag": (22 - rng.exponential(1.5, count)).astype("f4"),
                "colour": colour,
                "amplitude": rng.lognormal(-2, 1, count).astype("f4"),
                "period": np.exp(rng.normal(0, 2, count)).astype("f4"),
                "lc": pa.StructArray.from_arrays(arrays, names=list(lists)),
            }
        )
        folder = root / "dataset" / f"Norder={ORDER}" / "Dir=0"
        folder.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, folder / f"Npix={npix}.parquet", compression="lz4", row_group_size=100_000)
        done, schema = done + count, table.schema
    pq.write_metadata(schema, root / "dataset" / "_common_metadata")
    pixels = "".join(f"{ORDER},{npix}\n" for npix in range(PARTITIONS))
    (root / "partition_info.csv").write_text("Norder,Npix\n" + pixels)
    (root / "hats.properties").write_text(
        f"obs_collection={root.name}\ndataproduct_type=object\nhats_nrows={done}\nhats_col_ra=ra\nhats_col_dec=dec\n"
        f"hats_col_healpix=_healpix_29\nhats_col_healpix_order=29\nhats_npix_suffix=.parquet\nhats_order={ORDER}\n"
    )


def measure(address: str, *, rounds: int) -> dict[str, list[float]]:
    """Open the page in fresh browsers, zoom and click; return seconds."""
    from playwright.sync_api import sync_playwright

    found: dict[str, list[float]] = {name: [] for name in TARGETS_S}
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as driver:
        flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        browser = driver.chromium.launch(executable_path=chromium, args=flags)
        for _ in range(rounds):
            context = browser.new_context(viewport={"width": 1420, "height": 1000})
            page = context.new_page()
            page.goto(address, wait_until="commit")
            found["first paint"].append(page.wait_for_function(PAINTED, timeout=WAIT_MS).json_value())
            page.evaluate(LISTEN)
            left, top, width, height = page.evaluate(FRAME)
            for _ in range(3):
                page.wait_for_timeout(1500)
                page.evaluate(f"() => {{ window.before = {IMAGE}; }}")
                page.mouse.move(left + 0.4 * width, top + 0.5 * height)
                page.mouse.wheel(0, -400)
                found["zoom"].append(since(page, f"{IMAGE} !== window.before"))
            for step in range(3):
                page.wait_for_timeout(500)
                page.evaluate(f"() => {{ window.before = {OBJECT}; }}")
                page.mouse.click(left + (0.3 + 0.17 * step) * width, top + 0.5 * height)
                found["object"].append(since(page, f"{OBJECT} !== window.before"))
            context.close()
        browser.close()
    return found


def since(page, happened: str) -> float:
    """Return seconds from the last wheel or click to the frame in which something has happened."""
    script = f"() => ({happened}) && (performance.now() - window.began) / 1000"
    return page.wait_for_function(script, polling="raf", timeout=WAIT_MS).json_value()


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="where the catalog is written, and kept")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        root = (asked.folder or Path(scratch)) / f"sky-{asked.rows}"
        if not (root / "hats.properties").exists():
            began_s = time.perf_counter()
            write_sky(root, asked.rows)
            print(f"wrote {root} in {time.perf_counter() - began_s:.1f} s", flush=True)
        began_s = time.perf_counter()
        command = [sys.executable, "-m", "skyloom", "explore", str(root), "--port", "0"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            try:
                address = server.stdout.readline().strip()
                memory = psutil.Process(server.pid).memory_info().rss / 2**20
                print(f"server up after {time.perf_counter() - began_s:.1f} s, {memory:,.0f} MiB", flush=True)
                found = measure(address, rounds=asked.rounds)
            finally:
                server.terminate()
    print(f"{asked.rows:,} objects, simulated; load {psutil.getloadavg()[0]:.1f} on {psutil.cpu_count()} cores")
    late = 0
    for name, seconds in found.items():
        target = TARGETS_S[name]
        late += max(seconds) > target
        print(
            f"{name:<12} median {statistics.median(seconds):.2f} s, worst {max(seconds):.2f} s of {len(seconds)}; "
            f"target {target:g} s"
        )
    return 1 if late else 0


if __name__ == "__main__":
    sys.exit(main())
