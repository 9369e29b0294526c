"""Sphere tracing of the glossy demo scene: colour with reflections, exact coverage, depth, normals and roughness.

Colour = (1 - tint) * diffuse + tint * specular, in linear light, then sRGB. Diffuse light is that of the window, with a soft
shadow, and of the environment blurred by a wide lobe about the normal, times ambient occlusion. Specular light comes along the
reflected direction: from the surface that this ray hits, which itself reflects the environment alone, or from the environment
blurred by the first surface's lobe. A ray that passes near a surface is partly covered by it, the more the wider the lobe. Rough
metal reflects into many directions of its lobe, the same ones in every pixel, so that there is no noise.
"""

import taichi as ti
import taichi.math as tm
import torch
from torch import Tensor

from datasets.demo.glossy_light import WINDOW, WINDOW_LIGHT, environment, glow
from datasets.demo.glossy_materials import diffuse_of, is_metal, roughness_of, tint_of
from datasets.demo.glossy_shapes import BOUND_RADIUS, scene
from datasets.demo.sphere_tracing import DARKEST, Image1, Image3, Traced, ball_depths, corner, measured, prepared

_HIT, _STEPS, _NORMAL_STEP = 1e-4, 160, 4e-4  # world units; steps of a ray; half a side of the gradient's differences
_DIFFUSE_LOBE = 0.55  # roughness of a lobe that is as wide as a cosine's
_WINDOW_ANGLE = 0.085  # solid angle of the window over pi
_SHADOW_SHARPNESS, _SHADOW_STEPS = 7.0, 28
_LOBE_KEPT = 0.3  # fraction of a rough lobe's variance that remains for each of its rays
_ROUGH, _ROUGH_RAYS = 0.006, 6  # rougher surfaces send so many rays for each sample, others one
_GOLDEN_ANGLE = 2.399963  # radians
_TAPS, _OPEN_TAPS = 4, 5  # of the gradient, and of openness


@ti.func
def march(origin, direction, first, last, sharpness, steps):
    """(t, part, whether it was hit, fraction of a lobe that passes) of a ray with unit direction.

    t and part are those of the hit, else of the closest approach relative to its distance from the origin.
    """
    t, hit, clear, nearest, part, before = first, 0.0, 1.0, last, 0.0, 0.0
    for _ in range(steps):
        found = scene(origin + t * direction)
        if found.x < _HIT:
            hit, nearest, part, clear = 1.0, t + found.x, found.y, 0.0
            break
        if found.x < before:  # it comes nearer: not the surface that the ray leaves
            back = 0.5 * found.x * found.x / before  # to where the free balls of this step and the last one meet: no bands
            passed, aside = ti.max(t - back, 1e-3), ti.sqrt(ti.max(found.x * found.x - back * back, 0.0))
            if sharpness * aside < clear * passed:
                clear, nearest, part = sharpness * aside / passed, passed, found.y
        before = found.x
        t += found.x
        if t > last:
            break
    return nearest, part, hit, clear


@ti.func
def surface(p, with_light):
    """(outward unit normal, openness, window's light) of the surface at p; the last two only if wanted.

    Openness is the fraction of the light around that reaches p: distances along the normal that fall short of their way take
    some. The window's light is its cosine times the fraction of it that is not in shadow. All go through one call of `scene`,
    because each inlined copy costs seconds to compile.
    """
    slope, normal, taken, way = tm.vec3(0.0), tm.vec3(0.0), 0.0, 0.015
    toward, cosine, visible = WINDOW.normalized(), 0.0, 1.0
    for tap in range(_TAPS + _OPEN_TAPS + _SHADOW_STEPS):
        point = p + _NORMAL_STEP * corner(tap)
        if tap >= _TAPS + _OPEN_TAPS:
            point = p + way * toward
        elif tap >= _TAPS:
            point = p + way * normal
        room = scene(point).x
        if tap < _TAPS:
            slope += room * corner(tap)
            if tap == _TAPS - 1:
                normal = slope.normalized(1e-12)
                if not with_light:
                    break
        elif tap < _TAPS + _OPEN_TAPS:
            taken += 0.75 ** (tap - _TAPS) * (way - room)
            way += 0.065
            if tap == _TAPS + _OPEN_TAPS - 1:
                cosine, way = normal.dot(toward), 0.02
                if cosine <= 0.0:
                    break
        else:
            visible = ti.min(visible, _SHADOW_SHARPNESS * room / way)
            way += tm.clamp(room, 0.015, 0.25)
            if visible < 0.005 or way > 1.5:
                break
    return normal, tm.clamp(1.0 - 1.6 * taken, 0.0, 1.0), ti.max(cosine, 0.0) * tm.smoothstep(0.0, 1.0, visible)


@ti.func
def in_lobe(axis, facing, variance, number, count):
    """One of `count` directions that fill a lobe about `axis` evenly, turned back above the surface if it points below."""
    radius = ti.sqrt(-2.0 * variance * ti.log(1.0 - (number + 0.5) / count))
    side = ti.select(ti.abs(axis.z) < 0.9, tm.vec3(0.0, 0.0, 1.0), tm.vec3(1.0, 0.0, 0.0)).cross(axis).normalized()
    turn = _GOLDEN_ANGLE * number
    way = (axis + radius * (ti.cos(turn) * side + ti.sin(turn) * axis.cross(side))).normalized()
    return (way + ti.max(0.02 - way.dot(facing), 0.0) * facing).normalized()


@ti.func
def shown(origin, direction, first, last, number, count):
    """(linear colour, t of the hit or -1, normal, roughness) of what a ray meets, as sample `number` of `count`; -1: the centre.

    The ray of round 0 comes from the camera, those of later rounds are its reflections.
    """
    colour, weight, normal, roughness, depth = tm.vec3(0.0), tm.vec3(1.0), tm.vec3(0.0), 0.0, -1.0
    start, way, lobe, sharpness = origin, direction, 0.0, 1e6
    mirrored, tint, rays = tm.vec3(0.0), tm.vec3(0.0), 1
    for turn in range(1 + _ROUGH_RAYS):
        if turn > 0:
            if number < 0 or depth < 0.0 or turn > rays:
                break
            way = in_lobe(mirrored, normal, roughness - lobe, (turn - 1) * count + number, rays * count)
            weight = tint / rays
        t, number_of_part, hit, clear = march(start, way, first, last, sharpness, _STEPS)
        if turn > 0:
            colour += weight * clear * environment(way, lobe)
            weight *= 1.0 - clear
        if hit == 1.0 or clear < 1.0:
            part, p = ti.cast(number_of_part, ti.i32), start + t * way
            metal = is_metal(part)
            facing, opened, lit = surface(p, not metal)
            cosine = tm.clamp(-way.dot(facing), 0.0, 1.0)
            reflected, own = tint_of(p, part), roughness_of(p, part)
            reflected += (1.0 - reflected) * ((1.0 - cosine) ** 5 * 0.8 / (1.0 + 20.0 * own))
            if not metal:
                light = opened * glow(facing, _DIFFUSE_LOBE) + WINDOW_LIGHT * (_WINDOW_ANGLE * lit)
                colour += weight * (1.0 - reflected) * diffuse_of(p, part) * light
            away = way - 2.0 * way.dot(facing) * facing
            if turn > 0:
                colour += weight * reflected * environment(away, own + lobe)
            else:
                depth, normal, roughness, tint, mirrored = t, facing, own, reflected, away
                start, first, last = p + 2e-3 * facing, 2e-3, 2.0 * BOUND_RADIUS
                rays = ti.select(own > _ROUGH, _ROUGH_RAYS, 1)
                lobe = own * ti.select(own > _ROUGH, _LOBE_KEPT, 1.0)
                sharpness = 0.55 / ti.sqrt(lobe + 2e-5)
    return colour, depth, normal, roughness


@ti.func
def srgb(linear):
    """Display values of linear light, which rolls off above 0.7 instead of clipping."""
    high = ti.max(linear - 0.7, 0.0)
    value = ti.min(linear, 0.7) + high / (1.0 + 3.4 * high)
    encoded = ti.select(value <= 0.0031308, 12.92 * value, 1.055 * value ** (1.0 / 2.4) - 0.055)
    return tm.clamp(encoded, DARKEST, 1.0)


@ti.func
def depths(origin, ray, spread):
    """(first, last) depth between which the rays of a pixel may meet the scene; last = 0: nowhere.

    ray: through the pixel's centre, to depth 1, where the pixel's corners are `spread` away.
    """
    bounds, speed = ball_depths(origin, ray, spread, BOUND_RADIUS), ray.norm()
    z, last = bounds.x, bounds.y
    if last > 0.0:
        for _ in range(_STEPS):
            room = scene(origin + z * ray).x - spread * z
            if room < _HIT:
                break
            z += room / (speed + spread)
            if z > last:
                last = 0.0
                break
    return tm.vec2(z, last)


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
        fx, fy = intrinsics[view, 0, 0], intrinsics[view, 1, 1]
        spread = 0.7072 * ti.max(1.0 / fx, 1.0 / fy)  # half a pixel's diagonal at depth 1
        hits, total, first, last = 0, tm.vec3(0.0), 0.0, 0.0
        depth[view, row, col], roughness[view, row, col], normal[view, row, col] = 0.0, 0.0, tm.vec3(0.0)
        for s in range(-1, samples * samples):  # the ray through the centre first, for depth, normal and roughness
            at = tm.vec2(0.5)
            if s >= 0:
                at = (tm.vec2(s % samples, s // samples) + 0.5) / samples
            x = (col + at.x - intrinsics[view, 0, 2]) / fx
            y = (row + at.y - intrinsics[view, 1, 2]) / fy
            ray = turn @ tm.vec3(x, -y, -1.0)
            length = ray.norm()
            if s < 0:
                bounds = depths(origin, ray, spread)
                first, last = bounds.x, bounds.y
                if last == 0.0:
                    break
            colour, t, facing, rough = shown(origin, ray / length, first * length, last * length, s, samples * samples)
            if s < 0 and t > 0.0:
                depth[view, row, col] = t / length
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
    cameras, traced = prepared(intrinsics, camera_to_world, width, height, samples)
    roughness = torch.empty_like(traced.alpha)
    if len(roughness):
        _trace(*cameras, samples, *traced, roughness)
    return traced, roughness


def glossy_distance(points: Tensor) -> tuple[Tensor, Tensor]:
    """Signed distance and part of world points in the glossy demo scene, as `sphere_tracing.demo_distance` in the other one."""
    return measured(scene, points)
