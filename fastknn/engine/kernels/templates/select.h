/* Which rows of a tile are candidates: one bit per row (contract: `Select` in kernels.h).
 *
 * The template is included once per type of score by a per-CPU file that has said:
 *
 *     SELECT           name, for example select_i32
 *     SELECT_LANES     scores in one vector; divides the rows of every panel of the level
 *     SCORE, VECTOR    the scalar and what the words below work on
 *     LOAD(p), SPREAD(x), ADD(a, b)
 *     IS_CANDIDATE(score, threshold)   SELECT_LANES bits: score <= threshold, or score infinite
 *
 * Limit: one load, one add and one compare for SELECT_LANES scores, next to width / group
 * steps of the tile before it.
 */

static uint64_t SELECT(int queries, int rows, const void *scores, const void *bias,
                       const void *thresholds, uint64_t *candidates)
{
    uint64_t any = 0;
    const SCORE *score = scores;
    for (int i = 0; i < queries; i++) {
        const VECTOR threshold = SPREAD(((const SCORE *)thresholds)[i]);
        uint64_t bits = 0;
        for (int j = 0; j < rows; j += SELECT_LANES) {
            const VECTOR sum = ADD(LOAD(score + j), LOAD((const SCORE *)bias + j));
            bits |= (uint64_t)IS_CANDIDATE(sum, threshold) << j;
        }
        candidates[i] = bits;
        any |= (uint64_t)(bits != 0) << i;
        score += rows;
    }
    return any;
}

enum { JOIN(SELECT, lanes) = SELECT_LANES };

#undef SELECT
#undef SELECT_LANES
#undef SCORE
#undef VECTOR
#undef LOAD
#undef SPREAD
#undef ADD
#undef IS_CANDIDATE
