# The libraries that the layers for Windows use, from Debian's packages for Linux: headers and sources alone, by links,
# because /usr/include holds the headers of another system too.
set(headers ${PROJECT_BINARY_DIR}/headers)
file(MAKE_DIRECTORY ${headers})
foreach(name fmt spdlog toml++ vulkan vk_video volk.h volk.c)
  if(NOT EXISTS /usr/include/${name})
    message(FATAL_ERROR "/usr/include/${name} is missing: install libfmt-dev, libspdlog-dev, libtomlplusplus-dev, libvulkan-dev and libvulkan-volk-dev")
  endif()
  file(CREATE_LINK /usr/include/${name} ${headers}/${name} SYMBOLIC)
endforeach()
add_library(gpuio_windows_headers INTERFACE)
target_include_directories(gpuio_windows_headers SYSTEM INTERFACE ${headers})
target_compile_definitions(gpuio_windows_headers INTERFACE FMT_HEADER_ONLY=1 SPDLOG_FMT_EXTERNAL=1 NOMINMAX WIN32_LEAN_AND_MEAN
  _WIN32_WINNT=0x0A00)
foreach(target fmt::fmt spdlog::spdlog_header_only)
  add_library(${target} ALIAS gpuio_windows_headers)
endforeach()
# The tests that run under Wine: those of what is the same everywhere, and of the platform seam.
set(gpuio_windows_tests "^(kernel_(semantics|interpret|lower|trace|verify|verify_program|hash|serialize|ptx|async|mbarrier|stages|matrix|access|pins|suspend|random_program)_test|device_layout_test|base_(status|log|clock|text|uri|metrics|windows)_test|gpu_cpu_(device|blocked)_test|launch_adead_test|ops_[a-z_]*_test)(;|$)")
if(GPUIO_TESTS)
  set(root /usr/src/googletest)
  add_library(gpuio_windows_gtest STATIC ${root}/googletest/src/gtest-all.cc ${root}/googlemock/src/gmock-all.cc ${root}/googletest/src/gtest_main.cc)
  target_include_directories(gpuio_windows_gtest SYSTEM PUBLIC ${root}/googletest/include ${root}/googlemock/include
    PRIVATE ${root}/googletest ${root}/googlemock)
  add_library(GTest::gtest_main ALIAS gpuio_windows_gtest)
  add_library(GTest::gmock ALIAS gpuio_windows_gtest)
endif()
