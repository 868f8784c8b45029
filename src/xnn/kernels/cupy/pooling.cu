// Pooling of windows. The numbers of an image are fewer than 2³¹, so places within it are of type int.
#include "pixels.cuh"

// Windows over an image with padding above it and on its left, and how many fit down and across.
struct Windows {
  int height, width, channels, window_height, window_width, stride_down, stride_across, top, left, down, across;

  __device__ float taps() const { return float(window_height) * window_width; }

  // The place of a pixel's channel in x, and of a window's in y.
  __device__ long long in_images(long long n, int row, int column, int channel) const {
    return n * (height * width * channels) + (row * width + column) * channels + channel;
  }
  __device__ long long in_output(long long n, int p, int q, int channel) const {
    return n * (down * across * channels) + (p * across + q) * channels + channel;
  }

  // Calls f(row, column, tap) for each tap of window (p, q) that is not padding, in row-major order.
  template <typename F> __device__ void each_tap(int p, int q, F f) const {
    int first_row = p * stride_down - top, first_column = q * stride_across - left;
    int end_i = min(window_height, height - first_row), end_j = min(window_width, width - first_column);
    for (int i = max(0, -first_row); i < end_i; ++i)
      for (int j = max(0, -first_column); j < end_j; ++j) f(first_row + i, first_column + j, i * window_width + j);
  }

  // Calls f(p, q, tap) for each window that sees a pixel, by which tap.
  template <typename F> __device__ void each_window(int row, int column, F f) const {
    int r = row + top, s = column + left;
    // From the first window that reaches as far to the last one that begins no later.
    int first_p = r < window_height ? 0 : (r - window_height) / stride_down + 1;
    int first_q = s < window_width ? 0 : (s - window_width) / stride_across + 1;
    int end_p = min(r / stride_down + 1, down), end_q = min(s / stride_across + 1, across);
    for (int p = first_p; p < end_p; ++p)
      for (int q = first_q; q < end_q; ++q)
        f(p, q, (r - p * stride_down) * window_width + s - q * stride_across);
  }
};

// y = max(least, max_t x_t), and NaN if some x_t is; t* = the first of the taps that are greatest, or `no_tap` if none
// is above `least`. With NaN, t* is that of the taps before the first NaN, as in the reference.
template <typename T, bool wide>
__global__ void max_pool(const T* x, T* y, unsigned char* taps, Windows w, long long images, long long no_tap,
                         float least) {
  constexpr int N = pack_size<T, wide>;
  each_pixel<N>(images, w.down, w.across, w.channels, [&](long long n, int p, int q, int channel) {
    float best[N];
    Pack<unsigned char, N> held;
    for (int k = 0; k < N; ++k) best[k] = least, held.each[k] = no_tap;
    w.each_tap(p, q, [&](int row, int column, int tap) {
      auto values = load_pack<N>(x + w.in_images(n, row, column, channel));
      for (int k = 0; k < N; ++k) {
        float value = values.each[k];
        if (value > best[k]) held.each[k] = tap;
        if (value > best[k] || value != value) best[k] = value;
      }
    });
    long long place = w.in_output(n, p, q, channel);
    store_pack<N>(y + place, best);
    *(Pack<unsigned char, N>*)(taps + place) = held;
  });
}

// dx = Σ dy over the windows whose t* is the pixel.
template <typename T, bool wide>
__global__ void max_pool_pullback(const T* dy, const unsigned char* taps, T* dx, Windows w, long long images) {
  constexpr int N = pack_size<T, wide>;
  each_pixel<N>(images, w.height, w.width, w.channels, [&](long long n, int row, int column, int channel) {
    float sum[N] = {};
    w.each_window(row, column, [&](int p, int q, int tap) {
      long long place = w.in_output(n, p, q, channel);
      auto held = load_pack<N>(taps + place);
      auto values = load_pack<N>(dy + place);
      for (int k = 0; k < N; ++k)
        if (held.each[k] == tap) sum[k] += float(values.each[k]);
    });
    store_pack<N>(dx + w.in_images(n, row, column, channel), sum);
  });
}

// y = (1/T) Σ_t x_t for T taps; padding counts as 0.
template <typename T, bool wide> __global__ void avg_pool(const T* x, T* y, Windows w, long long images) {
  constexpr int N = pack_size<T, wide>;
  each_pixel<N>(images, w.down, w.across, w.channels, [&](long long n, int p, int q, int channel) {
    float sum[N] = {};
    w.each_tap(p, q, [&](int row, int column, int) {
      auto values = load_pack<N>(x + w.in_images(n, row, column, channel));
      for (int k = 0; k < N; ++k) sum[k] += float(values.each[k]);
    });
    for (int k = 0; k < N; ++k) sum[k] /= w.taps();
    store_pack<N>(y + w.in_output(n, p, q, channel), sum);
  });
}

// dx = (1/T) Σ dy over the windows that see the pixel.
template <typename T, bool wide> __global__ void avg_pool_pullback(const T* dy, T* dx, Windows w, long long images) {
  constexpr int N = pack_size<T, wide>;
  each_pixel<N>(images, w.height, w.width, w.channels, [&](long long n, int row, int column, int channel) {
    float sum[N] = {};
    w.each_window(row, column, [&](int p, int q, int) {
      auto values = load_pack<N>(dy + w.in_output(n, p, q, channel));
      for (int k = 0; k < N; ++k) sum[k] += float(values.each[k]);
    });
    for (int k = 0; k < N; ++k) sum[k] /= w.taps();
    store_pack<N>(dx + w.in_images(n, row, column, channel), sum);
  });
}
