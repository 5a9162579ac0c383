/* One tile: `queries` packed queries against one panel, for one kind of score.
 *
 * The template is included once per kind by a per-CPU file that has said what a lane does:
 *
 *     TILE             name of the kind, for example dot_u8
 *     TILE_QUERIES     the most queries in a tile
 *     TILE_VECTORS     vectors that hold one group of a panel
 *     TILE_LANES       rows in one vector
 *     TILE_GROUP       elements in a group
 *     ROW, QUERY       element types of the panel and of the packed queries
 *     SCORE            type of a score
 *     VECTOR           what LOAD, BROADCAST and STEP work on
 *     LOAD(p)          one vector: a group of each of TILE_LANES rows
 *     BROADCAST(p)     one group of one query, in every lane
 *     ZERO()           an empty accumulator
 *     STEP(sum, rows, query)      the accumulator after one more group
 *     STORE(p, sum)    TILE_LANES scores
 *
 * A dot of bytes has a second use, in screens: it also says the words of code_tile.h.
 *
 * The accumulators must stay in registers: TILE_QUERIES * TILE_VECTORS of them, and room for
 * TILE_VECTORS rows, one query and a temporary. Every count of queries has its own unrolled
 * copy, so that a single query does not pay for a full tile.
 */

#define TILE_ROWS (TILE_VECTORS * TILE_LANES)

/* The sums of a tile, which begin as they are. */
static ALWAYS_INLINE void JOIN(TILE, add)(const int queries, size_t groups, const void *packed,
                                          const void *panel, VECTOR sum[][TILE_VECTORS])
{
    const QUERY *query = packed;
    const ROW *row = panel;
    for (size_t g = 0; g < groups; g++) {
        VECTOR rows[TILE_VECTORS];
        UNROLL
        for (int j = 0; j < TILE_VECTORS; j++)
            rows[j] = LOAD(row + j * TILE_LANES * TILE_GROUP);
        UNROLL
        for (int i = 0; i < queries; i++) {
            const VECTOR one = BROADCAST(query + i * TILE_GROUP);
            UNROLL
            for (int j = 0; j < TILE_VECTORS; j++)
                sum[i][j] = STEP(sum[i][j], rows[j], one);
        }
        row += TILE_ROWS * TILE_GROUP;
        query += queries * TILE_GROUP;
    }
}

static ALWAYS_INLINE void JOIN(TILE, body)(const int queries, size_t groups, const void *packed,
                                           const void *panel, void *scores)
{
    SCORE *score = scores;
    VECTOR sum[TILE_QUERIES][TILE_VECTORS];

    UNROLL
    for (int i = 0; i < queries; i++) {
        UNROLL
        for (int j = 0; j < TILE_VECTORS; j++)
            sum[i][j] = ZERO();
    }
    JOIN(TILE, add)(queries, groups, packed, panel, sum);
    UNROLL
    for (int i = 0; i < queries; i++) {
        UNROLL
        for (int j = 0; j < TILE_VECTORS; j++)
            STORE(score + i * TILE_ROWS + j * TILE_LANES, sum[i][j]);
    }
}

/* Every count of queries has a copy of its own, in which it is a constant. */
#define EACH_COUNT(CASE)                                            \
    CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6) CASE(7) CASE(8) \
    CASE(9) CASE(10) CASE(11) CASE(12) CASE(13) CASE(14) CASE(15) CASE(16)
#define AT_MOST_A_TILE(n) (n <= TILE_QUERIES ? n : 1)
#define CASE(n)                                                                    \
    case n:                                                                        \
        if (n <= TILE_QUERIES)                                                     \
            JOIN(TILE, body)(AT_MOST_A_TILE(n), groups, packed, panel, scores);    \
        break;

static void JOIN(TILE, tile)(int queries, size_t groups, const void *packed, const void *panel,
                             void *scores)
{
    switch (queries) {
        EACH_COUNT(CASE)
    }
}

#ifdef FLOATS
#include "code_tile.h"
#endif

enum {
    JOIN(TILE, queries) = TILE_QUERIES,
    JOIN(TILE, rows) = TILE_ROWS,
    JOIN(TILE, group) = TILE_GROUP,
    JOIN(TILE, query_bytes) = sizeof(QUERY)
};

_Static_assert(TILE_QUERIES <= MAX_TILE_QUERIES && MAX_PANEL_ROWS % TILE_ROWS == 0,
               "a tile is within the limits of the contract, and panels end where larger ones do");
_Static_assert(DEPTH_LIMIT_BYTES % TILE_GROUP == 0 && DEPTH_LIMIT_FLOATS % TILE_GROUP == 0,
               "a sum consists of whole groups");
_Static_assert(VECTOR_BYTES % (TILE_LANES * TILE_GROUP * sizeof(ROW)) == 0,
               "every load of a panel is aligned");

#undef CASE
#undef EACH_COUNT
#undef AT_MOST_A_TILE
#undef TILE_ROWS
#undef TILE
#undef TILE_QUERIES
#undef TILE_VECTORS
#undef TILE_LANES
#undef TILE_GROUP
#undef ROW
#undef QUERY
#undef SCORE
#undef VECTOR
#undef LOAD
#undef BROADCAST
#undef ZERO
#undef STEP
#undef STORE
