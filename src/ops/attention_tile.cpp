// The bodies of attention. Sizes of tiles are powers of two, so that places in them are shifts and masks.

#include "ops/attention.hpp"
#include "ops/elements.hpp"

namespace gpuio::ops {
namespace {

using namespace gpuio::kernel;

constexpr u32 kPad = 4;  // between rows of a tile: other banks, and still aligned
constexpr f32 kNothing = -std::numeric_limits<f32>::infinity();

constexpr u32 log2_of(u32 power) { return u32(std::countr_zero(power)); }

struct Strides {  // of batch, head and token
  Val<u64> batch, head, token;
  static Strides make(Ctx k) { return {scalar<u64>(k), scalar<u64>(k), scalar<u64>(k)}; }
  Val<u64> at(const Val<u32>& b, const Val<u32>& h, const Val<u32>& t) const {
    return b.as<u64>() * batch + h.as<u64>() * head + t.as<u64>() * token;
  }
};

class Attention {
 public:
  Attention(Ctx k, const AttentionSpec& spec) : k_(k), t_(k.tracer()), b_(t_.build), s_(spec) {}

  void trace() {
    if (s_.units) {
      const Type type = stored_as(s_.type);
      tile_q_ = b_.shared(type, s_.rows() * row());
      tile_kv_ = b_.shared(type, s_.keys * row());
      tile_v_ = b_.shared(type, s_.keys * row());
      return each_tile();
    }
    tile_q_ = b_.shared(Type::f32, s_.rows() * row());
    tile_kv_ = b_.shared(Type::f32, s_.keys * row());
    scores_ = b_.shared(Type::f32, s_.rows() * (s_.keys + 1));
    each_tile();
  }

 private:
  void each_tile() {
    for (auto tile : k_.range(k_.cta(), total_, k_.nctas())) {
      const Val<u32> part = tile % parts_, rest = tile / parts_, block = rest % blocks_;
      const Val<u32> shared_head = rest / blocks_ % shared_heads_, batch = rest / blocks_ / shared_heads_;
      one_tile(batch, shared_head, block, part);
      k_.barrier();
    }
  }
  u32 row() const { return s_.depth + (s_.units ? 8 : kPad); }
  Val<u32> lane_row() const { return k_.tid() >> log2_of(s_.lane_keys); }
  Val<u32> lane_key() const { return s_.units ? k_.lane() & 3u : k_.tid() & (s_.lane_keys - 1); }
  // The lane's i-th row in the tile.
  Val<u32> own_row(u32 i) const {
    if (s_.units) return k_.subgroup_index() * 16 + (k_.lane() >> 2) + 8 * i;
    return lane_row() + i * s_.lane_rows;
  }
  Val<f32> value(u32 id) const { return {&t_, id}; }
  Val<f32> shared(u32 tile, const Val<u32>& at) const { return value(b_.load(tile, at.id())); }
  std::vector<Val<f32>> four(u32 tile, const Val<u32>& at, u32 width = 4) const {
    if (width == 1) return {shared(tile, at)};
    const u32 all = b_.load(tile, at.id(), u8(width));
    std::vector<Val<f32>> out;
    for (u32 i = 0; i < width; ++i) out.push_back(value(b_.extract(all, i)));
    return out;
  }

  // A row of the tile: which query of which head, and whether there is one.
  struct Row {
    Val<bool> there;
    Val<u32> head, query;
  };
  Row row_of(const Val<u32>& r, const Val<u32>& shared_head, const Val<u32>& block) const {
    if (s_.sparse) return {r < group_, shared_head * group_ + r, block};
    const Val<u32> at = block * s_.rows() + r;
    return {at < group_ * tq_, shared_head * group_ + at / tq_, at % tq_};
  }

  void one_tile(const Val<u32>& batch, const Val<u32>& shared_head, const Val<u32>& block,
                const Val<u32>& part) {
    const Val<u32> keys = s_.lengths ? min(lengths_[batch], tk_) : Val<u32>(tk_);
    if (!s_.units) load_q(batch, shared_head, block);
    own_.clear(), most_.clear(), sum_.clear(), out_.clear();
    for (u32 i = 0; i < s_.own; ++i) {
      own_.push_back(row_of(own_row(i), shared_head, block));
      most_.push_back(variable(kNothing));
      sum_.push_back(variable(0));
      for (u32 c = 0; c < columns(); ++c) out_.push_back(variable(0));
    }
    const Val<u32> from = part * chunk_, stop = min(seen(keys, block), from + chunk_);
    if (s_.units) on_units(batch, shared_head, block, from, stop, keys);
    else on_lanes(batch, shared_head, block, from, stop, keys);
    if (s_.parts) store_part(batch, part);
    else store(batch);
  }
  void on_lanes(const Val<u32>& batch, const Val<u32>& shared_head, const Val<u32>& block,
                const Val<u32>& from, const Val<u32>& stop, const Val<u32>& keys) {
    for (auto k0 : k_.range(from, stop, s_.keys)) {
      load_keys(k_buffer_, k_strides_, batch, shared_head, block, k0, stop, keys);
      k_.barrier();
      score(batch, shared_head, block, k0, stop, keys);
      k_.barrier();
      load_keys(v_buffer_, v_strides_, batch, shared_head, block, k0, stop, keys);
      weigh();
      k_.barrier();
      add_up();
      k_.barrier();
    }
  }
  u32 variable(f32 start) const {
    const u32 v = b_.var(Type::f32);
    b_.var_store(v, k_.val(start).id());
    return v;
  }

  // Behind the last key that a query of the tile sees, so that tiles end there.
  Val<u32> seen(const Val<u32>& keys, const Val<u32>& block) const {
    if (s_.sparse) return picks_;
    if (!s_.causal) return keys;
    const Val<u32> first = block * s_.rows(), last = min(first + s_.rows(), group_ * tq_) - 1u;
    const Val<u32> query = select(first / tq_ == last / tq_, last % tq_, tq_ - 1u);
    const Val<u32> all = query + 1u + keys;  // of which tq are before the first key
    return min(keys, select(all > tq_, all - tq_, k_.val(0u)));
  }

  // The four, or one, elements at `at` of rows side by side, or zeros.
  void copy(u32 tile, const Elements<f32>& from, const Val<u64>& index, const Val<bool>& there,
            const Val<u32>& at) {
    const auto values = from.load(select(there, index, k_.val<u64>(0)), s_.width);
    std::vector<u32> kept;
    for (const auto& v : values) kept.push_back(select(there, v, 0.0f).id());
    b_.store(tile, at.id(), s_.width == 1 ? kept[0] : b_.compose(kept[0], kept[1], kept[2], kept[3]));
  }
  void load_q(const Val<u32>& batch, const Val<u32>& shared_head, const Val<u32>& block) {
    for (auto e : k_.range(k_.tid() * s_.width, s_.rows() * s_.depth, s_.lanes() * s_.width)) {
      const Val<u32> r = e >> log2_of(s_.depth), c = e & (s_.depth - 1);
      const Row q = row_of(r, shared_head, block);
      copy(tile_q_, q_buffer_, q_strides_.at(batch, q.head, q.query) + c.as<u64>(), q.there & (c < d_),
           r * row() + c);
    }
  }
  // Which key is at a place of the row of keys.
  Val<u32> key_at(const Val<u32>& batch, const Val<u32>& shared_head, const Val<u32>& block,
                  const Val<u32>& place, const Val<u32>& stop) const {
    if (!s_.sparse) return place;
    const Val<u64> list =
        (batch.as<u64>() * shared_heads_.as<u64>() + shared_head.as<u64>()) * tq_.as<u64>() + block.as<u64>();
    return indices_[select(place < stop, list * picks_.as<u64>() + place.as<u64>(), k_.val<u64>(0))];
  }
  void load_keys(const Elements<f32>& from, const Strides& strides, const Val<u32>& batch,
                 const Val<u32>& shared_head, const Val<u32>& block, const Val<u32>& k0, const Val<u32>& stop,
                 const Val<u32>& keys) {
    for (auto e : k_.range(k_.tid() * s_.width, s_.keys * s_.depth, s_.lanes() * s_.width)) {
      const Val<u32> j = e >> log2_of(s_.depth), c = e & (s_.depth - 1), place = k0 + j;
      const Val<u32> key = key_at(batch, shared_head, block, place, stop);
      copy(tile_kv_, from, strides.at(batch, shared_head, key) + c.as<u64>(),
           (place < stop) & (key < keys) & (c < d_), j * row() + c);
    }
  }

  void score(const Val<u32>& batch, const Val<u32>& shared_head, const Val<u32>& block, const Val<u32>& k0,
             const Val<u32>& stop, const Val<u32>& keys) {
    const u32 each = s_.keys / s_.lane_keys;
    std::vector<u32> dots;
    for (u32 i = 0; i < s_.own * each; ++i) dots.push_back(variable(0));
    for (auto c : k_.range(0u, s_.depth, 4)) {
      std::vector<std::vector<Val<f32>>> of_k;
      for (u32 j = 0; j < each; ++j)
        of_k.push_back(four(tile_kv_, (lane_key() + j * s_.lane_keys) * row() + c));
      for (u32 i = 0; i < s_.own; ++i) {
        const auto of_q = four(tile_q_, (lane_row() + i * s_.lane_rows) * row() + c);
        for (u32 j = 0; j < each; ++j)
          for (u32 x = 0; x < 4; ++x) add(dots[i * each + j], of_q[x], of_k[j][x]);
      }
    }
    for (u32 j = 0; j < each; ++j) {
      const Val<u32> at = lane_key() + j * s_.lane_keys,
                     key = key_at(batch, shared_head, block, k0 + at, stop);
      const Val<bool> there = (k0 + at < stop) & (key < keys);
      for (u32 i = 0; i < s_.own; ++i) {
        const Val<bool> visible = s_.causal ? there & (key + tq_ <= own_[i].query + keys) : there;
        const Val<f32> dot = value(b_.var_load(dots[i * each + j])) * scale_;
        b_.store(scores_, score_at(i, at).id(), select(visible, dot, kNothing).id());
      }
    }
  }
  Val<u32> score_at(u32 i, const Val<u32>& key) const {
    return (lane_row() + i * s_.lane_rows) * (s_.keys + 1) + key;
  }
  void add(u32 var, const Val<f32>& a, const Val<f32>& b) const {
    b_.var_store(var, b_.fma(a.id(), b.id(), b_.var_load(var)));
  }

  // Scores become weights relative to the largest so far; what was summed relative to less follows.
  void weigh() {
    std::vector<u32> bases;
    for (u32 i = 0; i < s_.own; ++i) {
      const u32 top = b_.var(Type::f32);
      b_.var_store(top, b_.var_load(most_[i]));
      for (auto j : k_.range(0u, s_.keys))
        b_.var_store(top, max(value(b_.var_load(top)), shared(scores_, score_at(i, j))).id());
      const Val<f32> now = value(b_.var_load(top)), before = value(b_.var_load(most_[i]));
      const Val<f32> base = select(now == kNothing, 0.0f, now), less = exp(before - base);
      bases.push_back(base.id());
      b_.var_store(most_[i], now.id());
      b_.var_store(sum_[i], (value(b_.var_load(sum_[i])) * less).id());
      for (u32 c = 0; c < s_.depth / s_.lane_keys; ++c) {
        const u32 v = out_[i * (s_.depth / s_.lane_keys) + c];
        b_.var_store(v, (value(b_.var_load(v)) * less).id());
      }
    }
    k_.barrier();  // all have seen the scores
    for (u32 i = 0; i < s_.own; ++i)
      for (u32 j = 0; j < s_.keys / s_.lane_keys; ++j) {
        const Val<u32> at = score_at(i, lane_key() + j * s_.lane_keys);
        const Val<f32> s = shared(scores_, at);
        b_.store(scores_, at.id(), select(s == kNothing, 0.0f, exp(s - value(bases[i]))).id());
      }
  }

  // A lane's columns: by fours (or by ones, where there are fewer) that neighbours have side by side.
  u32 columns() const { return (s_.units ? s_.units : s_.depth) / s_.lane_keys; }
  u32 together() const { return columns() >= 4 ? 4 : 1; }
  Val<u32> column(u32 c) const {
    if (s_.units) return lane_key() * 2 + (c / 2 * 8 + c % 2);
    return lane_key() * together() + (c / together() * together() * s_.lane_keys + c % together());
  }
  void add_up() {
    for (auto j : k_.range(0u, s_.keys)) {
      std::vector<Val<f32>> weight;
      for (u32 i = 0; i < s_.own; ++i) {
        weight.push_back(shared(scores_, score_at(i, j)));
        b_.var_store(sum_[i], (value(b_.var_load(sum_[i])) + weight[i]).id());
      }
      for (u32 c = 0; c < columns(); c += together()) {
        const auto v = four(tile_kv_, j * row() + column(c), together());
        for (u32 i = 0; i < s_.own; ++i)
          for (u32 x = 0; x < together(); ++x) add(out_[i * columns() + c + x], weight[i], v[x]);
      }
    }
  }

  // --- On matrix units: keys come while values are multiplied, and values while scores are made. Per 64 rows
  // and key 2 * 64 * d products, for which each of four subgroups reads the key, the value and a share of its
  // rows: 16 to 21 products a byte of shared memory, of the 10.6 that mma.sync needs on an H100.

  void on_units(const Val<u32>& batch, const Val<u32>& shared_head, const Val<u32>& block,
                const Val<u32>& from, const Val<u32>& stop, const Val<u32>& keys) {
    const Val<u32> last = group_ * tq_ - 1u;
    bring(tile_q_, kQBuffer, s_.rows(), [&](const Val<u32>& r) {
      const Val<u32> at = min(block * s_.rows() + r, last);
      return q_strides_.at(batch, shared_head * group_ + at / tq_, at % tq_);
    });
    const auto bring_keys = [&](u32 tile, u32 object, const Strides& strides, const Val<u32>& k0) {
      bring(tile, object, s_.keys,
            [&](const Val<u32>& j) { return strides.at(batch, shared_head, min(k0 + j, stop - 1u)); });
      b_.async_commit();
    };
    GPU_IF(from < stop) bring_keys(tile_kv_, kKBuffer, k_strides_, from);
    b_.async_commit();
    for (auto k0 : k_.range(from, stop, s_.keys)) {
      b_.async_wait(0);
      k_.barrier();
      bring_keys(tile_v_, kVBuffer, v_strides_, k0);
      const std::vector<u32> weights = weigh_in_registers(scores(), k0, stop, keys);
      b_.async_wait(0);
      k_.barrier();
      GPU_IF(stop - k0 > s_.keys) bring_keys(tile_kv_, kKBuffer, k_strides_, k0 + s_.keys);
      add_products(weights);
    }
    b_.async_wait(0);
    for (const u32 sum : sum_) b_.var_store(sum, of_quad(value(b_.var_load(sum)), Op::add).id());
  }
  // Async copies of a tile's rows, of which begin_of says where each is.
  template <class F>
  void bring(u32 tile, u32 object, u32 rows, const F& begin_of) {
    const u32 in_row = s_.depth / 8, lanes = s_.lanes();
    for (u32 i = 0; i < rows * in_row; i += lanes) {
      const Val<u32> at = k_.tid() + i, r = at >> log2_of(in_row), c = (at & (in_row - 1)) * 8;
      const auto one = [&] {
        b_.async_copy(tile, (r * row() + c).id(), object, (begin_of(r) + c.as<u64>()).id(), 16);
      };
      if (s_.units == s_.depth) {
        one();
      } else {
        GPU_IF(c < s_.units) one();
      }
    }
  }
  Matrix matrix() const { return s_.type == Dtype::f16 ? Matrix::of_f16 : Matrix::of_bf16; }
  u32 zeros() const {
    const u32 zero = b_.constant(Type::f32, 0);
    return b_.compose(zero, zero, zero, zero);
  }
  // Of each eight keys the lane's four products of q and k.
  std::vector<u32> scores() {
    std::vector<u32> sums(s_.keys / 8, zeros());
    const Val<u32> top = k_.subgroup_index() * (16 * row());
    for (u32 c = 0; c < s_.units; c += 16) {
      const u32 of_q = b_.matrix_load(MatrixPart::a, tile_q_, (top + c).id(), row());
      for (u32 j = 0; j < sums.size(); ++j) {
        const u32 of_k =
            b_.matrix_load(MatrixPart::b_columns, tile_kv_, k_.val(j * 8 * row() + c).id(), row());
        sums[j] = b_.matrix_multiply(matrix(), of_q, of_k, sums[j]);
      }
    }
    return sums;
  }
  // The four lanes that hold a row.
  Val<f32> of_quad(Val<f32> v, Op op) const {
    const Val<f32> pair = value(b_.binary(op, v.id(), other(v, 1)));
    return value(b_.binary(op, pair.id(), other(pair, 2)));
  }
  u32 other(const Val<f32>& v, u32 mask) const {
    return b_.shuffle(Shuffle::exclusive_or, v.id(), b_.constant(Type::u32, mask));
  }
  // As weigh(). Fragments of weights, each of 16 keys.
  std::vector<u32> weigh_in_registers(const std::vector<u32>& scores, const Val<u32>& k0,
                                      const Val<u32>& stop, const Val<u32>& keys) {
    std::vector<std::array<u32, 2>> halves(scores.size());  // of eight keys: two weights of row 0, of row 1
    for (u32 i = 0; i < 2; ++i) {
      std::vector<Val<f32>> of_row;
      for (u32 j = 0; j < scores.size(); ++j)
        for (u32 e = 0; e < 2; ++e) {
          const Val<u32> key = k0 + (lane_key() * 2 + (8 * j + e));
          const Val<bool> there = key < stop;
          const Val<bool> visible = s_.causal ? there & (key + tq_ <= own_[i].query + keys) : there;
          of_row.push_back(select(visible, value(b_.extract(scores[j], 2 * i + e)) * scale_, kNothing));
        }
      u32 top = of_row[0].id();
      for (const Val<f32>& v : of_row) top = b_.binary(Op::max, top, v.id());
      const Val<f32> before = value(b_.var_load(most_[i]));
      const Val<f32> now = max(before, of_quad(value(top), Op::max));
      const Val<f32> base = select(now == kNothing, 0.0f, now), less = exp(before - base);
      b_.var_store(most_[i], now.id());
      u32 sum = (value(b_.var_load(sum_[i])) * less).id();
      for (u32 j = 0; j < scores.size(); ++j) {
        u32 bits[2];
        for (u32 e = 0; e < 2; ++e) {
          const Val<f32> score = of_row[2 * j + e];
          const u32 weight = select(score == kNothing, 0.0f, exp(score - base)).id();
          sum = b_.binary(Op::add, sum, weight);
          bits[e] = b_.cast(Type::u32, b_.bitcast(Type::u16, b_.cast(stored_as(s_.type), weight)));
        }
        halves[j][i] = (Val<u32>(&t_, bits[0]) | Val<u32>(&t_, bits[1]) << 16).id();
      }
      b_.var_store(sum_[i], sum);
      for (u32 c = 0; c < columns(); ++c) {
        const u32 v = out_[i * columns() + c];
        b_.var_store(v, (value(b_.var_load(v)) * less).id());
      }
    }
    std::vector<u32> fragments;
    for (u32 j = 0; j < halves.size(); j += 2)
      fragments.push_back(b_.compose(halves[j][0], halves[j][1], halves[j + 1][0], halves[j + 1][1]));
    return fragments;
  }
  void add_products(const std::vector<u32>& weights) {
    for (u32 n = 0; n < s_.units / 8; ++n) {
      const u32 sums[] = {out_[2 * n], out_[2 * n + 1], out_[columns() + 2 * n], out_[columns() + 2 * n + 1]};
      u32 sum =
          b_.compose(b_.var_load(sums[0]), b_.var_load(sums[1]), b_.var_load(sums[2]), b_.var_load(sums[3]));
      for (u32 j = 0; j < weights.size(); ++j) {
        const u32 of_v =
            b_.matrix_load(MatrixPart::b_rows, tile_v_, k_.val(j * 16 * row() + 8 * n).id(), row());
        sum = b_.matrix_multiply(matrix(), weights[j], of_v, sum);
      }
      for (u32 r = 0; r < 4; ++r) b_.var_store(sums[r], b_.extract(sum, r));
    }
  }

  Val<u64> nth_row(const Val<u32>& batch, const Row& r) const {
    return (batch.as<u64>() * (group_ * shared_heads_).as<u64>() + r.head.as<u64>()) * tq_.as<u64>() +
           r.query.as<u64>();
  }
  void store(const Val<u32>& batch) {
    for (u32 i = 0; i < s_.own; ++i)
      GPU_IF(own_[i].there) {
        const Val<f32> sum = value(b_.var_load(sum_[i])), most = value(b_.var_load(most_[i]));
        const Val<u64> to = out_strides_.at(batch, own_[i].head, own_[i].query);
        for (u32 c = 0; c < columns(); ++c) {
          const Val<f32> v = value(b_.var_load(out_[i * columns() + c]));
          GPU_IF(column(c) < d_)
            out_buffer_.set(to + column(c).as<u64>(), select(sum == 0.0f, 0.0f, v / sum));
        }
        if (s_.log_sum) {
          GPU_IF(lane_key() == 0u)
            log_sum_[nth_row(batch, own_[i])] = select(sum == 0.0f, kNothing, most + log(sum));
        }
      }
  }
  void store_part(const Val<u32>& batch, const Val<u32>& part) {
    for (u32 i = 0; i < s_.own; ++i)
      GPU_IF(own_[i].there) {
        const Val<u64> nth = nth_row(batch, own_[i]) * parts_.as<u64>() + part.as<u64>();
        const Val<u64> to = nth * (d_ + kPartHead).as<u64>();
        GPU_IF(lane_key() == 0u) {
          part_[to] = value(b_.var_load(most_[i]));
          part_[to + 1] = value(b_.var_load(sum_[i]));
        }
        for (u32 c = 0; c < columns(); ++c)
          GPU_IF(column(c) < d_)
            part_[to + (column(c) + kPartHead).as<u64>()] = value(b_.var_load(out_[i * columns() + c]));
      }
  }

  Ctx k_;
  Tracer& t_;
  Builder& b_;
  const AttentionSpec& s_;
  // The kernel's parameters, in the order of the launch.
  const Elements<f32> q_buffer_ = Elements<f32>::in(k_, s_.type), k_buffer_ = Elements<f32>::in(k_, s_.type),
                      v_buffer_ = Elements<f32>::in(k_, s_.type),
                      out_buffer_ = Elements<f32>::out(k_, s_.type);
  const In<u32> lengths_ = buffer<In<u32>>(k_), indices_ = buffer<In<u32>>(k_);
  const Out<f32> log_sum_ = buffer<Out<f32>>(k_), part_ = buffer<Out<f32>>(k_);
  const Val<u32> tq_ = scalar<u32>(k_), tk_ = scalar<u32>(k_), d_ = scalar<u32>(k_),
                 shared_heads_ = scalar<u32>(k_), group_ = scalar<u32>(k_), blocks_ = scalar<u32>(k_),
                 parts_ = scalar<u32>(k_), chunk_ = scalar<u32>(k_), picks_ = scalar<u32>(k_),
                 total_ = scalar<u32>(k_);
  const Val<f32> scale_ = scalar<f32>(k_);
  const Strides q_strides_ = Strides::make(k_), k_strides_ = Strides::make(k_),
                v_strides_ = Strides::make(k_), out_strides_ = Strides::make(k_);
  static constexpr u32 kQBuffer = attention_slots::kQ, kKBuffer = attention_slots::kK,
                       kVBuffer = attention_slots::kV;
  u32 tile_q_ = kNone, tile_kv_ = kNone, tile_v_ = kNone, scores_ = kNone;
  std::vector<Row> own_;
  std::vector<u32> most_, sum_,
      out_;  // vars of this lane's rows: largest score, sum of weights, columns of out
};

}  // namespace

void trace_attention(Ctx k, const AttentionSpec& spec) { Attention(k, spec).trace(); }

// A workgroup a row of out: its parts are relative to their own largest scores.
void trace_merge(Ctx k, Dtype type, bool log_sum) {
  const In<f32> part = buffer<In<f32>>(k);
  const Elements<f32> out = Elements<f32>::out(k, type);
  const Out<f32> logs = buffer<Out<f32>>(k);
  const Val<u64> rows = scalar<u64>(k);
  const Val<u32> heads = scalar<u32>(k), tq = scalar<u32>(k), d = scalar<u32>(k), parts = scalar<u32>(k);
  const Strides strides = Strides::make(k);
  for (auto row : k.range(k.cta().as<u64>(), rows, k.nctas().as<u64>())) {
    const Val<u64> step = (d + kPartHead).as<u64>(), from = row * parts.as<u64>() * step;
    auto most = k.var(kNothing);
    for (auto i : k.range(0u, parts)) most = max(most, part[from + i.as<u64>() * step]);
    const Val<f32> base = select(most == kNothing, 0.0f, most.get());
    auto sum = k.var(0.0f);
    for (auto i : k.range(0u, parts)) {
      const Val<u64> at = from + i.as<u64>() * step;
      sum += exp(part[at] - base) * part[at + 1];
    }
    const Val<u32> query = (row % tq.as<u64>()).as<u32>(),
                   head = (row / tq.as<u64>() % heads.as<u64>()).as<u32>();
    const Val<u64> to = strides.at((row / tq.as<u64>() / heads.as<u64>()).as<u32>(), head, query);
    for (auto c : k.range(k.tid(), d, kMergeLanes)) {
      auto v = k.var(0.0f);
      for (auto i : k.range(0u, parts)) {
        const Val<u64> at = from + i.as<u64>() * step;
        v += exp(part[at] - base) * part[at + (c + kPartHead).as<u64>()];
      }
      out.set(to + c.as<u64>(), select(sum == 0.0f, 0.0f, v / sum));
    }
    if (log_sum)
      GPU_IF(k.tid() == 0u) logs[row] = select(sum == 0.0f, kNothing, most + log(sum));
  }
}

}  // namespace gpuio::ops
