// Sums over the rows of a matrix (rows, channels), in a fixed order, and other passes down its columns.
//
// A block has a tile of the channels and some of the rows. Each of its threads has N channels, side by side so that it
// reads them at once, in every stride-th row. Threads along x are neighbours in a row, those along y have other rows.
#pragma once
#include "common.cuh"

constexpr int BLOCK = 256;

template <typename T, int N> struct alignas(N * sizeof(T)) Channels {
  T each[N];
  __device__ float operator[](int n) const { return float(each[n]); }
};

template <int N, typename T> __device__ inline Channels<T, N> read(const T* place) {
  return *(const Channels<T, N>*)place;
}
template <int N, typename T> __device__ inline void write(T* place, const Channels<T, N>& numbers) {
  *(Channels<T, N>*)place = numbers;
}

// What one thread has of a matrix: `first_row`, and each stride-th after it, of the channels from `channel` on.
template <int N> struct Column {
  long long rows, channels, channel, first_row, stride;

  __device__ Column(long long rows, long long channels) : rows(rows), channels(channels) {
    channel = (blockIdx.x * (long long)blockDim.x + threadIdx.x) * N;
    first_row = blockIdx.y * (long long)blockDim.y + threadIdx.y;
    stride = gridDim.y * (long long)blockDim.y;
    if (!exists()) first_row = rows;
  }

  __device__ bool exists() const { return channel < channels; }

  // How many of the K rows from `row` on there are.
  template <int K> __device__ int count(long long row) const {
    int count = 0;
    for (int k = 0; k < K; ++k, row += stride) count += row < rows;
    return count;
  }

  // Reads K rows at once, so that memory has enough to do; those beyond the last are zeros.
  template <int K, typename T> __device__ void read(const T* x, long long row, Channels<T, N> (&x_rows)[K]) const {
#pragma unroll
    for (int k = 0; k < K; ++k, row += stride) {
      x_rows[k] = {};
      if (row < rows) x_rows[k] = ::read<N>(x + row * channels + channel);
    }
  }

  template <int K, typename T>
  __device__ void write(T* y, long long row, const Channels<T, N> (&y_rows)[K]) const {
#pragma unroll
    for (int k = 0; k < K; ++k, row += stride)
      if (row < rows) ::write(y + row * channels + channel, y_rows[k]);
  }
};

// Sums, or whatever else can be merged, of parts of the rows.
__device__ inline float merged(float a, float b) { return a + b; }
__device__ inline float2 merged(float2 a, float2 b) { return {a.x + b.x, a.y + b.y}; }

// Merges what the threads of a block have of the same channels, in pairs; the threads at y = 0 get it.
template <typename A, int N> __device__ void merge_threads(A (&part)[N]) {
  __shared__ A parts[BLOCK * N];
  A* own = parts + (threadIdx.y * blockDim.x + threadIdx.x) * N;
  for (int half = blockDim.y / 2; half > 0; half /= 2) {
    if (threadIdx.y >= half && threadIdx.y < 2 * half)
      for (int n = 0; n < N; ++n) own[n] = part[n];
    __syncthreads();
    if (threadIdx.y < half)
      for (int n = 0; n < N; ++n) part[n] = merged(part[n], own[half * blockDim.x * N + n]);
  }
}

// Merges what all threads have of the same channels: those of each block, and what the blocks wrote to the workspace
// (gridDim.y, channels), which the last of them reads. Whether this thread has got what there is of its channels.
template <typename A, int N>
__device__ bool merge_rows(A (&part)[N], const Column<N>& column, A* workspace, unsigned int* counters) {
  merge_threads(part);
  if (gridDim.y > 1) {
    A* place = workspace + column.channel;
    if (threadIdx.y == 0 && column.exists())
      for (int n = 0; n < N; ++n) place[blockIdx.y * column.channels + n] = part[n];
    if (!is_last_block(counters + blockIdx.x, gridDim.y)) return false;
    for (int n = 0; n < N; ++n) part[n] = {};
    if (column.exists())
      for (unsigned int block = threadIdx.y; block < gridDim.y; block += blockDim.y)
        for (int n = 0; n < N; ++n) part[n] = merged(part[n], place[block * column.channels + n]);
    merge_threads(part);
  }
  return threadIdx.y == 0 && column.exists();
}
