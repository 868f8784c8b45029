// Muon's updates of all matrices of a model; see xnn.optim.Muon for the rule. blockIdx.y is the number of the matrix.
#include "common.cuh"

// A matrix's place in the flat vectors, and in those that hold only the matrices that are updated.
struct Matrix {
  long long start, place, size, decays;
};

// A square matrix's place, and its number of rows.
struct Square {
  long long place, side;
};

// The sums of a matrix's blocks: sums[blockIdx.y][all blocks], as `sums` points to the first matrix's.
__device__ inline float added_up(const float* sums) {
  float sum = 0.0f;
  for (int block = threadIdx.x; block < gridDim.x; block += blockDim.x) sum += sums[blockIdx.y * gridDim.x + block];
  return block_sum(sum);
}

// The norm to divide by: 1 for a matrix of zeros, so that it stays zero.
__device__ inline float divisor(float norm) { return norm == 0.0f ? 1.0f : norm; }

// V <- momentum V + G,  D = G + momentum V (Nesterov) or V;  each block adds up its share of |D|^2, and of |P|^2.
template <bool nesterov, bool normalize>
__global__ void direct(
    const Matrix* matrices, const float* gradient, const float* parameter, float* velocity, float* direction,
    float* direction_sums, float* parameter_sums, float momentum) {
  const Matrix matrix = matrices[blockIdx.y];
  float direction_squares = 0.0f, parameter_squares = 0.0f;
  for (long long i = first_index(); i < matrix.size; i += all_threads()) {
    const long long at = matrix.start + i;
    const float g = gradient[at], v = momentum * velocity[at] + g, d = nesterov ? g + momentum * v : v;
    velocity[at] = v;
    direction[matrix.place + i] = d;
    direction_squares += d * d;
    if (normalize) parameter_squares += parameter[at] * parameter[at];
  }
  const long long share = blockIdx.y * (long long)gridDim.x + blockIdx.x;
  direction_squares = block_sum(direction_squares);
  if (threadIdx.x == 0) direction_sums[share] = direction_squares;
  if (!normalize) return;
  parameter_squares = block_sum(parameter_squares);
  if (threadIdx.x == 0) parameter_sums[share] = parameter_squares;
}

// X = D / |D|
__global__ void scale(const Matrix* matrices, const float* sums, float* direction) {
  const Matrix matrix = matrices[blockIdx.y];
  const float norm = divisor(sqrtf(added_up(sums)));
  for (long long i = first_index(); i < matrix.size; i += all_threads()) direction[matrix.place + i] /= norm;
}

// R = a I + b G
__global__ void begin_polynomial(const Square* squares, const float* gram, float* result, float a, float b) {
  const Square square = squares[blockIdx.y];
  for (long long i = first_index(); i < square.side * square.side; i += all_threads())
    result[square.place + i] = b * gram[square.place + i] + (i % (square.side + 1) == 0 ? a : 0.0f);
}

// P <- kept P, where it decays;  P <- P root / |P|, with normalize;  P <- P - lr adjustment D
template <bool normalize>
__global__ void apply(
    const Matrix* matrices, const float2* factors, const float* direction, const float* parameter_sums,
    float* parameter, float lr, float kept) {
  const Matrix matrix = matrices[blockIdx.y];
  const float rate = lr * factors[blockIdx.y].x, root = factors[blockIdx.y].y;
  float factor = matrix.decays ? kept : 1.0f;
  if (normalize) factor *= root / divisor(fabsf(factor) * sqrtf(added_up(parameter_sums)));
  for (long long i = first_index(); i < matrix.size; i += all_threads()) {
    const long long at = matrix.start + i;
    parameter[at] = factor * parameter[at] - rate * direction[matrix.place + i];
  }
}
