"""Files that `torch.save` wrote: read as tensors and plain values alone, and only if their checksums are right."""

import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from settings.errors import InputError
from system.reading import reading

_ZIP, _PICKLE = b"PK\x03\x04", b"\x80"


def read(path: Path) -> Any:
    """The content of a file that `torch.save` wrote, on the CPU.

    Raises InputError if there is none, or if it is damaged: torch itself does not check the checksums.
    """
    if not path.exists():
        raise InputError(f"no such file: {path}")
    with reading(path):
        _check_archive(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
        _check_content(content)
    return content


def _check_archive(path: Path) -> None:
    """The sizes and checksums of the archive's parts; files of torch before 1.6, which are pickles, have none."""
    with path.open("rb") as stream:
        start = stream.read(len(_ZIP))
    if not start:
        raise ValueError("it is empty")
    if start[:1] == _PICKLE:
        return
    if start != _ZIP:
        raise ValueError("it was not written by torch.save")
    with zipfile.ZipFile(path) as archive:
        parts = archive.infolist()
        if sum(part.file_size for part in parts) > path.stat().st_size:
            raise ValueError("its parts are larger than the file: it is damaged")
        wrong = archive.testzip()
    if wrong is not None:
        raise ValueError(f"it is damaged: the checksum of its part {wrong!r:.60} is wrong")


def _check_content(content: Any) -> None:
    """Tensors are plain ones, and no larger than their storage."""
    if isinstance(content, Tensor):
        plain = type(content) in (Tensor, torch.nn.Parameter) and content.layout == torch.strided and content.device.type == "cpu"
        if not plain or content.is_quantized:
            raise ValueError("it holds a tensor of an unusual kind")
        if content.numel() * content.element_size() > content.untyped_storage().nbytes():
            raise ValueError(f"it holds a tensor of shape {tuple(content.shape)}, and fewer values")
    elif isinstance(content, dict):
        for value in content.values():
            _check_content(value)
    elif isinstance(content, (list, tuple)):
        for value in content:
            _check_content(value)
