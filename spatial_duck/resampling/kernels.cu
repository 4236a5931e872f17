// Resampling kernels: a matrix in up to three dimensions, and tables along up to three axes.
//
// Compiled with these names defined: SOURCE, the type of the source; OUTPUT; WORK, float or double,
// that of the arithmetic; TAPS, neighbours along an axis (1: nearest, 2: linear, 4, 6: B-splines,
// 10: Lanczos); INTEGER, 1 where O is one, with OMIN and OMAX its ends. The code has no part that
// only a GPU can run: compiled as C++ with EMULATED defined, each kernel is a loop over its threads.

#ifdef EMULATED
#include <math.h>
#define KERNEL extern "C" void
#define FOR_EACH(i, count) for (Long i = 0; i < count; ++i)
#define DEVICE static inline
#else
#define KERNEL extern "C" __global__ void
#define FOR_EACH(i, count) \
    for (Long i = blockIdx.x * (Long)blockDim.x + threadIdx.x; i < count; \
         i += gridDim.x * (Long)blockDim.x)
#define DEVICE __device__ static inline
#endif

typedef long long Long;
typedef SOURCE T;
typedef OUTPUT O;
typedef WORK W;
#define PI 3.14159265358979323846
#define GRAIN 4.656612873077393e-10  // 2**-31, as in lines.py

DEVICE O stored(W value) {
#if TAPS == 1
    return (O)value;
#elif INTEGER
    W whole = rint(value);
    if (whole >= (W)OMAX) return (O)OMAX;
    if (whole <= (W)OMIN) return (O)OMIN;
    return (O)whole;
#else
    return (O)value;
#endif
}

DEVICE double settled(double x) {
    double halves = rint(x * 2.0);
    return fabs(x * 2.0 - halves) < GRAIN ? halves * 0.5 : x;
}

#if TAPS > 1
DEVICE int looked_up(Long index, int n) {
#if TAPS == 4 || TAPS == 6
    Long period = 2 * (Long)(n - 1);
    if (period == 0) return 0;
    Long inside = (index < 0 ? -index : index) % period;
    return (int)(inside < period - inside ? inside : period - inside);
#else
    return (int)(index < 0 ? 0 : index > n - 1 ? n - 1 : index);
#endif
}

DEVICE W weight(W t) {  // of a neighbour at a distance
    t = fabs(t);
#if TAPS == 4
    if (t < 1) return (4 - 6 * t * t + 3 * t * t * t) / 6;
    W u = t < 2 ? 2 - t : 0;
    return u * u * u / 6;
#elif TAPS == 6
    W s = t * t;
    if (t < 1) return (W)(11.0 / 20) - s / 2 + s * s / 4 - s * s * t / 12;
    if (t < 2)
        return (W)(17.0 / 40) + 5 * t / 8 - 7 * s / 4 + 5 * s * t / 4 - 3 * s * s / 8
               + s * s * t / 24;
    W u = t < 3 ? 3 - t : 0;
    return u * u * u * u * u / 120;
#elif TAPS == 10
    if (t == 0) return 1;
    if (t >= TAPS / 2) return 0;
    W x = (W)PI * t;
    return (TAPS / 2) * sin(x) * sin(x / (TAPS / 2)) / (x * x);
#else
    return t < 1 ? 1 - t : 0;
#endif
}

// Neighbours along one axis: indices into the box at hand, and their weights; returns how many.
DEVICE int neighbours(double x, int first, int length, int edge, int *index, W *weights) {
    if (length == 1) {
        index[0] = -first;
        weights[0] = 1;
        return 1;
    }
    if (edge || TAPS == 2) x = x < 0 ? 0 : x > length - 1 ? length - 1 : x;
    double below = floor(x);
    W fraction = (W)(x - below), total = 0;
    for (int k = 0; k < TAPS; ++k) {
        int step = k + 1 - TAPS / 2;
        index[k] = looked_up((Long)below + step, length) - first;
        weights[k] = TAPS == 10 && fraction == 0 ? (W)(step == 0) : weight(fraction - (W)step);
        total += weights[k];
    }
    if (TAPS == 10)
        for (int k = 0; k < TAPS; ++k) weights[k] /= total;
    return TAPS;
}
#endif

struct Affine {
    double matrix[3][3], offset[3];
    Long begin[3], shape[3];  // the box of the output
    int first[3], box[3], length[3];
    Long batch;
    int edge;
};

// out[b, i, j, k] = source at matrix @ (begin + (i, j, k)) + offset, for each b.
KERNEL affine(const T *source, O *out, const O *fill, const Affine *p) {
    Long each = p->shape[0] * p->shape[1] * p->shape[2];
    Long voxels = (Long)p->box[0] * p->box[1] * p->box[2];
    FOR_EACH(i, each) {
        Long at[3] = {i / (p->shape[1] * p->shape[2]), i / p->shape[2] % p->shape[1],
                      i % p->shape[2]};
        double x[3];
        int inside = 1;
        for (int s = 0; s < 3; ++s) {
            double row = p->offset[s];
            for (int j = 0; j < 2; ++j) row += p->matrix[s][j] * (double)(p->begin[j] + at[j]);
            x[s] = settled(row) + p->matrix[s][2] * (double)(p->begin[2] + at[2]);
            inside = inside && x[s] >= -0.5 && x[s] < p->length[s] - 0.5;
        }
        if (!inside && !p->edge) {
            for (Long b = 0; b < p->batch; ++b) out[b * each + i] = *fill;
            continue;
        }
#if TAPS == 1
        Long where = 0;
        for (int s = 0; s < 3; ++s) {
            double near = floor(x[s] + 0.5), top = p->length[s] - 1;
            near = near < 0 ? 0 : near > top ? top : near;
            where = where * p->box[s] + ((Long)near - p->first[s]);
        }
        for (Long b = 0; b < p->batch; ++b) out[b * each + i] = (O)source[b * voxels + where];
#else
        int index[3][TAPS], count[3];
        W weights[3][TAPS];
        for (int s = 0; s < 3; ++s)
            count[s] = neighbours(x[s], p->first[s], p->length[s], p->edge, index[s], weights[s]);
        for (Long b = 0; b < p->batch; ++b) {
            const T *here = source + b * voxels;
            W total = 0;
            for (int u = 0; u < count[0]; ++u) {
                if (weights[0][u] == 0) continue;
                W plane = 0;
                for (int v = 0; v < count[1]; ++v) {
                    if (weights[1][v] == 0) continue;
                    const T *row = here + ((Long)index[0][u] * p->box[1] + index[1][v]) * p->box[2];
                    W line = 0;
                    for (int w = 0; w < count[2]; ++w)
                        if (weights[2][w] != 0) line += weights[2][w] * (W)row[index[2][w]];
                    plane += weights[1][v] * line;
                }
                total += weights[0][u] * plane;
            }
            out[b * each + i] = stored(total);
        }
#endif
    }
}

struct Tables {
    Long around[4];           // voxels before, between and after the three axes
    int from[3], to[3], taps[3];  // lengths before and after, and neighbours of each voxel
};

// Weigh neighbours along three axes: those of voxel i are index[i * taps ...], with such weights.
KERNEL tables(const T *source, O *out, const Tables *p, const int *index0, const W *weights0,
              const int *index1, const W *weights1, const int *index2, const W *weights2) {
    const int *index[3] = {index0, index1, index2};
    const W *weights[3] = {weights0, weights1, weights2};
    const Long *n = p->around;
    Long count = n[0] * n[1] * n[2] * n[3] * p->to[0] * p->to[1] * p->to[2];
    FOR_EACH(i, count) {
        Long rest = i, around[4], at[3];
        for (int a = 3; a > 0; --a) {
            around[a] = rest % n[a];
            rest /= n[a];
            at[a - 1] = rest % p->to[a - 1];
            rest /= p->to[a - 1];
        }
        W total = 0;
        for (int u = 0; u < p->taps[0]; ++u) {
            W wu = weights[0][at[0] * p->taps[0] + u];
            if (wu == 0) continue;
            Long plane = (rest * p->from[0] + index[0][at[0] * p->taps[0] + u]) * n[1] + around[1];
            W between = 0;
            for (int v = 0; v < p->taps[1]; ++v) {
                W wv = weights[1][at[1] * p->taps[1] + v];
                if (wv == 0) continue;
                Long row = (plane * p->from[1] + index[1][at[1] * p->taps[1] + v]) * n[2]
                           + around[2];
                W line = 0;
                for (int w = 0; w < p->taps[2]; ++w) {
                    W ww = weights[2][at[2] * p->taps[2] + w];
                    if (ww == 0) continue;
                    Long voxel = (row * p->from[2] + index[2][at[2] * p->taps[2] + w]) * n[3]
                                 + around[3];
                    line += ww * (W)source[voxel];
                }
                between += wv * line;
            }
            total += wu * between;
        }
        out[i] = stored(total);
    }
}
