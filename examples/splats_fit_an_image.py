"""A cloud of splats learns one picture: its positions, radii, colours and opacities, by gradient descent.

    python -m examples.splats_fit_an_image

Each splat is a disc that is opaque in the middle and fades towards its rim. `splat` composites all of them front to back, and
PyTorch gets the derivative of every pixel with respect to every splat. The picture beside its reconstruction goes to a PNG.
"""

from taichi_kernels.splatting import splat  # before torch: see the package's docstring

# isort: split
import imageio.v3 as imageio
import skimage
import torch
from torch import Tensor


def photograph(size: int) -> Tensor:
    """The picture to learn, (size, size, 3) in [0, 1]."""
    return torch.from_numpy(skimage.transform.resize(skimage.data.astronaut(), (size, size), anti_aliasing=True)).float()


def psnr(image: Tensor, target: Tensor) -> float:
    """Peak signal-to-noise ratio in dB: -10 log10 of the mean squared error."""
    return -10 * ((image - target) ** 2).mean().log10().item()


def fit(target: Tensor, count: int, steps: int, seed: int = 0) -> Tensor:
    """Optimise `count` splats to a picture (H, W, 3); returns what they look like, (H, W, 3)."""
    height, width = target.shape[:2]
    generator = torch.Generator().manual_seed(seed)
    centers = torch.rand(count, 2, generator=generator) * torch.tensor([width, height])  # column and row, in pixels
    depths = 1 + torch.rand(count, generator=generator)  # only order the splats; they are not learned
    column, row = centers.long().unbind(1)
    colours = target[row, column].clone()  # a splat starts with the colour of the pixel below it
    log_radii = torch.full((count,), 1.5 * (height * width / count) ** 0.5).log()  # neighbours overlap; pixels
    logits = torch.zeros(count)  # an opacity is the sigmoid of this number
    leaves = [t.requires_grad_() for t in (centers, colours, log_radii, logits)]
    optimizer = torch.optim.Adam([{"params": [leaf], "lr": lr} for leaf, lr in zip(leaves, (0.2, 0.01, 0.02, 0.05), strict=True)])
    image = torch.zeros_like(target)
    for step in range(steps):
        image, _, _ = splat(centers, depths, log_radii.exp(), logits.sigmoid(), colours, width, height)
        loss = ((image - target) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if (step + 1) % 50 == 0:
            print(f"step {step + 1}: {psnr(image.detach(), target):.1f} dB")
    return image.detach()


def main(size: int = 192, count: int = 6000, steps: int = 300, out: str = "splats.png") -> float:
    """Fit, save photograph and reconstruction side by side, and return the reconstruction's PSNR in dB."""
    target = photograph(size)
    image = fit(target, count, steps)
    imageio.imwrite(out, (torch.cat([target, image], 1).clamp(0, 1) * 255).round().byte().numpy())
    print(f"{out}: {count} splats, PSNR {psnr(image, target):.1f} dB")
    return psnr(image, target)


if __name__ == "__main__":
    main()
