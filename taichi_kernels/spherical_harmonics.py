"""Real spherical harmonics of degree 0 to 2 as Taichi functions, in PlenOctrees' order and signs (Yu et al. 2021)."""

import taichi as ti

C0 = 0.28209479177387814
C1 = 0.4886025119029199
C2 = (1.0925484305920792, -1.0925484305920792, 0.31539156525252005, -1.0925484305920792, 0.5462742152960396)


@ti.func
def sh_basis(count: ti.template(), d: ti.template()):
    """The first `count` (1, 4 or 9) basis functions at the unit vector d."""
    b = ti.Vector([0.0 * d[0] for _ in ti.static(range(count))])
    b[0] = C0
    if ti.static(count > 1):
        b[1], b[2], b[3] = -C1 * d[1], C1 * d[2], -C1 * d[0]
    if ti.static(count > 4):
        xx, yy, zz = d[0] * d[0], d[1] * d[1], d[2] * d[2]
        b[4] = C2[0] * d[0] * d[1]
        b[5] = C2[1] * d[1] * d[2]
        b[6] = C2[2] * (2.0 * zz - xx - yy)
        b[7] = C2[3] * d[0] * d[2]
        b[8] = C2[4] * (xx - yy)
    return b


@ti.func
def sh_gradient(count: ti.template(), d: ti.template(), g: ti.template()):
    """Gradient with respect to d (3 components, d taken as free) of sum_k g[k] basis[k](d)."""
    x = 0.0 * d[0]
    y, z = x, x
    if ti.static(count > 1):
        x, y, z = -C1 * g[3], -C1 * g[1], C1 * g[2]
    if ti.static(count > 4):
        x += C2[0] * g[4] * d[1] - 2.0 * C2[2] * g[6] * d[0] + C2[3] * g[7] * d[2] + 2.0 * C2[4] * g[8] * d[0]
        y += C2[0] * g[4] * d[0] + C2[1] * g[5] * d[2] - 2.0 * C2[2] * g[6] * d[1] - 2.0 * C2[4] * g[8] * d[1]
        z += C2[1] * g[5] * d[1] + 4.0 * C2[2] * g[6] * d[2] + C2[3] * g[7] * d[0]
    return ti.Vector([x, y, z])
