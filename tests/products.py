"""Whether this processor's matrix products depend on the number of threads even at whole sizes."""

import pytest
import torch
import torch.nn.functional as F

_SIZES = ((64, 16, 16), (2048, 64, 64), (8192, 256, 256), (4096, 48, 128), (32768, 64, 1))  # samples, inputs, outputs


def skip_unless_even() -> None:
    """Skip a test of equal bits if Torch's own products differ by threads: its libraries choose for each processor."""
    before, generator = torch.get_num_threads(), torch.Generator().manual_seed(0)
    try:
        for dtype in (torch.float32, torch.bfloat16):
            for samples, inputs, outputs in _SIZES:
                values, weight = (torch.randn(rows, inputs, generator=generator).to(dtype) for rows in (samples, outputs))
                found = []
                for threads in (1, 2, 3):
                    torch.set_num_threads(threads)
                    found.append(F.linear(values, weight))
                if not all(torch.equal(found[0], other) for other in found[1:]):
                    pytest.skip(
                        f"on this processor, products of {samples}x{inputs} and {inputs}x{outputs} in {dtype} depend on "
                        "the number of threads"
                    )
    finally:
        torch.set_num_threads(before)
