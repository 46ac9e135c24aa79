# The house's CMake vocabulary: one target a folder, tests and benchmarks beside their source.

set(CMAKE_CXX_STANDARD 23)            # inside; include/ keeps to C++20, which its own tests hold
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_CXX_VISIBILITY_PRESET hidden)
set(CMAKE_C_VISIBILITY_PRESET hidden)
if(GPUIO_PORTABLE)
  add_link_options(-static-libstdc++ -static-libgcc)
  set(CMAKE_FIND_LIBRARY_SUFFIXES .a .so)
endif()
find_package(Threads REQUIRED)
find_program(GPUIO_CCACHE ccache)
if(GPUIO_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${GPUIO_CCACHE})
  set(CMAKE_C_COMPILER_LAUNCHER ${GPUIO_CCACHE})
endif()
if(GPUIO_TESTS AND NOT WIN32)
  find_package(GTest REQUIRED)
endif()

add_library(gpuio_flags INTERFACE)
target_include_directories(gpuio_flags INTERFACE ${PROJECT_SOURCE_DIR}/include ${PROJECT_SOURCE_DIR}/src)
target_link_libraries(gpuio_flags INTERFACE Threads::Threads)
# No contraction: a*b+c means two roundings on every device, or results would differ between them.
target_compile_options(gpuio_flags INTERFACE -Wall -Wextra -Wshadow -Wpedantic $<$<BOOL:${GPUIO_WERROR}>:-Werror> -ffp-contract=off
  $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict> # g++ 12 sees overlaps in std::string at -O3 that are none
  $<$<AND:$<COMPILE_LANGUAGE:CXX>,$<CXX_COMPILER_ID:Clang>>:-fconstexpr-steps=100000000 -Wno-gnu-zero-variadic-macro-arguments>)
if(GPUIO_ASSERT)
  target_compile_definitions(gpuio_flags INTERFACE GPUIO_ASSERT=1)
endif()
if(GPUIO_SANITIZE)
  target_compile_options(gpuio_flags INTERFACE -fsanitize=${GPUIO_SANITIZE} -O1 -g1 -fno-omit-frame-pointer -fno-sanitize-recover=all)
  target_link_options(gpuio_flags INTERFACE -fsanitize=${GPUIO_SANITIZE})
endif()

# Headers of others take a third of a compilation: precompiled once in gpuio_base, for the libraries above it too,
# and once for the tests. A source whose options differ says SKIP_PRECOMPILE_HEADERS.
set(gpuio_pch <algorithm> <array> <atomic> <bit> <charconv> <chrono> <cmath> <condition_variable> <cstdint> <cstring>
  <filesystem> <functional> <map> <memory> <mutex> <numeric> <optional> <span> <string> <string_view> <thread>
  <unordered_map> <utility> <vector>)
if(GPUIO_PCH)
  # So that ccache knows which was used, and finds it whenever it was made.
  add_compile_options($<$<COMPILE_LANG_AND_ID:CXX,GNU>:-fpch-preprocess> "$<$<COMPILE_LANG_AND_ID:CXX,Clang>:SHELL:-Xclang -fno-pch-timestamp>")
  if(GPUIO_TESTS)
    file(CONFIGURE OUTPUT ${PROJECT_BINARY_DIR}/test_pch.cpp CONTENT "int main() {}\n")
    add_executable(gpuio_test_pch EXCLUDE_FROM_ALL ${PROJECT_BINARY_DIR}/test_pch.cpp)
  endif()
endif()

# gpuio_folders(DIR...): the folders of the product, bottom to top.
function(gpuio_folders)
  foreach(dir IN LISTS ARGN)
    if(EXISTS ${PROJECT_SOURCE_DIR}/${dir}/CMakeLists.txt)
      add_subdirectory(${dir})
    endif()
  endforeach()
endfunction()

# gpuio_library(NAME [SOURCES...] [DEPENDS...]): target gpuio_NAME; without sources, an interface of headers.
function(gpuio_library name)
  cmake_parse_arguments(arg "" "" "SOURCES;DEPENDS" ${ARGN})
  if(arg_SOURCES)
    add_library(gpuio_${name} STATIC ${arg_SOURCES})
    target_link_libraries(gpuio_${name} PUBLIC gpuio_flags ${arg_DEPENDS})
    if(GPUIO_PCH AND name STREQUAL "base")
      target_precompile_headers(gpuio_base PRIVATE ${gpuio_pch} <fmt/format.h>)
    elseif(GPUIO_PCH AND TARGET gpuio_base)
      target_precompile_headers(gpuio_${name} REUSE_FROM gpuio_base)
    endif()
    if(GPUIO_SANITIZE) # only what a test links: nobody installs it
      set_target_properties(gpuio_${name} PROPERTIES EXCLUDE_FROM_ALL ON)
    endif()
  else()
    add_library(gpuio_${name} INTERFACE)
    target_link_libraries(gpuio_${name} INTERFACE gpuio_flags ${arg_DEPENDS})
  endif()
endfunction()

# Half the compile time of -O2 -g; the libraries under test are compiled as ever.
set(gpuio_test_options $<$<CONFIG:RelWithDebInfo>:-O1> $<$<CONFIG:RelWithDebInfo>:-g1> $<$<BOOL:${GPUIO_PORTABLE}>:-O1>)

if(TARGET gpuio_test_pch)
  target_link_libraries(gpuio_test_pch PRIVATE gpuio_flags GTest::gtest_main GTest::gmock)
  target_compile_options(gpuio_test_pch PRIVATE ${gpuio_test_options})
  target_precompile_headers(gpuio_test_pch PRIVATE ${gpuio_pch} <gmock/gmock.h> <gtest/gtest.h>)
endif()

# What only the tests of label full run, benchmarks among it: `./dev test` does not build it.
add_custom_target(gpuio_full_tests)

# gpuio_test_wanted(OUT [THREADS] [NO_SANITIZE] [FULL]): whether this build has a test of that kind.
# ThreadSanitizer has something to find only where there are threads, and drivers it did not instrument mislead it;
# a compiler or an assembler that a test calls is not ours to sanitize.
function(gpuio_test_wanted out)
  cmake_parse_arguments(arg "THREADS;NO_SANITIZE;FULL" "" "" ${ARGN})
  set(wanted ${GPUIO_TESTS})
  if(GPUIO_SANITIZE AND (arg_NO_SANITIZE OR arg_FULL))
    set(wanted OFF)
  endif()
  if(GPUIO_SANITIZE MATCHES "thread" AND NOT arg_THREADS)
    set(wanted OFF)
  endif()
  if(WIN32 AND NOT arg_UNPARSED_ARGUMENTS MATCHES "${gpuio_windows_tests}")
    set(wanted OFF)
  endif()
  set(${out} ${wanted} PARENT_SCOPE)
endfunction()

# gpuio_test(NAME SOURCES... [DEPENDS...] [FULL] [THREADS] [NO_SANITIZE] [TIMEOUT s]): a GoogleTest program.
# FULL: too slow for every build, built and run with `./dev test --all` only. THREADS: has concurrency, so ThreadSanitizer
# gets it too. NO_SANITIZE: not built with any sanitizer.
function(gpuio_test name)
  gpuio_test_wanted(wanted ${name} ${ARGN})
  if(NOT wanted)
    return()
  endif()
  cmake_parse_arguments(arg "FULL;THREADS;NO_SANITIZE" "TIMEOUT" "SOURCES;DEPENDS;ARGS" ${ARGN})
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE gpuio_flags ${arg_DEPENDS} GTest::gtest_main GTest::gmock)
  target_compile_options(${name} PRIVATE ${gpuio_test_options})
  if(GPUIO_PCH)
    target_precompile_headers(${name} REUSE_FROM gpuio_test_pch)
  endif()
  if(arg_FULL)
    set_target_properties(${name} PROPERTIES EXCLUDE_FROM_ALL ON)
    add_dependencies(gpuio_full_tests ${name})
  endif()
  set(kind)
  foreach(word FULL THREADS NO_SANITIZE)
    if(arg_${word})
      list(APPEND kind ${word})
    endif()
  endforeach()
  gpuio_add_test(${name} COMMAND ${name} ${arg_ARGS} ${kind} TIMEOUT ${arg_TIMEOUT})
endfunction()

# gpuio_add_test(NAME COMMAND... [FULL] [THREADS] [NO_SANITIZE] [TIMEOUT s]): any program as a test.
function(gpuio_add_test name)
  gpuio_test_wanted(wanted ${name} ${ARGN})
  if(NOT wanted)
    return()
  endif()
  cmake_parse_arguments(arg "FULL;THREADS;NO_SANITIZE" "TIMEOUT" "COMMAND" ${ARGN})
  add_test(NAME ${name} COMMAND ${arg_COMMAND})
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 120)
  endif()
  set(label quick)
  if(arg_FULL)
    set(label full)
  endif()
  # No test finds compiled kernels that another left, nor leaves any in the home of who runs it. Those that may take
  # longest start first.
  set_tests_properties(${name} PROPERTIES TIMEOUT ${arg_TIMEOUT} COST ${arg_TIMEOUT} LABELS ${label} SKIP_RETURN_CODE 77
    ENVIRONMENT GPUIO_KERNEL_CACHE_SIZE=0)
endfunction()

# gpuio_test_shaders(TARGET SOURCES...): GLSL of tests/support/shaders as SPIR-V for a test, which finds the folder in
# GPUIO_TEST_SHADERS; "" where glslangValidator is missing. Of the first source the oldest version too.
function(gpuio_test_shaders target)
  if(NOT TARGET ${target})
    return()
  endif()
  find_program(GPUIO_GLSLANG glslangValidator)
  if(NOT GPUIO_GLSLANG)
    target_compile_definitions(${target} PRIVATE GPUIO_TEST_SHADERS="")
    return()
  endif()
  set(folder ${PROJECT_BINARY_DIR}/test_shaders/${target})
  set(made)
  foreach(source IN LISTS ARGN)
    set(from ${PROJECT_SOURCE_DIR}/tests/support/shaders/${source})
    add_custom_command(OUTPUT ${folder}/${source}.spv DEPENDS ${from} VERBATIM
      COMMAND ${GPUIO_GLSLANG} --quiet -V --target-env vulkan1.2 ${from} -o ${folder}/${source}.spv)
    list(APPEND made ${folder}/${source}.spv)
  endforeach()
  list(GET ARGN 0 source)
  add_custom_command(OUTPUT ${folder}/${source}.1.0.spv DEPENDS ${PROJECT_SOURCE_DIR}/tests/support/shaders/${source} VERBATIM
    COMMAND ${GPUIO_GLSLANG} --quiet -V --target-env vulkan1.0 ${PROJECT_SOURCE_DIR}/tests/support/shaders/${source} -o ${folder}/${source}.1.0.spv)
  file(MAKE_DIRECTORY ${folder})
  add_custom_target(${target}_shaders DEPENDS ${made} ${folder}/${source}.1.0.spv)
  add_dependencies(${target} ${target}_shaders)
  target_compile_definitions(${target} PRIVATE GPUIO_TEST_SHADERS="${folder}")
endfunction()
