/* An L2 screen: which rows of some panels the bound cannot rule out (kernels.h, CodeTile).
 *
 * Included by tile.h for the dot of bytes, whose per-CPU file has also said:
 *
 *     START(x)            an accumulator with the int32 x in every lane
 *     FLOATS              vector of TILE_LANES floats
 *     TO_FLOATS(sum)
 *     LOAD_FLOATS(p), SPREAD_FLOAT(x)
 *     MUL_ADD(a, b, c)    a * b + c, rounded once or twice
 *     AT_MOST(a, b)       TILE_LANES bits: a <= b
 *
 * Sums are judged in their registers and never stored. Panels come many at a time, because to reach
 * this from outside takes as long as a panel of few columns.
 * Limit: four operations per TILE_LANES rows, next to width / TILE_GROUP dots of as many.
 */

static ALWAYS_INLINE uint64_t code_body(const int queries, const void *packed,
                                        const QueryTerms *query_terms, int n_panels,
                                        const int64_t *numbers, const CodePanels *panels,
                                        uint64_t *candidates)
{
    uint64_t any = 0;
    for (int p = 0; p < n_panels; p++) {
        const int64_t number = numbers[p];
        const float *row_scale = panels->scale + number * TILE_ROWS;
        const float *row_energy = panels->energy + number * TILE_ROWS;
        VECTOR sum[TILE_QUERIES][TILE_VECTORS];

        UNROLL
        for (int i = 0; i < queries; i++) {
            UNROLL
            for (int j = 0; j < TILE_VECTORS; j++)
                sum[i][j] = START(query_terms->start[i]);
        }
        JOIN(TILE, add)(queries, panels->groups, packed,
                        panels->data + number * panels->panel_bytes, sum);
        UNROLL
        for (int i = 0; i < queries; i++) {
            const FLOATS scale = SPREAD_FLOAT(query_terms->scale[i]);
            const FLOATS limit = SPREAD_FLOAT(query_terms->limit[i]);
            const FLOATS shift = SPREAD_FLOAT(-(query_terms->reach[i] * panels->ratio[number]));
            uint64_t bits = 0;
            UNROLL
            for (int j = 0; j < TILE_VECTORS; j++) {
                const FLOATS near = MUL_ADD(TO_FLOATS(sum[i][j]), scale, shift);
                const FLOATS bound = MUL_ADD(near, LOAD_FLOATS(row_scale + j * TILE_LANES),
                                             LOAD_FLOATS(row_energy + j * TILE_LANES));
                bits |= (uint64_t)AT_MOST(bound, limit) << j * TILE_LANES;
            }
            candidates[p * queries + i] = bits;
            any |= (uint64_t)(bits != 0) << (p * queries + i);
        }
    }
    return any;
}

#define CODE_CASE(n)                                                                        \
    case n:                                                                                 \
        if (n <= TILE_QUERIES)                                                              \
            return code_body(AT_MOST_A_TILE(n), packed, query_terms, n_panels, numbers,     \
                             panels, candidates);                                           \
        break;

static uint64_t code_tile(int queries, const void *packed, const QueryTerms *query_terms,
                          int n_panels, const int64_t *numbers, const CodePanels *panels,
                          uint64_t *candidates)
{
    switch (queries) {
        EACH_COUNT(CODE_CASE)
    }
    return 0;
}

#undef CODE_CASE
#undef START
#undef FLOATS
#undef TO_FLOATS
#undef LOAD_FLOATS
#undef SPREAD_FLOAT
#undef MUL_ADD
#undef AT_MOST
