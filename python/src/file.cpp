// What a URI names, read and written in ranges by requests of the C interface.
#include "src/common.hpp"

namespace gpuio::python {
namespace {

using Target = nb::ndarray<nb::c_contig, nb::device::cpu>;
using Source = nb::ndarray<nb::ro, nb::c_contig, nb::device::cpu>;

class File {
 public:
  File(const Context& context, const std::string& uri, uint32_t flags) : owner_(context.owner) {
    gpuio_error_t e;
    {
      nb::gil_scoped_release others;
      e = gpuio_open(owner_->ctx, uri.c_str(), flags, &handle_);
    }
    check(e);
  }
  ~File() {
    if (handle_) gpuio_close(owner_->ctx, handle_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  void close() {
    if (!handle_) return;
    check(gpuio_close(owner_->ctx, handle_));
    handle_ = nullptr;
  }

  nb::dict info() const {
    gpuio_handle_info_t i;
    check(gpuio_handle_info(owner_->ctx, open_handle(), &i));
    constexpr const char* kEngines[] = {"memio", "localio", "remoteio"};
    constexpr std::pair<uint64_t, const char*> kCapabilities[] = {
        {GPUIO_CAP_READ, "read"},           {GPUIO_CAP_WRITE, "write"},
        {GPUIO_CAP_DIRECT, "direct"},       {GPUIO_CAP_ZERO_COPY, "zero_copy"},
        {GPUIO_CAP_ONE_SIDED, "one_sided"}, {GPUIO_CAP_ATOMICS, "atomics"},
        {GPUIO_CAP_RESIZE, "resize"},       {GPUIO_CAP_DEVICE_MEMORY, "device_memory"},
        {GPUIO_CAP_DURABLE, "durable"}};
    nb::list capabilities;
    for (const auto& [bit, name] : kCapabilities)
      if (i.capabilities & bit) capabilities.append(name);
    nb::dict d;
    d["engine"] = std::size_t(i.engine) < std::size(kEngines) ? kEngines[i.engine] : "other";
    d["size"] = i.size;
    d["block_size"] = i.block_size;
    d["alignment"] = i.alignment;
    d["capabilities"] = capabilities;
    d["route"] = i.route;
    d["reason"] = i.reason;
    return d;
  }

  uint64_t read_into(uint64_t offset, const Target& out) {
    return transfer(GPUIO_REQ_READ, offset, out.data(), out);
  }
  uint64_t write_from(uint64_t offset, const Source& data) {
    return transfer(GPUIO_REQ_WRITE, offset, const_cast<void*>(data.data()), data);
  }

 private:
  // Ends when it goes out of scope, in the reverse order of being made.
  struct Region {
    explicit Region(gpuio_context_t c) : ctx(c) {}
    ~Region() {
      if (region.registered) gpuio_unregister_memory(ctx, &region);
    }
    gpuio_context_t ctx;
    gpuio_memory_region_t region{};
  };
  template <class Array>
  struct Request {
    Request(gpuio_context_t c, const Array& used) : ctx(c), array(used) {}
    ~Request() {
      gpuio_error_t e;
      {
        nb::gil_scoped_release others;  // waits for what was cancelled
        e = gpuio_request_destroy(ctx, handle);
      }
      if (e == GPUIO_ERROR_TIMEOUT) keep_for_ever(array);
    }
    gpuio_context_t ctx;
    const Array& array;
    gpuio_request_t handle = nullptr;
  };

  gpuio_handle_t open_handle() const {
    if (!handle_) throw Error{GPUIO_ERROR_INVALID_ARG, "the file is closed; open it again"};
    return handle_;
  }

  template <class Array>
  uint64_t transfer(gpuio_request_type_t type, uint64_t offset, void* memory, const Array& array) {
    const gpuio_context_t ctx = owner_->ctx;
    const std::size_t bytes = array.nbytes();
    const bool reads = type == GPUIO_REQ_READ;
    const gpuio_handle_t handle = open_handle();
    if (bytes == 0) return 0;
    Region ours(ctx), theirs(ctx);
    check(gpuio_register_memory(ctx, memory, bytes, reads ? GPUIO_MEM_WRITE : GPUIO_MEM_READ, &ours.region));
    check(gpuio_handle_region(ctx, handle, offset, bytes, reads ? GPUIO_MEM_READ : GPUIO_MEM_WRITE,
                              &theirs.region));
    gpuio_request_params_t params{};
    params.type = type;
    params.src = reads ? &theirs.region : &ours.region;
    params.dst = reads ? &ours.region : &theirs.region;
    params.length = bytes;
    params.async = true;
    Request<Array> request(ctx, array);
    check(gpuio_request_create(ctx, &params, &request.handle));
    check(gpuio_request_submit(ctx, request.handle));
    for (;;) {
      gpuio_error_t e;
      {
        nb::gil_scoped_release others;
        e = gpuio_request_wait(ctx, request.handle, 50'000);
      }
      gpuio_request_status_t status = GPUIO_STATUS_ERROR;
      check(gpuio_request_get_status(ctx, request.handle, &status));
      if (status >= GPUIO_STATUS_COMPLETED) {
        check(e);
        break;
      }
      // The request's end cancels it and waits, so that nobody writes into memory that Python frees.
      if (PyErr_CheckSignals() != 0) throw nb::python_error();
    }
    gpuio_request_result_t result{};
    check(gpuio_request_get_result(ctx, request.handle, &result));
    return result.bytes;
  }

  std::shared_ptr<Owner> owner_;
  gpuio_handle_t handle_ = nullptr;
};

}  // namespace

void bind_file(nb::module_& m) {
  const auto flag = [&](const char* name, gpuio_open_flags_t value) { m.attr(name) = int(value); };
  flag("OPEN_READ", GPUIO_OPEN_READ);
  flag("OPEN_WRITE", GPUIO_OPEN_WRITE);
  flag("OPEN_CREATE", GPUIO_OPEN_CREATE);
  flag("OPEN_TRUNCATE", GPUIO_OPEN_TRUNCATE);
  flag("OPEN_DIRECT", GPUIO_OPEN_DIRECT);
  nb::class_<File>(m, "File")
      .def(nb::init<const Context&, const std::string&, uint32_t>(), nb::arg("context"), nb::arg("uri"),
           nb::arg("flags"))
      .def("close", &File::close)
      .def("info", &File::info)
      // Never a converted copy: the bytes go into, and come from, the very memory that was given.
      .def("read_into", &File::read_into, nb::arg("offset"), nb::arg("out").noconvert())
      .def("write_from", &File::write_from, nb::arg("offset"), nb::arg("data").noconvert());
}

}  // namespace gpuio::python
