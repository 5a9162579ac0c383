/* Everything a level needs for one float type: the L1, L2 and dot tiles, and the select.
 *
 * Included twice by a per-CPU file, for f32 and for f64, after it has said:
 *
 *     FLOAT, FLOAT_NAME            float and f32, or double and f64
 *     FLOAT_QUERIES, FLOAT_VECTORS shape of the register tile
 *     FLOAT_LANES, FLOAT_VECTOR    the vector and how many lanes it has
 *     FLOAT_LOAD(p), FLOAT_STORE(p, v), FLOAT_SPREAD(x)
 *     FLOAT_ADD, FLOAT_SUB, FLOAT_MUL (a, b), FLOAT_ABS(a)
 *     FLOAT_ADD_PRODUCT(sum, a, b)  sum + a * b, rounded once or twice
 *     FLOAT_IS_CANDIDATE(score, threshold)     as IS_CANDIDATE in select.h
 *     FLOAT_MAX(a, b)              only for float32, which boxes are made of
 *
 * Direct differences: no norms are expanded, so nothing cancels and d(x, x) = 0. Three
 * operations per element (subtract; absolute value or square; add); no FMA, which would make
 * the sums depend on the level. The dot serves projections, whose rounding is counted: it may.
 */

static ALWAYS_INLINE FLOAT_VECTOR JOIN(square, FLOAT_NAME)(FLOAT_VECTOR x)
{
    return FLOAT_MUL(x, x);
}

#define TILE JOIN(l1, FLOAT_NAME)
#define STEP(sum, rows, query) FLOAT_ADD(sum, FLOAT_ABS(FLOAT_SUB(rows, query)))
#include "float_tile.h"

#define TILE JOIN(l2, FLOAT_NAME)
#define STEP(sum, rows, query) \
    FLOAT_ADD(sum, JOIN(square, FLOAT_NAME)(FLOAT_SUB(rows, query)))
#include "float_tile.h"

#define TILE JOIN(dot, FLOAT_NAME)
#define STEP(sum, rows, query) FLOAT_ADD_PRODUCT(sum, rows, query)
#include "float_tile.h"

#define SELECT JOIN(select, FLOAT_NAME)
#define SELECT_LANES FLOAT_LANES
#define SCORE FLOAT
#define VECTOR FLOAT_VECTOR
#define LOAD(p) FLOAT_LOAD(p)
#define SPREAD(x) FLOAT_SPREAD(x)
#define ADD(a, b) FLOAT_ADD(a, b)
#define IS_CANDIDATE(score, threshold) FLOAT_IS_CANDIDATE(score, threshold)
#include "select.h"

#ifdef FLOAT_MAX
#define BOXES l1_boxes
#define TERM(gap) (gap)
#include "boxes.h"

#define BOXES l2_boxes
#define TERM(gap) FLOAT_MUL(gap, gap)
#include "boxes.h"
#endif

#undef FLOAT
#undef FLOAT_NAME
#undef FLOAT_QUERIES
#undef FLOAT_VECTORS
#undef FLOAT_LANES
#undef FLOAT_VECTOR
#undef FLOAT_LOAD
#undef FLOAT_STORE
#undef FLOAT_SPREAD
#undef FLOAT_ADD
#undef FLOAT_SUB
#undef FLOAT_MUL
#undef FLOAT_ABS
#undef FLOAT_ADD_PRODUCT
#undef FLOAT_IS_CANDIDATE
#undef FLOAT_MAX
