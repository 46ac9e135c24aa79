// When each layout of gpuio/layout.hpp helps and when it does not, on this CPU: for each layout an access
// pattern that it is for and one that it is not for, against plain rows. Sums of whole numbers are compared
// with those of the rows, so that a wrong address is found.
#include <gpuio/layout.hpp>

#include <algorithm>
#include <cstdint>
#include <ctime>
#include <random>

#include "bench/report.hpp"

namespace gpuio::bench {
namespace {

using layout::AlignedBytes;
using layout::Layout;
using u32 = std::uint32_t;
using Order = std::vector<u32>;

// Of this thread: a busy machine does not punish whoever runs longer at a time.
double now_ns() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return double(t.tv_sec) * 1e9 + double(t.tv_nsec);
}

Order shuffled(u32 n, u32 take) {
  Order order(n);
  for (u32 i = 0; i < n; ++i) order[i] = i;
  std::mt19937 random(1);
  std::shuffle(order.begin(), order.end(), random);
  order.resize(std::min(n, take));
  return order;
}

// One way of reading: the sum of what it read, of `count` elements.
struct Reading {
  std::string name;
  std::function<u32()> sum;
};

// The first reading is ours; all must give one sum.
void compare(Report& report, std::string name, std::string note, std::size_t count,
             const std::vector<Reading>& readings) {
  Case& c = report.add(std::move(name), "ns/element", Better::less);
  c.note(std::move(note));
  const u32 expected = readings.back().sum();
  Case::Contenders contenders;
  for (const Reading& r : readings)
    contenders.emplace_back(r.name, [&r, expected, count] {
      const double start = now_ns();
      if (r.sum() != expected) die("layout " + r.name + " reads other elements than rows");
      return (now_ns() - start) / double(count);
    });
  c.sample(report, contenders);
}

AlignedBytes packed(const Layout& layout, const void* from) {
  AlignedBytes memory(layout.bytes(), layout.alignment());
  layout.pack(from, memory.data());
  return memory;
}
const u32* words(const AlignedBytes& memory) { return reinterpret_cast<const u32*>(memory.data()); }

u32 spread(u32 x) {  // bit i to bit 2 i
  x = (x | x << 8) & 0x00ff00ff;
  x = (x | x << 4) & 0x0f0f0f0f;
  x = (x | x << 2) & 0x33333333;
  return (x | x << 1) & 0x55555555;
}

void matrices(Report& report) {
  const u32 n = report.smoke() ? 512 : 4096;
  constexpr u32 kTile = 32, kWindow = 8;
  std::vector<u32> rows(std::size_t(n) * n);
  for (std::size_t i = 0; i < rows.size(); ++i) rows[i] = u32(i * 2654435761u);
  const AlignedBytes tiled = packed(Layout::tiled({n, n}, 4, kTile), rows.data());
  const AlignedBytes curve = packed(Layout::morton({n, n}, 4), rows.data());
  const u32 *r = rows.data(), *t = words(tiled), *z = words(curve);
  const u32 across = n / kTile;
  const Order tiles = shuffled(across * across, 4096);

  const auto in_rows = [=](u32 top, u32 left, u32 side) {
    u32 sum = 0;
    for (u32 i = top; i < top + side; ++i)
      for (u32 j = left; j < left + side; ++j) sum += r[std::size_t(i) * n + j];
    return sum;
  };
  const auto row_scan = [=] {
    u32 sum = 0;
    for (std::size_t i = 0; i < std::size_t(n) * n; ++i) sum += r[i] ^ u32(i);
    return sum;
  };

  compare(report, "tiles: blocks 32 x 32, random", "what tiles are for", tiles.size() * kTile * kTile,
          {{"ours",
            [=, &tiles] {
              u32 sum = 0;
              for (const u32 tile : tiles)
                for (u32 e = 0; e < kTile * kTile; ++e) sum += t[std::size_t(tile) * kTile * kTile + e];
              return sum;
            }},
           {"rows", [=, &tiles] {
              u32 sum = 0;
              for (const u32 tile : tiles)
                sum += in_rows(tile / across * kTile, tile % across * kTile, kTile);
              return sum;
            }}});
  compare(report, "tiles: row by row", "not what tiles are for", std::size_t(n) * n,
          {{"ours",
            [=] {
              u32 sum = 0;
              for (u32 i = 0; i < n; ++i)
                for (u32 j = 0; j < n; j += kTile) {
                  const std::size_t start =
                      (std::size_t(i / kTile) * across + j / kTile) * kTile * kTile + i % kTile * kTile;
                  for (u32 k = 0; k < kTile; ++k) sum += t[start + k] ^ (i * n + j + k);
                }
              return sum;
            }},
           {"rows", row_scan}});

  // Windows anywhere: neither tiles nor rows have them in one piece.
  const u32 places = n - kWindow;
  Order windows(report.smoke() ? 1000 : 100'000);
  std::mt19937 random(2);
  for (u32& w : windows) w = random() % places * n + random() % places;
  compare(report, "morton: windows 8 x 8, anywhere", "fewer lines and pages, but rows need one address a row",
          windows.size() * kWindow * kWindow,
          {{"ours",
            [=, &windows] {
              u32 sum = 0;
              for (const u32 w : windows) {
                u32 columns[kWindow];  // a term an axis: each is computed once a window
                for (u32 j = 0; j < kWindow; ++j) columns[j] = spread(w % n + j);
                for (u32 i = w / n; i < w / n + kWindow; ++i) {
                  const u32 row = spread(i) << 1;
                  for (const u32 column : columns) sum += z[row | column];
                }
              }
              return sum;
            }},
           {"rows", [=, &windows] {
              u32 sum = 0;
              for (const u32 w : windows) sum += in_rows(w / n, w % n, kWindow);
              return sum;
            }}});
  constexpr u32 kDown = 64;
  for (u32& w : windows) w = random() % (n - kDown) * n + random() % n;
  compare(report, "morton: 64 down a column, anywhere", "what Morton order is for: no direction is a bad one",
          windows.size() * kDown,
          {{"ours",
            [=, &windows] {
              u32 sum = 0;
              for (const u32 w : windows) {
                const u32 column = spread(w % n);
                for (u32 i = w / n; i < w / n + kDown; ++i) sum += z[spread(i) << 1 | column];
              }
              return sum;
            }},
           {"rows", [=, &windows] {
              u32 sum = 0;
              for (const u32 w : windows)
                for (u32 i = 0; i < kDown; ++i) sum += r[w + std::size_t(i) * n];
              return sum;
            }}});
  compare(report, "morton: row by row", "not what Morton order is for", std::size_t(n) * n,
          {{"ours",
            [=] {
              u32 sum = 0;
              for (u32 i = 0; i < n; ++i) {
                const u32 row = spread(i) << 1;
                for (u32 j = 0; j < n; ++j) sum += z[row | spread(j)] ^ (i * n + j);
              }
              return sum;
            }},
           {"rows", row_scan}});
}

void lanes(Report& report) {
  const u32 rows = report.smoke() ? 4096 : 1u << 18;
  constexpr u32 kLanes = 32, kWidth = 61;
  std::vector<u32> data(std::size_t(rows) * kWidth);
  for (std::size_t i = 0; i < data.size(); ++i) data[i] = u32(i * 2246822519u);
  const AlignedBytes coalesced = packed(Layout::coalesced({rows, kWidth}, 4, kLanes), data.data());
  const u32 *r = data.data(), *c = words(coalesced);
  const Order some = shuffled(rows, rows / 8);

  compare(report, "coalesce: 32 lanes in lock-step, a row each", "what coalescing is for", data.size(),
          {{"ours",
            [=] {
              u32 sum = 0;
              for (u32 group = 0; group < rows / kLanes; ++group) {
                u32 of_lane[kLanes] = {};
                for (u32 k = 0; k < kWidth; ++k)
                  for (u32 lane = 0; lane < kLanes; ++lane)
                    of_lane[lane] = of_lane[lane] * 3 + c[(std::size_t(group) * kWidth + k) * kLanes + lane];
                for (const u32 s : of_lane) sum += s;
              }
              return sum;
            }},
           {"rows", [=] {
              u32 sum = 0;
              for (u32 group = 0; group < rows / kLanes; ++group) {
                u32 of_lane[kLanes] = {};
                for (u32 k = 0; k < kWidth; ++k)
                  for (u32 lane = 0; lane < kLanes; ++lane)
                    of_lane[lane] = of_lane[lane] * 3 + r[(std::size_t(group) * kLanes + lane) * kWidth + k];
                for (const u32 s : of_lane) sum += s;
              }
              return sum;
            }}});
  compare(report, "coalesce: one random row at a time", "not what coalescing is for", some.size() * kWidth,
          {{"ours",
            [=, &some] {
              u32 sum = 0;
              for (const u32 row : some)
                for (u32 k = 0; k < kWidth; ++k)
                  sum += c[(std::size_t(row / kLanes) * kWidth + k) * kLanes + row % kLanes];
              return sum;
            }},
           {"rows", [=, &some] {
              u32 sum = 0;
              for (const u32 row : some)
                for (u32 k = 0; k < kWidth; ++k) sum += r[std::size_t(row) * kWidth + k];
              return sum;
            }}});
}

void alignment(Report& report) {
  const u32 rows = report.smoke() ? 4096 : 1u << 19;
  constexpr u32 kWidth = 28, kPitch = 32;  // 112 bytes of 128: without a pitch most rows touch a third line
  std::vector<u32> data(std::size_t(rows) * kWidth);
  for (std::size_t i = 0; i < data.size(); ++i) data[i] = u32(i * 3266489917u);
  const AlignedBytes memory = packed(Layout::aligned({rows, kWidth}, 4, kPitch * 4), data.data());
  const u32 *r = data.data(), *a = words(memory);
  const Order some = shuffled(rows, rows / 4);
  const auto read = [](const u32* from, const Order& order, u32 pitch) {
    u32 sum = 0;
    for (const u32 row : order)
      for (u32 k = 0; k < kWidth; ++k) sum += from[std::size_t(row) * pitch + k];
    return sum;
  };
  compare(report, "align: random rows of 112 bytes", "what a pitch is for", some.size() * kWidth,
          {{"ours", [=, &some] { return read(a, some, kPitch); }},
           {"rows", [=, &some] { return read(r, some, kWidth); }}});
  Order all(rows);
  for (u32 i = 0; i < rows; ++i) all[i] = i;
  compare(report, "align: all rows in order", "not what a pitch is for: it reads the padding too",
          data.size(), {{"ours", [=, &all] { return read(a, all, kPitch); }}, {"rows", [=, &all] {
                                                                                 return read(r, all, kWidth);
                                                                               }}});
}

void structures(Report& report) {
  const u32 count = report.smoke() ? 4096 : 1u << 20;
  constexpr u32 kMembers = 16;  // u32 each: a line
  std::vector<u32> records(std::size_t(count) * kMembers);
  for (std::size_t i = 0; i < records.size(); ++i) records[i] = u32(i * 668265263u);
  std::vector<layout::Field> fields;
  for (u32 f = 0; f < kMembers; ++f) fields.push_back({f * 4, 4});
  const layout::Planes planes(count, kMembers * 4, fields);
  AlignedBytes memory(planes.bytes(), planes.alignment());
  planes.pack(records.data(), memory.data());
  const u32 *r = records.data(), *p = words(memory);
  const std::size_t pitch = planes.plane(1) / 4;
  const Order some = shuffled(count, count / 8);

  compare(report, "structures: one member of all", "what taking structures apart is for", count,
          {{"ours",
            [=] {
              u32 sum = 0;
              for (u32 i = 0; i < count; ++i) sum += p[5 * pitch + i];
              return sum;
            }},
           {"rows", [=] {
              u32 sum = 0;
              for (u32 i = 0; i < count; ++i) sum += r[std::size_t(i) * kMembers + 5];
              return sum;
            }}});
  compare(report, "structures: all members of random ones", "not what taking structures apart is for",
          some.size() * kMembers,
          {{"ours",
            [=, &some] {
              u32 sum = 0;
              for (const u32 i : some)
                for (u32 f = 0; f < kMembers; ++f) sum += p[f * pitch + i];
              return sum;
            }},
           {"rows", [=, &some] {
              u32 sum = 0;
              for (const u32 i : some)
                for (u32 f = 0; f < kMembers; ++f) sum += r[std::size_t(i) * kMembers + f];
              return sum;
            }}});
}

}  // namespace
}  // namespace gpuio::bench

int main(int count, char** words) {
  gpuio::bench::Report report(count, words);
  gpuio::bench::matrices(report);
  gpuio::bench::lanes(report);
  gpuio::bench::alignment(report);
  gpuio::bench::structures(report);
  return report.print();
}
