/* The limit that benchmarks/splatting.py compares with: one loop over ready-made bins, as a compiler vectorises it, 16 floats at a
   time where the processor has AVX-512. Tiles are 16 x 16 pixels, of which only the rows that a splat touches are visited; alpha = 1 - d^2 / r^2; three channels; front to back without an early end. */
#include <math.h>

#define EDGE 16

static void tile(const float *splats, const int *entries, int begin, int end, int left, int top, int width, int height,
                 float *image, float *transmittance) {
    float red[EDGE][EDGE] = {{0}}, green[EDGE][EDGE] = {{0}}, blue[EDGE][EDGE] = {{0}}, through[EDGE][EDGE];
    for (int y = 0; y < EDGE; y++)
        for (int x = 0; x < EDGE; x++) through[y][x] = 1.0f;
    for (int k = begin; k < end; k++) {
        const float *s = splats + 7 * entries[k]; /* column, row, radius, opacity, red, green, blue */
        const float u = s[0] - left - 0.5f, v = s[1] - top - 0.5f, r = s[2], inverse = 1.0f / (r * r);
        int first = (int)ceilf(v - r), last = (int)floorf(v + r);
        if (first < 0) first = 0;
        if (last > EDGE - 1) last = EDGE - 1;
        for (int y = first; y <= last; y++) {
            const float dy = y - v, most = 1.0f - dy * dy * inverse;
#pragma omp simd
            for (int x = 0; x < EDGE; x++) {
                const float dx = x - u, alpha = fmaxf(most - dx * dx * inverse, 0.0f) * s[3], weight = through[y][x] * alpha;
                red[y][x] += weight * s[4];
                green[y][x] += weight * s[5];
                blue[y][x] += weight * s[6];
                through[y][x] -= weight;
            }
        }
    }
    for (int y = 0; y < EDGE && top + y < height; y++)
        for (int x = 0; x < EDGE && left + x < width; x++) {
            float *pixel = image + 3 * ((top + y) * width + left + x);
            pixel[0] = red[y][x];
            pixel[1] = green[y][x];
            pixel[2] = blue[y][x];
            transmittance[(top + y) * width + left + x] = through[y][x];
        }
}

void splat(const float *splats, const int *tile_start, const int *entries, int width, int height, int threads, float *image,
           float *transmittance) {
    const int tiles_x = (width + EDGE - 1) / EDGE, tiles_y = (height + EDGE - 1) / EDGE;
#pragma omp parallel for schedule(dynamic, 8) num_threads(threads)
    for (int t = 0; t < tiles_x * tiles_y; t++)
        tile(splats, entries, tile_start[t], tile_start[t + 1], t % tiles_x * EDGE, t / tiles_x * EDGE, width, height, image,
             transmittance);
}
