// Layouts on random shapes: every element is where `offset` says and nowhere twice, the rest is zero, and
// back again it is the same array. Then the formulas of docs/layouts.md, number by number.
#include <gpuio/layout.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <random>

namespace gpuio::layout {
namespace {

using Bytes = std::vector<std::byte>;

Bytes random_bytes(std::size_t n, std::mt19937_64& random) {
  Bytes bytes(n);
  for (std::byte& b : bytes) b = std::byte(random() % 255 + 1);  // never what padding is
  return bytes;
}

// Every index of a shape, in order.
template <class F>
void for_each_index(const Shape& shape, F&& f) {
  Shape index(shape.size(), 0);
  for (const std::size_t n : shape)
    if (n == 0) return;
  for (;;) {
    f(index);
    std::size_t axis = shape.size();
    while (axis > 0 && ++index[axis - 1] == shape[axis - 1]) index[--axis] = 0;
    if (axis == 0) return;
  }
}

// An array somewhere in memory: with gaps and, along some axes, backwards.
struct Strided {
  Bytes memory;
  std::size_t start = 0;
  std::vector<std::ptrdiff_t> strides;

  Strided(const Shape& shape, std::size_t element, std::mt19937_64& random) : strides(shape.size()) {
    std::size_t step = element;
    for (std::size_t axis = shape.size(); axis-- > 0;) {
      step += random() % 2 * element * 3;
      const bool backwards = random() % 3 == 0;
      strides[axis] = backwards ? -std::ptrdiff_t(step) : std::ptrdiff_t(step);
      if (backwards && shape[axis] > 0) start += (shape[axis] - 1) * step;
      step *= std::max<std::size_t>(shape[axis], 1);
    }
    memory = random_bytes(step + element, random);
  }
  std::byte* at(const Shape& index) {
    std::ptrdiff_t sum = std::ptrdiff_t(start);
    for (std::size_t axis = 0; axis < index.size(); ++axis)
      sum += std::ptrdiff_t(index[axis]) * strides[axis];
    return memory.data() + sum;
  }
};

void expect_right(const Layout& layout, std::mt19937_64& random) {
  const Shape& shape = layout.shape();
  const std::size_t element = layout.element_bytes();
  Strided source(shape, element, random);
  AlignedBytes memory(layout.bytes(), layout.alignment());
  ASSERT_EQ(reinterpret_cast<std::uintptr_t>(memory.data()) % layout.alignment(), 0u);
  if (layout.bytes()) std::memset(memory.data(), 0x77, layout.bytes());
  layout.pack(source.memory.data() + source.start, source.strides, memory.data());

  std::vector<char> taken(layout.bytes(), 0);
  std::size_t elements = 0;
  for_each_index(shape, [&](const Shape& index) {
    const std::size_t at = layout.offset(index);
    ASSERT_LE(at + element, layout.bytes());
    ASSERT_EQ(std::memcmp(memory.data() + at, source.at(index), element), 0);
    for (std::size_t b = 0; b < element; ++b) ASSERT_FALSE(std::exchange(taken[at + b], 1));
    if (const auto strides = layout.strides(); strides.size() == shape.size()) {
      std::ptrdiff_t sum = 0;
      for (std::size_t axis = 0; axis < shape.size(); ++axis)
        sum += std::ptrdiff_t(index[axis]) * strides[axis];
      ASSERT_EQ(sum, std::ptrdiff_t(at));
    }
    ++elements;
  });
  for (std::size_t b = 0; b < layout.bytes(); ++b)
    ASSERT_TRUE(taken[b] || memory.data()[b] == std::byte{0}) << "padding at " << b;
  EXPECT_EQ(layout.padding(), layout.bytes() - elements * element);

  Strided back = source;
  back.memory = random_bytes(source.memory.size(), random);
  Strided untouched = back;
  layout.unpack(memory.data(), back.memory.data() + back.start, back.strides);
  std::size_t differing = 0;
  for_each_index(shape, [&](const Shape& index) {
    ASSERT_EQ(std::memcmp(back.at(index), source.at(index), element), 0);
    std::memcpy(untouched.at(index), back.at(index), element);
  });
  for (std::size_t b = 0; b < back.memory.size(); ++b) differing += back.memory[b] != untouched.memory[b];
  EXPECT_EQ(differing, 0u) << "unpack wrote beside the elements";

  // The short forms take rows without gaps.
  Bytes dense(elements * element), again(elements * element);
  std::size_t at = 0;
  for_each_index(shape, [&](const Shape& index) {
    std::memcpy(dense.data() + at, source.at(index), element);
    at += element;
  });
  layout.pack(dense.data(), memory.data());
  layout.unpack(memory.data(), again.data());
  EXPECT_EQ(dense, again);
}

TEST(Layout, RandomShapesElementsAndOptions) {
  const std::uint64_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  constexpr std::size_t kElements[] = {1, 2, 3, 4, 8, 12, 16, 24};
  for (int round = 0; round < 300; ++round) {
    Shape shape(random() % 5);
    std::string text;
    for (std::size_t& n : shape) {
      const std::size_t most = shape.size() > 2 ? 6 : 70;
      n = random() % 12 == 0 ? 0 : random() % 6 == 0 ? 1 : random() % most;
      text += std::to_string(n) + " ";
    }
    const std::size_t element = kElements[random() % std::size(kElements)];
    const std::size_t alignment = std::size_t(1) << random() % 9, group = 1 + random() % 40;
    SCOPED_TRACE(text + "element " + std::to_string(element) + " alignment " + std::to_string(alignment) +
                 " group " + std::to_string(group));
    expect_right(Layout::aligned(shape, element, alignment), random);
    expect_right(Layout::tiled(shape, element, group, alignment), random);
    expect_right(Layout::coalesced(shape, element, group, alignment), random);
    expect_right(Layout::morton(shape, element, alignment), random);
    if (HasFatalFailure()) return;
  }
}

TEST(Layout, Formulas) {
  const Layout rows = Layout::aligned({3, 5, 7}, 4);
  EXPECT_EQ(rows.offset({1, 2, 3}), (1 * 5 + 2) * 128 + 3 * 4u);
  EXPECT_EQ(rows.bytes(), 3 * 5 * 128u);
  EXPECT_EQ(rows.strides(), (std::vector<std::ptrdiff_t>{640, 128, 4}));

  const Layout tiles = Layout::tiled({2, 100, 70}, 4, 32);  // 4 x 3 tiles
  EXPECT_EQ(tiles.offset({1, 40, 65}), ((1 * 12 + 1 * 3 + 2) * 1024 + 8 * 32 + 1) * 4u);
  EXPECT_EQ(tiles.bytes(), 2 * 12 * 1024 * 4u);
  EXPECT_TRUE(tiles.strides().empty());

  const Layout lanes = Layout::coalesced({100, 6}, 4, 32);
  EXPECT_EQ(lanes.offset({40, 5}), ((1 * 6 + 5) * 32 + 8) * 4u);
  EXPECT_EQ(lanes.bytes(), 4 * 6 * 32 * 4u);
  EXPECT_EQ(Layout::coalesced({10, 6}, 4, 32).strides(), (std::vector<std::ptrdiff_t>{4, 128}));
  EXPECT_EQ(Layout::coalesced({100}, 4, 32).offset({50}), (50 % 4 * 32 + 50 / 4) * 4u);  // runs of 4

  const Layout z = Layout::morton({5, 3}, 1, 1);  // 8 x 4: row bits 2, column bits 2, then the last row bit
  EXPECT_EQ(z.offset({0, 1}), 1u);
  EXPECT_EQ(z.offset({1, 0}), 2u);
  EXPECT_EQ(z.offset({3, 2}), 0b1110u);
  EXPECT_EQ(z.offset({4, 0}), 16u);
  EXPECT_EQ(z.bytes(), 32u);
  EXPECT_EQ(z.padding(), 17u);
}

TEST(Layout, WhatCannotBe) {
  EXPECT_THROW(Layout::aligned({4}, 4, 96), std::invalid_argument);
  EXPECT_THROW(Layout::aligned({4}, 4, 0), std::invalid_argument);
  EXPECT_THROW(Layout::aligned({4}, 0), std::invalid_argument);
  EXPECT_THROW(Layout::tiled({4, 4}, 4, 0), std::invalid_argument);
  EXPECT_THROW(Layout::coalesced({4, 4}, 4, 0), std::invalid_argument);
  EXPECT_THROW(AlignedBytes(8, 12), std::invalid_argument);
  constexpr std::size_t kHuge = std::size_t(1) << 40;
  EXPECT_THROW(Layout::aligned({kHuge, kHuge}, 1), std::length_error);
  EXPECT_THROW(Layout::tiled({1, 1}, 4, kHuge), std::length_error);
  char byte = 0;
  EXPECT_THROW(Layout::aligned({1, 1}, 1, 1).pack(&byte, std::vector<std::ptrdiff_t>{1}, &byte),
               std::invalid_argument);
}

TEST(Planes, RoundTrip) {
  struct Record {
    std::uint8_t kind;
    double weight;
    float place[3];
    std::uint16_t tag;
  };
  const std::vector<Field> fields{{offsetof(Record, kind), 1},
                                  {offsetof(Record, weight), 8},
                                  {offsetof(Record, place), 12},
                                  {offsetof(Record, tag), 2}};
  std::mt19937_64 random(7);
  for (const std::size_t count : {0, 1, 2, 31, 1000}) {
    SCOPED_TRACE(count);
    const Planes planes(count, sizeof(Record), fields, 64);
    const Bytes records = random_bytes(count * sizeof(Record), random);
    AlignedBytes memory(planes.bytes(), planes.alignment());
    planes.pack(records.data(), memory.data());
    for (std::size_t f = 0; f < fields.size(); ++f) {
      EXPECT_EQ(planes.plane(f) % 64, 0u);
      for (std::size_t i = 0; i < count; ++i)
        ASSERT_EQ(std::memcmp(memory.data() + planes.plane(f) + i * fields[f].bytes,
                              records.data() + i * sizeof(Record) + fields[f].offset, fields[f].bytes),
                  0);
    }
    Bytes back(records.size(), std::byte{0}), expected(records.size(), std::byte{0});
    for (std::size_t i = 0; i < count; ++i)
      for (const Field& f : fields)
        std::copy_n(records.begin() + std::ptrdiff_t(i * sizeof(Record) + f.offset), f.bytes,
                    expected.begin() + std::ptrdiff_t(i * sizeof(Record) + f.offset));
    planes.unpack(memory.data(), back.data());
    EXPECT_EQ(back, expected);
  }
  EXPECT_THROW(Planes(1, 8, {{4, 8}}), std::invalid_argument);
  EXPECT_THROW(Planes(1, 8, {{9, 1}}), std::invalid_argument);
  EXPECT_THROW(Planes(1, 8, {{0, 0}}), std::invalid_argument);
}

}  // namespace
}  // namespace gpuio::layout
