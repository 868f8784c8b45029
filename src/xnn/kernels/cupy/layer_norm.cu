#include "columns.cuh"

// The threads along x of a block, one warp or all of the block's, have a row together. Memory is read once: when a row
// is read again, it is in the cache.

// Calls f for the first of each N channels, side by side, that this thread has of a row.
template <int N, typename F> __device__ inline void for_channels(long long channels, F f) {
  for (long long c = threadIdx.x * N; c < channels; c += blockDim.x * N) f(c);
}

// Calls f for each row that this thread has a part of.
template <typename F> __device__ inline void for_rows(long long rows, F f) {
  for (long long row = blockIdx.x * blockDim.y + threadIdx.y; row < rows; row += gridDim.x * blockDim.y) f(row);
}

// Per row, over its channels: mean = mean(x), r = 1 / √(mean((x - mean)²) + ε), y = γ (x - mean) r + β.
// The row's first number is subtracted from all, so that a mean much larger than the deviation costs no digits.
template <typename T, int N>
__global__ void layer_norm(
    const T* x, const float* weight, const float* bias, T* y, float* mean, float* r, long long rows,
    long long channels, float eps) {
  for_rows(rows, [&](long long row) {
    const T* x_row = x + row * channels;
    T* y_row = y + row * channels;
    float origin = load(x_row), sum = 0.0f, squares = 0.0f;
    for_channels<N>(channels, [&](long long c) {
      Channels<T, N> numbers = read<N>(x_row + c);
      for (int n = 0; n < N; ++n) sum += numbers[n] - origin;
    });
    float centre = row_sum(sum) / channels;
    for_channels<N>(channels, [&](long long c) {
      Channels<T, N> numbers = read<N>(x_row + c);
      for (int n = 0; n < N; ++n) {
        float difference = numbers[n] - origin - centre;
        squares += difference * difference;
      }
    });
    float factor = 1.0f / sqrtf(row_sum(squares) / channels + eps);
    for_channels<N>(channels, [&](long long c) {
      Channels<T, N> numbers = read<N>(x_row + c);
      for (int n = 0; n < N; ++n) {
        float normalized = (numbers[n] - origin - centre) * factor;
        numbers.each[n] = T(fmaf(normalized, weight ? weight[c + n] : 1.0f, bias ? bias[c + n] : 0.0f));
      }
      write(y_row + c, numbers);
    });
    if (threadIdx.x == 0) {
      mean[row] = origin + centre;
      r[row] = factor;
    }
  });
}

// Per row, with g = γ dy and x̂ = (x - mean) r: dx = r (g - mean(g) - x̂ mean(g x̂)).
template <typename T, int N>
__global__ void layer_norm_dx(
    const T* dy, const T* x, const float* mean, const float* r, const float* weight, T* dx, long long rows,
    long long channels) {
  for_rows(rows, [&](long long row) {
    const T *dy_row = dy + row * channels, *x_row = x + row * channels;
    T* dx_row = dx + row * channels;
    float centre = mean[row], factor = r[row], plain = 0.0f, along = 0.0f;
    for_channels<N>(channels, [&](long long c) {
      Channels<T, N> gradient = read<N>(dy_row + c), numbers = read<N>(x_row + c);
      for (int n = 0; n < N; ++n) {
        float g = weight ? weight[c + n] * gradient[n] : gradient[n];
        plain += g;
        along += g * (numbers[n] - centre) * factor;
      }
    });
    plain = row_sum(plain) / channels;
    along = row_sum(along) / channels;
    for_channels<N>(channels, [&](long long c) {
      Channels<T, N> gradient = read<N>(dy_row + c), numbers = read<N>(x_row + c);
      for (int n = 0; n < N; ++n) {
        float g = weight ? weight[c + n] * gradient[n] : gradient[n];
        gradient.each[n] = T(factor * (g - plain - (numbers[n] - centre) * factor * along));
      }
      write(dx_row + c, gradient);
    });
  });
}

// Per channel, over the rows: plain = Σ dy, which is dβ, and along = Σ dy x̂, which is dγ. Beyond the last row dy = 0.
template <typename T, int N>
__global__ void layer_norm_sums(
    const T* dy, const T* x, const float* mean, const float* r, float* plain, float* along, float2* workspace,
    unsigned int* counters, long long rows, long long channels) {
  Column<N> column(rows, channels);
  float2 total[N] = {};
  for (long long row = column.first_row; row < rows; row += 4 * column.stride) {
    Channels<T, N> dy_rows[4], x_rows[4];
    column.read(dy, row, dy_rows);
    column.read(x, row, x_rows);
    float2 sums[N] = {};
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      long long own = row + k * column.stride;
      float centre = own < rows ? mean[own] : 0.0f, factor = own < rows ? r[own] : 0.0f;
#pragma unroll
      for (int n = 0; n < N; ++n)
        sums[n] = merged(sums[n], {dy_rows[k][n], dy_rows[k][n] * (x_rows[k][n] - centre) * factor});
    }
    for (int n = 0; n < N; ++n) total[n] = merged(total[n], sums[n]);
  }
  if (merge_rows(total, column, workspace, counters))
    for (int n = 0; n < N; ++n) {
      plain[column.channel + n] = total[n].x;
      along[column.channel + n] = total[n].y;
    }
}
