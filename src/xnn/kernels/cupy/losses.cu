// Softmax cross-entropy of logits z (n, c), a row to each row of a block's threads: blockDim is (32, 8) or (256, 1).
//
// With p_ij the share of class j in label i, smoothing ε, and weights u_j of the classes and s_i of the rows (1 if none):
//   t_ij = s_i u_j ((1 - ε) p_ij + ε / c)      Z = Σ_ij s_i u_j p_ij, or n without weights
//   loss = -(1/Z) Σ_ij t_ij log softmax(z)_ij      dz_ij = dloss (softmax(z)_ij Σ_k t_ik - t_ij) / Z
#include "elementwise.cuh"

const int threads = 256;

// The label of a row: a class, or a distribution over the classes.
template <typename L> struct Label {
  long long label;
  __device__ Label(const L* labels, long long row, long long classes) : label(labels[row]) {}
  __device__ float share(long long j) const { return j == label ? 1.0f : 0.0f; }
  __device__ bool is_valid(long long classes) const { return label >= 0 && label < classes; }
};

template <typename T> struct Distribution {
  const T* shares;
  __device__ Distribution(const T* labels, long long row, long long classes) : shares(labels + row * classes) {}
  __device__ float share(long long j) const { return load(shares + j); }
  __device__ bool is_valid(long long) const { return true; }
};
template <> struct Label<float> : Distribution<float> { using Distribution::Distribution; };
template <> struct Label<__half> : Distribution<__half> { using Distribution::Distribution; };

// The sums of two values over the threads of a block, in a fixed order; thread 0 gets them.
__device__ inline float2 block_sums(float a, float b) {
  __shared__ float2 sums[threads];
  int thread = threadIdx.y * blockDim.x + threadIdx.x;
  __syncthreads();
  sums[thread] = make_float2(a, b);
  for (int half = threads / 2; half > 0; half /= 2) {
    __syncthreads();
    if (thread < half) sums[thread].x += sums[thread + half].x, sums[thread].y += sums[thread + half].y;
  }
  return sums[thread];
}

// Writes the loss and `gradient`, which is dz for dloss = 1 times Z `share`. Row i goes to a fixed block, each block adds
// up its rows' losses and weights, and the last one adds up the blocks' in `sums` (blocks, 2). If there are weights,
// Z goes to `total_weight`. A class that is not in [0, c) makes the loss NaN.
template <typename T, typename L>
__global__ void cross_entropy(const T* logits, const L* labels, const T* class_weight, const T* row_weight, T* gradient,
                              T* loss, float* total_weight, float2* sums, unsigned int* counter, long long rows,
                              long long classes, float smoothing, float share) {
  float loss_sum = 0.0f, weight_sum = 0.0f, certain = 1.0f - smoothing, uniform = smoothing / classes;
  for (long long i = blockIdx.x * (long long)blockDim.y + threadIdx.y; i < rows; i += gridDim.x * (long long)blockDim.y) {
    const T* z = logits + i * classes;
    Label<L> label(labels, i, classes);
    float s = row_weight ? load(row_weight + i) : 1.0f;
    auto weight = [&](long long j) { return class_weight ? s * load(class_weight + j) : s; };
    auto target = [&](long long j) { return weight(j) * (certain * label.share(j) + uniform); };
    float largest = -infinity();
    for (long long j = threadIdx.x; j < classes; j += blockDim.x) largest = fmaxf(largest, load(z + j));
    largest = row_max(largest);
    // Σ_j e^(z_j - max), Σ_j t_j, Σ_j t_j (max - z_j) and Σ_j s u_j p_j. Where t_j is 0, z_j may be -∞.
    float scale = 0.0f, mass = 0.0f, behind = 0.0f, whole = 0.0f;
    for (long long j = threadIdx.x; j < classes; j += blockDim.x) {
      float shifted = load(z + j) - largest, t = target(j);
      scale += expf(shifted);
      mass += t;
      behind -= t == 0.0f ? 0.0f : t * shifted;
      whole += weight(j) * label.share(j);
    }
    scale = row_sum(scale), mass = row_sum(mass), behind = row_sum(behind), whole = row_sum(whole);
    for (long long j = threadIdx.x; j < classes; j += blockDim.x)
      store(gradient + i * classes + j, (expf(load(z + j) - largest) * (mass / scale) - target(j)) * share);
    // A row without weight counts for nothing, whatever its logits are.
    float row_loss = mass == 0.0f ? 0.0f : behind + mass * logf(scale);
    loss_sum += label.is_valid(classes) ? row_loss : not_a_number();
    weight_sum += whole;
  }
  // All threads of a row have its sums.
  if (threadIdx.x > 0) loss_sum = weight_sum = 0.0f;
  float2 total = block_sums(loss_sum, weight_sum);
  int thread = threadIdx.y * blockDim.x + threadIdx.x;
  if (thread == 0) sums[blockIdx.x] = total;
  if (!is_last_block(counter, gridDim.x)) return;
  loss_sum = weight_sum = 0.0f;
  for (int block = thread; block < gridDim.x; block += threads) loss_sum += sums[block].x, weight_sum += sums[block].y;
  total = block_sums(loss_sum, weight_sum);
  if (thread > 0) return;
  bool is_weighted = class_weight || row_weight;
  if (is_weighted) *total_weight = total.y;
  store(loss, total.x / (is_weighted ? total.y : float(rows)));
}

// dz = gradient · factor · dloss / Z, the latter two on the device, or absent and 1.
template <typename T, typename R>
__global__ void scaled(const T* gradient, const float* dloss, const float* total_weight, R* result, long long size,
                       float factor) {
  if (dloss) factor *= *dloss;
  if (total_weight) factor /= *total_weight;
  map_numbers([=](long long, float g) { return g * factor; }, size, result, gradient);
}
