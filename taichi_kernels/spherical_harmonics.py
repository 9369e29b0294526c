"""Real spherical harmonics of degree 0 to 3 as Taichi functions, in PlenOctrees' order and signs (Yu et al. 2021)."""

import taichi as ti

C0 = 0.28209479177387814
C1 = 0.4886025119029199
C2 = (1.0925484305920792, -1.0925484305920792, 0.31539156525252005, -1.0925484305920792, 0.5462742152960396)
C3 = (
    -0.5900435899266435, 2.890611442640554, -0.4570457994644658, 0.3731763325901154, -0.4570457994644658, 1.445305721320277,
    -0.5900435899266435,
)


@ti.func
def sh_basis(count: ti.template(), d: ti.template()):
    """The first `count` (1, 4, 9 or 16) basis functions at the unit vector d."""
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
        if ti.static(count > 9):
            b[9] = C3[0] * d[1] * (3.0 * xx - yy)
            b[10] = C3[1] * d[0] * d[1] * d[2]
            b[11] = C3[2] * d[1] * (4.0 * zz - xx - yy)
            b[12] = C3[3] * d[2] * (2.0 * zz - 3.0 * xx - 3.0 * yy)
            b[13] = C3[4] * d[0] * (4.0 * zz - xx - yy)
            b[14] = C3[5] * d[2] * (xx - yy)
            b[15] = C3[6] * d[0] * (xx - 3.0 * yy)
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
    if ti.static(count > 9):
        xx, yy, zz, xy, xz, yz = d[0] * d[0], d[1] * d[1], d[2] * d[2], d[0] * d[1], d[0] * d[2], d[1] * d[2]
        x += 6.0 * C3[0] * g[9] * xy + C3[1] * g[10] * yz - 2.0 * C3[2] * g[11] * xy - 6.0 * C3[3] * g[12] * xz
        x += C3[4] * g[13] * (4.0 * zz - 3.0 * xx - yy) + 2.0 * C3[5] * g[14] * xz + 3.0 * C3[6] * g[15] * (xx - yy)
        y += 3.0 * C3[0] * g[9] * (xx - yy) + C3[1] * g[10] * xz + C3[2] * g[11] * (4.0 * zz - xx - 3.0 * yy)
        y -= 6.0 * C3[3] * g[12] * yz + 2.0 * C3[4] * g[13] * xy + 2.0 * C3[5] * g[14] * yz + 6.0 * C3[6] * g[15] * xy
        z += C3[1] * g[10] * xy + 8.0 * C3[2] * g[11] * yz + C3[3] * g[12] * (6.0 * zz - 3.0 * xx - 3.0 * yy)
        z += 8.0 * C3[4] * g[13] * xz + C3[5] * g[14] * (xx - yy)
    return ti.Vector([x, y, z])
