"""Script that `_ants_engine` runs in a separate process: one call of antsRegistration.

A script: ``python ants_worker.py FOLDER`` reads ``job.npz`` in the folder and writes ``found.npz``.
It imports nothing of this package. What ANTs says goes to stdout, where the engine reads it.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

__all__: list[str] = []


def _main(folder: Path) -> None:
    import ants
    from ants.internal import get_pointer_string

    job = np.load(folder / "job.npz")

    def image(side: str, what: str, kind: str) -> Any:
        made = ants.from_numpy(
            np.ascontiguousarray(job[f"{side}_{what}"].T),  # x first
            origin=job[f"{side}_origin"].tolist(),
            spacing=job[f"{side}_spacing"][::-1].tolist(),
            direction=np.ascontiguousarray(job[f"{side}_direction"][:, ::-1]),
        )
        return made.clone(kind)

    names, kept = {"FIXED_MASK": "NA", "MOVING_MASK": "NA"}, []
    for side in ("fixed", "moving"):
        for what, kind in (("data", "double"), ("mask", "unsigned char")):
            if f"{side}_{what}" in job:
                kept.append(image(side, what, kind))
                name = side.upper() if what == "data" else f"{side}_{what}".upper()
                names[name] = get_pointer_string(kept[-1])
    arguments = [
        str(a).format(**names, OUT=folder / "out") for a in job["arguments"].tolist()
    ]  # fmt: skip
    ants.registration(arguments, None)
    sys.stdout.flush()
    if "SyN" in "".join(job["arguments"].tolist()):
        (path,) = folder.glob("out*[0-9]Warp.nii.gz")
        vectors = ants.image_read(str(path)).numpy()  # x first, components last
        n = job["fixed_data"].ndim
        np.savez(folder / "found.npz", answer=vectors.transpose(*reversed(range(n)), n))
        return
    (path,) = folder.glob("out*GenericAffine.mat")
    transform = ants.read_transform(str(path), precision="double")
    n = job["fixed_data"].ndim
    points = np.vstack([np.zeros(n), np.eye(n)])
    moved = np.array([transform.apply_to_point(p.tolist()) for p in points])
    np.savez(folder / "found.npz", answer=moved)


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
