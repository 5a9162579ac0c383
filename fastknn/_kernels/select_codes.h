/* Which rows of a tile an L2 screen cannot rule out: one bit a row (kernels.h, RowTerms).
 *
 * Included once by a per-CPU file, which has said:
 *
 *     CODE_LANES                     lanes; twice as many divide the rows of the dot tile
 *     FLOATS                         vector of float
 *     ADD_TO_FLOATS(p, x)            the int32s at p, plus x, as floats
 *     LOAD_FLOATS(p), SPREAD_FLOAT(x)
 *     MUL_ADD(a, b, c), MUL_SUB_FROM(a, b, c)    a * b + c, c - a * b, rounded once or twice
 *     AT_MOST(a, b)                  CODE_LANES bits: a <= b
 *
 * Rows outside, queries inside: the terms of two vectors of rows stay in registers, and a
 * query's are spread once for both.
 * Limit: six operations for CODE_LANES rows, next to width / 4 dots of as many.
 */

enum { CODE_VECTORS = 2 };

static uint64_t select_codes(int queries, int rows, const int32_t *scores, const RowTerms *row,
                             const QueryTerms *query, uint64_t *survivors)
{
    /* Copies, since `survivors` might point to the originals for all the compiler knows. */
    const int32_t *const offsets = query->offset;
    const float *const scales = query->scale, *const reaches = query->reach;
    const float *const limits = query->limit;
    uint64_t any = 0, found[MAX_TILE_QUERIES] = {0};
    for (int j = 0; j < rows; j += CODE_VECTORS * CODE_LANES) {
        FLOATS bias[CODE_VECTORS], scale[CODE_VECTORS], energy[CODE_VECTORS], error[CODE_VECTORS];
        UNROLL
        for (int v = 0; v < CODE_VECTORS; v++) {
            bias[v] = LOAD_FLOATS(row->bias + j + v * CODE_LANES);
            scale[v] = LOAD_FLOATS(row->scale + j + v * CODE_LANES);
            energy[v] = LOAD_FLOATS(row->energy + j + v * CODE_LANES);
            error[v] = LOAD_FLOATS(row->error + j + v * CODE_LANES);
        }
        for (int i = 0; i < queries; i++) {
            const FLOATS query_scale = SPREAD_FLOAT(scales[i]);
            const FLOATS reach = SPREAD_FLOAT(reaches[i]);
            const FLOATS limit = SPREAD_FLOAT(limits[i]);
            uint64_t bits = 0;
            UNROLL
            for (int v = 0; v < CODE_VECTORS; v++) {
                const int lane = j + v * CODE_LANES;
                const FLOATS product = ADD_TO_FLOATS(scores + i * rows + lane, offsets[i]);
                const FLOATS scaled = MUL_ADD(product, scale[v], bias[v]);
                const FLOATS near = MUL_SUB_FROM(error[v], reach, energy[v]);
                const FLOATS sum = MUL_ADD(scaled, query_scale, near);
                bits |= (uint64_t)AT_MOST(sum, limit) << lane;
            }
            found[i] |= bits;
            any |= bits;
        }
    }
    memcpy(survivors, found, (size_t)queries * sizeof *found);
    return any;
}
