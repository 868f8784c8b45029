// Where windows meet images; see `xnn.functional.windows`.
#pragma once

struct Pair {
  int down, across;
};

// Of `groups` groups, each of so many `channels`; `margin` is above and on the left.
struct Geometry {
  Pair size, outputs, kernel, stride, dilation, margin;
  int groups, channels;
};
