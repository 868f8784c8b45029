// Activations, elementwise: y = f(x), and dx = f'(x) dy with f' computed again from x or from y, whichever is `kept`.
#include "activations.cuh"
#include "elementwise.cuh"

// y = σ(x); dx = y (1 - y) dy, from y.
struct Sigmoid {
  static __device__ float value(float x) { return logistic(x); }
  static __device__ float pullback(float y, float dy) { return y * (1.0f - y) * dy; }
};

// y = tanh x; dx = (1 - y²) dy, from y.
struct Tanh {
  static __device__ float value(float x) { return tanhf(x); }
  static __device__ float pullback(float y, float dy) { return (1.0f - y * y) * dy; }
};

// The same from x, by 1 - σ(x) = σ(-x) and 1 - tanh²x = 4 σ(2x) σ(-2x): in float16, y near 1 leaves 1 - y no digits.
struct SigmoidFromX {
  static __device__ float pullback(float x, float dy) { return logistic(x) * logistic(-x) * dy; }
};
struct TanhFromX {
  static __device__ float pullback(float x, float dy) { return 4.0f * logistic(2.0f * x) * logistic(-2.0f * x) * dy; }
};

// y = log(1 + eˣ) = max(x, 0) + log(1 + e^-|x|), which cannot overflow; dx = σ(x) dy.
struct Softplus {
  static __device__ float value(float x) { return fmaxf(x, 0.0f) + log1pf(expf(-fabsf(x))); }
  static __device__ float pullback(float x, float dy) { return logistic(x) * dy; }
};

// y = x (1 + t) / 2 with t = tanh u, u = √(2/π) (x + 0.044715 x³);
// dx = ((1 + t) / 2 + x (1 - t²) u' / 2) dy with u' = √(2/π) (1 + 3 · 0.044715 x²).
struct GeluByTanh {
  static constexpr float scale = 0.7978845608f, cubic = 0.044715f;
  static __device__ float tanh_u(float x) { return tanhf(scale * (x + cubic * x * x * x)); }
  static __device__ float value(float x) { return 0.5f * x * (1.0f + tanh_u(x)); }
  static __device__ float pullback(float x, float dy) {
    float t = tanh_u(x), slope = scale * (1.0f + 3.0f * cubic * x * x);
    return 0.5f * (1.0f + t + x * (1.0f - t * t) * slope) * dy;
  }
};

// y = x where x > 0, a x elsewhere; dx = dy or a dy.
struct LeakyRelu {
  float a;
  __device__ float value(float x) const { return x > 0.0f ? x : a * x; }
  __device__ float pullback(float x, float dy) const { return x > 0.0f ? dy : a * dy; }
};

// y = x where x > 0, a (eˣ - 1) elsewhere; dx = dy or a eˣ dy.
struct Elu {
  float a;
  __device__ float value(float x) const { return x > 0.0f ? x : a * expm1f(x); }
  __device__ float pullback(float x, float dy) const { return x > 0.0f ? dy : a * expf(x) * dy; }
};

template <typename F, typename T> __device__ void apply(F f, const T* x, T* y, long long size) {
  map_numbers([=](long long, float x) { return f.value(x); }, size, y, x);
}

template <typename F, typename T>
__device__ void apply_pullback(F f, const T* kept, const T* dy, T* dx, long long size) {
  map_numbers([=](long long, float kept, float dy) { return f.pullback(kept, dy); }, size, dx, kept, dy);
}

template <typename F, typename T> __global__ void forward(const T* x, T* y, long long size) {
  apply(F{}, x, y, size);
}

template <typename F, typename T> __global__ void pullback(const T* kept, const T* dy, T* dx, long long size) {
  apply_pullback(F{}, kept, dy, dx, size);
}

// The same for functions with a parameter a.
template <typename F, typename T> __global__ void forward_with(const T* x, T* y, long long size, float a) {
  apply(F{a}, x, y, size);
}

template <typename F, typename T>
__global__ void pullback_with(const T* kept, const T* dy, T* dx, long long size, float a) {
  apply_pullback(F{a}, kept, dy, dx, size);
}
