// Random changes to photographs, of bytes, as in xnn.data.photographs: each product and sum is rounded as there.
#include "common.cuh"

// a + (b - a) t
__device__ inline float between(float a, float b, float t) { return __fadd_rn(a, __fmul_rn(__fsub_rn(b, a), t)); }

// The pixel before a position along a side, and how far the position is behind it, from 0 to 1. Positions beyond the
// outermost pixels stand for these.
__device__ inline long long pixel_before(double position, long long side, float& behind) {
  const double inside = fmin(fmax(position, 0.0), double(side - 1)), pixel = floor(inside);
  behind = float(inside - pixel);
  return (long long)pixel;
}

// y[i, j, k] = x[i] at (row[i, j, k], column[i, j, k]), between the four pixels around it. Of rows and columns there may
// be one for each line of an image only, so that they have steps of their own. Blocks along y share an image.
__global__ void sample_images(const unsigned char* x, const double* row, const double* column, unsigned char* y,
                              long long count, long long height, long long width, long long channels,
                              long long row_step, long long row_step_right, long long column_step,
                              long long column_step_down) {
  const long long pixels = height * width;
  for (long long i = blockIdx.x; i < count; i += gridDim.x) {
    const unsigned char* image = x + i * pixels * channels;
    unsigned char* target = y + i * pixels * channels;
    for (unsigned int p = blockIdx.y * blockDim.x + threadIdx.x; p < pixels; p += gridDim.y * blockDim.x) {
      const long long j = p / (unsigned int)width, k = p % (unsigned int)width;
      float down, right;
      const long long top = pixel_before(row[(i * height + j) * row_step + k * row_step_right], height, down);
      const long long left = pixel_before(column[i * column_step + j * column_step_down + k], width, right);
      const long long below = min(top + 1, height - 1), beside = min(left + 1, width - 1);
      for (int c = 0; c < channels; ++c) {
        auto at = [&](long long j, long long k) { return float(image[(j * width + k) * channels + c]); };
        const float upper = between(at(top, left), at(top, beside), right);
        const float lower = between(at(below, left), at(below, beside), right);
        target[p * channels + c] = (unsigned char)rintf(between(upper, lower, down));
      }
    }
  }
}

struct Weights {
  int weight[8];
};

// With the grey  g = Σ_c weight[c] x[c],  as a share of Σ weight:
// y = of_pixel[i] x + of_grey[i] g + of_mean[i] mean(g),  within 0 and 255
// A block has one image at a time.
__global__ void jitter_colours(const unsigned char* x, const double* of_pixel, const double* of_grey,
                               const double* of_mean, unsigned char* y, long long count, long long pixels,
                               long long channels, Weights weights) {
  __shared__ unsigned long long total;
  long long sum = 0;
  for (int c = 0; c < channels; ++c) sum += weights.weight[c];
  for (long long i = blockIdx.x; i < count; i += gridDim.x) {
    const unsigned char* image = x + i * pixels * channels;
    unsigned char* target = y + i * pixels * channels;
    auto grey = [&](long long p) {
      long long found = 0;
      for (int c = 0; c < channels; ++c) found += weights.weight[c] * image[p * channels + c];
      return found;
    };
    // Of whole numbers, so that the order does not matter.
    __syncthreads();
    if (threadIdx.x == 0) total = 0;
    __syncthreads();
    unsigned long long own = 0;
    for (long long p = threadIdx.x; p < pixels; p += blockDim.x) own += grey(p);
    for (int offset = 16; offset > 0; offset /= 2) own += __shfl_down_sync(0xffffffff, own, offset);
    if (threadIdx.x % 32 == 0) atomicAdd(&total, own);
    __syncthreads();
    const double mean = __dmul_rn(of_mean[i], double(total) / double(sum * pixels));
    for (long long p = threadIdx.x; p < pixels; p += blockDim.x) {
      const double own_grey = __dmul_rn(of_grey[i], double(grey(p)) / double(sum));
      for (int c = 0; c < channels; ++c) {
        const double pixel = __dmul_rn(of_pixel[i], double(image[p * channels + c]));
        const double value = __dadd_rn(__dadd_rn(pixel, own_grey), mean);
        target[p * channels + c] = (unsigned char)rint(fmin(fmax(value, 0.0), 255.0));
      }
    }
  }
}
