// Pooling of all pixels of an image, x (n, pixels, c) to y (n, c). Forward, a block has a chunk of channels and strides
// over the images. Of its 256 threads (pack of channels, pixels) each goes over every blockDim.y-th pixel, and the first
// row of threads over the results of the others.
#include "pixels.cuh"

const int threads = 256, most_channels = 8;

// The first channel of this thread's pack, and the place of this thread in its block.
template <int N> __device__ long long first_channel() { return (blockIdx.x * (long long)blockDim.x + threadIdx.x) * N; }
__device__ inline int thread_of(int row) { return row * blockDim.x + threadIdx.x; }

__device__ inline float* shared_sums() {
  __shared__ float sums[most_channels * threads];
  return sums;
}

// y = (1/P) Σ_p x_p for P pixels.
template <typename T, bool wide>
__global__ void global_avg_pool(const T* x, T* y, long long images, long long pixels, long long channels) {
  constexpr int N = pack_size<T, wide>;
  float* sums = shared_sums();
  long long channel = first_channel<N>();
  for (long long image = blockIdx.y; image < images; image += gridDim.y) {
    float sum[N] = {};
    if (channel < channels)
      for (long long p = threadIdx.y; p < pixels; p += blockDim.y) {
        auto values = load_pack<N>(x + (image * pixels + p) * channels + channel);
        for (int k = 0; k < N; ++k) sum[k] += float(values.each[k]);
      }
    // What the image before left there has been read.
    __syncthreads();
    for (int k = 0; k < N; ++k) sums[k * threads + thread_of(threadIdx.y)] = sum[k];
    __syncthreads();
    if (threadIdx.y > 0 || channel >= channels) continue;
    for (int k = 0; k < N; ++k) {
      for (int row = 1; row < blockDim.y; ++row) sum[k] += sums[k * threads + thread_of(row)];
      sum[k] /= pixels;
    }
    store_pack<N>(y + image * channels + channel, sum);
  }
}

// dx_p = dy / P.
template <typename T, bool wide>
__global__ void global_avg_pool_pullback(const T* dy, T* dx, long long images, long long pixels, long long channels) {
  constexpr int N = pack_size<T, wide>;
  each_pixel<N>(images, 1, pixels, channels, [&](long long n, int, int p, int channel) {
    auto values = load_pack<N>(dy + n * channels + channel);
    float share[N];
    for (int k = 0; k < N; ++k) share[k] = float(values.each[k]) / pixels;
    store_pack<N>(dx + (n * pixels + p) * channels + channel, share);
  });
}

// The greatest number among some pixels, and the first pixel that has it; NaN counts as greater than all others.
struct Best {
  float value;
  int first;

  __device__ void join(Best other) {
    bool is_nan = value != value, other_is_nan = other.value != other.value;
    bool is_equal = other.value == value || (is_nan && other_is_nan);
    bool is_greater = !is_nan && (other_is_nan || other.value > value);
    if (is_greater || (is_equal && other.first < first)) *this = other;
  }
};

__device__ inline Best* shared_bests() {
  __shared__ Best bests[most_channels * threads];
  return bests;
}

// y = max_p x_p, and NaN if some x_p is; `places` has the first p where x_p is y.
template <typename T, bool wide>
__global__ void global_max_pool(const T* x, T* y, int* places, long long images, long long pixels, long long channels) {
  constexpr int N = pack_size<T, wide>;
  Best* bests = shared_bests();
  long long channel = first_channel<N>();
  for (long long image = blockIdx.y; image < images; image += gridDim.y) {
    Best best[N];
    for (int k = 0; k < N; ++k) best[k] = Best{-infinity(), int(pixels)};
    if (channel < channels)
      for (long long p = threadIdx.y; p < pixels; p += blockDim.y) {
        auto values = load_pack<N>(x + (image * pixels + p) * channels + channel);
        for (int k = 0; k < N; ++k) best[k].join(Best{float(values.each[k]), int(p)});
      }
    // What the image before left there has been read.
    __syncthreads();
    for (int k = 0; k < N; ++k) bests[k * threads + thread_of(threadIdx.y)] = best[k];
    __syncthreads();
    if (threadIdx.y > 0 || channel >= channels) continue;
    float largest[N];
    for (int k = 0; k < N; ++k) {
      for (int row = 1; row < blockDim.y; ++row) best[k].join(bests[k * threads + thread_of(row)]);
      largest[k] = best[k].value;
      places[image * channels + channel + k] = best[k].first;
    }
    store_pack<N>(y + image * channels + channel, largest);
  }
}

// dx_p = dy at the first p where x_p is y, else 0.
template <typename T, bool wide>
__global__ void global_max_pool_pullback(const T* dy, const int* places, T* dx, long long images, long long pixels,
                                         long long channels) {
  constexpr int N = pack_size<T, wide>;
  each_pixel<N>(images, 1, pixels, channels, [&](long long n, int, int p, int channel) {
    auto values = load_pack<N>(dy + n * channels + channel);
    float routed[N];
    for (int k = 0; k < N; ++k) routed[k] = places[n * channels + channel + k] == p ? float(values.each[k]) : 0.0f;
    store_pack<N>(dx + (n * pixels + p) * channels + channel, routed);
  });
}
