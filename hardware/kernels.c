/* A network's steps between two matrix products, each in one pass over memory.

   For CPUs with AVX-512 or AVX2; compiled for features in float32 with -DFP32, else for
   bfloat16, which needs AVX-512 BF16. Images are channels-last: N x H x W pixels (`rows`)
   of C channels each, any C. Sums are in float32 over a band of rows, then in double. A
   batch norm is passed as its effect on a channel, a x + b, and a ReLU as the least value
   that it lets through (0, or minus infinity for none). Their outputs are never written:
   each function applies them as it reads x. NaN stays NaN. */
#include <immintrin.h>
#include <omp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#ifdef FP32
typedef float element;
#else
typedef uint16_t element; /* bfloat16 */
#endif
#ifdef __AVX512F__
typedef __m512 vec; /* LANES channels in float32 */
typedef __m512i ints;
#define LANES 16
#else
typedef __m256 vec;
typedef __m256i ints;
#define LANES 8
#endif
enum { BAND = 256, GROUP = 4, LINE = 64 / sizeof(element) };
#define INLINE static inline __attribute__((always_inline))

/* Do the statements for each group of LANES channels: c is the first, m their number.
   Masked loads and stores are slow; m is LANES except for the last few channels. */
#define FOR_CHANNELS(...)                                         \
  {                                                               \
    int64_t c = 0;                                                \
    for (; c + LANES <= C; c += LANES) {                          \
      const int m = LANES;                                        \
      __VA_ARGS__                                                 \
    }                                                             \
    if (c < C) {                                                  \
      const int m = (int)(C - c);                                 \
      __VA_ARGS__                                                 \
    }                                                             \
  }

#ifdef __AVX512F__
INLINE __mmask16 mask(int m) { return (__mmask16)((1u << m) - 1); }
INLINE vec loadf(int m, const float *p) {
  return m == LANES ? _mm512_loadu_ps(p) : _mm512_maskz_loadu_ps(mask(m), p);
}
INLINE void storef(int m, float *p, vec v) {
  if (m == LANES) _mm512_storeu_ps(p, v);
  else _mm512_mask_storeu_ps(p, mask(m), v);
}
INLINE ints load_bytes(int m, const uint8_t *p) {
  return _mm512_cvtepu8_epi32(m == LANES ? _mm_loadu_si128((const __m128i *)p)
                                         : _mm_maskz_loadu_epi8(mask(m), p));
}
INLINE void store_bytes(int m, uint8_t *p, ints v) {
  _mm512_mask_cvtepi32_storeu_epi8(p, mask(m), v);
}
INLINE vec rectify(vec v, vec low) { return _mm512_max_ps(low, v); } /* keeps NaN */
INLINE vec madd(vec u, vec v, vec w) { return _mm512_fmadd_ps(u, v, w); }
#else
INLINE ints mask(int m) {
  static const int32_t there[2 * LANES] = {-1, -1, -1, -1, -1, -1, -1, -1};
  return _mm256_loadu_si256((const __m256i *)(there + LANES - m));
}
INLINE vec loadf(int m, const float *p) {
  return m == LANES ? _mm256_loadu_ps(p) : _mm256_maskload_ps(p, mask(m));
}
INLINE void storef(int m, float *p, vec v) {
  if (m == LANES) _mm256_storeu_ps(p, v);
  else _mm256_maskstore_ps(p, mask(m), v);
}
INLINE ints load_bytes(int m, const uint8_t *p) {
  uint64_t bytes = 0;
  memcpy(&bytes, p, (size_t)m);
  return _mm256_cvtepu8_epi32(_mm_cvtsi64_si128((int64_t)bytes));
}
INLINE void store_bytes(int m, uint8_t *p, ints v) {
  __m256i low = _mm256_shuffle_epi8(v, _mm256_set1_epi32(0x0c080400));
  uint64_t bytes = (uint32_t)_mm256_extract_epi32(low, 0) |
                   (uint64_t)(uint32_t)_mm256_extract_epi32(low, 4) << 32;
  memcpy(p, &bytes, (size_t)m);
}
INLINE vec rectify(vec v, vec low) { return _mm256_max_ps(low, v); } /* keeps NaN */
INLINE vec madd(vec u, vec v, vec w) { return _mm256_fmadd_ps(u, v, w); }
#endif

#ifdef FP32
INLINE vec load(int m, const element *p) { return loadf(m, p); }
INLINE void store(int m, element *p, vec v) { storef(m, p, v); }
INLINE float widen(element value) { return value; }
#else
INLINE vec load(int m, const element *p) {
  __m256i halves = m == LANES ? _mm256_loadu_si256((const __m256i *)p)
                              : _mm256_maskz_loadu_epi16(mask(m), p);
  return (vec)_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16);
}
INLINE void store(int m, element *p, vec v) {
  __m256i halves = (__m256i)_mm512_cvtneps_pbh(v);
  if (m == LANES) _mm256_storeu_si256((__m256i *)p, halves);
  else _mm256_mask_storeu_epi16(p, mask(m), halves);
}
INLINE float widen(element value) {
  union { uint32_t bits; float number; } u = {(uint32_t)value << 16};
  return u.number;
}
#endif

/* gcc's and clang's operators on vectors do the rest. */
typedef int32_t lanes __attribute__((vector_size(4 * LANES)));
INLINE vec all(float value) { return value - (vec){0}; }
INLINE vec least(int relu) { return all(relu ? 0.0f : -__builtin_inff()); }
INLINE vec choose(lanes there, vec u, vec v) { /* u there, else v */
  return (vec)((there & (lanes)u) | (~there & (lanes)v));
}
INLINE vec let_through(vec v, vec low, vec g) { /* g where v > low, else 0 */
  return choose(v <= low, all(0), g);
}
/* Prefetch LANES channels' share of a row of W pixels. */
INLINE void fetch(const element *image, int64_t row, int64_t c, int64_t W, int64_t C) {
  const element *p = image + (row * C + c) * W;
  for (int64_t k = 0; k < LANES * W; k += LINE) __builtin_prefetch(p + k, 0, 2);
}

/* The threads' sums, n for each, one after the other. */
static double *new_sums(int threads, int64_t n) {
  return calloc((size_t)(threads * n), sizeof(double));
}
static void add_up(double *sums, int threads, int64_t n) { /* in the first thread's */
  for (int t = 1; t < threads; t++)
    for (int64_t k = 0; k < n; k++) sums[k] += sums[t * n + k];
}
static int64_t padded(int64_t C) { return (C + LANES - 1) / LANES * LANES; }

/* Mean and biased variance of each channel, computed around the first row's values. */
void channel_moments(int threads, const element *x, float *mean, float *var, int64_t rows,
                     int64_t C) {
  double *sums = new_sums(threads, 2 * C);
  int64_t pad = padded(C);
#pragma omp parallel num_threads(threads)
  {
    double *mine = sums + omp_get_thread_num() * 2 * C;
    float *s = malloc(2 * (size_t)pad * sizeof(float)), *q = s + pad;
#pragma omp for schedule(static)
    for (int64_t first = 0; first < rows; first += BAND) {
      int64_t end = first + BAND < rows ? first + BAND : rows;
      memset(s, 0, 2 * (size_t)pad * sizeof(float));
      for (int64_t r = first; r < end; r += GROUP) {
        int64_t n = end - r < GROUP ? end - r : GROUP;
        FOR_CHANNELS(
          vec shift = load(m, x + c), u = loadf(LANES, s + c), w = loadf(LANES, q + c);
          for (int64_t k = 0; k < n; k++) {
            vec v = load(m, x + (r + k) * C + c) - shift;
            u += v;
            w = madd(v, v, w);
          }
          storef(LANES, s + c, u);
          storef(LANES, q + c, w);
        )
      }
      for (int64_t c = 0; c < C; c++) mine[c] += s[c], mine[C + c] += q[c];
    }
    free(s);
  }
  add_up(sums, threads, 2 * C);
  for (int64_t c = 0; c < C; c++) {
    double s = sums[c] / rows, v = sums[C + c] / rows - s * s;
    mean[c] = (float)(widen(x[c]) + s);
    var[c] = (float)(v < 0 ? 0 : v);
  }
  free(sums);
}

/* y = max(a x + b, least) */
void affine(int threads, const element *x, const float *a, const float *b, int relu,
            element *y, int64_t rows, int64_t C) {
  vec low = least(relu);
#pragma omp parallel for schedule(static) num_threads(threads)
  for (int64_t r = 0; r < rows; r++)
    FOR_CHANNELS(
      vec v = madd(load(m, x + r * C + c), loadf(m, a + c), loadf(m, b + c));
      store(m, y + r * C + c, rectify(v, low));
    )
}

/* Sums over the rows of g and of g (x - mean), where a x + b > least. */
void affine_sums(int threads, const element *g, const element *x, const float *a,
                 const float *b, const float *mean, int relu, float *sum_g,
                 float *sum_gx, int64_t rows, int64_t C) {
  double *sums = new_sums(threads, 2 * C);
  int64_t pad = padded(C);
  vec low = least(relu);
#pragma omp parallel num_threads(threads)
  {
    double *mine = sums + omp_get_thread_num() * 2 * C;
    float *s = malloc(2 * (size_t)pad * sizeof(float)), *q = s + pad;
#pragma omp for schedule(static)
    for (int64_t first = 0; first < rows; first += BAND) {
      int64_t end = first + BAND < rows ? first + BAND : rows;
      memset(s, 0, 2 * (size_t)pad * sizeof(float));
      for (int64_t r = first; r < end; r += GROUP) {
        int64_t n = end - r < GROUP ? end - r : GROUP;
        FOR_CHANNELS(
          vec va = loadf(m, a + c), vb = loadf(m, b + c), vm = loadf(m, mean + c);
          vec u = loadf(LANES, s + c), w = loadf(LANES, q + c);
          for (int64_t k = 0; k < n; k++) {
            vec vx = load(m, x + (r + k) * C + c), vg = load(m, g + (r + k) * C + c);
            vg = let_through(madd(vx, va, vb), low, vg);
            u += vg;
            w = madd(vg, vx - vm, w);
          }
          storef(LANES, s + c, u);
          storef(LANES, q + c, w);
        )
      }
      for (int64_t c = 0; c < C; c++) mine[c] += s[c], mine[C + c] += q[c];
    }
    free(s);
  }
  add_up(sums, threads, 2 * C);
  for (int64_t c = 0; c < C; c++)
    sum_g[c] = (float)sums[c], sum_gx[c] = (float)sums[C + c];
  free(sums);
}

/* dx = kg g + kx x + k1, with g only where a x + b > least; dx may be g */
void affine_grad(int threads, const element *g, const element *x, const float *a,
                 const float *b, int relu, const float *kg, const float *kx,
                 const float *k1, element *dx, int64_t rows, int64_t C) {
  vec low = least(relu);
#pragma omp parallel for schedule(static) num_threads(threads)
  for (int64_t r = 0; r < rows; r++)
    FOR_CHANNELS(
      vec vx = load(m, x + r * C + c);
      vec vg = let_through(madd(vx, loadf(m, a + c), loadf(m, b + c)), low,
                           load(m, g + r * C + c));
      vx = madd(vx, loadf(m, kx + c), loadf(m, k1 + c));
      store(m, dx + r * C + c, madd(vg, loadf(m, kg + c), vx));
    )
}

/* Depthwise 3 x 3 convolution, stride 1, padding 1, of max(a x + b, least).
   w: 9 x C. Each pixel is read three times and adds to the outputs to its left, at its
   place and to its right. */
void depthwise(int threads, const element *x, const float *a, const float *b, int relu,
               const float *w, element *y, int64_t N, int64_t H, int64_t W, int64_t C) {
  vec low = least(relu);
#pragma omp parallel for schedule(static) num_threads(threads)
  for (int64_t r = 0; r < N * H; r++) {
    int above = r % H > 0, below = r % H < H - 1;
    FOR_CHANNELS(
      if (r + 2 < N * H) { fetch(x, r + 2, c, W, C); fetch(y, r + 1, c, W, C); }
      vec va = loadf(m, a + c), vb = loadf(m, b + c), k[9];
      for (int t = 0; t < 9; t++) k[t] = loadf(m, w + t * C + c);
      vec left = all(0), here = all(0);
      element *out = y + r * W * C + c;
      for (int64_t j = 0; j < W; j++) {
        const element *p = x + (r * W + j) * C + c;
        vec v = rectify(madd(load(m, p), va, vb), low);
        vec to_left = k[5] * v, to_here = k[4] * v, to_right = k[3] * v;
        if (above) {
          v = rectify(madd(load(m, p - W * C), va, vb), low);
          to_left = madd(k[2], v, to_left);
          to_here = madd(k[1], v, to_here);
          to_right = madd(k[0], v, to_right);
        }
        if (below) {
          v = rectify(madd(load(m, p + W * C), va, vb), low);
          to_left = madd(k[8], v, to_left);
          to_here = madd(k[7], v, to_here);
          to_right = madd(k[6], v, to_right);
        }
        if (j) store(m, out + (j - 1) * C, left + to_left);
        left = here + to_here;
        here = to_right;
      }
      store(m, out + (W - 1) * C, left);
    )
  }
}

/* Store a finished gradient and add it to the sums of g and g (x - mean). */
INLINE void finish(__mmask16 m, vec g, const element *x, vec mean, element *out, vec *sums) {
  store(m, out, g);
  sums[0] += g;
  sums[1] = madd(g, load(m, x) - mean, sums[1]);
}

/* Gradients of `depthwise`: gz of a x + b and dw of w; and sums of gz, gz (x - mean). */
void depthwise_grad(int threads, const element *g, const element *x, const float *a,
                    const float *b, const float *mean, int relu, const float *w,
                    element *gz, float *dw, float *sum_g, float *sum_gx, int64_t N,
                    int64_t H, int64_t W, int64_t C) {
  enum { SUMS = 11, PIXELS = 64 };
  double *sums = new_sums(threads, SUMS * C);
  int64_t pad = padded(C), band = W < PIXELS ? PIXELS / W : 1;
  vec low = least(relu);
#pragma omp parallel num_threads(threads)
  {
    double *mine = sums + omp_get_thread_num() * SUMS * C;
    float *s = malloc(SUMS * (size_t)pad * sizeof(float));
    element *outside = calloc((size_t)(W * C), sizeof(element)); /* zeros above and below */
#pragma omp for schedule(static)
    for (int64_t first = 0; first < N * H; first += band) {
      int64_t end = first + band < N * H ? first + band : N * H;
      FOR_CHANNELS(
        vec va = loadf(m, a + c), vb = loadf(m, b + c), vm = loadf(m, mean + c);
        vec k[9], t[SUMS];
        for (int n = 0; n < 9; n++) k[n] = loadf(m, w + n * C + c);
        for (int n = 0; n < SUMS; n++) t[n] = all(0);
        for (int64_t r = first; r < end; r++) {
          if (r + 2 < N * H) {
            fetch(x, r + 1, c, W, C);
            fetch(g, r + 2, c, W, C);
            fetch(gz, r + 1, c, W, C);
          }
          const element *xr = x + r * W * C + c;
          const element *g1 = g + r * W * C + c;
          const element *g0 = r % H > 0 ? g1 - W * C : outside + c;
          const element *g2 = r % H < H - 1 ? g1 + W * C : outside + c;
          element *out = gz + r * W * C + c;
          vec left = all(0), here = all(0); /* gradients of pixels j - 1 and j */
          vec z0 = all(0), z1 = madd(load(m, xr), va, vb), z2 = all(0);
          vec v0 = all(0), v1 = rectify(z1, low), v2 = all(0); /* of z0, z1, z2 */
          for (int64_t j = 0; j < W; j++) {
            z2 = v2 = all(0);
            if (j + 1 < W) {
              z2 = madd(load(m, xr + (j + 1) * C), va, vb);
              v2 = rectify(z2, low);
            }
            vec v = load(m, g0 + j * C);
            vec to_left = k[6] * v, to_here = k[7] * v, to_right = k[8] * v;
            t[6] = madd(v0, v, t[6]), t[7] = madd(v1, v, t[7]), t[8] = madd(v2, v, t[8]);
            v = load(m, g1 + j * C);
            to_left = madd(k[3], v, to_left);
            to_here = madd(k[4], v, to_here);
            to_right = madd(k[5], v, to_right);
            t[3] = madd(v0, v, t[3]), t[4] = madd(v1, v, t[4]), t[5] = madd(v2, v, t[5]);
            v = load(m, g2 + j * C);
            to_left = madd(k[0], v, to_left);
            to_here = madd(k[1], v, to_here);
            to_right = madd(k[2], v, to_right);
            t[0] = madd(v0, v, t[0]), t[1] = madd(v1, v, t[1]), t[2] = madd(v2, v, t[2]);
            if (j) {
              left = let_through(z0, low, left + to_left);
              finish(m, left, xr + (j - 1) * C, vm, out + (j - 1) * C, t + 9);
            }
            left = here + to_here, here = to_right;
            z0 = z1, z1 = z2, v0 = v1, v1 = v2;
          }
          left = let_through(z0, low, left);
          finish(m, left, xr + (W - 1) * C, vm, out + (W - 1) * C, t + 9);
        }
        for (int n = 0; n < SUMS; n++) storef(LANES, s + n * pad + c, t[n]);
      )
      for (int n = 0; n < SUMS; n++)
        for (int64_t c = 0; c < C; c++) mine[n * C + c] += s[n * pad + c];
    }
    free(s);
    free(outside);
  }
  add_up(sums, threads, SUMS * C);
  for (int64_t k = 0; k < 9 * C; k++) dw[k] = (float)sums[k];
  for (int64_t c = 0; c < C; c++)
    sum_g[c] = (float)sums[9 * C + c], sum_gx[c] = (float)sums[10 * C + c];
  free(sums);
}

/* Max-pooling, 3 x 3, stride 2, padding 1, of a x + b: the maxima y, the x at their
   places, and which of the nine (0 to 8) each is; the first of equals. */
void pool(int threads, const element *x, const float *a, const float *b, element *y,
          element *x_there, uint8_t *which, int64_t N, int64_t H, int64_t W, int64_t C) {
  int64_t h = (H + 1) / 2, w = (W + 1) / 2;
#pragma omp parallel for schedule(static) num_threads(threads)
  for (int64_t r = 0; r < N * h; r++)
    for (int64_t j = 0; j < w; j++)
      FOR_CHANNELS(
        vec va = loadf(m, a + c), vb = loadf(m, b + c);
        vec best = least(0), x_best = all(0);
        lanes at = {0};
        for (int t = 0; t < 9; t++) {
          int64_t row = 2 * (r % h) + t / 3 - 1, column = 2 * j + t % 3 - 1;
          if (row < 0 || row >= H || column < 0 || column >= W) continue;
          vec vx = load(m, x + ((r / h * H + row) * W + column) * C + c);
          vec v = madd(vx, va, vb);
          lanes more = (v > best) | (v != v); /* NaN */
          best = choose(more, v, best);
          x_best = choose(more, vx, x_best);
          at = (more & t) | (~more & at);
        }
        int64_t o = (r * w + j) * C + c;
        store(m, y + o, best);
        store(m, x_there + o, x_best);
        store_bytes(m, which + o, (ints)at);
      )
}

/* dx = kg (g, at the places of the maxima) + kx x + k1 */
void pool_grad(int threads, const element *g, const uint8_t *which, const element *x,
               const float *kg, const float *kx, const float *k1, element *dx, int64_t N,
               int64_t H, int64_t W, int64_t C) {
  int64_t h = (H + 1) / 2, w = (W + 1) / 2;
#pragma omp parallel for schedule(static) num_threads(threads)
  for (int64_t r = 0; r < N * H; r++)
    for (int64_t j = 0; j < W; j++) {
      int64_t i = r % H, from[4], place[4], count = 0; /* windows that hold the pixel */
      for (int64_t row = i / 2; row <= (i + 1) / 2; row++)
        for (int64_t column = j / 2; column <= (j + 1) / 2; column++)
          if (row < h && column < w) {
            from[count] = ((r / H * h + row) * w + column) * C;
            place[count++] = (i - 2 * row + 1) * 3 + j - 2 * column + 1;
          }
      FOR_CHANNELS(
        vec sum = all(0);
        for (int64_t n = 0; n < count; n++) {
          lanes here = (lanes)load_bytes(m, which + from[n] + c) == (int32_t)place[n];
          sum += choose(here, load(m, g + from[n] + c), all(0));
        }
        vec vx = load(m, x + (r * W + j) * C + c);
        vx = madd(vx, loadf(m, kx + c), loadf(m, k1 + c));
        store(m, dx + (r * W + j) * C + c, madd(sum, loadf(m, kg + c), vx));
      )
    }
}

/* Max-pooling, 2 x 2, stride 2, and ReLU of N x h x w windows: the maximum or 0, and
   which of the four (0 to 3) it is, the first of equals, or 4 for the 0. Windows begin
   `image`, `row` and `pixel` elements apart, their values `down` and `right`. */
void pool_relu(int threads, const element *x, element *y, uint8_t *which, int64_t N,
               int64_t h, int64_t w, int64_t C, int64_t image, int64_t row,
               int64_t pixel, int64_t down, int64_t right) {
  const int64_t place[4] = {0, right, down, down + right};
#pragma omp parallel for schedule(static) num_threads(threads)
  for (int64_t r = 0; r < N * h; r++)
    for (int64_t j = 0; j < w; j++) {
      const element *from = x + r / h * image + r % h * row + j * pixel;
      int64_t o = (r * w + j) * C;
      FOR_CHANNELS(
        vec best = all(0);
        lanes at = (lanes){0} + 4;
        for (int t = 0; t < 4; t++) {
          vec v = load(m, from + place[t] + c);
          lanes more = (v > best) | (v != v); /* NaN */
          best = choose(more, v, best);
          at = (more & t) | (~more & at);
        }
        store(m, y + o + c, best);
        if (which) store_bytes(m, which + o + c, (ints)at);
      )
    }
}

/* dx = g at the places of the maxima, 0 elsewhere in the windows */
void pool_relu_grad(int threads, const element *g, const uint8_t *which, element *dx,
                    int64_t N, int64_t h, int64_t w, int64_t C, int64_t image,
                    int64_t row, int64_t pixel, int64_t down, int64_t right) {
  const int64_t place[4] = {0, right, down, down + right};
#pragma omp parallel for schedule(static) num_threads(threads)
  for (int64_t r = 0; r < N * h; r++)
    for (int64_t j = 0; j < w; j++) {
      element *to = dx + r / h * image + r % h * row + j * pixel;
      int64_t o = (r * w + j) * C;
      FOR_CHANNELS(
        vec vg = load(m, g + o + c);
        lanes at = (lanes)load_bytes(m, which + o + c);
        for (int t = 0; t < 4; t++)
          store(m, to + place[t] + c, choose(at == t, vg, all(0)));
      )
    }
}
