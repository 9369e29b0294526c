"""A hash grid and a small network learn one picture: colour as a function of the position.

    python -m examples.hash_grid_fits_an_image

`encode_grid` interpolates a table of features at 8 resolutions; cells of the fine ones share rows by a hash. A network of two
layers makes a colour of the features. Both learn from random pixels. The picture beside the learned one goes to a PNG.
Source: Müller et al. 2022, section 5.1 ("gigapixel images").
"""

from taichi_kernels.grid_encoding import GridLayout, encode_grid  # before torch: see the package's docstring

# isort: split
import imageio.v3 as imageio
import torch
from torch import Tensor, nn

from examples.splats_fit_an_image import photograph, psnr

FEATURES = 2  # of a table row


class ImageField(nn.Module):
    """Colours at positions in the unit square."""

    def __init__(self, levels: int = 8, coarsest: int = 8, finest: int = 256, log2_rows: int = 12):
        super().__init__()
        sides = [round(coarsest * (finest / coarsest) ** (level / (levels - 1))) for level in range(levels)]
        self.layout = GridLayout(tuple((side, side, 1) for side in sides), 1 << log2_rows)  # one cell along z: a plane
        self.table = nn.Parameter(torch.empty(self.layout.rows, FEATURES).uniform_(-1e-2, 1e-2))
        self.network = nn.Sequential(nn.Linear(levels * FEATURES, 32), nn.ReLU(), nn.Linear(32, 3), nn.Sigmoid())

    def forward(self, positions: Tensor) -> Tensor:
        """Colours (N, 3) at x and y (N, 2)."""
        inside = torch.cat([positions, torch.zeros_like(positions[:, :1])], 1)
        return self.network(encode_grid(inside, self.table, self.layout))


def fit(target: Tensor, steps: int, batch: int = 8192, seed: int = 0) -> tuple[Tensor, int]:
    """Learn a picture (H, W, 3) from random pixels; returns the learned one, (H, W, 3), and the number of parameters."""
    torch.manual_seed(seed)
    height, width = target.shape[:2]
    row, column = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")  # pixel centres
    positions = torch.stack([column / width, row / height], -1).reshape(-1, 2)
    colours = target.reshape(-1, 3)
    field = ImageField()
    optimizer = torch.optim.Adam(field.parameters(), lr=1e-2, eps=1e-15)
    for step in range(steps):
        pixels = torch.randint(len(colours), (batch,))
        loss = ((field(positions[pixels]) - colours[pixels]) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if (step + 1) % 50 == 0:
            print(f"step {step + 1}: {-10 * loss.log10().item():.1f} dB")
    with torch.no_grad():
        return field(positions).view_as(target), sum(p.numel() for p in field.parameters())


def main(size: int = 256, steps: int = 300, out: str = "hash_grid.png") -> float:
    """Fit, save photograph and learned picture side by side, and return the PSNR in dB."""
    target = photograph(size)
    image, parameters = fit(target, steps)
    imageio.imwrite(out, (torch.cat([target, image], 1).clamp(0, 1) * 255).round().byte().numpy())
    print(f"{out}: {parameters} parameters for {target.numel()} numbers, PSNR {psnr(image, target):.1f} dB")
    return psnr(image, target)


if __name__ == "__main__":
    main()
