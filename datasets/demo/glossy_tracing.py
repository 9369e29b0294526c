"""Sphere tracing of the glossy demo scene: colour with reflections of reflections' surfaces, exact coverage, depth, normals and
roughness for pinhole cameras.

Colour = diffuse + tint * specular, in linear light, then sRGB. Diffuse light is the environment blurred by a wide lobe about the
normal, times ambient occlusion. Specular light is the environment blurred by the surface's lobe about the reflected direction, or
the surface that the reflected ray hits, whose own reflection is the environment's. A ray that passes near a surface is partly
covered by it, the more the wider the lobe.
"""

import taichi as ti
import taichi.math as tm
import torch
from torch import Tensor

from datasets.demo.glossy_light import environment
from datasets.demo.glossy_shapes import BOUND_RADIUS, diffuse_of, roughness_of, scene, tint_of
from datasets.demo.sphere_tracing import DARKEST, Image1, Image3, Traced, corner
from taichi_kernels import runtime

_HIT, _STEPS, _NORMAL_STEP = 1e-4, 160, 4e-4  # world units; steps of a ray; half a side of the gradient's differences
_DIFFUSE_LOBE = 0.55  # roughness of a lobe that is as wide as a cosine's


@ti.func
def march(origin, direction, first, last, sharpness):
    """(t of the hit or -1, its part or that of the closest approach, fraction of a lobe that passes) of a ray, unit direction."""
    t, hit, part, clear = first, -1.0, 0.0, 1.0
    for _ in range(_STEPS):
        found = scene(origin + t * direction)
        if sharpness * found.x < clear * t:
            clear, part = sharpness * found.x / t, found.y
        if found.x < _HIT:
            hit, part = t, found.y
            break
        t += found.x
        if t > last:
            break
    return hit, part, tm.clamp(clear, 0.0, 1.0)


@ti.func
def normal_at(p):
    """The outward unit normal of the surface at p."""
    slope = tm.vec3(0.0)
    for tap in range(4):
        slope += scene(p + _NORMAL_STEP * corner(tap)).x * corner(tap)
    return slope.normalized(1e-12)


@ti.func
def openness(p, normal):
    """How much of the light around reaches p: distances along the normal that fall short of their way take some."""
    taken, way = 0.0, 0.02
    for tap in range(5):
        taken += 0.75**tap * (way - scene(p + way * normal).x)
        way += 0.06
    return tm.clamp(1.0 - 1.7 * taken, 0.0, 1.0)


@ti.func
def shown(origin, direction):
    """(linear colour, hit, t, normal, roughness) of what a ray from outside meets, with one reflection of other surfaces."""
    middle = -origin.dot(direction)
    half = ti.sqrt(ti.max(BOUND_RADIUS**2 - (origin.dot(origin) - middle * middle), 0.0))
    colour, weight, normal, roughness = tm.vec3(0.0), tm.vec3(1.0), tm.vec3(0.0), 0.0
    start, way, first, last, depth = origin, direction, ti.max(middle - half, 1e-3), middle + half, -1.0
    lobe, sharpness = 0.0, 1e6
    for bounce in range(2):
        t, part, clear = march(start, way, first, last, sharpness)
        p = start + ti.max(t, 0.0) * way
        if bounce == 1:  # what passes sees the environment
            colour += weight * ti.select(t < 0.0, clear, 0.0) * environment(way, lobe)
            weight *= ti.select(t < 0.0, 1.0 - clear, 1.0)
        if t < 0.0 and bounce == 0:
            break
        kind = ti.cast(part, ti.i32)
        facing = ti.select(t < 0.0, -way, normal_at(p))  # a near miss shows the side of the surface that is turned to it
        light = environment(facing, _DIFFUSE_LOBE) * ti.select(t < 0.0, 0.6, openness(p, facing))
        cosine = tm.clamp(-way.dot(facing), 0.0, 1.0)
        tint = tint_of(kind)
        tint += (1.0 - tint) * (1.0 - cosine) ** 5 * ti.select(kind == 1, 0.0, 0.6)
        mirrored = way - 2.0 * way.dot(facing) * facing
        colour += weight * diffuse_of(p, kind) * light * (1.0 - tint)
        own = roughness_of(p, kind)
        if bounce == 1:
            colour += weight * tint * environment(mirrored, own + lobe)
        else:
            depth, normal, roughness = t, facing, own
            weight, lobe, start, way = tint, own, p + 2e-3 * facing, mirrored
            first, last, sharpness = 2e-3, 2.0 * BOUND_RADIUS, 0.55 / ti.sqrt(own + 1e-5)
    return colour, depth, normal, roughness


@ti.func
def srgb(linear):
    """Display values of linear light, which rolls off above 0.8 instead of clipping."""
    high = ti.max(linear - 0.8, 0.0)
    value = ti.min(linear, 0.8) + high / (1.0 + 5.0 * high)
    encoded = ti.select(value <= 0.0031308, 12.92 * value, 1.055 * value ** (1.0 / 2.4) - 0.055)
    return tm.clamp(encoded, DARKEST, 1.0)


@ti.kernel
def _trace(
    intrinsics: ti.types.ndarray(dtype=ti.f32, ndim=3),  # (V, 3, 3) pixels
    camera_to_world: ti.types.ndarray(dtype=ti.f32, ndim=3),  # (V, 3, 4)
    samples: int,  # along one side of the pixel
    image: Image3, alpha: Image1, depth: Image1, normal: Image3, roughness: Image1,  # (V, H, W) out
):  # fmt: skip
    for view, row, col in alpha:
        turn, origin = tm.mat3(0.0), tm.vec3(0.0)
        for i in ti.static(range(3)):
            origin[i] = camera_to_world[view, i, 3]
            for j in ti.static(range(3)):
                turn[i, j] = camera_to_world[view, i, j]
        hits, total = 0, tm.vec3(0.0)
        for s in range(-1, samples * samples):  # the ray through the centre first, for depth, normal and roughness
            at = tm.vec2(0.5)
            if s >= 0:
                at = (tm.vec2(s % samples, s // samples) + 0.5) / samples
            x = (col + at.x - intrinsics[view, 0, 2]) / intrinsics[view, 0, 0]
            y = (row + at.y - intrinsics[view, 1, 2]) / intrinsics[view, 1, 1]
            ray = turn @ tm.vec3(x, -y, -1.0)
            length = ray.norm()
            colour, t, facing, rough = shown(origin, ray / length)
            if s < 0:
                depth[view, row, col] = ti.select(t > 0.0, t / length, 0.0)
                normal[view, row, col] = facing
                roughness[view, row, col] = rough
            elif t > 0.0:
                total += srgb(colour)
                hits += 1
        image[view, row, col] = total / ti.max(hits, 1)
        alpha[view, row, col] = ti.cast(hits, ti.f32) / (samples * samples)


def trace_glossy(
    intrinsics: Tensor, camera_to_world: Tensor, width: int, height: int, samples: int = 3
) -> tuple[Traced, Tensor]:
    """Picture the glossy demo scene, as `datasets.demo.sphere_tracing.trace_demo` does the other one; and the roughness (V, H, W)
    of the surface that the centre ray hits, 0 without a hit."""
    settings = {"dtype": torch.float32, "device": runtime.torch_device()}
    views = len(camera_to_world)
    image = torch.empty(views, height, width, 3, **settings)
    alpha = torch.empty(views, height, width, **settings)
    depth, normal, roughness = torch.empty_like(alpha), torch.empty_like(image), torch.empty_like(alpha)
    if views:
        cameras = [t.detach().to(**settings).contiguous() for t in (intrinsics, camera_to_world)]
        _trace(*cameras, samples, image, alpha, depth, normal, roughness)
    return Traced(image, alpha, depth, normal), roughness
