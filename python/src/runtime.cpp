// What gpu_runtime is written over: a context with one device as its current, memory by address, kernels,
// streams and events by number. Checks of values and the lifetime of what is held are the Python's.
#include <nanobind/stl/optional.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <bit>
#include <chrono>
#include <optional>
#include <thread>
#include <tuple>
#include <vector>

#include "launch/sanitize.hpp"
#include "src/common.hpp"

namespace gpuio::python {
namespace {

using Target = nb::ndarray<nb::c_contig, nb::device::cpu>;
using Source = nb::ndarray<nb::ro, nb::c_contig, nb::device::cpu>;
using Handle = std::uintptr_t;
// kind, address or bits, count, bytes of an element
using Given = std::tuple<int, std::uint64_t, std::uint64_t, std::uint32_t>;
using Constant = std::tuple<std::uint32_t, int, std::uint64_t, std::string>;  // id, kind, bits, name

template <class H>
H as(Handle h) {
  return reinterpret_cast<H>(h);
}
template <class H>
Handle number(H h) {
  return reinterpret_cast<Handle>(h);
}

class Gpu {
 public:
  explicit Gpu(const std::string& device) {
    gpuio_config_t config = GPUIO_CONFIG_DEFAULT;
    config.log_level = GPUIO_LOG_WARN;
    gpuio_context_t ctx = nullptr;
    gpuio_error_t e;
    {
      nb::gil_scoped_release others;
      e = gpuio_init(&ctx, &config);
    }
    check(e);
    owner_ = std::make_shared<Owner>(ctx);
    {
      nb::gil_scoped_release others;  // looks for drivers
      e = gpuio_find_device(ctx, device.c_str(), &id_);
      if (e == GPUIO_SUCCESS) e = gpuio_set_device(ctx, id_);
      if (e == GPUIO_SUCCESS) e = gpuio_get_device_info(ctx, id_, &info_);
    }
    check(e);
    backend_ = id_ == -1 ? "cpu" : is("cuda") ? "cuda" : "vulkan";
  }

  std::string name() const { return info_.name; }
  std::string backend() const { return backend_; }
  std::uint64_t memory() const { return info_.total_memory; }
  Handle context() const { return number(ctx()); }  // refused by the library once it is closed
  void close() {
    gpuio_error_t e;
    {
      nb::gil_scoped_release others;
      e = owner_->end();
    }
    check(e);
  }

  // Memory.
  Handle allocate(std::uint64_t bytes) {
    void* memory = nullptr;
    check(gpuio_malloc_device(ctx(), bytes, &memory));
    return number(memory);
  }
  Handle adopt(Handle address, std::uint64_t bytes) {
    check(gpuio_adopt_device_memory(ctx(), as<void*>(address), bytes));
    return address;
  }
  void free(Handle memory) { check(gpuio_free(ctx(), as<void*>(memory))); }
  void upload(Handle to, const Source& from) { copy(as<void*>(to), from.data(), from.nbytes(), from); }
  void download(const Target& to, Handle from) { copy(to.data(), as<void*>(from), to.nbytes(), to); }
  void fill(Handle memory, std::uint8_t value, std::uint64_t bytes, Handle stream) {
    check(gpuio_memset_async(ctx(), as<void*>(memory), value, bytes, as<gpuio_stream_t>(stream)));
  }

  // Kernels.
  Handle load(int format, const nb::bytes& bytes, const std::string& entry,
              const std::vector<Constant>& constants,
              std::tuple<std::uint32_t, std::uint32_t, std::uint32_t> block) {
    std::vector<gpuio_constant_t> list;
    for (const auto& [id, kind, bits, name] : constants)
      list.push_back(
          {id, static_cast<gpuio_argument_kind_t>(kind), bits, name.empty() ? nullptr : name.c_str()});
    const gpuio_kernel_options_t options{static_cast<gpuio_kernel_format_t>(format),
                                         entry.empty() ? nullptr : entry.c_str(),
                                         list.data(),
                                         static_cast<int>(list.size()),
                                         {std::get<0>(block), std::get<1>(block), std::get<2>(block)}};
    gpuio_kernel_t kernel = nullptr;
    gpuio_error_t e;
    {
      nb::gil_scoped_release others;  // drivers compile; nobody changes the bytes of a bytes object
      e = gpuio_kernel_load_format(ctx(), bytes.c_str(), bytes.size(), &options, &kernel);
    }
    check(e);
    return number(kernel);
  }
  nb::dict kernel_info(Handle kernel) const {
    gpuio_kernel_info_t i;
    check(gpuio_kernel_get_info(ctx(), as<gpuio_kernel_t>(kernel), &i));
    constexpr const char* kFormats[] = {"auto", "ir", "spirv", "ptx", "adead"};
    nb::list parameters;
    for (int n = 0; n < i.num_parameters; ++n) {
      gpuio_kernel_parameter_t p;
      check(gpuio_kernel_get_parameter(ctx(), as<gpuio_kernel_t>(kernel), n, &p));
      nb::dict d;
      d["name"] = p.name;
      d["kind"] = p.either                     ? "buffer or number"
                  : p.kind == GPUIO_ARG_SCALAR ? "number"
                  : p.kind == GPUIO_ARG_PROXY  ? "array"
                                               : "buffer";
      d["element_size"] = p.element_size;
      d["count"] = p.count;
      parameters.append(d);
    }
    nb::dict d;
    d["name"] = i.name;
    d["format"] = kFormats[i.format];
    d["block"] = nb::make_tuple(i.block[0], i.block[1], i.block[2]);
    d["portable"] = i.portable;
    d["parameters"] = parameters;
    return d;
  }
  // Findings as (message, line, earlier line); arguments as those of launch, with an array for memory.
  using Watched = std::tuple<int, std::uint64_t, std::optional<Source>, std::uint32_t>;
  std::vector<std::tuple<std::string, std::uint32_t, std::uint32_t>> sanitize(
      int format, const nb::bytes& bytes, std::tuple<std::uint32_t, std::uint32_t, std::uint32_t> groups,
      const std::vector<Watched>& arguments, std::uint64_t steps_max) {
    const std::span source(reinterpret_cast<const std::byte*>(bytes.c_str()), bytes.size());
    auto module = launch::Module::read(source, {.format = static_cast<launch::Format>(format)});
    check(module ? Status() : module.error());
    std::vector<launch::Given> given;
    for (const auto& [kind, bits, memory, size] : arguments) {
      launch::Given& one = given.emplace_back();
      one.element_size = size;
      if (!memory) {
        one.number = launch::Number{kind == GPUIO_ARG_REAL, bits};
        continue;
      }
      const auto* from = static_cast<const std::byte*>(memory->data());
      one.bytes.assign(from, from + memory->nbytes());
    }
    const gpu::Grid grid{{std::get<0>(groups), std::get<1>(groups), std::get<2>(groups)}};
    const auto found = [&] {
      nb::gil_scoped_release others;
      return launch::sanitize(**module, grid, std::move(given), steps_max);
    }();
    check(found ? Status() : found.error());
    std::vector<std::tuple<std::string, std::uint32_t, std::uint32_t>> out;
    for (const launch::Finding& f : *found) out.emplace_back(f.message, f.line, f.earlier_line);
    return out;
  }
  void destroy_kernel(Handle kernel) { check(gpuio_kernel_destroy(ctx(), as<gpuio_kernel_t>(kernel))); }
  void launch(Handle kernel, std::tuple<std::uint32_t, std::uint32_t, std::uint32_t> groups,
              const std::vector<Given>& arguments, Handle stream) {
    std::vector<gpuio_argument_t> list;
    for (const auto& [kind, value, count, size] : arguments) {
      gpuio_argument_t a{};
      a.kind = static_cast<gpuio_argument_kind_t>(kind);
      a.element_size = size;
      if (kind == GPUIO_ARG_MEMORY || kind == GPUIO_ARG_BYTES) a.memory = as<void*>(value);
      else a.bits = value;
      a.count = count;
      list.push_back(a);
    }
    const std::uint32_t grid[3] = {std::get<0>(groups), std::get<1>(groups), std::get<2>(groups)};
    gpuio_error_t e;
    {
      nb::gil_scoped_release others;
      e = gpuio_kernel_launch(ctx(), as<gpuio_kernel_t>(kernel), grid, list.data(), int(list.size()),
                              as<gpuio_stream_t>(stream));
    }
    check(e);
  }

  // Streams and events.
  Handle stream() {
    gpuio_stream_t made = nullptr;
    check(gpuio_stream_create(ctx(), &made, GPUIO_STREAM_DEFAULT));
    return number(made);
  }
  void destroy_stream(Handle stream) {
    gpuio_error_t e;
    {
      nb::gil_scoped_release others;
      e = gpuio_stream_destroy(ctx(), as<gpuio_stream_t>(stream));
    }
    check(e);
  }
  bool idle(Handle stream) const {
    bool answer = false;
    check(gpuio_stream_query(ctx(), as<gpuio_stream_t>(stream), &answer));
    return answer;
  }
  // False: not done in time. Ctrl-C ends the wait, not the work.
  bool wait_stream(Handle stream, double seconds) {
    const auto s = as<gpuio_stream_t>(stream);
    if (!until(seconds, [&](bool* done) { return gpuio_stream_query(ctx(), s, done); })) return false;
    gpuio_error_t e;
    {
      nb::gil_scoped_release others;
      e = gpuio_stream_synchronize(ctx(), s);
    }
    check(e);
    return true;
  }
  Handle event() {
    gpuio_event_t made = nullptr;
    check(gpuio_event_create(ctx(), &made));
    return number(made);
  }
  void destroy_event(Handle event) { gpuio_event_destroy(ctx(), as<gpuio_event_t>(event)); }
  void record(Handle event, Handle stream) {
    check(gpuio_event_record(ctx(), as<gpuio_event_t>(event), as<gpuio_stream_t>(stream)));
  }
  bool complete(Handle event) const {
    bool done = false;
    check(gpuio_event_query(ctx(), as<gpuio_event_t>(event), &done));
    return done;
  }
  bool wait_event(Handle event, double seconds) {
    const auto e = as<gpuio_event_t>(event);
    return until(seconds, [&](bool* done) { return gpuio_event_query(ctx(), e, done); });
  }
  double elapsed_ms(Handle start, Handle end) const {
    float ms = 0;
    check(gpuio_event_elapsed_time(ctx(), as<gpuio_event_t>(start), as<gpuio_event_t>(end), &ms));
    return double(ms);
  }

 private:
  gpuio_context_t ctx() const { return owner_->ctx; }
  bool is(const std::string& kind) const {
    int id = 0;
    for (int n = 0; gpuio_find_device(ctx(), (kind + ":" + std::to_string(n)).c_str(), &id) == GPUIO_SUCCESS;
         ++n)
      if (id == id_) return true;
    return false;
  }
  template <class Array>
  void copy(void* to, const void* from, std::size_t bytes, const Array& array) {
    if (bytes == 0) return;
    gpuio_error_t e;
    {
      nb::gil_scoped_release others;
      e = gpuio_memcpy(ctx(), to, from, bytes, nullptr);
    }
    if (e == GPUIO_ERROR_TIMEOUT) keep_for_ever(array);  // the copy goes on
    check(e);
  }
  // Asks until it says yes, at first often; other Python threads run, and signals are served.
  template <class F>
  bool until(double seconds, F&& ask) {
    using Clock = std::chrono::steady_clock;
    const auto begin = Clock::now();
    for (bool done = false;;) {
      gpuio_error_t e = GPUIO_SUCCESS;
      {
        nb::gil_scoped_release others;
        const auto look = Clock::now();  // so long at a time
        for (unsigned turn = 0; Clock::now() - look < std::chrono::milliseconds(50); ++turn) {
          e = ask(&done);
          if (e != GPUIO_SUCCESS || done) break;
          if (std::chrono::duration<double>(Clock::now() - begin).count() >= seconds) break;
          if (turn < 64) std::this_thread::yield();
          else std::this_thread::sleep_for(std::chrono::microseconds(turn < 256 ? 20 : 200));
        }
      }
      check(e);
      if (done) return true;
      if (std::chrono::duration<double>(Clock::now() - begin).count() >= seconds) return false;
      if (PyErr_CheckSignals() != 0) throw nb::python_error();
    }
  }

  std::shared_ptr<Owner> owner_;
  int id_ = -1;
  gpuio_device_info_t info_{};
  std::string backend_;
};

}  // namespace

void bind_runtime(nb::module_& m) {
  m.attr("ARG_MEMORY") = int(GPUIO_ARG_MEMORY);
  m.attr("ARG_SCALAR") = int(GPUIO_ARG_SCALAR);
  m.attr("ARG_INTEGER") = int(GPUIO_ARG_INTEGER);
  m.attr("ARG_REAL") = int(GPUIO_ARG_REAL);
  m.attr("ARG_BYTES") = int(GPUIO_ARG_BYTES);
  m.attr("FORMAT_IR") = int(GPUIO_FORMAT_IR);
  m.attr("FORMAT_SPIRV") = int(GPUIO_FORMAT_SPIRV);
  m.attr("FORMAT_PTX") = int(GPUIO_FORMAT_PTX);
  m.attr("FORMAT_ADEAD") = int(GPUIO_FORMAT_ADEAD);
  nb::class_<Gpu>(m, "Gpu")
      .def(nb::init<const std::string&>(), nb::arg("device"))
      .def_prop_ro("name", &Gpu::name)
      .def_prop_ro("backend", &Gpu::backend)
      .def_prop_ro("memory", &Gpu::memory)
      .def_prop_ro("context", &Gpu::context)
      .def("close", &Gpu::close)
      .def("allocate", &Gpu::allocate, nb::arg("bytes"))
      .def("adopt", &Gpu::adopt, nb::arg("address"), nb::arg("bytes"))
      .def("free", &Gpu::free, nb::arg("memory"))
      .def("upload", &Gpu::upload, nb::arg("to"), nb::arg("data").noconvert())
      .def("download", &Gpu::download, nb::arg("out").noconvert(), nb::arg("memory"))
      .def("fill", &Gpu::fill, nb::arg("memory"), nb::arg("value"), nb::arg("bytes"), nb::arg("stream"))
      .def("load", &Gpu::load, nb::arg("format"), nb::arg("bytes"), nb::arg("entry"), nb::arg("constants"),
           nb::arg("block"))
      .def("kernel_info", &Gpu::kernel_info, nb::arg("kernel"))
      .def("sanitize", &Gpu::sanitize, nb::arg("format"), nb::arg("bytes"), nb::arg("groups"),
           nb::arg("arguments"), nb::arg("steps_max"))
      .def("destroy_kernel", &Gpu::destroy_kernel, nb::arg("kernel"))
      .def("launch", &Gpu::launch, nb::arg("kernel"), nb::arg("groups"), nb::arg("arguments"),
           nb::arg("stream"))
      .def("stream", &Gpu::stream)
      .def("destroy_stream", &Gpu::destroy_stream, nb::arg("stream"))
      .def("idle", &Gpu::idle, nb::arg("stream"))
      .def("wait_stream", &Gpu::wait_stream, nb::arg("stream"), nb::arg("seconds"))
      .def("event", &Gpu::event)
      .def("destroy_event", &Gpu::destroy_event, nb::arg("event"))
      .def("record", &Gpu::record, nb::arg("event"), nb::arg("stream"))
      .def("complete", &Gpu::complete, nb::arg("event"))
      .def("wait_event", &Gpu::wait_event, nb::arg("event"), nb::arg("seconds"))
      .def("elapsed_ms", &Gpu::elapsed_ms, nb::arg("start"), nb::arg("end"));
}

}  // namespace gpuio::python
