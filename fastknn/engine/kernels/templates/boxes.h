/* How far a query lies from the boxes of some groups of rows (contract: `BoxBounds` in kernels.h).
 *
 * Included by floats.h for float32, once per metric, after it has said:
 *
 *     BOXES           name, for example l2_boxes
 *     TERM(gap)       what a gap adds to a bound: itself, or its square
 *
 * Every lane is a box. Most boxes are far away along the first coordinates, so that the sum is
 * compared with the limit after every BOX_STEP of them.
 * Limit: two loads and five operations per FLOAT_LANES boxes and coordinate.
 */

static uint64_t BOXES(size_t width, const float *query, const float *boxes, float limit,
                      float *bounds)
{
    enum { VECTORS = BOX_LANES / FLOAT_LANES, BOX_STEP = 8 };
    const FLOAT_VECTOR zero = FLOAT_SPREAD(0), most = FLOAT_SPREAD(limit);
    FLOAT_VECTOR sum[VECTORS];
    size_t i = 0;

    UNROLL
    for (int j = 0; j < VECTORS; j++)
        sum[j] = zero;
    for (;;) {
        const size_t end = i + BOX_STEP < width ? i + BOX_STEP : width;
        uint64_t bits = 0;
        for (; i < end; i++) {
            const FLOAT_VECTOR one = FLOAT_SPREAD(query[i]);
            UNROLL
            for (int j = 0; j < VECTORS; j++) {
                const FLOAT_VECTOR lower = FLOAT_LOAD(boxes + j * FLOAT_LANES);
                const FLOAT_VECTOR upper = FLOAT_LOAD(boxes + BOX_LANES + j * FLOAT_LANES);
                const FLOAT_VECTOR gap =
                    FLOAT_MAX(FLOAT_MAX(FLOAT_SUB(lower, one), FLOAT_SUB(one, upper)), zero);
                sum[j] = FLOAT_ADD(sum[j], TERM(gap));
            }
            boxes += 2 * BOX_LANES;
        }
        UNROLL
        for (int j = 0; j < VECTORS; j++)
            bits |= (uint64_t)FLOAT_IS_CANDIDATE(sum[j], most) << j * FLOAT_LANES;
        if (bits == 0 || end == width) {
            UNROLL
            for (int j = 0; j < VECTORS; j++)
                FLOAT_STORE(bounds + j * FLOAT_LANES, sum[j]);
            return bits;
        }
    }
}

#undef BOXES
#undef TERM
