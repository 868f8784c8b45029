// What several kernels share.
#pragma once
#include <cuda_fp16.h>

// Numbers are of type T in memory, float16 or float32, and float32 in registers.
template <typename T> __device__ inline float load(const T* place) { return float(*place); }
template <typename T> __device__ inline void store(T* place, float value) { *place = T(value); }

// The first number of this thread in a loop that strides over all numbers, and the stride.
__device__ inline long long first_index() { return blockIdx.x * (long long)blockDim.x + threadIdx.x; }
__device__ inline long long all_threads() { return gridDim.x * (long long)blockDim.x; }

// Combines a value over the threads of a row, in a fixed order; every thread gets the result. Rows are along x, and a row
// is a warp, or it is the block and has a multiple of 32 threads; then all threads of the block must come.
template <typename F> __device__ inline float over_row(float value, F combine) {
  for (int offset = 16; offset > 0; offset /= 2) value = combine(value, __shfl_xor_sync(0xffffffff, value, offset));
  if (blockDim.x == 32) return value;
  __shared__ float parts[32];
  __syncthreads();
  if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = value;
  __syncthreads();
  value = parts[0];
  for (int warp = 1; warp < blockDim.x / 32; ++warp) value = combine(value, parts[warp]);
  return value;
}
__device__ inline float row_sum(float value) {
  return over_row(value, [](float a, float b) { return a + b; });
}
__device__ inline float row_max(float value) {
  return over_row(value, [](float a, float b) { return fmaxf(a, b); });
}
// A block of one axis is a row.
__device__ inline float block_sum(float value) { return row_sum(value); }

// Whether this block is the last of `blocks` to arrive here. Then it sees what the others wrote to memory before, and
// the counter is back at 0. All threads of the block must come.
__device__ inline bool is_last_block(unsigned int* counter, unsigned int blocks) {
  __shared__ bool last;
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0 && threadIdx.y == 0) last = atomicInc(counter, blocks - 1) == blocks - 1;
  __syncthreads();
  __threadfence();
  return last;
}
