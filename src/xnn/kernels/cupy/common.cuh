// What several kernels share.
#pragma once
#include <cuda_fp16.h>

// Numbers are of type T in memory, float16 or float32, and float32 in registers.
template <typename T> __device__ inline float load(const T* place) { return float(*place); }
template <typename T> __device__ inline void store(T* place, float value) { *place = T(value); }

// The first number of this thread in a loop that strides over all numbers, and the stride.
__device__ inline long long first_index() { return blockIdx.x * (long long)blockDim.x + threadIdx.x; }
__device__ inline long long all_threads() { return gridDim.x * (long long)blockDim.x; }

// The sum of a value over the threads of a block of one axis, a multiple of 32 threads, in a fixed order; every thread
// gets it.
__device__ inline float block_sum(float value) {
  __shared__ float sums[33];
  for (int offset = 16; offset > 0; offset /= 2) value += __shfl_down_sync(0xffffffff, value, offset);
  __syncthreads();
  if (threadIdx.x % 32 == 0) sums[threadIdx.x / 32] = value;
  __syncthreads();
  if (threadIdx.x == 0) {
    float total = 0.0f;
    for (int warp = 0; warp < blockDim.x / 32; ++warp) total += sums[warp];
    sums[32] = total;
  }
  __syncthreads();
  return sums[32];
}

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
