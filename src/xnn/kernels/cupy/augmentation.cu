// Moving images from a data set into a batch.
#include "common.cuh"

constexpr int MOST_STEPS = 32;
enum Kind { MIRROR, SHIFT, REFLECT, BLANK, WINDOW };

// A step of augmentation: a number for each image along each axis, and the images' sides before it.
struct Step {
  const long long* rows;  // Without them, zeros.
  const long long* columns;
  int kind, size, height, width;
};
struct Steps {
  int count;
  Step step[MOST_STEPS];
};

// -1 becomes 1, and n becomes n - 2 for a side of n pixels.
__device__ inline long long reflected(long long position, long long side) {
  return side - 1 - llabs(side - 1 - llabs(position));
}

// Which pixel of an image before all steps becomes the one at (row, column) after them; -1 if it is blank. The steps are
// traced backwards, the last one first.
__device__ long long origin(const Steps& steps, long long image, long long row, long long column, long long width) {
  for (int k = steps.count - 1; k >= 0; --k) {
    const Step& step = steps.step[k];
    const long long down = step.rows ? step.rows[image] : 0, right = step.columns[image];
    if (step.kind == MIRROR) {
      if (down) row = step.height - 1 - row;
      if (right) column = step.width - 1 - column;
    } else if (step.kind == BLANK) {
      if (down <= row && row < down + step.size && right <= column && column < right + step.size) return -1;
    } else {
      row += down;
      column += right;
      if (step.kind == REFLECT) {
        row = reflected(row, step.height);
        column = reflected(column, step.width);
      } else if (row < 0 || row >= step.height || column < 0 || column >= step.width) {
        return -1;
      }
    }
  }
  return row * width + column;
}

// y[i, p, c] = x[indices[i], origin(p), c] scale[c] - shift[c], or 0 scale[c] - shift[c] where p is blank; as bytes without
// scale and shift. The product and the difference are each rounded, as in xnn.data.Normalization. Blocks along y share an
// image.
template <typename Y>
__global__ void prepare_images(const unsigned char* x, const long long* indices, const float* scale, const float* shift,
                               Y* y, long long count, long long pixels, long long width, long long channels,
                               long long pixels_before, long long width_before, Steps steps) {
  for (long long i = blockIdx.x; i < count; i += gridDim.x) {
    const unsigned char* image = x + (indices ? indices[i] : i) * pixels_before * channels;
    Y* target = y + i * pixels * channels;
    for (unsigned int p = blockIdx.y * blockDim.x + threadIdx.x; p < pixels; p += gridDim.y * blockDim.x) {
      const unsigned int row = p / (unsigned int)width, column = p % (unsigned int)width;
      const long long from = origin(steps, i, row, column, width_before);
      for (int c = 0; c < channels; ++c) {
        const unsigned char byte = from < 0 ? 0 : image[from * channels + c];
        target[p * channels + c] = scale ? Y(__fsub_rn(__fmul_rn(float(byte), scale[c]), shift[c])) : Y(byte);
      }
    }
  }
}
