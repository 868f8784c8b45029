// Images (n, h, w, c), channels last: a thread takes a pixel and a pack of channels.
#pragma once
#include "elementwise.cuh"

// Channels in a pack: as many as 16 bytes hold if the layout is `wide`, else one.
template <typename T, bool wide> constexpr int pack_size = wide ? 16 / sizeof(T) : 1;

template <int N, typename T> __device__ Pack<T, N> load_pack(const T* place) { return *(const Pack<T, N>*)place; }

template <int N, typename T> __device__ void store_pack(T* place, const float* values) {
  Pack<T, N> out;
  for (int k = 0; k < N; ++k) out.each[k] = T(values[k]);
  *(Pack<T, N>*)place = out;
}

// Calls f(image, row, column, channel) for each pixel and the first channel of each pack of N. Blocks and threads are
// (packs of an image, images); the grid covers the first, which are fewer than 2³¹.
template <int N, typename F>
__device__ void each_pixel(long long images, int height, int width, int channels, F f) {
  unsigned int packs = channels / N, i = blockIdx.x * blockDim.x + threadIdx.x, pixel = i / packs;
  if (pixel >= (unsigned int)height * width) return;
  int row = pixel / width, column = pixel % width, channel = i % packs * N;
  long long stride = (long long)gridDim.y * blockDim.y;
  for (long long n = (long long)blockIdx.y * blockDim.y + threadIdx.y; n < images; n += stride) f(n, row, column, channel);
}
