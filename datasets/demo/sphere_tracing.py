"""Sphere tracing of the demo scene: colour, exact coverage, depth and normals for pinhole cameras.

A ray advances by the signed distance of the scene (J. C. Hart, "Sphere tracing", 1996); by more if the last two
distances allow it, and back if that was too far (B. Keinert et al., "Enhanced Sphere Tracing", 2014). Each pixel
first advances as one cone that holds all its samples, so that they start beside the surface. Shadow and ambient
occlusion are computed once for samples of a pixel that lie together, all else for each sample.
"""

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import taichi as ti
import taichi.math as tm
import torch
from torch import Tensor

from datasets.demo.paints import gloss, paint
from datasets.demo.shapes import BOUND_RADIUS, scene
from taichi_kernels import runtime

HIT_DISTANCE = 1e-4  # world units: a ray this close has arrived
MAX_STEPS = 200
LEAP = 0.008  # world units, the longest unchecked step: shorter than the thinnest part is thick
NORMAL_STEP = 5e-4  # world units, half the side of the gradient's differences
SUN_DIRECTION = tm.vec3(-0.556, -0.448, 0.7001)  # unit vector towards it
SUN_LIGHT = tm.vec3(1.00, 0.91, 0.76) * 1.75
SKY_LIGHT = tm.vec3(0.60, 0.74, 1.00) * 0.55
GROUND_LIGHT = tm.vec3(0.85, 0.72, 0.60) * 0.34
DARKEST = 0.02  # of a stored colour: red must stay above zero wherever something is seen
SUN_SHARPNESS = 13.0  # the larger, the harder the shadows' edges

# A pixel's rays: the cone that holds all its samples, the ray through its centre, then the samples from 0.
CONE, CENTRE = -2, -1
# The task of a ray. All tasks go through one call of `scene`: each inlined copy costs seconds to compile.
MARCH, SLOPE, SKY, SUN, MISSED, DONE = range(6)

Image1 = ti.types.ndarray(dtype=ti.f32, ndim=3)
Image3 = ti.types.ndarray(dtype=tm.vec3, ndim=3)


class Traced(NamedTuple):
    """The pictures of V views."""

    image: Tensor  # (V, H, W, 3) in [0, 1], straight: the mean of the samples that hit; 0 if none did
    alpha: Tensor  # (V, H, W) in [0, 1]: fraction of the pixel's samples that hit
    depth: Tensor  # (V, H, W) world units along the camera's z axis, of the centre ray; 0 = no hit
    normal: Tensor  # (V, H, W, 3) outward unit vector in world axes at that hit; 0 = no hit


@ti.func
def corner(tap):
    """One of the four corners of a tetrahedron: differences along them add up to a gradient."""
    return tm.vec3(
        ti.select(tap == 0 or tap == 3, 1.0, -1.0),
        ti.select(tap >= 2, 1.0, -1.0),
        ti.select(tap == 1 or tap == 3, 1.0, -1.0),
    )


@ti.func
def ball_depths(origin, ray, spread, radius):
    """(first, last) depth between which the cone about `ray` may meet the ball of this radius about 0; last = 0: nowhere."""
    length = ray.norm()
    middle = -origin.dot(ray) / length
    reach = radius + 2.0 * spread * ti.max(middle, 0.0)
    rest = reach * reach - (origin.dot(origin) - middle * middle)
    half = ti.sqrt(ti.max(rest, 0.0))
    return tm.vec2(
        ti.max((middle - half) / length, 1e-3), ti.select(rest > 0.0, (middle + half) / length, 0.0)
    )


@ti.func
def lit(p, normal, toward_eye, part, sun, sky):
    """Stored (display) colour of a point: paint under sun, sky and ground light, Blinn-Phong highlight."""
    albedo = paint(p, normal, part)
    diffuse = SUN_LIGHT * (sun * ti.max(normal.dot(SUN_DIRECTION), 0.0))
    diffuse += SKY_LIGHT * (sky * (0.5 + 0.5 * normal.z)) + GROUND_LIGHT * (
        (0.4 + 0.6 * sky) * (0.5 - 0.5 * normal.z)
    )
    shine = gloss(part)
    half = (SUN_DIRECTION + toward_eye).normalized()
    highlight = shine.x * sun * ti.max(normal.dot(half), 0.0) ** shine.y
    rim = 0.35 * shine.x * sky * (1.0 - ti.max(normal.dot(toward_eye), 0.0)) ** 4
    linear = albedo * diffuse + SUN_LIGHT * highlight + SKY_LIGHT * rim
    mapped = linear * (1.0 + 0.12 * linear) / (1.0 + 0.42 * linear)  # highlights roll off instead of clipping
    return tm.clamp(mapped ** (1.0 / 2.2), DARKEST, 1.0)


@ti.kernel
def _trace(
    intrinsics: ti.types.ndarray(dtype=ti.f32, ndim=3),  # (V, 3, 3) pixels
    camera_to_world: ti.types.ndarray(dtype=ti.f32, ndim=3),  # (V, 3, 4)
    samples: int,  # along one side of the pixel
    image: Image3,  # (V, H, W)
    alpha: Image1,
    depth: Image1,
    normal: Image3,  # (V, H, W)
):
    for view, row, col in alpha:
        fx, fy = intrinsics[view, 0, 0], intrinsics[view, 1, 1]
        cx, cy = intrinsics[view, 0, 2], intrinsics[view, 1, 2]
        turn, origin = tm.mat3(0.0), tm.vec3(0.0)
        for i in ti.static(range(3)):
            origin[i] = camera_to_world[view, i, 3]
            for j in ti.static(range(3)):
                turn[i, j] = camera_to_world[view, i, j]
        spread = 0.7072 * ti.max(1.0 / fx, 1.0 / fy)  # half a pixel's diagonal at depth 1
        first, last, hits, total = 0.0, 0.0, 0, tm.vec3(0.0)
        # Where the pixel's light was last found, facing where, on which part, and that light.
        known, known_facing, known_part, sun, sky = tm.vec3(1e9), tm.vec3(0.0), -1, 0.0, 0.0
        for s in range(CONE, samples * samples):
            at = tm.vec2(0.5)
            if s >= 0:
                at = (tm.vec2(s % samples, s // samples) + 0.5) / samples
            ray = turn @ tm.vec3((col + at.x - cx) / fx, -(row + at.y - cy) / fy, -1.0)
            speed, widening = ray.norm(), 0.0
            if s == CONE:
                widening = spread
                bounds = ball_depths(origin, ray, spread, BOUND_RADIUS)
                first, last = bounds.x, bounds.y
            z, p, facing, above, part = first, tm.vec3(0.0), tm.vec3(0.0), tm.vec3(0.0), 0
            way, tap, slope = 0.0, 0, tm.vec3(0.0)
            last_room, stride = 0.0, 0.0
            task = ti.select(first < last, MARCH, MISSED)
            while task < MISSED:
                point = origin + z * ray
                if task == SLOPE:
                    point = p + NORMAL_STEP * corner(tap)
                elif task == SKY:
                    point = above + way * facing
                elif task == SUN:
                    point = above + way * SUN_DIRECTION
                found = scene(point)
                tap += 1
                if task == MARCH:
                    room = found.x - widening * z
                    if stride > last_room and stride > last_room + room:
                        z -= (stride - last_room) / speed  # leapt over a gap between two free balls: walk it
                        stride = last_room
                    elif room >= HIT_DISTANCE:
                        fall = 1.0  # how fast the distance shrank along the last step
                        if stride > 0.0:
                            fall = tm.clamp((last_room - room) / stride, 0.0, 1.0)
                        last_room = room
                        if z + room / speed >= last or tap >= MAX_STEPS:
                            task = MISSED
                        elif s == CONE:
                            stride = room * speed / (speed + spread)
                            z += stride / speed
                        elif room < LEAP * fall:  # straight to where the distance would be zero
                            stride = 0.0
                            z += room / fall / speed
                        else:
                            stride = room * ti.max(1.0, 1.9 / (1.0 + fall))
                            z += stride / speed
                    elif s == CONE:
                        task = DONE
                    else:
                        z += room / speed
                        p, part = origin + z * ray, ti.cast(found.y, ti.i32)
                        task, tap = SLOPE, 0
                        away = p - known  # beside a point already seen, on the same plane: the same light
                        flat = part == known_part and ti.abs(away.dot(known_facing)) < 0.02 * away.norm()
                        if flat and away.norm() < 3.0 * spread * z:
                            facing, task = known_facing, DONE
                elif task == SLOPE:
                    slope += found.x * corner(tap - 1)
                    if tap == 4:
                        facing = slope.normalized(1e-12)
                        task = DONE
                        if (p - known).norm() > 3.0 * spread * z or facing.dot(known_facing) < 0.9:
                            known, known_facing, known_part, above = p, facing, part, p + 2e-3 * facing
                            task, tap, way, sky = SKY, 0, 0.015, 0.0
                elif task == SKY:  # ambient occlusion: distances along the normal that fall short of their way
                    sky += 0.75 ** (tap - 1) * (way - found.x)
                    way += 0.055
                    if tap == 5:
                        sky = tm.clamp(1.0 - 1.9 * sky, 0.0, 1.0)
                        sun = ti.select(facing.dot(SUN_DIRECTION) > 0.0, 1.0, 0.0)
                        task, tap, way = ti.select(sun > 0.0, SUN, DONE), 0, 0.012
                else:  # soft shadow: the smallest distance / way along the ray is the visible fraction of the sun
                    sun = ti.min(sun, SUN_SHARPNESS * found.x / way)
                    way += tm.clamp(found.x, 0.012, 0.2)
                    if sun < 0.01 or tap == 40 or above.z + way * SUN_DIRECTION.z > 1.0:
                        sun = tm.smoothstep(0.0, 1.0, sun)
                        task = DONE
            if s == CONE:
                first = ti.select(task == DONE, z, last)
            elif s == CENTRE:
                depth[view, row, col] = ti.select(task == DONE, z, 0.0)
                normal[view, row, col] = ti.select(task == DONE, facing, tm.vec3(0.0))
            elif task == DONE:
                total += lit(p, facing, -ray / speed, part, sun, sky)
                hits += 1
        # Every pixel is written, seen or not: what a kernel never reads Taichi does not copy to Vulkan first.
        image[view, row, col] = total / ti.max(hits, 1)
        alpha[view, row, col] = ti.cast(hits, ti.f32) / (samples * samples)


def trace_demo(
    intrinsics: Tensor, camera_to_world: Tensor, width: int, height: int, samples: int = 3
) -> Traced:
    """Picture the demo scene from V pinhole cameras (OpenGL axes: x right, y up, looking down -z).

    intrinsics (V, 3, 3) pixels, camera_to_world (V, 3, 4) rigid, world units; samples x samples rays on a
    grid in each pixel give colour and alpha, one ray through its centre gives depth and normal. Colours are
    display values, averaged as they are stored. Nothing is differentiable. A camera in a solid sees that
    everywhere. Raises ValueError if a shape or a size is wrong.
    """
    cameras, traced = prepared(intrinsics, camera_to_world, width, height, samples)
    if len(traced.alpha):
        _trace(*cameras, samples, *traced)
    return traced


def prepared(
    intrinsics: Tensor, camera_to_world: Tensor, width: int, height: int, samples: int
) -> tuple[tuple[Tensor, Tensor], Traced]:
    """(the cameras on the kernels' device, pictures to be filled). Raises ValueError if a shape or a size is wrong."""
    views = camera_to_world.shape[0]
    if tuple(intrinsics.shape) != (views, 3, 3) or tuple(camera_to_world.shape) != (views, 3, 4):
        raise ValueError(
            f"intrinsics {tuple(intrinsics.shape)} and camera_to_world {tuple(camera_to_world.shape)} "
            "must be (V, 3, 3) and (V, 3, 4)"
        )
    if width < 1 or height < 1 or samples < 1:
        raise ValueError(f"width {width}, height {height} and samples {samples} must be at least 1")
    settings = {"dtype": torch.float32, "device": runtime.torch_device()}
    image = torch.empty(views, height, width, 3, **settings)
    alpha = torch.empty(views, height, width, **settings)
    cameras = (intrinsics.detach().to(**settings).contiguous(), camera_to_world.detach().to(**settings).contiguous())
    return cameras, Traced(image, alpha, torch.empty_like(alpha), torch.empty_like(image))


def demo_distance(points: Tensor) -> tuple[Tensor, Tensor]:
    """Signed distance (N,) float32 and nearest part (N,) int32 of world points (N, 3) in the demo scene.

    Negative inside; zero on the surface, with the outward unit normal as its gradient; outside at most the
    true distance. Part numbers are named in datasets.demo.shapes. Raises ValueError for another shape.
    """
    return measured(scene, points)


@cache
def _measure(scene: Callable):
    """The kernel of `measured`."""

    @ti.kernel
    def measure(
        points: ti.types.ndarray(dtype=tm.vec3, ndim=1),  # (N,) world
        distance: ti.types.ndarray(dtype=ti.f32, ndim=1),  # (N,) out
        part: ti.types.ndarray(dtype=ti.i32, ndim=1),  # (N,) out
    ):
        for i in points:
            found = scene(points[i])
            distance[i] = found.x
            part[i] = ti.cast(found.y, ti.i32)

    return measure


def measured(scene: Callable, points: Tensor) -> tuple[Tensor, Tensor]:
    """Distance (N,) float32 and part (N,) int32 of world points (N, 3) in a scene, a Taichi function of a point. Raises
    ValueError for other shapes."""
    if points.ndim != 2 or points.shape[1] != 3:
        raise ValueError(f"points must be (N, 3), not {tuple(points.shape)}")
    device = runtime.torch_device()
    points = points.detach().to(dtype=torch.float32, device=device).contiguous()
    distance = torch.empty(len(points), dtype=torch.float32, device=device)
    part = torch.empty(len(points), dtype=torch.int32, device=device)
    if len(points):
        _measure(scene)(points, distance, part)
    return distance, part
