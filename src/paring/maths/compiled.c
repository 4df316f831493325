/* What a decoder layer computes between its matrix products, each part in one pass over its numbers. All is fp32.

   policy/fused.py, rollout/folded.py and rollout/cache.py have the torch operations for which each function stands. An
   array is dense in its last axis; a stride counts numbers. A row comes out the same whatever the other rows and the
   number of threads are. */

#include <math.h>
#include <stdint.h>
#include <string.h>

#define LANES 8    /* numbers that are computed at once */
#define KEYS 64    /* keys that are scored before their values are added up */
#define QUERIES 4  /* heads of queries that share a read of a key */
#define ROWS 16    /* rows of a task, but for attention */
#define MOST 512   /* numbers of a head at most */

typedef float Lane __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int32_t Bits __attribute__((vector_size(4 * LANES)));

/* The SHA-256 of this file, which setup.py gives: compiled.py takes no library of another. */
const char paring_source[] = SOURCE;

/* Compiled for CPUs with AVX2 and for all others; which serves is found out when the library is loaded. */
#if defined(__x86_64__) && defined(__gnu_linux__)
#define BY_CPU __attribute__((target_clones("arch=x86-64-v3", "default")))
#else
#define BY_CPU
#endif
#define INLINE static inline __attribute__((always_inline))

/* ---- Tasks on several threads ---- */

typedef void (*Task)(const void *work, int64_t number);
typedef void (*Team)(void (*run)(void *), void *shared, unsigned threads, unsigned flags);

struct Shared { Task task; const void *work; int64_t tasks, next; };

static Team team;

/* The threads are those of torch: `start` is the GOMP_parallel of its OpenMP. Threads of our own would wait for its. */
void paring_use_team(void *start) { team = (Team)start; }

static void run(void *given) {
    struct Shared *shared = given;
    int64_t number;
    while ((number = __atomic_fetch_add(&shared->next, 1, __ATOMIC_RELAXED)) < shared->tasks)
        shared->task(shared->work, number);
}

static void each(Task task, const void *work, int64_t tasks, int64_t threads) {
    struct Shared shared = {task, work, tasks, 0};
    if (team && threads > 1 && tasks > 1) team(run, &shared, (unsigned)threads, 0);
    else run(&shared);
}

static int64_t blocks(int64_t rows) { return (rows + ROWS - 1) / ROWS; }

INLINE int64_t least(int64_t one, int64_t other) { return one < other ? one : other; }

/* ---- Lanes ---- */

INLINE Lane load(const float *from) { return *(const Lane *)from; }
INLINE void store(float *to, Lane x) { *(Lane *)to = x; }
INLINE Lane chosen(Bits where, Lane one, Lane other) { return (Lane)((where & (Bits)one) | (~where & (Bits)other)); }
INLINE Lane larger(Lane one, Lane other) { return chosen(one > other, one, other); }

INLINE float total(Lane x) {
    x += __builtin_shufflevector(x, x, 4, 5, 6, 7, 0, 1, 2, 3);
    x += __builtin_shufflevector(x, x, 2, 3, 0, 1, 6, 7, 4, 5);
    x += __builtin_shufflevector(x, x, 1, 0, 3, 2, 5, 4, 7, 6);
    return x[0];
}

/* e^x to some 1e-7 of itself; 0 below -87, infinite above 88, and NaN for NaN. It is 2^n e^r, with r in
   [-ln 2 / 2, ln 2 / 2] and a polynomial for e^r (the coefficients of Cephes' expf). */
INLINE Lane exponential(Lane x) {
    const Lane zero = {0}, low = zero - 87.0f, high = zero + 88.0f;
    const Bits is_low = x < low, is_high = x > high;
    const Lane shifted = x * 1.44269504f + 12582912.0f;  /* 1.5 x 2^23: the last bits are the nearest integer, n */
    const Lane n = shifted - 12582912.0f;
    const Lane r = x - n * 0.693145752f - n * 1.42860677e-6f;
    Lane p = zero + 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    p = (Lane)((Bits)p + ((Bits)shifted << 23));
    return chosen(is_low, zero, chosen(is_high, zero + INFINITY, p));
}

/* ---- Residual connection and norm: sum = x + added, y = sum / sqrt(mean sum^2 + epsilon) * weight; [rows, size].
   `added` may be missing; then there is no sum, and y is of x. ---- */

struct Norm { const float *x, *added, *weight; float *sum, *y; int64_t rows, size; float epsilon; };

INLINE float inverse_of(Lane square, int64_t size, float epsilon) {
    return 1.0f / sqrtf(total(square) / (float)size + epsilon);
}

BY_CPU static void norm_rows(const void *given, int64_t block) {
    const struct Norm *w = given;
    const int64_t size = w->size, end = least((block + 1) * ROWS, w->rows);
    for (int64_t row = block * ROWS; row < end; row++) {
        const float *x = w->x + row * size;
        float *y = w->y + row * size;
        if (w->added) {
            const float *added = w->added + row * size;
            float *sum = w->sum + row * size;
            for (int64_t d = 0; d < size; d += LANES) store(sum + d, load(x + d) + load(added + d));
            x = sum;
        }
        Lane square = {0};
        for (int64_t d = 0; d < size; d += LANES) square += load(x + d) * load(x + d);
        const float inverse = inverse_of(square, size, w->epsilon);
        for (int64_t d = 0; d < size; d += LANES) store(y + d, load(x + d) * inverse * load(w->weight + d));
    }
}

void paring_norm(const struct Norm *work, int64_t threads) { each(norm_rows, work, blocks(work->rows), threads); }

/* dx = inverse (weight dy - n mean(n weight dy)) with n = x inverse, for the gradient dy of the norm of x. */

struct NormBackward { const float *x, *weight, *dy; float *dx; int64_t rows, size; float epsilon; };

BY_CPU static void norm_backward_rows(const void *given, int64_t block) {
    const struct NormBackward *w = given;
    const int64_t size = w->size, end = least((block + 1) * ROWS, w->rows);
    for (int64_t row = block * ROWS; row < end; row++) {
        const float *x = w->x + row * size, *dy = w->dy + row * size;
        float *dx = w->dx + row * size;
        Lane square = {0}, shared = {0};
        for (int64_t d = 0; d < size; d += LANES) {
            square += load(x + d) * load(x + d);
            shared += load(x + d) * load(w->weight + d) * load(dy + d);
        }
        const float inverse = inverse_of(square, size, w->epsilon);
        const float mean = total(shared) / (float)size * inverse * inverse;
        for (int64_t d = 0; d < size; d += LANES)
            store(dx + d, inverse * (load(w->weight + d) * load(dy + d) - load(x + d) * mean));
    }
}

void paring_norm_backward(const struct NormBackward *work, int64_t threads) {
    each(norm_backward_rows, work, blocks(work->rows), threads);
}

/* ---- silu(gate) * up: [rows, size] each, a row of both every `stride` numbers -> [rows, size].
   `copy` [rows, 2 x size] may be missing; else it gets gate and up, which must stand side by side. ---- */

struct SwiGlu { const float *gate, *up; float *y, *copy; int64_t rows, size, stride; };

BY_CPU static void swiglu_rows(const void *given, int64_t block) {
    const struct SwiGlu *w = given;
    const int64_t end = least((block + 1) * ROWS, w->rows);
    for (int64_t row = block * ROWS; row < end; row++) {
        const float *gate = w->gate + row * w->stride, *up = w->up + row * w->stride;
        float *y = w->y + row * w->size;
        for (int64_t d = 0; d < w->size; d += LANES) {
            const Lane x = load(gate + d);
            store(y + d, x / (exponential(-x) + 1.0f) * load(up + d));
        }
        if (w->copy) memcpy(w->copy + row * 2 * w->size, gate, 2 * w->size * sizeof(float));
    }
}

void paring_swiglu(const struct SwiGlu *work, int64_t threads) {
    each(swiglu_rows, work, blocks(work->rows), threads);
}

/* With s = 1 / (1 + e^-gate): d_up = dy gate s and d_gate = dy up s (1 + gate (1 - s)). */

struct SwiGluBackward { const float *gate, *up, *dy; float *d_gate, *d_up; int64_t rows, size, stride; };

BY_CPU static void swiglu_backward_rows(const void *given, int64_t block) {
    const struct SwiGluBackward *w = given;
    const int64_t end = least((block + 1) * ROWS, w->rows);
    for (int64_t row = block * ROWS; row < end; row++) {
        const float *gate = w->gate + row * w->stride, *up = w->up + row * w->stride, *dy = w->dy + row * w->size;
        float *d_gate = w->d_gate + row * w->size, *d_up = w->d_up + row * w->size;
        for (int64_t d = 0; d < w->size; d += LANES) {
            const Lane x = load(gate + d), s = 1.0f / (exponential(-x) + 1.0f), scaled = load(dy + d) * s;
            store(d_up + d, scaled * x);
            store(d_gate + d, scaled * load(up + d) * (x * (1.0f - s) + 1.0f));
        }
    }
}

void paring_swiglu_backward(const struct SwiGluBackward *work, int64_t threads) {
    each(swiglu_backward_rows, work, blocks(work->rows), threads);
}

/* ---- Attention of one new token a row, after its group's prompt and its own tokens ----
   query [rows, heads, size]; new key and value [rows, key_heads, size], which are written to the own tokens' slot;
   prompts' [groups, key_heads, prompt_slots, size]; own [rows, key_heads, slots, size] -> out [rows, heads, size].
   Before that, where they are given: `copy` [rows, heads + 2 key_heads, size] gets query, key and value; queries and
   keys are normalised, each head by the weights [size]; and rotated, by cosine and sine [rows, size]. */

struct Attention {
    const float *query, *new_key, *new_value, *prompt_key, *prompt_value;
    float *own_key, *own_value, *out;
    const int64_t *group, *prompt_length, *first;
    float *copy;
    const float *query_norm, *key_norm, *cosine, *sine;
    int64_t rows, heads, key_heads, size, query_row, new_key_row, new_value_row, prompt_slots, own_row, own_head, slot;
    int64_t window;  /* 0: none */
    float scale, epsilon;
};

/* Of each query: the largest score so far, and the sum of e^(score - largest). */
struct Softmax { float largest[QUERIES], sum[QUERIES]; };

INLINE void score_keys(const float *query, const float *key, int64_t keys, int64_t size, int queries, float scale,
                       float score[QUERIES][KEYS]) {
    for (int64_t k = 0; k < keys; k++) {
        Lane sum[QUERIES] = {{0}};
        for (int64_t d = 0; d < size; d += LANES) {
            const Lane of_key = load(key + k * size + d);
            for (int q = 0; q < queries; q++) sum[q] += load(query + q * size + d) * of_key;
        }
        for (int q = 0; q < queries; q++) score[q][k] = total(sum[q]) * scale;
    }
    for (int q = 0; q < queries; q++)
        for (int64_t k = keys; k % LANES; k++) score[q][k] = -INFINITY;
}

/* Scores become weights against the largest score so far. Returns what the sums before shrink by. */
INLINE float weigh(float score[KEYS], int64_t keys, float *largest, float *sum) {
    Lane most = {0}, weights = {0};
    most += *largest;
    for (int64_t k = 0; k < keys; k += LANES) most = larger(most, load(score + k));
    float top = most[0];
    for (int i = 1; i < LANES; i++) top = top > most[i] ? top : most[i];
    for (int64_t k = 0; k < keys; k += LANES) {
        const Lane weight = exponential(load(score + k) - top);
        store(score + k, weight);
        weights += weight;
    }
    const float shrunk = expf(*largest - top);
    *sum = *sum * shrunk + total(weights);
    *largest = top;
    return shrunk;
}

INLINE void add_values(const float *value, int64_t keys, int64_t size, int queries, int lanes,
                       float weight[QUERIES][KEYS], const float *shrunk, float *out) {
    for (int64_t d = 0; d < size; d += lanes * LANES) {
        Lane sum[QUERIES][3];
        for (int q = 0; q < queries; q++)
            for (int i = 0; i < lanes; i++) sum[q][i] = load(out + q * size + d + i * LANES) * shrunk[q];
        for (int64_t k = 0; k < keys; k++)
            for (int i = 0; i < lanes; i++) {
                const Lane of_value = load(value + k * size + d + i * LANES);
                for (int q = 0; q < queries; q++) sum[q][i] += of_value * weight[q][k];
            }
        for (int q = 0; q < queries; q++)
            for (int i = 0; i < lanes; i++) store(out + q * size + d + i * LANES, sum[q][i]);
    }
}

INLINE void see(const float *query, const float *key, const float *value, int64_t keys, int64_t size, int queries,
                int lanes, float scale, struct Softmax *softmax, float *out) {
    float score[QUERIES][KEYS], shrunk[QUERIES];
    for (int64_t first = 0; first < keys; first += KEYS) {
        const int64_t count = least(KEYS, keys - first);
        score_keys(query, key + first * size, count, size, queries, scale, score);
        for (int q = 0; q < queries; q++)
            shrunk[q] = weigh(score[q], count, &softmax->largest[q], &softmax->sum[q]);
        add_values(value + first * size, count, size, queries, lanes, score, shrunk, out);
    }
}

/* A head of a query or a key [size] as attention takes it. */
INLINE void prepare(const struct Attention *w, int64_t row, const float *x, const float *norm, float *y) {
    const int64_t size = w->size, half = size / 2;
    float inverse = 1.0f;
    if (norm) {
        Lane square = {0};
        for (int64_t d = 0; d < size; d += LANES) square += load(x + d) * load(x + d);
        inverse = inverse_of(square, size, w->epsilon);
    }
    for (int64_t d = 0; d < size; d++) y[d] = norm ? x[d] * inverse * norm[d] : x[d];
    if (!w->cosine) return;
    const float *cosine = w->cosine + row * size, *sine = w->sine + row * size;
    for (int64_t d = 0; d < half; d++) {
        const float one = y[d], other = y[half + d];
        y[d] = one * cosine[d] - other * sine[d];
        y[half + d] = other * cosine[half + d] + one * sine[half + d];
    }
}

INLINE void attend(const struct Attention *w, int64_t row, int64_t key_head, int64_t head, int queries, int lanes) {
    const int64_t size = w->size, group = w->group[row], length = w->prompt_length[group], first = w->first[row];
    /* Positions count prompt and own tokens; `from` is the first that the window holds. */
    const int64_t seen = length + w->slot - first + 1, from = w->window && seen > w->window ? seen - w->window : 0;
    const int64_t prompt_from = least(from, length), own_from = first + from - prompt_from;
    float query[QUERIES * MOST];
    for (int q = 0; q < queries; q++)
        prepare(w, row, w->query + row * w->query_row + (head + q) * size, w->query_norm, query + q * size);
    float *out = w->out + (row * w->heads + head) * size;
    struct Softmax softmax;
    for (int q = 0; q < queries; q++) {
        softmax.largest[q] = -INFINITY;
        softmax.sum[q] = 0;
    }
    for (int64_t d = 0; d < queries * size; d++) out[d] = 0;
    const int64_t prompt = ((group * w->key_heads + key_head) * w->prompt_slots + prompt_from) * size;
    const int64_t own = row * w->own_row + key_head * w->own_head + own_from * size;
    see(query, w->prompt_key + prompt, w->prompt_value + prompt, length - prompt_from, size, queries, lanes, w->scale,
        &softmax, out);
    see(query, w->own_key + own, w->own_value + own, w->slot + 1 - own_from, size, queries, lanes, w->scale, &softmax,
        out);
    for (int q = 0; q < queries; q++)
        for (int64_t d = 0; d < size; d++) out[q * size + d] /= softmax.sum[q];
}

INLINE void attend_all(const struct Attention *w, int64_t row, int64_t key_head, int lanes) {
    const int64_t repeats = w->heads / w->key_heads, end = (key_head + 1) * repeats;
    /* The number of queries is constant in each branch, so that their sums stay in registers. */
    for (int64_t head = key_head * repeats; head < end; head += QUERIES)
        switch (end - head) {
        case 1: attend(w, row, key_head, head, 1, lanes); break;
        case 2: attend(w, row, key_head, head, 2, lanes); break;
        case 3: attend(w, row, key_head, head, 3, lanes); break;
        default: attend(w, row, key_head, head, QUERIES, lanes);
        }
}

BY_CPU static void attend_row_head(const void *given, int64_t task) {
    const struct Attention *w = given;
    const int64_t row = task / w->key_heads, key_head = task % w->key_heads, size = w->size;
    const int64_t repeats = w->heads / w->key_heads, own = row * w->own_row + key_head * w->own_head + w->slot * size;
    const float *key = w->new_key + row * w->new_key_row + key_head * size;
    const float *value = w->new_value + row * w->new_value_row + key_head * size;
    if (w->copy) {
        const float *query = w->query + row * w->query_row + key_head * repeats * size;
        float *copy = w->copy + row * (w->heads + 2 * w->key_heads) * size;
        memcpy(copy + key_head * repeats * size, query, repeats * size * sizeof(float));
        memcpy(copy + (w->heads + key_head) * size, key, size * sizeof(float));
        memcpy(copy + (w->heads + w->key_heads + key_head) * size, value, size * sizeof(float));
    }
    prepare(w, row, key, w->key_norm, w->own_key + own);
    memcpy(w->own_value + own, value, size * sizeof(float));
    if (size % (2 * LANES) == 0) attend_all(w, row, key_head, 2);
    else if (size % (3 * LANES) == 0) attend_all(w, row, key_head, 3);
    else attend_all(w, row, key_head, 1);
}

void paring_attend(const struct Attention *work, int64_t threads) {
    each(attend_row_head, work, work->rows * work->key_heads, threads);
}
