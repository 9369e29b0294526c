"""Plain-torch twin of taichi_kernels.photometric.photometric_loss."""


def photometric_loss(image, target, *, gradient_weight=0.03):
    """(loss, mean squared error) with the meaning of the kernel's op."""
    error = image.clamp(0, 1) - target
    squared = (error**2).mean()
    loss = squared
    for s in (1, 2, 3):
        if error.shape[0] > s:
            loss = loss + gradient_weight / 3 * (error[s:] - error[:-s]).abs().mean()
        if error.shape[1] > s:
            loss = loss + gradient_weight / 3 * (error[:, s:] - error[:, :-s]).abs().mean()
    return loss, squared
