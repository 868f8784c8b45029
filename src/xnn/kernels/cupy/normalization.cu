#include "activations.cuh"
#include "columns.cuh"

// The count, the mean, and the sum of squared differences from the mean of some numbers.
struct Moments {
  float count, mean, squares;
};

// Those of two sets together (T. Chan, G. Golub, R. LeVeque, "Updating formulae and a pairwise algorithm for computing
// sample variances", 1979): with n = n_a + n_b and δ = mean_b - mean_a,
//   mean = mean_a + δ n_b / n,   squares = squares_a + squares_b + δ² n_a n_b / n.
// Infinity plus a finite number is infinity, of which δ is the opposite.
__device__ inline Moments merged(Moments a, Moments b) {
  if (b.count == 0.0f) return a;
  float count = a.count + b.count, share = b.count / count, difference = b.mean - a.mean;
  float mean = isinf(a.mean) ? a.mean + b.mean : fmaf(difference, share, a.mean);
  return {count, mean, a.squares + b.squares + difference * difference * a.count * share};
}

// mean[c] = mean of x[r][c] over the rows r, variance[c] = mean of (x[r][c] - mean[c])².
// The first row, where it is finite, is subtracted from all, so that a mean much larger than the deviation costs no
// digits. Each thread has the exact moments of eight rows at a time, and merges them.
template <typename T, int N>
__global__ void batch_norm_statistics(
    const T* x, float* mean, float* variance, Moments* workspace, unsigned int* counters, long long rows,
    long long channels) {
  Column<N> column(rows, channels);
  Channels<T, N> origin = {};
  if (column.exists()) origin = read<N>(x + column.channel);
  for (int n = 0; n < N; ++n)
    if (!isfinite(origin[n])) origin.each[n] = T(0.0f);
  Moments total[N] = {};
  for (long long row = column.first_row; row < rows; row += 8 * column.stride) {
    Channels<T, N> x_rows[8];
    column.read(x, row, x_rows);
    int count = column.template count<8>(row);
#pragma unroll
    for (int n = 0; n < N; ++n) {
      float sum = 0.0f, squares = 0.0f;
#pragma unroll
      for (int k = 0; k < 8; ++k) sum += k < count ? x_rows[k][n] - origin[n] : 0.0f;
      float centre = sum / count;
#pragma unroll
      for (int k = 0; k < 8; ++k) {
        float difference = k < count ? x_rows[k][n] - origin[n] - centre : 0.0f;
        squares += difference * difference;
      }
      total[n] = merged(total[n], Moments{float(count), centre, squares});
    }
  }
  if (merge_rows(total, column, workspace, counters))
    for (int n = 0; n < N; ++n) {
      mean[column.channel + n] = origin[n] + total[n].mean;
      variance[column.channel + n] = total[n].squares / rows;
    }
}

// What normalizes one channel: with r = 1 / √(variance + ε), x̂ = (x - mean) r, and z = γ x̂ + β.
struct Norm {
  float mean, r, scale, bias;

  __device__ float normalized(float x) const { return (x - mean) * r; }
  __device__ float z(float x) const { return fmaf(x - mean, scale, bias); }
};

// Those of a thread's channels; without weight γ = 1, without bias β = 0.
template <int N> struct Norms {
  Norm each[N] = {};

  __device__ Norms(
      const Column<N>& column, const float* mean, const float* variance, const float* weight, const float* bias,
      float eps) {
    if (!column.exists()) return;
    for (int n = 0; n < N; ++n) {
      long long c = column.channel + n;
      float r = 1.0f / sqrtf(variance[c] + eps);
      each[n] = {mean[c], r, weight ? weight[c] * r : r, bias ? bias[c] : 0.0f};
    }
  }
  __device__ const Norm& operator[](int n) const { return each[n]; }
};

// y = f(z), with an activation f.
template <typename T, int N, typename F>
__global__ void batch_norm(
    const T* x, const float* mean, const float* variance, const float* weight, const float* bias, T* y, long long rows,
    long long channels, float eps) {
  Column<N> column(rows, channels);
  Norms<N> norms(column, mean, variance, weight, bias, eps);
  for (long long row = column.first_row; row < rows; row += 4 * column.stride) {
    Channels<T, N> x_rows[4];
    column.read(x, row, x_rows);
#pragma unroll
    for (int k = 0; k < 4; ++k)
#pragma unroll
      for (int n = 0; n < N; ++n) x_rows[k].each[n] = T(F::value(norms[n].z(x_rows[k][n])));
    column.write(y, row, x_rows);
  }
}

// With dz = f'(z) dy: plain = Σ dz, which is dβ, and along = Σ dz x̂, which is dγ. Beyond the last row dy = 0.
template <typename T, int N, typename F>
__global__ void batch_norm_sums(
    const T* dy, const T* x, const float* mean, const float* variance, const float* weight, const float* bias,
    float* plain, float* along, float2* workspace, unsigned int* counters, long long rows, long long channels,
    float eps) {
  Column<N> column(rows, channels);
  Norms<N> norms(column, mean, variance, weight, bias, eps);
  float2 total[N] = {};
  for (long long row = column.first_row; row < rows; row += 4 * column.stride) {
    Channels<T, N> dy_rows[4], x_rows[4];
    column.read(dy, row, dy_rows);
    column.read(x, row, x_rows);
#pragma unroll
    for (int n = 0; n < N; ++n) {
      float2 sums = {};
#pragma unroll
      for (int k = 0; k < 4; ++k) {
        float dz = F::pullback(norms[n].z(x_rows[k][n]), dy_rows[k][n]);
        sums = merged(sums, float2{dz, dz * norms[n].normalized(x_rows[k][n])});
      }
      total[n] = merged(total[n], sums);
    }
  }
  if (merge_rows(total, column, workspace, counters))
    for (int n = 0; n < N; ++n) {
      plain[column.channel + n] = total[n].x;
      along[column.channel + n] = total[n].y;
    }
}

// dx = γ r (dz - plain / rows - x̂ along / rows); without the sums, for given statistics, dx = γ r dz.
template <typename T, int N, typename F>
__global__ void batch_norm_dx(
    const T* dy, const T* x, const float* mean, const float* variance, const float* weight, const float* bias,
    const float* plain, const float* along, T* dx, long long rows, long long channels, float eps) {
  Column<N> column(rows, channels);
  Norms<N> norms(column, mean, variance, weight, bias, eps);
  float2 means[N] = {};
  if (plain && column.exists())
    for (int n = 0; n < N; ++n) means[n] = {plain[column.channel + n] / rows, along[column.channel + n] / rows};
  for (long long row = column.first_row; row < rows; row += 4 * column.stride) {
    Channels<T, N> dy_rows[4], x_rows[4];
    column.read(dy, row, dy_rows);
    column.read(x, row, x_rows);
#pragma unroll
    for (int k = 0; k < 4; ++k)
#pragma unroll
      for (int n = 0; n < N; ++n) {
        float number = x_rows[k][n], dz = F::pullback(norms[n].z(number), dy_rows[k][n]);
        dy_rows[k].each[n] = T(norms[n].scale * (dz - means[n].x - norms[n].normalized(number) * means[n].y));
      }
    column.write(dx, row, dy_rows);
  }
}

// running += momentum (batch - running), with the unbiased variance, which is the biased one times a correction.
__global__ void move_statistics(
    const float* mean, const float* variance, float* running_mean, float* running_variance, long long channels,
    float momentum, float correction) {
  for (long long c = first_index(); c < channels; c += all_threads()) {
    running_mean[c] += momentum * (mean[c] - running_mean[c]);
    running_variance[c] += momentum * (correction * variance[c] - running_variance[c]);
  }
}
