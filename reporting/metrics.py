"""The difference between a rendered picture and the photograph: PSNR, SSIM and, if its weights are installed, LPIPS; that of
normals: their mean angle."""

import importlib
import importlib.util
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from skimage.metrics import structural_similarity
from torch import Tensor

# skimage's Gaussian window at sigma 1.5, cut at 3.5 sigma, is 11 pixels wide; smaller pictures have no SSIM.
SSIM_WINDOW = 11
LPIPS_NETWORK = "vgg"  # the trunk of the published NeRF tables
LPIPS_WEIGHTS = "vgg16-*.pth"  # torchvision's file for that trunk


def psnr(predicted: Tensor, true: Tensor) -> float:
    """Peak signal-to-noise ratio in dB of one picture: -10 log10(mean squared error), peak 1.

    Both (H, W, 3) float, clamped to [0, 1] first. `inf` if they are equal, `nan` if a value is not a number.
    Raises ValueError if the shapes differ.
    """
    _check_shapes(predicted, true)
    difference = predicted.double().clamp(0, 1) - true.double().to(predicted.device).clamp(0, 1)
    error = difference.square().mean().item()
    return math.inf if error == 0 else -10 * math.log10(error) if error > 0 else math.nan


def ssim(predicted: Tensor, true: Tensor) -> float | None:
    """Structural similarity of one picture (Wang et al. 2004: Gaussian window, sigma 1.5), by scikit-image.

    Both (H, W, 3) float, clamped to [0, 1] first; the mean over pixels and channels, 1 if they are equal.
    None if a side is shorter than the window's 11 pixels. Raises ValueError if the shapes differ.
    """
    _check_shapes(predicted, true)
    if min(true.shape[:2]) < SSIM_WINDOW:
        return None
    pictures = [t.detach().float().clamp(0, 1).cpu().numpy() for t in (predicted, true)]
    similarity: Any = structural_similarity(
        *pictures, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1.0, channel_axis=-1
    )
    return float(similarity)


def normal_error(predicted: Tensor, alpha: Tensor, true: Tensor, true_alpha: Tensor) -> float | None:
    """Mean angle in degrees between rendered normals n and true ones m of one picture, weighted by both alphas a and b:

        sum_p a_p b_p angle(n_p, m_p) / sum_p a_p b_p,   over the pixels p that have a true normal.

    So the background does not count, which would be free. predicted and true: (H, W, 3) vectors in world axes, normalised
    first; a true one of length 0 is missing, and a predicted one of length 0, or that is not finite, is 90 degrees off. alpha,
    the rendering's, and true_alpha: (H, W) in [0, 1]. None if no pixel counts. Raises ValueError if the shapes differ.

    Source: Verbin et al. 2022 (Ref-NeRF), whose program weighs so.
    """
    _check_shapes(predicted, true)
    _check_shapes(alpha, true_alpha)
    n, m = (each.detach().double().cpu() for each in (predicted, true))
    n = torch.where(n.isfinite().all(-1, keepdim=True), n, 0.0)
    weights = alpha.detach().double().cpu().nan_to_num(0).clamp(0, 1) * true_alpha.double().cpu() * (m.norm(dim=-1) > 0)
    angles = torch.atan2(torch.linalg.cross(n, m).norm(dim=-1), (n * m).sum(-1))  # exact for small angles, as arccos is not
    angles = torch.where(n.norm(dim=-1) > 0, angles, math.pi / 2)
    total = float(weights.sum())
    return math.degrees(float((weights * angles).sum()) / total) if total > 0 else None


def lpips_or_none() -> tuple[Callable[[Tensor, Tensor], float] | None, str]:
    """LPIPS (Zhang et al. 2018, VGG trunk) if it is available without a download, and a sentence about it.

    Returns (measure, note). `measure(predicted, true)` takes (H, W, 3) pictures in [0, 1] and returns the
    distance, 0 if they are equal. If the `lpips` package or its trunk's weights are missing, it is None, and
    the note names what is missing.
    """
    if importlib.util.find_spec("lpips") is None:
        return None, "LPIPS was not measured: the lpips package is not installed."
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    if not any(folder.glob(LPIPS_WEIGHTS)):  # the package would start a download
        return None, f"LPIPS was not measured: its weights ({LPIPS_WEIGHTS}) are not in torch's cache."
    try:
        network = importlib.import_module("lpips").LPIPS(net=LPIPS_NETWORK, verbose=False).eval()
    except (ImportError, OSError, RuntimeError) as problem:
        return None, f"LPIPS was not measured: {type(problem).__name__} while its weights were loaded."

    def measure(predicted: Tensor, true: Tensor) -> float:
        _check_shapes(predicted, true)
        pictures = [t.detach().float().cpu().clamp(0, 1) * 2 - 1 for t in (predicted, true)]
        with torch.no_grad():
            return float(network(*(p.permute(2, 0, 1)[None] for p in pictures)))

    return measure, f"LPIPS by the lpips package, {LPIPS_NETWORK} trunk."


def _check_shapes(predicted: Tensor, true: Tensor) -> None:
    if predicted.shape != true.shape:
        shapes = f"{tuple(predicted.shape)} and {tuple(true.shape)}"
        raise ValueError(f"pictures to compare differ in shape: {shapes}")
