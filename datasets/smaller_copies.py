"""images_N: copies of a scene's photographs at 1/N of their size, made once and kept beside them."""

import os
import shutil
import sys
import time
from pathlib import Path

from PIL import Image

from datasets.pictures import PictureFile, for_each, read_header, read_picture

_STALE_SECONDS = 24 * 3600  # a half-made folder that old has no maker any more


def make_copies(photographs: list[Path], folder: Path, width: int, height: int, threads: int) -> bool:
    """Write <folder>/<name>.png, width x height px by area averaging, of every photograph; True if the folder is there then.

    It is made in a hidden folder beside it and renamed at the end, so that it is there whole or not at all. False, and a
    line on stderr, where it cannot be written: the photographs are then shrunk in memory, by the same averaging. Raises
    InputError, naming the file, for a photograph that cannot be decoded.
    """
    if len({path.stem for path in photographs}) < len(photographs):  # a.png and a.jpg would become one
        return False
    prefix = f".{folder.name}.making-"
    making = folder.parent / f"{prefix}{os.getpid()}"

    def copy(k: int) -> None:
        mode = "RGBA" if read_header(photographs[k])[2] else "RGB"
        picture, _ = read_picture(PictureFile(photographs[k], width, height), mode)
        Image.fromarray(picture).save(making / f"{photographs[k].stem}.png")

    try:
        for left in folder.parent.glob(f"{prefix}*"):
            if time.time() - left.stat().st_mtime > _STALE_SECONDS or left == making:
                shutil.rmtree(left)
        making.mkdir()
        for_each(copy, photographs, threads, f"Making {folder.name}")
        os.rename(making, folder)
    except OSError as problem:
        if folder.is_dir():  # another process was faster
            return True
        reason = problem.strerror or problem
        print(f"{folder} cannot be written ({reason}): the photographs are shrunk in memory", file=sys.stderr)
        return False
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return True
