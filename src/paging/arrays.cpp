#include "paging/arrays.hpp"

#include <gpuio/kernel/hash.hpp>
#include <gpuio/kernel/lookup.hpp>

#include <sched.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <new>

#include "base/clock.hpp"
#include "launch/compile.hpp"
#include "paging/service.hpp"
#include "paging/waiting.hpp"
#include "paging/yielding.hpp"

namespace gpuio::paging {

// One run: what was asked and what is being found out.
struct Arrays::Launch {
  const Kernel& form;
  const kernel::View& kernel;
  const gpu::Grid& grid;
  std::span<const gpu::Argument> arguments;
  const RunOptions& options;
  std::uint64_t started_ns = 0;
  std::uint64_t told_ns = 0;
  RunReport report;

  std::uint64_t spent_ns() const { return SteadyClock().now_ns() - started_ns; }
  // Why it should end: CANCELED, TIMEOUT, or ok.
  Code over() const {
    if (options.cancel && options.cancel->load(std::memory_order_relaxed)) return Code::canceled;
    return spent_ns() >= options.timeout_ns ? Code::timeout : Code::ok;
  }
  // The error for it.
  Status ended(Code why, std::uint64_t pages) const {
    if (why == Code::canceled) return error(why, "cancelled after {} pages", pages);
    return error(why, "not finished after {} ms and {} pages", options.timeout_ns / 1'000'000, pages);
  }
  void tell(std::uint64_t pages) {
    if (!options.progress || spent_ns() - told_ns < 100'000'000) return;
    told_ns = spent_ns();
    options.progress(pages);
  }
};

namespace {

constexpr std::uint64_t kSlabKeptBytes = 64 << 20;

// Why a run is waited for or yields, natively or not.
std::string choice(const gpu::DeviceInfo& device, const Kernel& kernel, const RunOptions& options,
                   bool native) {
  if (native) return "native: no lane need be saved, and a hit is a load";
  if (device.backend != gpu::Backend::cpu)
    return options.miss == Miss::wait ? "asked to wait" : "yield: hits take no atomics";
  if (options.miss == Miss::yield) return "asked to yield";
  if (!kernel.native.run) return "interpreted: the kernel came without a native form";
  if (!device.kernel_io.available) return "interpreted: " + device.kernel_io.reason;
  return "interpreted: asked not to run natively";
}

}  // namespace

Result<std::unique_ptr<Arrays>> Arrays::create(gpu::Device& device, const ArraysOptions& options) {
  auto arrays = std::unique_ptr<Arrays>(new Arrays(device, options));
  auto space = Space::create(options.cache.page_bytes);
  if (!space) return fail(std::move(space).error());
  arrays->space_ = std::move(*space);
  auto cache = Cache::create(device, options.cache);
  if (!cache) return fail(std::move(cache).error());
  arrays->cache_ = std::move(*cache);
  auto stream = device.stream();
  if (!stream) return fail(std::move(stream).error());
  arrays->stream_ = std::move(*stream);
  arrays->pager_ = std::make_unique<Pager>(*arrays->space_, options.service.depth);
  return arrays;
}

// A kernel made for one way of missing: what it is on the device, and where its further arguments go.
struct Arrays::Prepared {
  std::unique_ptr<gpu::Kernel> loaded;
  kernel::HiddenParameters hidden{};             // one that waits
  kernel::SuspendLayout layout{};                // one that yields,
  std::vector<kernel::Lookup::Array> lookups{};  // with the arrays that it looks into
};

Arrays::Arrays(gpu::Device& device, const ArraysOptions& options) : device_(device), options_(options) {}
Arrays::~Arrays() = default;

// What `make` makes of the kernel, from the first run on.
template <class Make>
Result<Arrays::Prepared*> Arrays::prepared(const kernel::View& kernel, Miss miss, const Make& make) {
  constexpr std::size_t kPreparedMax = 256;
  const std::pair key{kernel::canonical_hash(kernel), miss};
  if (const auto found = prepared_.find(key); found != prepared_.end()) return found->second.get();
  auto made = make();
  if (!made) return fail(std::move(made).error());
  if (prepared_.size() == kPreparedMax) prepared_.clear();
  return (prepared_[key] = std::make_unique<Prepared>(std::move(*made))).get();
}

Result<Array> Arrays::open(io::Opened opened, std::uint32_t element_bytes, std::uint64_t bytes) {
  if (element_bytes != 1 && element_bytes != 2 && element_bytes != 4 && element_bytes != 8)
    return fail(Code::invalid_arg, "elements of {} bytes; 1, 2, 4 and 8 can be", element_bytes);
  auto info = opened.target->info();
  if (!info) return fail(std::move(info).error());
  if (info->size == 0)
    return fail(Code::invalid_arg, "{} is empty; an array needs at least one byte", info->path);
  if (bytes > info->size)
    return fail(Code::invalid_arg,
                "{} holds {} bytes and the array would have {}; ask for at most what is there", info->path,
                info->size, bytes);
  if (bytes == 0) bytes = info->size;
  auto counters = std::make_shared<ArrayCounters>();
  auto range = space_->map(*opened.engine, *opened.target, 0, bytes, counters.get());
  if (!range) return fail(std::move(range).error().wrap(info->path));
  held_.emplace(range->first, Held{opened.engine, std::move(opened.target), std::move(counters)});
  return Array{*range, (bytes - 1) / element_bytes + 1};
}

void Arrays::close(const Array& array) {
  space_->unmap(array.range);
  cache_->drop(array.range.first, array.range.pages);
  held_.erase(array.range.first);
  // Queues to an engine that no array needs end with the last that did.
  const auto same = [&](const auto& held) { return held.second.engine == array.range.engine; };
  if (std::ranges::any_of(held_, same)) return;
  service_.reset();
  pager_ = std::make_unique<Pager>(*space_, options_.service.depth);
}

std::uint64_t Arrays::pages_resident(const Array& array) const {
  return cache_->resident(array.range.first, array.range.pages);
}

Result<RunReport> Arrays::run(const Kernel& form, const gpu::Grid& grid,
                              std::span<const gpu::Argument> arguments, const RunOptions& options) {
  const kernel::View& kernel = form.view;
  if (arguments.size() != kernel.params.size())
    return fail(Code::invalid_arg, "kernel {} has {} parameters; {} arguments were given", kernel.name,
                kernel.params.size(), arguments.size());
  if (copier_ != nullptr && copier_->stuck())
    return fail(Code::device_lost, "kernel {}: an earlier copy into the page cache of {} never landed",
                kernel.name, device_.info().name);
  Launch launch{form, kernel, grid, arguments, options, SteadyClock().now_ns(), 0, {}};
  const gpu::DeviceInfo& device = device_.info();
  launch.report.native = options.native && form.native.run && options.miss != Miss::yield &&
                         device.backend == gpu::Backend::cpu && device.kernel_io.available &&
                         !cache_->local();
  const bool waits = options.miss == Miss::wait || launch.report.native;
  launch.report.choice = choice(device, form, options, launch.report.native);
  Status status = waits ? run_waiting(launch) : run_yielding(launch);
  if (!status) {
    service_.reset();
    // A launch that failed has failed the stream for good; the next run is to have another.
    if (status.code() != Code::device_lost && !stream_->wait(stream_->last(), options.grace_ns))
      if (auto fresh = device_.stream()) stream_ = std::move(*fresh);
    return fail(std::move(status).wrap(fmt::format("kernel {}", kernel.name)));
  }
  launch.report.seconds = double(launch.spent_ns()) / 1e9;
  return std::move(launch.report);
}

// What native workers look into. Through it they bring pages themselves, as long as a service is there: a
// kernel that was given up finds none.
struct alignas(64) Arrays::Tables {
  kernel::native::PageTable pages;
  kernel::native::PinTables pins;
  std::atomic<Service*> service{nullptr};
  std::atomic<std::uint32_t> inside{0};  // workers that may be using it

  // Sequentially consistent, all four: a worker is counted, or it sees that the service has gone.
  bool bring(std::uint64_t page, std::uint64_t frame) {
    inside.fetch_add(1);
    Service* const s = service.load();
    const bool brought = s != nullptr && s->bring(page, frame);
    inside.fetch_sub(1);
    return brought;
  }
  void open(Service& s) { service.store(&s); }
  // Returns when no worker is inside, where each stays as long as a copy of a page takes.
  void close() {
    service.store(nullptr);
    while (inside.load() != 0) ::sched_yield();
  }
};

Status Arrays::make_tables() {
  if (table_) return {};
  // Several workers read ahead at once, and what one of them asked for must still be there when it comes.
  const std::uint32_t workers = std::max(device_.info().compute_units, 1u);
  using kernel::native::PinTables;
  auto made = device_.allocate(gpu::MemoryKind::pinned,
                               sizeof(Tables) + PinTables::bytes_for(workers, cache_->frames()));
  if (!made) return std::move(made).error();
  table_ = std::move(*made);
  auto* const tables = tables_ = new (table_->host()) Tables;
  tables->pins.initialize(table_->host() + sizeof(Tables), workers, cache_->frames());
  tables->pages = {
      .words = cache_->words(),
      .page_shift = std::uint32_t(std::countr_zero(cache_->page_bytes())),
      .out_of_range = std::uint32_t(-int(Code::invalid_address)),
      .pins = &tables->pins,
      .ahead_max = std::min({64u, cache_->frames() / 4 / workers, cache_->mailboxes() / 2 / workers}),
      .bringer = {[](void* self, std::uint64_t page, std::uint64_t frame) {
                    return static_cast<Tables*>(self)->bring(page, frame);
                  },
                  tables}};
  return {};
}

// A local cache's copier and the thread that answers, for this run and those after it.
Status Arrays::start_service() {
  if (service_) return {};
  if (cache_->local() && copier_ == nullptr) {
    if (const gpu::Capability& overlap = device_.info().overlap; !overlap.available)
      return error(
          Code::unsupported,
          "{} cannot copy while a kernel waits: {}; run it with yield, or keep the cache in host memory",
          device_.info().name, overlap.reason);
    auto copier = Copier::start(device_, *cache_);
    if (!copier) return std::move(copier).error();
    copier_ = std::move(*copier);
  }
  auto service = Service::start(*cache_, *space_, options_.service, copier_.get());
  if (!service) return std::move(service).error();
  service_ = std::move(*service);
  return {};
}

// What native workers kept is for one launch.
void Arrays::drop_pins() {
  device::Native m(cache_->words());
  tables_->pins.drop_idle([&](std::uint32_t frame) {
    device::Lane<device::Native> lane;
    lane.frame = frame;
    device::steps::unpin<device::Native>(m, lane);
  });
}

Status Arrays::run_waiting(Launch& launch) {
  const gpu::Capability& able = device_.info().kernel_io;
  if (!able.available)
    return error(Code::unsupported, "{} cannot wait for the host in a kernel: {}; run it with yield",
                 device_.info().name, able.reason);
  if (launch.report.native) {
    if (Status s = make_tables(); !s) return s;
    auto loaded = device_.load({.name = launch.kernel.name,
                                .block = launch.kernel.block,
                                .shared_bytes = kernel::shared_bytes(launch.kernel),
                                .parameters = std::uint32_t(launch.kernel.params.size()) + 1,
                                .native = launch.form.native});
    if (!loaded) return std::move(loaded).error();
    std::vector<gpu::Argument> arguments(launch.arguments.begin(), launch.arguments.end());
    arguments.push_back({table_->address(), 0});
    return wait_for_kernel(launch, **loaded, arguments);
  }
  const auto made = prepared(launch.kernel, Miss::wait, [&]() -> Result<Prepared> {
    Waiting waiting = lower_waiting(launch.kernel, *cache_);
    auto loaded = launch::load(device_, waiting.program.view());
    if (!loaded) return fail(std::move(loaded).error());
    return Prepared{.loaded = std::move(*loaded), .hidden = std::move(waiting.hidden)};
  });
  if (!made) return made.error();
  return wait_for_kernel(launch, *(*made)->loaded,
                         waiting_arguments((*made)->hidden, launch.arguments, *cache_));
}

Status Arrays::wait_for_kernel(Launch& launch, const gpu::Kernel& kernel,
                               std::span<const gpu::Argument> arguments) {
  if (Status s = start_service(); !s) return s;
  Service& s = *service_;
  const std::uint64_t launched_ns = launch.spent_ns();
  if (launch.report.native) tables_->open(s);
  s.begin();
  Status ran = cache_->to_device(*stream_);
  if (ran) ran = stream_->launch(kernel, launch.grid, arguments);
  if (ran.ok()) ran = await(launch, &s);
  launch.report.running_seconds = double(launch.spent_ns() - launched_ns) / 1e9;
  if (launch.report.native) tables_->close();
  if (ran.code() == Code::device_lost) return ran;  // its lanes may go on asking
  if (launch.report.native) drop_pins();
  // The mailboxes that lanes left behind are finished in the host's copy of the directory.
  Status fetched = cache_->from_device(*stream_);
  if (fetched) fetched = stream_->wait(stream_->last(), launch.options.grace_ns);
  Status ended = s.end(launch.options.grace_ns);
  if (!ran) return ran;
  if (!fetched) return fetched;
  if (!ended) return ended;
  launch.report.miss = Miss::wait;
  launch.report.launches = 1;
  launch.report.pages = s.pages();
  launch.report.misses = s.pages() + s.failures();
  launch.report.failures = s.failures();
  launch.report.failure = s.last_failure();
  launch.report.latency_ns = s.latency_ns().snapshot();
  if (s.failures() != 0) launch.report.reason = s.last_error();
  return {};
}

// Until the launch has ended, by itself or told to. Nobody may destroy what a running kernel uses: past the
// grace the device is given up, which keeps it all.
Status Arrays::await(Launch& launch, Service* service) {
  Code over = Code::ok;
  std::uint64_t ends_ns = 0;  // when a kernel that is told to end must have
  const auto pages = [&] { return service ? service->pages() : launch.report.pages; };
  for (;;) {
    Status ran = stream_->wait(stream_->last(), 20'000'000);
    if (ran.ok() && over != Code::ok) return launch.ended(over, pages());
    if (ran.code() != Code::timeout) return ran;
    launch.tell(pages());
    if (over == Code::ok) {
      over = launch.over();
      if (over == Code::ok) continue;
      if (service) service->abort(over);
      ends_ns = launch.spent_ns() + launch.options.grace_ns;
    } else if (launch.spent_ns() > ends_ns) {
      device_.give_up();
      return error(Code::device_lost,
                   "{}, and did not end within {} ms of that; the device is given up: open it again",
                   over == Code::canceled ? "cancelled" : "timed out", launch.options.grace_ns / 1'000'000);
    }
  }
}

Status Arrays::run_yielding(Launch& launch) {
  const auto made = prepared(launch.kernel, Miss::yield, [&]() -> Result<Prepared> {
    kernel::Lookup access({.page_bytes = cache_->page_bytes(), .buckets = cache_->buckets()});
    kernel::Suspended suspended = kernel::suspend(launch.kernel, {}, access);
    if (!suspended.ok())
      return fail(Code::unsupported, "line {}: {} ({}, limit {})", suspended.line, suspended.error,
                  suspended.value, suspended.limit);
    auto loaded = launch::load(device_, suspended.program.view());
    if (!loaded) return fail(std::move(loaded).error());
    return Prepared{
        .loaded = std::move(*loaded), .layout = std::move(suspended.layout), .lookups = access.arrays()};
  });
  if (!made) return made.error();
  const auto& [loaded, hidden, layout, lookups] = **made;

  const std::uint64_t groups =
      std::uint64_t(launch.grid.groups[0]) * launch.grid.groups[1] * launch.grid.groups[2];
  const std::uint64_t lanes = groups * launch.kernel.lanes();
  const std::uint64_t words = layout.words(lanes, groups);
  if (words >> 32)
    return error(Code::invalid_arg, "{} lanes save {} bytes, more than 16 GiB; launch fewer workgroups",
                 lanes, words * 4);
  if (!slab_ || slab_->size() < words * 4) {
    auto slab = device_.allocate(gpu::MemoryKind::pinned, words * 4);
    if (!slab) return std::move(slab).error().wrap("the slab for lanes that yield");
    slab_ = std::move(*slab);
  }
  std::memset(slab_->host(), 0, words * 4);
  auto& header = *reinterpret_cast<device::SlabHeader*>(slab_->host());
  const std::span records(reinterpret_cast<device::LaneRecord*>(slab_->host() + sizeof(header)), lanes);

  std::vector<gpu::Argument> arguments(launch.arguments.begin(), launch.arguments.end());
  arguments.push_back({slab_->address(), words});
  const std::size_t resume = arguments.size();
  arguments.push_back({0, 0});
  arguments.push_back(gpu::Argument::buffer(cache_->directory(), 8));
  for (const auto& array : lookups) {
    arguments.push_back({launch.arguments[array.object].value, 0});
    arguments.push_back(gpu::Argument::buffer(cache_->frame_memory(),
                                              kernel::size_of(launch.kernel.params[array.object].type)));
  }

  Answerer answerer(*cache_, *space_, *pager_, *stream_);
  const std::uint64_t launched_ns = launch.spent_ns();
  for (;;) {
    header.unfinished = 0;
    if (Status s = cache_->to_device(*stream_); !s) return s;
    if (Status s = stream_->launch(*loaded, launch.grid, arguments); !s) return s;
    ++launch.report.launches;
    if (Status s = await(launch, nullptr); !s) return s;
    if (header.unfinished == 0) break;
    const std::uint64_t left =
        launch.options.timeout_ns - std::min(launch.options.timeout_ns, launch.spent_ns());
    if (Status s = answerer.answer(records, left, launch.options.cancel); !s) return s;
    launch.report.pages = answerer.pages();
    // What was cut short has been answered with an error; the lanes that got it do not run again.
    if (const Code over = launch.over(); over != Code::ok) return launch.ended(over, answerer.pages());
    arguments[resume] = {1, 0};
    launch.tell(answerer.pages());
  }
  if (slab_->size() > kSlabKeptBytes) slab_.reset();
  launch.report.running_seconds = double(launch.spent_ns() - launched_ns) / 1e9;
  launch.report.miss = Miss::yield;
  launch.report.misses = answerer.misses();
  launch.report.failures = answerer.failures();
  launch.report.failure = answerer.last_failure();
  launch.report.pages = answerer.pages();
  launch.report.latency_ns = answerer.latency_ns().snapshot();
  launch.report.reason = answerer.last_error();
  return {};
}

}  // namespace gpuio::paging
