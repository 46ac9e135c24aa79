#include <gpuio/device/check/explore.hpp>

#include <algorithm>
#include <chrono>
#include <vector>

namespace gpuio::device::check {
namespace {

static_assert(sizeof(State) % 8 == 0);

u64 fingerprint(const State& s) {
  u64 h = 0x9e3779b97f4a7c15;
  const char* p = reinterpret_cast<const char*>(&s);
  for (std::size_t i = 0; i < sizeof s; i += 8) {
    u64 v;
    std::memcpy(&v, p + i, 8);
    h = (h ^ v) * 0x9fb21c651e98df25;
    h ^= h >> 32;
  }
  h *= 0xd6e8feb86659fd93;
  h ^= h >> 29;
  return h ? h : 1;
}

// Fingerprints in the order of their visit, found again by open addressing.
class Visited {
 public:
  Visited() : table_(1 << 16) {}
  // Index, and whether it is new.
  std::pair<u32, bool> add(u64 key, u32 parent) {
    if (keys_.size() * 2 > table_.size()) grow();
    u32& cell = find(key);
    if (cell) return {cell - 1, false};
    keys_.push_back(key);
    parents_.push_back(parent);
    cell = u32(keys_.size());
    return {cell - 1, true};
  }
  std::size_t size() const { return keys_.size(); }
  u64 key(u32 i) const { return keys_[i]; }
  u32 parent(u32 i) const { return parents_[i]; }

 private:
  u32& find(u64 key) {
    std::size_t i = key & (table_.size() - 1);
    while (table_[i] && keys_[table_[i] - 1] != key) i = (i + 1) & (table_.size() - 1);
    return table_[i];
  }
  void grow() {
    table_.assign(table_.size() * 2, 0);
    for (u32 i = 0; i < keys_.size(); ++i) find(keys_[i]) = i + 1;
  }
  std::vector<u32> table_;
  std::vector<u64> keys_;
  std::vector<u32> parents_;
};

struct Edge {
  u32 from, to;
  u8 actor;
};

// From where can the end not be reached? The first such state, or none.
bool find_livelock(std::vector<Edge>& edges, std::size_t states, const std::vector<u32>& ends, u32& bad) {
  std::sort(edges.begin(), edges.end(), [](const Edge& a, const Edge& b) { return a.to < b.to; });
  std::vector<std::size_t> first(states + 1);
  for (const Edge& e : edges) ++first[e.to + 1];
  for (std::size_t i = 0; i < states; ++i) first[i + 1] += first[i];
  std::vector<bool> reaches(states);
  std::vector<u32> todo = ends;
  for (u32 e : ends) reaches[e] = true;
  while (!todo.empty()) {
    const u32 to = todo.back();
    todo.pop_back();
    for (std::size_t i = first[to]; i < first[to + 1]; ++i) {
      if (reaches[edges[i].from]) continue;
      reaches[edges[i].from] = true;
      todo.push_back(edges[i].from);
    }
  }
  for (u32 i = 0; i < states; ++i) {
    if (!reaches[i]) return bad = i, true;
  }
  return false;
}

// Strongly connected components, without recursion: component of each state.
std::vector<u32> components(const std::vector<Edge>& edges, const std::vector<std::size_t>& first) {
  const std::size_t n = first.size() - 1;
  constexpr u32 kUnseen = ~0u;
  std::vector<u32> index(n, kUnseen), low(n), component(n, kUnseen), stack;
  struct Frame {
    u32 state;
    std::size_t edge;
  };
  std::vector<Frame> calls;
  u32 next = 0, found = 0;
  for (u32 root = 0; root < n; ++root) {
    if (index[root] != kUnseen) continue;
    calls.push_back({root, first[root]});
    index[root] = low[root] = next++;
    stack.push_back(root);
    while (!calls.empty()) {
      Frame& f = calls.back();
      if (f.edge < first[f.state + 1]) {
        const u32 to = edges[f.edge++].to;
        if (index[to] == kUnseen) {
          index[to] = low[to] = next++;
          stack.push_back(to);
          calls.push_back({to, first[to]});
        } else if (component[to] == kUnseen) {
          low[f.state] = std::min(low[f.state], index[to]);
        }
        continue;
      }
      const u32 state = f.state;
      calls.pop_back();
      if (!calls.empty()) low[calls.back().state] = std::min(low[calls.back().state], low[state]);
      if (low[state] != index[state]) continue;
      u32 member;
      do {
        member = stack.back();
        stack.pop_back();
        component[member] = found;
      } while (member != state);
      ++found;
    }
  }
  return component;
}

// A run that goes round for ever is fair if every actor either moves in it or is somewhere unable to. Where
// only one lane was looked at, nothing is known of the others.
bool find_fair_cycle(std::vector<Edge>& edges, const std::vector<bool>& alone, u32& bad) {
  const std::size_t n = alone.size();
  std::sort(edges.begin(), edges.end(), [](const Edge& a, const Edge& b) { return a.from < b.from; });
  std::vector<std::size_t> first(n + 1);
  for (const Edge& e : edges) ++first[e.from + 1];
  for (std::size_t i = 0; i < n; ++i) first[i + 1] += first[i];
  const std::vector<u32> component = components(edges, first);
  constexpr u32 kAll = (1u << kActors) - 1;
  std::vector<u32> moves(n), unable(n), where(n);
  for (u32 s = 0; s < n; ++s) {
    u32 able = 0;
    for (std::size_t i = first[s]; i < first[s + 1]; ++i) {
      able |= 1u << edges[i].actor;
      if (component[edges[i].to] == component[s]) moves[component[s]] |= 1u << edges[i].actor;
    }
    if (!alone[s]) unable[component[s]] |= kAll & ~able;
    where[component[s]] = s;
  }
  for (u32 s = 0; s < n; ++s) {
    const u32 c = component[s];
    if (moves[c] && ((moves[c] | unable[c]) & kAll) == kAll) return bad = s, true;
  }
  return false;
}

std::string replay(const Config& c, const Visited& visited, u32 bad, u32& depth) {
  std::vector<u32> path;
  for (u32 i = bad; i != 0; i = visited.parent(i)) path.push_back(i);
  depth = u32(path.size());
  std::string text;
  State s;
  initial(c, s);
  for (std::size_t i = path.size(); i-- > 0;) {
    State next = s;
    bool found = false;
    Moves moves;
    moves.emit = [&](const State& n, u32 actor) {
      if (found || fingerprint(n) != visited.key(path[i])) return;
      found = true;
      std::memcpy(static_cast<void*>(&next), &n, sizeof n);
      text += show(c, s, n, actor) + "\n";
    };
    successors(c, s, moves);
    std::memcpy(static_cast<void*>(&s), &next, sizeof next);
  }
  return text;
}

}  // namespace

Result explore(const Config& config, std::size_t states_max) {
  const auto begin = std::chrono::steady_clock::now();
  Model::planted = config.fault;
  Result r;
  Visited visited;
  std::vector<State> frontier(1), next;
  std::vector<u32> frontier_index{0}, next_index, ends;
  std::vector<Edge> edges;
  std::vector<bool> alone;
  u32 bad = 0;
  initial(config, frontier[0]);
  visited.add(fingerprint(frontier[0]), 0);
  while (!frontier.empty() && !r.error && visited.size() <= states_max) {
    ++r.depth;
    for (std::size_t i = 0; i < frontier.size() && !r.error; ++i) {
      const u32 from = frontier_index[i];
      bool moved = false;
      Moves moves;
      moves.emit = [&](const State& n, u32 actor) {
        if (r.error) return;
        const auto [to, is_new] = visited.add(fingerprint(n), from);
        moved |= to != from;
        if (config.live) edges.push_back({from, to, u8(actor)});
        if (!is_new) return;
        if (n.error) {
          r.error = Error(n.error);
          bad = to;
        } else if (n.ended) {
          ends.push_back(to);
        } else {
          next.push_back(n);
          next_index.push_back(to);
        }
      };
      successors(config, frontier[i], moves);
      if (config.live) {
        if (alone.size() <= from) alone.resize(from + 1);
        alone[from] = moves.alone;
      }
      if (!moved && !r.error) {
        r.error = kDeadlock;
        bad = from;
      }
    }
    frontier.swap(next);
    frontier_index.swap(next_index);
    next.clear();
    next_index.clear();
  }
  r.complete = frontier.empty() && !r.error;
  r.states = visited.size();
  if (config.live && r.complete) {
    alone.resize(visited.size());
    if (find_livelock(edges, visited.size(), ends, bad)) {
      r.error = kLivelock;
    } else if (find_fair_cycle(edges, alone, bad)) {
      r.error = kFairCycle;
    }
  }
  if (r.error) r.trace = replay(config, visited, bad, r.depth);
  Model::planted = Fault::none;
  r.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return r;
}

}  // namespace gpuio::device::check
