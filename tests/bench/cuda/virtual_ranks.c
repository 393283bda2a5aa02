/* N ranks on one GPU: memory, launches, bounded waits and the float64 reference. */
#include "virtual_ranks.h"
#include "../../../kernels/sim/numbers.h"
#include <cuda_runtime_api.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

void hl_cuda_must(int error, const char *call, const char *file, int line)
{
    if (error == cudaSuccess)
        return;
    fprintf(stderr, "%s:%d: %s: %s\n", file, line, call, cudaGetErrorString((cudaError_t)error));
    exit(99);
}

double hl_now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

static uint64_t hl_next_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15ull; /* splitmix64 */
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}

/* Values in [-2, 2), with a -0.0 now and then. Those of fp16 are multiples of 1/64: smaller ones reach the
 * negative subnormals that a float comparison refuses (words with a high half of 0x8001..0x807f), and so
 * would hang. */
static uint32_t *hl_random_rows(uint64_t rows, uint32_t row_words, enum hl_dtype dtype, uint64_t *state)
{
    const uint64_t words = rows * row_words;
    uint32_t *out = malloc(words * sizeof *out);
    for (uint64_t i = 0; i < words; i++) {
        float pair[2];
        for (int k = 0; k < 2; k++) {
            const uint64_t r = hl_next_random(state);
            pair[k] = r % 61 == 0 ? -0.0f : (float)((double)(r >> 11) * 0x1p-51 - 2.0);
            if (dtype == HL_FP16)
                pair[k] = roundf(pair[k] * 64) / 64;
        }
        hl_pack_row(pair, 1, dtype, &out[i]);
    }
    return out;
}

static void *hl_device_copy(const uint32_t *host, uint64_t words)
{
    void *device;
    HL_CUDA(cudaMalloc(&device, words * 4));
    if (host)
        HL_CUDA(cudaMemcpy(device, host, words * 4, cudaMemcpyHostToDevice));
    return device;
}

static uint64_t hl_rows_words(const struct hl_group *g)
{
    return (uint64_t)g->layout.tokens_max * g->layout.row_words;
}

void hl_group_init(struct hl_group *g, enum hl_family family, int ranks, enum hl_dtype dtype, uint32_t hidden,
                   uint32_t tokens_max, uint32_t sets, uint64_t seed)
{
    int sms;
    memset(g, 0, sizeof *g);
    g->sets = sets;
    g->layout = hl_layout_make(family, ranks, tokens_max, hidden, dtype);
    g->hidden = hidden;
    HL_CUDA(cudaDeviceGetAttribute(&sms, cudaDevAttrMultiProcessorCount, 0));
    g->sms = (uint32_t)sms;
    HL_CUDA(cudaHostAlloc((void **)&g->abort_word, 8, cudaHostAllocMapped));
    HL_CUDA(cudaHostGetDevicePointer((void **)&g->abort_word_device, (void *)g->abort_word, 0));
    const uint64_t words = hl_rows_words(g);
    for (int r = 0; r < ranks; r++) {
        HL_CUDA(cudaStreamCreateWithFlags(&g->streams[r], cudaStreamNonBlocking));
        g->host_inputs[r] = hl_random_rows((uint64_t)sets * tokens_max, g->layout.row_words, dtype, &seed);
        g->inputs[r] = hl_device_copy(g->host_inputs[r], sets * words);
        g->residual_out[r] = hl_device_copy(NULL, sets * words);
        g->norm_out[r] = hl_device_copy(NULL, sets * words);
        g->workspaces[r] = hl_device_copy(NULL, g->layout.words);
    }
    g->host_residual = hl_random_rows(tokens_max, g->layout.row_words, dtype, &seed);
    g->host_gamma = hl_random_rows(1, g->layout.row_words, dtype, &seed);
    g->residual = hl_device_copy(g->host_residual, words);
    g->gamma = hl_device_copy(g->host_gamma, g->layout.row_words);
    hl_group_reset(g);
}

void hl_group_finish(struct hl_group *g)
{
    for (int r = 0; r < g->layout.ranks; r++) {
        HL_CUDA(cudaStreamDestroy(g->streams[r]));
        HL_CUDA(cudaFree(g->inputs[r]));
        HL_CUDA(cudaFree(g->residual_out[r]));
        HL_CUDA(cudaFree(g->norm_out[r]));
        HL_CUDA(cudaFree(g->workspaces[r]));
        free(g->host_inputs[r]);
    }
    HL_CUDA(cudaFree(g->residual));
    HL_CUDA(cudaFree(g->gamma));
    HL_CUDA(cudaFreeHost((void *)g->abort_word));
    free(g->host_residual);
    free(g->host_gamma);
}

void hl_group_poison(struct hl_group *g)
{
    for (int r = 0; r < g->layout.ranks; r++) {
        HL_CUDA(cudaMemset(g->residual_out[r], 0xff, g->sets * hl_rows_words(g) * 4));
        HL_CUDA(cudaMemset(g->norm_out[r], 0xff, g->sets * hl_rows_words(g) * 4));
    }
    HL_CUDA(cudaDeviceSynchronize());
}

void hl_group_upload(struct hl_group *g)
{
    for (int r = 0; r < g->layout.ranks; r++)
        HL_CUDA(cudaMemcpy(g->inputs[r], g->host_inputs[r], g->sets * hl_rows_words(g) * 4,
                           cudaMemcpyHostToDevice));
}

void hl_group_reset(struct hl_group *g)
{
    const struct hl_layout *l = &g->layout;
    uint32_t *image = calloc(l->words, sizeof *image);
    for (uint32_t i = l->buffers_at; i < l->words; i++)
        image[i] = l->family == HL_FAMILY_NCCL ? 0 : hl_sentinel_word(l);
    if (l->family == HL_FAMILY_MNNVL) {
        image[HL_MNNVL_DIRTY] = 2;
        image[HL_MNNVL_BYTES_PER_BUFFER] = l->words_per_buffer * 4;
    }
    if (l->family == HL_FAMILY_TRTLLM)
        image[HL_TRTLLM_COMM_BYTES] = l->words_per_buffer * 4;
    for (int r = 0; r < l->ranks; r++)
        HL_CUDA(cudaMemcpy(g->workspaces[r], image, (uint64_t)l->words * 4, cudaMemcpyHostToDevice));
    free(image);
    *g->abort_word = 0;
    hl_group_poison(g);
}

/* Both kernels of a call may be there at once, on every rank. With programmatic launch so may the next
 * call's: a kernel that triggers early (trtllm's) lets its successor take the room that another rank still
 * needs. */
static uint32_t hl_group_ctas(struct hl_group *g, const struct hl_cuda_call *call,
                              struct hl_cuda_launch *launch, int kernels)
{
    uint32_t resident;
    if (g->pdl)
        kernels *= 2;
    launch->ctas = hl_kernel_ctas(launch->kernel, call->tokens, g->sms);
    HL_CUDA(hl_cuda_resident_ctas(call, launch, &resident));
    const uint32_t share = resident / (uint32_t)(g->layout.ranks * kernels);
    if (share == 0) {
        fprintf(stderr, "%d ranks of hidden %u do not fit this GPU at once\n", g->layout.ranks, g->hidden);
        exit(99);
    }
    return launch->ctas < share ? launch->ctas : share;
}

void hl_group_fill(const struct hl_group *g, int rank, struct hl_group_call what,
                   struct hl_cuda_call *ret_call)
{
    const uint64_t set_at = what.set * hl_rows_words(g);
    *ret_call = (struct hl_cuda_call){
        .layout = g->layout,
        .protocol = what.protocol,
        .rank = rank,
        .tokens = what.tokens,
        .input = g->inputs[rank] + set_at,
        .residual = g->residual,
        .gamma = g->gamma,
        .residual_out = g->residual_out[rank] + set_at,
        .norm_out = g->norm_out[rank] + set_at,
        .abort_word = g->abort_word_device,
        .strike = HL_STRIKE_DEFAULT,
        .strikes = g->abort_word_device + 1,
    };
    memcpy(ret_call->workspace, g->workspaces, sizeof ret_call->workspace);
}

void hl_group_enqueue(struct hl_group *g, int rank, struct hl_group_call what)
{
    struct hl_cuda_call call;
    hl_group_fill(g, rank, what, &call);
    const struct hl_kernel_list list = hl_protocol_kernels(what.protocol);
    for (int i = 0; i < list.count; i++) {
        struct hl_cuda_launch launch = { .kernel = list.kernels[i],
                                         .compare = g->compare,
                                         .mutant = g->mutant,
                                         .blocks = g->blocks,
                                         .pdl = g->pdl };
        launch.ctas = hl_group_ctas(g, &call, &launch, list.count);
        HL_CUDA(hl_cuda_launch(&call, &launch, g->streams[rank]));
    }
}

bool hl_group_wait(struct hl_group *g, double limit_ms)
{
    const double until = hl_now_ms() + limit_ms;
    bool in_time = true;
    for (int r = 0; r < g->layout.ranks; r++) {
        int state;
        while ((state = cudaStreamQuery(g->streams[r])) == cudaErrorNotReady)
            if (in_time && hl_now_ms() > until) {
                in_time = false;
                *g->abort_word = 1;
            } else if (hl_now_ms() > until + 5000) {
                fprintf(stderr, "the abort word did not release rank %d\n", r);
                exit(99);
            }
        HL_CUDA(state);
    }
    return in_time;
}

/* Twice the distance between neighbours of the data type near 1, as a fraction. */
static double hl_epsilon(enum hl_dtype dtype)
{
    return dtype == HL_BF16 ? 0x1p-7 : dtype == HL_FP16 ? 0x1p-10 : 0x1p-20;
}

/* The exact row: sum over ranks, then residual + sum and its norm; `slack` is what rounding may change of it.
 */
struct hl_exact {
    double *out, *slack, *norm;
    double scale;
};

static void hl_exact_row(const struct hl_group *g, struct hl_group_call call, uint32_t token,
                         struct hl_exact *e)
{
    const uint32_t row_words = g->layout.row_words;
    float values[HL_HIDDEN_MAX];
    double squares = 0;
    memset(e->out, 0, g->hidden * sizeof *e->out);
    memset(e->slack, 0, g->hidden * sizeof *e->slack);
    for (int r = 0; r <= g->layout.ranks; r++) {
        const uint32_t *row =
            r < g->layout.ranks ? g->host_inputs[r] + call.set * hl_rows_words(g) : g->host_residual;
        if (call.protocol == HL_NORM_ONLY && r < g->layout.ranks && r != 0)
            continue;
        hl_unpack_row(row + (uint64_t)token * row_words, row_words, g->layout.dtype, values);
        if (r == g->layout.ranks) /* the sum is rounded before the residual joins it, in some protocols */
            for (uint32_t i = 0; i < g->hidden; i++)
                e->slack[i] += fabs(e->out[i]) * hl_epsilon(g->layout.dtype) + e->slack[i] * 0x1p-20;
        for (uint32_t i = 0; i < g->hidden; i++) {
            e->out[i] += values[i];
            e->slack[i] += fabs(values[i]) * 0x1p-20;
        }
    }
    for (uint32_t i = 0; i < g->hidden; i++)
        squares += e->out[i] * e->out[i];
    e->scale = 1 / sqrt(squares / g->hidden + HL_RMS_EPSILON);
    hl_unpack_row(g->host_gamma, row_words, g->layout.dtype, values);
    for (uint32_t i = 0; i < g->hidden; i++)
        e->norm[i] = e->out[i] * e->scale * values[i];
}

static uint64_t hl_row_errors(const struct hl_group *g, const struct hl_exact *e,
                              const uint32_t *residual_row, const uint32_t *norm_row)
{
    const double eps = hl_epsilon(g->layout.dtype);
    float out[HL_HIDDEN_MAX], norm[HL_HIDDEN_MAX], gamma[HL_HIDDEN_MAX];
    uint64_t errors = 0;
    hl_unpack_row(residual_row, g->layout.row_words, g->layout.dtype, out);
    hl_unpack_row(norm_row, g->layout.row_words, g->layout.dtype, norm);
    hl_unpack_row(g->host_gamma, g->layout.row_words, g->layout.dtype, gamma);
    for (uint32_t i = 0; i < g->hidden; i++) {
        const double slack = e->slack[i] + fabs(e->out[i]) * eps + 1e-6;
        const double norm_slack = slack * e->scale * fabs(gamma[i]) + fabs(e->norm[i]) * eps + 1e-6;
        const bool right = fabs(out[i] - e->out[i]) <= slack && fabs(norm[i] - e->norm[i]) <= norm_slack;
        if (!right && errors++ == 0)
            fprintf(stderr, "element %u: residual %g, exact %g; norm %g, exact %g\n", i, out[i], e->out[i],
                    norm[i], e->norm[i]);
    }
    return errors;
}

/* Rank 0 is held against the reference; the others must equal it bit for bit. */
uint64_t hl_group_check(const struct hl_group *g, struct hl_group_call call)
{
    const uint64_t words = (uint64_t)call.tokens * g->layout.row_words, at = call.set * hl_rows_words(g);
    uint32_t *first = malloc(4 * words * 4), *other = first + 2 * words;
    struct hl_exact exact = { .out = malloc(3 * g->hidden * sizeof(double)) };
    uint64_t errors = 0;
    exact.slack = exact.out + g->hidden;
    exact.norm = exact.slack + g->hidden;
    for (int r = 0; r < g->layout.ranks; r++) {
        uint32_t *to = r == 0 ? first : other;
        HL_CUDA(cudaMemcpy(to, g->residual_out[r] + at, words * 4, cudaMemcpyDeviceToHost));
        HL_CUDA(cudaMemcpy(to + words, g->norm_out[r] + at, words * 4, cudaMemcpyDeviceToHost));
        for (uint64_t i = 0; r > 0 && call.protocol != HL_NORM_ONLY && i < 2 * words; i++)
            errors += first[i] != other[i];
    }
    for (uint32_t token = 0; token < call.tokens; token++) {
        hl_exact_row(g, call, token, &exact);
        errors += hl_row_errors(g, &exact, first + (uint64_t)token * g->layout.row_words,
                                first + words + (uint64_t)token * g->layout.row_words);
    }
    free(exact.out);
    free(first);
    return errors;
}
