/* A tile of one float type (contract: tile.h).
 *
 * Included by floats.h, which has said TILE and STEP; all other macros of tile.h follow from those
 * that floats.h lists for the type. */

#define TILE_QUERIES FLOAT_QUERIES
#define TILE_VECTORS FLOAT_VECTORS
#define TILE_LANES FLOAT_LANES
#define TILE_GROUP 1
#define ROW FLOAT
#define QUERY FLOAT
#define SCORE FLOAT
#define VECTOR FLOAT_VECTOR
#define LOAD(p) FLOAT_LOAD(p)
#define BROADCAST(p) FLOAT_SPREAD(*(p))
#define ZERO() FLOAT_SPREAD(0)
#define STORE(p, sum) FLOAT_STORE(p, sum)
#include "tile.h"
