// A step with a scaled loss, which is undone if a gradient is not finite; see xnn.training.LossScaler.
#include "common.cuh"
#include "tables.cuh"

// copy <- vector, for all pairs
__global__ void keep(const VectorPair* pairs, long long count, long long total) {
  for (long long i = first_index(); i < total; i += all_threads()) {
    const VectorPair pair = row_of(pairs, count, i);
    pair.copy[i - pair.first] = pair.vector[i - pair.first];
  }
}

// g <- g / scale;  finite = whether all are. Both zeros, a counter and a flag, are 0 before and after.
__global__ void unscale(const float* scale, float* gradient, bool* finite, unsigned int* zeros, long long size) {
  const float factor = 1.0f / *scale;
  bool is_spoiled = false;
  for (long long i = first_index(); i < size; i += all_threads()) {
    const float g = gradient[i] * factor;
    gradient[i] = g;
    is_spoiled |= !isfinite(g);
  }
  if (__syncthreads_or(is_spoiled) && threadIdx.x == 0) atomicOr(&zeros[1], 1u);
  if (is_last_block(&zeros[0], gridDim.x) && threadIdx.x == 0) *finite = atomicExch(&zeros[1], 0u) == 0;
}

// Unless all was finite, vector <- copy, for all pairs. The first thread chooses the next scale: half of it after a step
// that was not finite, twice of it after growth_steps in a row that were, within [least, most].
__global__ void settle(
    const VectorPair* pairs, const bool* finite, const float* scale, const long long* good, const long long* skipped,
    float* next_scale, long long* next_good, long long* next_skipped, bool* futile, long long count, long long total,
    long long growth_steps, float least, float most) {
  if (first_index() == 0) {
    const long long in_a_row = *finite ? *good + 1 : 0;
    const bool grows = in_a_row >= growth_steps;
    const float wanted = *scale * (!*finite ? 0.5f : grows ? 2.0f : 1.0f);
    *next_scale = fminf(fmaxf(wanted, least), most);
    *next_good = grows ? 0 : in_a_row;
    *next_skipped = *skipped + !*finite;
    *futile = wanted < least;
  }
  if (*finite) return;
  for (long long i = first_index(); i < total; i += all_threads()) {
    const VectorPair pair = row_of(pairs, count, i);
    pair.vector[i - pair.first] = pair.copy[i - pair.first];
  }
}
