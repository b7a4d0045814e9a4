"""Take the map library out of the wheel that page.lock names: unpack_page.py WHEEL FOLDER.

The checksums are those of MapLibre's own release 5.3.0 (`dist/` of its npm package), so what the
page loads is what its authors made, whoever carried it here. Runs on a bare Python: the Makefile
and the Dockerfile call it before anything is installed.
"""

import hashlib
import sys
import zipfile
from pathlib import Path

FILES = {
    "maplibre/srcjs/maplibre-gl.css": (
        "792ac997dcf6ae6f643eb4e2dee4630c85e7056526bd8fb85ffe83c67d6c41b4"
    ),
    # Last: its presence says that the work is done.
    "maplibre/srcjs/maplibre-gl.js": (
        "e380deae560bc5d182be4124a1b9cdd5086304b0cb82c92a5af23d018aa81015"
    ),
}


def main(wheel: str, folder: str) -> None:
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(wheel) as archive:
        for name, checksum in FILES.items():
            content = archive.read(name)
            if hashlib.sha256(content).hexdigest() != checksum:
                sys.exit(f"{name} in {wheel} is not MapLibre GL JS 5.3.0: its checksum differs")
            target = place / Path(name).name
            unfinished = target.with_suffix(".part")
            unfinished.write_bytes(content)
            unfinished.replace(target)


if __name__ == "__main__":
    main(*sys.argv[1:])
