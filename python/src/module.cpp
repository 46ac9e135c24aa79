// gpuio._core: what the package's Python files are written over. They hold the names that users see, with
// types and documentation; nothing here is public.
#include "base/text.hpp"
#include "src/common.hpp"

using namespace gpuio::python;

NB_MODULE(_core, m) {
  nb::register_exception_translator([](const std::exception_ptr& thrown, void*) {
    try {
      std::rethrow_exception(thrown);
    } catch (const Error& e) {
      const nb::object type = nb::module_::import_("gpuio._errors").attr("GPUIOError");
      PyErr_SetObject(type.ptr(), nb::make_tuple(e.code, e.message).ptr());
    }
  });
  m.def("version", [] { return std::string(gpuio_get_version_string()); });
  m.def("set_log_level", [](int level) { gpuio_set_log_level(static_cast<gpuio_log_level_t>(level)); });
  m.def(
      "parse_size",
      [](const std::string& text) {
        const auto size = gpuio::parse_size(text);
        check(size ? gpuio::Status() : size.error());
        return *size;
      },
      nb::arg("text"));
  bind_context(m);
  bind_file(m);
  bind_array(m);
  bind_runtime(m);
  bind_ops(m);
}
