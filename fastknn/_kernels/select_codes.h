/* Which rows of a tile an L2 screen cannot rule out: one bit a row (kernels.h, RowTerms).
 *
 * Included once by a per-CPU file, which has said:
 *
 *     CODE_LANES                     lanes; divides the rows of the level's dot tile
 *     FLOATS                         vector of float
 *     ADD_TO_FLOATS(p, x)            the int32s at p, plus x, as floats
 *     LOAD_FLOATS(p), SPREAD_FLOAT(x)
 *     MUL_ADD(a, b, c), MUL_SUB_FROM(a, b, c)    a * b + c, c - a * b, rounded once or twice
 *     AT_MOST(a, b)                  CODE_LANES bits: a <= b
 *
 * Rows outside, queries inside: the terms of CODE_LANES rows stay in registers.
 * Limit: six operations for CODE_LANES rows, next to width / 4 dots of as many.
 */

static uint64_t select_codes(int queries, int rows, const int32_t *scores, const RowTerms *row,
                             const QueryTerms *query, uint64_t *survivors)
{
    uint64_t any = 0;
    for (int i = 0; i < queries; i++)
        survivors[i] = 0;
    for (int j = 0; j < rows; j += CODE_LANES) {
        const FLOATS bias = LOAD_FLOATS(row->bias + j);
        const FLOATS scale = LOAD_FLOATS(row->scale + j);
        const FLOATS energy = LOAD_FLOATS(row->energy + j);
        const FLOATS error = LOAD_FLOATS(row->error + j);
        for (int i = 0; i < queries; i++) {
            const FLOATS product = ADD_TO_FLOATS(scores + i * rows + j, query->offset[i]);
            const FLOATS scaled = MUL_ADD(product, scale, bias);
            const FLOATS near = MUL_SUB_FROM(error, SPREAD_FLOAT(query->reach[i]), energy);
            const FLOATS sum = MUL_ADD(scaled, SPREAD_FLOAT(query->scale[i]), near);
            const uint64_t bits = (uint64_t)AT_MOST(sum, SPREAD_FLOAT(query->limit[i])) << j;
            survivors[i] |= bits;
            any |= bits;
        }
    }
    return any;
}
