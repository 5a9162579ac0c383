/* The level for any processor, in C without intrinsics (contract: kernels.h; macros: the
 * templates).
 *
 * A vector is one scalar; the compiler joins neighboring ones to real vectors where it can. */
#include "../templates/common.h"

#define LEVEL portable
#define LEVEL_NAME "portable"

#define TILE dot_u8
#define TILE_QUERIES 4
#define TILE_VECTORS 16
#define TILE_LANES 1
#define TILE_GROUP 1
#define ROW uint8_t
#define QUERY int8_t
#define SCORE int32_t
#define VECTOR int32_t
#define LOAD(p) (*(p))
#define BROADCAST(p) (*(p))
#define ZERO() 0
#define STEP(sum, rows, query) ((sum) + (rows) * (query))
#define STORE(p, sum) (*(p) = 2 * (sum))
#define START(x) (x)
#define FLOATS float
#define TO_FLOATS(sum) ((float)(sum))
#define LOAD_FLOATS(p) (*(p))
#define SPREAD_FLOAT(x) (x)
#define MUL_ADD(a, b, c) ((a) * (b) + (c))
#define AT_MOST(a, b) ((a) <= (b))
#include "../templates/tile.h"

#define TILE sad_u8
#define TILE_QUERIES 4
#define TILE_VECTORS 16
#define TILE_LANES 1
#define TILE_GROUP 1
#define ROW uint8_t
#define QUERY uint8_t
#define SCORE int32_t
#define VECTOR int32_t
#define LOAD(p) (*(p))
#define BROADCAST(p) (*(p))
#define ZERO() 0
#define STEP(sum, rows, query) ((sum) + abs((rows) - (query)))
#define STORE(p, sum) (*(p) = (sum))
#include "../templates/tile.h"

#define SELECT select_i32
#define SELECT_LANES 1
#define SCORE int32_t
#define VECTOR int32_t
#define LOAD(p) (*(p))
#define SPREAD(x) (x)
#define ADD(a, b) ((a) + (b))
#define IS_CANDIDATE(score, threshold) ((score) <= (threshold))
#include "../templates/select.h"

#define FLOAT float
#define FLOAT_NAME f32
#define FLOAT_QUERIES 4
#define FLOAT_VECTORS 16
#define FLOAT_LANES 1
#define FLOAT_VECTOR float
#define FLOAT_LOAD(p) (*(p))
#define FLOAT_STORE(p, v) (*(p) = (v))
#define FLOAT_SPREAD(x) (x)
#define FLOAT_ADD(a, b) ((a) + (b))
#define FLOAT_SUB(a, b) ((a) - (b))
#define FLOAT_MUL(a, b) ((a) * (b))
#define FLOAT_ADD_PRODUCT(sum, a, b) ((sum) + (a) * (b))
#define FLOAT_ABS(a) fabsf(a)
#define FLOAT_IS_CANDIDATE(score, threshold) ((score) <= (threshold) || (score) == HUGE_VALF)
#define FLOAT_MAX(a, b) ((a) > (b) ? (a) : (b))
#include "../templates/floats.h"

#define FLOAT double
#define FLOAT_NAME f64
#define FLOAT_QUERIES 4
#define FLOAT_VECTORS 16
#define FLOAT_LANES 1
#define FLOAT_VECTOR double
#define FLOAT_LOAD(p) (*(p))
#define FLOAT_STORE(p, v) (*(p) = (v))
#define FLOAT_SPREAD(x) (x)
#define FLOAT_ADD(a, b) ((a) + (b))
#define FLOAT_SUB(a, b) ((a) - (b))
#define FLOAT_MUL(a, b) ((a) * (b))
#define FLOAT_ADD_PRODUCT(sum, a, b) ((sum) + (a) * (b))
#define FLOAT_ABS(a) fabs(a)
#define FLOAT_IS_CANDIDATE(score, threshold) ((score) <= (threshold) || (score) == HUGE_VAL)
#include "../templates/floats.h"

#define DOUBLE_LANES 2
#include "../templates/level.h"
