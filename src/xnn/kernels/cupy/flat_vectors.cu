// What else is done to flat vectors: averaging weights, and clipping gradients by their norm.
#include "common.cuh"
#include "tables.cuh"

// a <- a + rate (w - a)
__global__ void move(const float* weights, float* average, long long size, float rate) {
  for (long long i = first_index(); i < size; i += all_threads()) average[i] += (weights[i] - average[i]) * rate;
}

// norm = sqrt(sum of g^2 over all runs): each block adds up its own share, and the last one the blocks' sums.
__global__ void find_norm(
    const Run* runs, const float* gradient, float* sums, float* norm, unsigned int* counter, long long count,
    long long total) {
  float squares = 0.0f;
  for (long long i = first_index(); i < total; i += all_threads()) {
    const Run run = row_of(runs, count, i);
    const float g = gradient[run.start + (i - run.first)];
    squares += g * g;
  }
  squares = block_sum(squares);
  if (threadIdx.x == 0) sums[blockIdx.x] = squares;
  if (!is_last_block(counter, gridDim.x)) return;
  float all = 0.0f;
  for (int block = threadIdx.x; block < gridDim.x; block += blockDim.x) all += sums[block];
  all = block_sum(all);
  if (threadIdx.x == 0) *norm = sqrtf(all);
}

// g <- g bound / norm, where the norm is above the bound. Not `norm > bound`: a norm of NaN has to make all NaN.
__global__ void clip(
    const Run* runs, const float* norm, float* gradient, long long count, long long total, float bound) {
  if (*norm <= bound) return;
  const float factor = bound / *norm;
  for (long long i = first_index(); i < total; i += all_threads()) {
    const Run run = row_of(runs, count, i);
    gradient[run.start + (i - run.first)] *= factor;
  }
}
