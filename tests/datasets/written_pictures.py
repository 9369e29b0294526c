"""Picture files written byte by byte, in formats that Pillow does not write."""

import struct
import zlib
from pathlib import Path

import numpy as np


def png(
    path: Path,
    values: np.ndarray,
    chunks: dict[bytes, bytes] | None = None,
    late: dict[bytes, bytes] | None = None,
    size: tuple[int, int] | None = None,
) -> Path:
    """A PNG of (H, W, C) uint8 or uint16 with 1 to 4 channels; `chunks` before the pixels, `late` ones behind them."""
    rows, columns, channels = values.shape
    width, height = size or (columns, rows)
    colour_type = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    head = struct.pack(">IIBBBBB", width, height, 8 * values.itemsize, colour_type, 0, 0, 0)
    lines = b"".join(b"\0" + line.astype(values.dtype.newbyteorder(">")).tobytes() for line in values)
    parts = {b"IHDR": head, **(chunks or {}), b"IDAT": zlib.compress(lines), **(late or {}), b"IEND": b""}
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + b"".join(
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
            for name, data in parts.items()
        )
    )
    return path


def tiff(
    path: Path,
    values: np.ndarray,
    order: str = "<",
    deflated: bool = False,
    extra: int | None = None,
    photometric: int = 2,
    orientation: int = 1,
    size: tuple[int, int] | None = None,
) -> Path:
    """A TIFF of (H, W, C) uint8 or uint16 in one strip; `extra`: meaning of a fourth channel (1: alpha, colours multiplied)."""
    rows, columns, channels = values.shape
    data = values.astype(values.dtype.newbyteorder(order)).tobytes()
    data = zlib.compress(data) if deflated else data
    bits = struct.pack(f"{order}{channels}H", *[8 * values.itemsize] * channels)
    long, short, (width, height) = 4, 3, size or (columns, rows)
    tags = [
        (256, long, width),
        (257, long, height),
        (258, short, bits),
        (259, short, 8 if deflated else 1),
        (262, short, photometric),
        (273, long, 8),
        (274, short, orientation),
        (277, short, channels),
        (278, long, rows),
        (279, long, len(data)),
    ]
    tags += [(338, short, extra)] if extra is not None else []
    offset = 8 + len(data) + len(data) % 2
    behind = offset + 2 + 12 * len(tags) + 4
    table, more = struct.pack(order + "H", len(tags)), b""
    for tag, field_type, value in tags:
        if isinstance(value, bytes):
            count = len(value) // 2
            field = value.ljust(4, b"\0") if count <= 2 else struct.pack(order + "I", behind + len(more))
            more += value if count > 2 else b""
        else:
            count = 1
            field = struct.pack(order + "I", value) if field_type == long else struct.pack(order + "HH", value, 0)
        table += struct.pack(order + "HHI", tag, field_type, count) + field
    head = (b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, offset)
    path.write_bytes(head + data + b"\0" * (len(data) % 2) + table + struct.pack(order + "I", 0) + more)
    return path


def grey_profile(gamma: float) -> bytes:
    """An ICC profile of greys: linear = value^gamma."""
    curve = b"curv" + struct.pack(">IIH", 0, 1, round(gamma * 256)) + b"\0\0"
    white = b"XYZ " + struct.pack(">4i", 0, *(round(value * 65536) for value in (0.9642, 1, 0.8249)))
    table = struct.pack(">I", 2) + b"wtpt" + struct.pack(">II", 156, 20) + b"kTRC" + struct.pack(">II", 176, 14)
    body = table + white + curve
    head = struct.pack(">III4s4s4s12x4s28x", 128 + len(body), 0, 0x02100000, b"mntr", b"GRAY", b"XYZ ", b"acsp") + white[8:]
    return head.ljust(128, b"\0") + body
