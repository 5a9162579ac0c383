/* Which rows of a tile an L2 screen cannot rule out: one bit a row (kernels.h, RowTerms).
 *
 * Included once by a per-CPU file, which has said:
 *
 *     CODE_LANES                     lanes; divides the rows of the level's dot tile
 *     INTS, FLOATS                   vectors of int32 and of float
 *     LOAD_INTS(p), SPREAD_INT(x), ADD_INTS(a, b), TO_FLOATS(ints)
 *     LOAD_FLOATS(p), SPREAD_FLOAT(x), SUB(a, b), MUL(a, b), ADD(a, b)
 *     AT_MOST(a, b)                  CODE_LANES bits: a <= b
 *
 * Rows outside, queries inside: the terms of CODE_LANES rows stay in registers.
 * Limit: eight operations for CODE_LANES rows, next to width / 4 dots of as many.
 */

static void select_codes(int queries, int rows, const int32_t *scores, const RowTerms *row,
                         const QueryTerms *query, uint64_t *survivors)
{
    for (int i = 0; i < queries; i++)
        survivors[i] = 0;
    for (int j = 0; j < rows; j += CODE_LANES) {
        const INTS bias = LOAD_INTS(row->bias + j);
        const FLOATS scale = LOAD_FLOATS(row->scale + j);
        const FLOATS energy = LOAD_FLOATS(row->energy + j);
        const FLOATS error = LOAD_FLOATS(row->error + j);
        for (int i = 0; i < queries; i++) {
            const INTS offset = SPREAD_INT(query->offset[i]);
            const INTS product = ADD_INTS(ADD_INTS(LOAD_INTS(scores + i * rows + j), bias), offset);
            const FLOATS far = MUL(MUL(TO_FLOATS(product), scale), SPREAD_FLOAT(query->scale[i]));
            const FLOATS near = SUB(energy, MUL(error, SPREAD_FLOAT(query->reach[i])));
            survivors[i] |= (uint64_t)AT_MOST(ADD(far, near), SPREAD_FLOAT(query->limit[i])) << j;
        }
    }
}
