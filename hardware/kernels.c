/* What training in bfloat16 does between two matrix products, in one pass over memory.

   For CPUs with AVX-512 BF16. Images are channels-last: N x H x W pixels (`rows`) of C
   channels each, any C. Sums are taken in float32 over a band of rows, then in double.
   A batch normalisation is handed over as what it does to a channel, a x + b, and a
   ReLU as the least value that it lets through (0, or minus infinity for none), so that
   their outputs are never written: who reads x applies them. NaN stays NaN. */
#include <immintrin.h>
#include <omp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef uint16_t bf16;
typedef __m512 vec; /* LANES channels in float32 */
enum { LANES = 16, BAND = 256, GROUP = 4 };
#define INLINE static inline __attribute__((always_inline))
#define ALL ((__mmask16)0xffff)

/* Do the statements for every LANES channels: c is the first, m says which are there.
   Masked loads and stores are slow; m is a constant except for the last few channels. */
#define FOR_CHANNELS(...)                                         \
  {                                                               \
    int64_t c = 0;                                                \
    for (; c + LANES <= C; c += LANES) {                          \
      const __mmask16 m = ALL;                                    \
      __VA_ARGS__                                                 \
    }                                                             \
    if (c < C) {                                                  \
      const __mmask16 m = (__mmask16)((1u << (C - c)) - 1);       \
      __VA_ARGS__                                                 \
    }                                                             \
  }

INLINE vec load(__mmask16 m, const bf16 *p) {
  __m256i halves = m == ALL ? _mm256_loadu_si256((const __m256i *)p)
                            : _mm256_maskz_loadu_epi16(m, p);
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
}
INLINE void store(__mmask16 m, bf16 *p, vec v) {
  __m256i halves = (__m256i)_mm512_cvtneps_pbh(v);
  if (m == ALL) _mm256_storeu_si256((__m256i *)p, halves);
  else _mm256_mask_storeu_epi16(p, m, halves);
}
INLINE vec loadf(__mmask16 m, const float *p) {
  return m == ALL ? _mm512_loadu_ps(p) : _mm512_maskz_loadu_ps(m, p);
}
INLINE __m128i load_bytes(__mmask16 m, const uint8_t *p) {
  return m == ALL ? _mm_loadu_si128((const __m128i *)p) : _mm_maskz_loadu_epi8(m, p);
}
INLINE void store_bytes(__mmask16 m, uint8_t *p, __m512i v) {
  if (m == ALL) _mm_storeu_si128((__m128i *)p, _mm512_cvtepi32_epi8(v));
  else _mm_mask_storeu_epi8(p, m, _mm512_cvtepi32_epi8(v));
}
INLINE vec zeros(void) { return _mm512_setzero_ps(); }
INLINE vec least(int relu) { return _mm512_set1_ps(relu ? 0.0f : -__builtin_inff()); }
INLINE vec add(vec u, vec v) { return _mm512_add_ps(u, v); }
INLINE vec sub(vec u, vec v) { return _mm512_sub_ps(u, v); }
INLINE vec mul(vec u, vec v) { return _mm512_mul_ps(u, v); }
INLINE vec madd(vec u, vec v, vec w) { return _mm512_fmadd_ps(u, v, w); }
INLINE vec rectify(vec v, vec low) { return _mm512_max_ps(low, v); } /* keeps NaN */
INLINE vec let_through(vec v, vec low, vec g) { /* g where v > low, else 0 */
  return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(v, low, _CMP_NLE_UQ), g);
}
INLINE float widen(bf16 value) {
  union { uint32_t bits; float number; } u = {(uint32_t)value << 16};
  return u.number;
}
/* Bring LANES channels' share of a row of W pixels near, before it is asked for. */
INLINE void fetch(const bf16 *image, int64_t row, int64_t c, int64_t W, int64_t C) {
  const bf16 *p = image + (row * C + c) * W;
  for (int64_t k = 0; k < LANES * W; k += 32) __builtin_prefetch(p + k, 0, 2);
}

/* Each thread's sums, n of them, one after the other. */
static double *new_sums(int threads, int64_t n) {
  return calloc((size_t)(threads * n), sizeof(double));
}
static void add_up(double *sums, int threads, int64_t n) { /* into the first thread's */
  for (int t = 1; t < threads; t++)
    for (int64_t k = 0; k < n; k++) sums[k] += sums[t * n + k];
}
static int64_t padded(int64_t C) { return (C + LANES - 1) / LANES * LANES; }

/* Mean and biased variance of each channel, about the first row's values. */
void channel_moments(int threads, const bf16 *x, float *mean, float *var, int64_t rows,
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
          vec shift = load(m, x + c), u = loadf(ALL, s + c), w = loadf(ALL, q + c);
          for (int64_t k = 0; k < n; k++) {
            vec v = sub(load(m, x + (r + k) * C + c), shift);
            u = add(u, v);
            w = madd(v, v, w);
          }
          _mm512_storeu_ps(s + c, u);
          _mm512_storeu_ps(q + c, w);
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
void affine(int threads, const bf16 *x, const float *a, const float *b, int relu,
            bf16 *y, int64_t rows, int64_t C) {
  vec low = least(relu);
#pragma omp parallel for schedule(static) num_threads(threads)
  for (int64_t r = 0; r < rows; r++)
    FOR_CHANNELS(
      vec v = madd(load(m, x + r * C + c), loadf(m, a + c), loadf(m, b + c));
      store(m, y + r * C + c, rectify(v, low));
    )
}

/* Sums over the rows of g and of g (x - mean), where a x + b > least. */
void affine_sums(int threads, const bf16 *g, const bf16 *x, const float *a,
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
          vec u = loadf(ALL, s + c), w = loadf(ALL, q + c);
          for (int64_t k = 0; k < n; k++) {
            vec vx = load(m, x + (r + k) * C + c), vg = load(m, g + (r + k) * C + c);
            vg = let_through(madd(vx, va, vb), low, vg);
            u = add(u, vg);
            w = madd(vg, sub(vx, vm), w);
          }
          _mm512_storeu_ps(s + c, u);
          _mm512_storeu_ps(q + c, w);
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
void affine_grad(int threads, const bf16 *g, const bf16 *x, const float *a,
                 const float *b, int relu, const float *kg, const float *kx,
                 const float *k1, bf16 *dx, int64_t rows, int64_t C) {
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
   w: 9 x C. A pixel is read three times; it adds to the outputs left of it, at it and
   right of it. */
void depthwise(int threads, const bf16 *x, const float *a, const float *b, int relu,
               const float *w, bf16 *y, int64_t N, int64_t H, int64_t W, int64_t C) {
  vec low = least(relu);
#pragma omp parallel for schedule(static) num_threads(threads)
  for (int64_t r = 0; r < N * H; r++) {
    int above = r % H > 0, below = r % H < H - 1;
    FOR_CHANNELS(
      if (r + 2 < N * H) { fetch(x, r + 2, c, W, C); fetch(y, r + 1, c, W, C); }
      vec va = loadf(m, a + c), vb = loadf(m, b + c), k[9];
      for (int t = 0; t < 9; t++) k[t] = loadf(m, w + t * C + c);
      vec left = zeros(), here = zeros();
      bf16 *out = y + r * W * C + c;
      for (int64_t j = 0; j < W; j++) {
        const bf16 *p = x + (r * W + j) * C + c;
        vec v = rectify(madd(load(m, p), va, vb), low);
        vec to_left = mul(k[5], v), to_here = mul(k[4], v), to_right = mul(k[3], v);
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
        if (j) store(m, out + (j - 1) * C, add(left, to_left));
        left = add(here, to_here);
        here = to_right;
      }
      store(m, out + (W - 1) * C, left);
    )
  }
}

/* Store a finished gradient and add it to the sums of g and g (x - mean). */
INLINE void finish(__mmask16 m, vec g, const bf16 *x, vec mean, bf16 *out, vec *sums) {
  store(m, out, g);
  sums[0] = add(sums[0], g);
  sums[1] = madd(g, sub(load(m, x), mean), sums[1]);
}

/* Gradients of `depthwise`: gz of a x + b and dw of w; and sums of gz, gz (x - mean). */
void depthwise_grad(int threads, const bf16 *g, const bf16 *x, const float *a,
                    const float *b, const float *mean, int relu, const float *w,
                    bf16 *gz, float *dw, float *sum_g, float *sum_gx, int64_t N,
                    int64_t H, int64_t W, int64_t C) {
  enum { SUMS = 11, PIXELS = 64 };
  double *sums = new_sums(threads, SUMS * C);
  int64_t pad = padded(C), band = W < PIXELS ? PIXELS / W : 1;
  vec low = least(relu);
#pragma omp parallel num_threads(threads)
  {
    double *mine = sums + omp_get_thread_num() * SUMS * C;
    float *s = malloc(SUMS * (size_t)pad * sizeof(float));
    bf16 *outside = calloc((size_t)(W * C), sizeof(bf16)); /* above and below: zeros */
#pragma omp for schedule(static)
    for (int64_t first = 0; first < N * H; first += band) {
      int64_t end = first + band < N * H ? first + band : N * H;
      FOR_CHANNELS(
        vec va = loadf(m, a + c), vb = loadf(m, b + c), vm = loadf(m, mean + c);
        vec k[9], t[SUMS];
        for (int n = 0; n < 9; n++) k[n] = loadf(m, w + n * C + c);
        for (int n = 0; n < SUMS; n++) t[n] = zeros();
        for (int64_t r = first; r < end; r++) {
          if (r + 2 < N * H) {
            fetch(x, r + 1, c, W, C);
            fetch(g, r + 2, c, W, C);
            fetch(gz, r + 1, c, W, C);
          }
          const bf16 *xr = x + r * W * C + c;
          const bf16 *g1 = g + r * W * C + c;
          const bf16 *g0 = r % H > 0 ? g1 - W * C : outside + c;
          const bf16 *g2 = r % H < H - 1 ? g1 + W * C : outside + c;
          bf16 *out = gz + r * W * C + c;
          vec left = zeros(), here = zeros(); /* gradients of pixels j - 1 and j */
          vec z0 = zeros(), z1 = madd(load(m, xr), va, vb), z2 = zeros();
          vec v0 = zeros(), v1 = rectify(z1, low), v2 = zeros(); /* of z0, z1, z2 */
          for (int64_t j = 0; j < W; j++) {
            z2 = v2 = zeros();
            if (j + 1 < W) {
              z2 = madd(load(m, xr + (j + 1) * C), va, vb);
              v2 = rectify(z2, low);
            }
            vec v = load(m, g0 + j * C);
            vec to_left = mul(k[6], v), to_here = mul(k[7], v), to_right = mul(k[8], v);
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
              left = let_through(z0, low, add(left, to_left));
              finish(m, left, xr + (j - 1) * C, vm, out + (j - 1) * C, t + 9);
            }
            left = add(here, to_here), here = to_right;
            z0 = z1, z1 = z2, v0 = v1, v1 = v2;
          }
          left = let_through(z0, low, left);
          finish(m, left, xr + (W - 1) * C, vm, out + (W - 1) * C, t + 9);
        }
        for (int n = 0; n < SUMS; n++) _mm512_storeu_ps(s + n * pad + c, t[n]);
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

/* Max-pooling, 3 x 3, stride 2, padding 1, of a x + b: the maxima y, the x that they
   are of, and which of the nine (0 to 8) it is, the first of equals. */
void pool(int threads, const bf16 *x, const float *a, const float *b, bf16 *y,
          bf16 *x_there, uint8_t *which, int64_t N, int64_t H, int64_t W, int64_t C) {
  int64_t h = (H + 1) / 2, w = (W + 1) / 2;
#pragma omp parallel for schedule(static) num_threads(threads)
  for (int64_t r = 0; r < N * h; r++)
    for (int64_t j = 0; j < w; j++)
      FOR_CHANNELS(
        vec va = loadf(m, a + c), vb = loadf(m, b + c);
        vec best = least(0), x_best = zeros();
        __m512i at = _mm512_setzero_si512();
        for (int t = 0; t < 9; t++) {
          int64_t row = 2 * (r % h) + t / 3 - 1, column = 2 * j + t % 3 - 1;
          if (row < 0 || row >= H || column < 0 || column >= W) continue;
          vec vx = load(m, x + ((r / h * H + row) * W + column) * C + c);
          vec v = madd(vx, va, vb);
          __mmask16 more = _mm512_cmp_ps_mask(v, best, _CMP_GT_OQ) |
                           _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q); /* NaN */
          best = _mm512_mask_mov_ps(best, more, v);
          x_best = _mm512_mask_mov_ps(x_best, more, vx);
          at = _mm512_mask_mov_epi32(at, more, _mm512_set1_epi32(t));
        }
        int64_t o = (r * w + j) * C + c;
        store(m, y + o, best);
        store(m, x_there + o, x_best);
        store_bytes(m, which + o, at);
      )
}

/* dx = kg (g, brought back to where the maxima were) + kx x + k1 */
void pool_grad(int threads, const bf16 *g, const uint8_t *which, const bf16 *x,
               const float *kg, const float *kx, const float *k1, bf16 *dx, int64_t N,
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
        vec sum = zeros();
        for (int64_t n = 0; n < count; n++) {
          __m128i at = load_bytes(m, which + from[n] + c);
          __mmask16 here = _mm_cmpeq_epi8_mask(at, _mm_set1_epi8((char)place[n]));
          sum = _mm512_mask_add_ps(sum, here, sum, load(m, g + from[n] + c));
        }
        vec vx = load(m, x + (r * W + j) * C + c);
        vx = madd(vx, loadf(m, kx + c), loadf(m, k1 + c));
        store(m, dx + (r * W + j) * C + c, madd(sum, loadf(m, kg + c), vx));
      )
    }
}
