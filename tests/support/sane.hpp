// A run of one workgroup in the interpreter's sanitizer that must end well and without a finding.
#pragma once

#include <gpuio/kernel/sanitize.hpp>

#include <gtest/gtest.h>

namespace gpuio::test_kernels {

inline void expect_sane(const kernel::View& k, std::span<const kernel::Argument> arguments,
                        const kernel::InterpretOptions& options) {
  const kernel::Sanitized s = kernel::sanitize(k, {1, 1, 1}, arguments, options);
  ASSERT_TRUE(s.outcome.ok()) << s.outcome.error << " in line " << s.outcome.line;
  for (const kernel::Race& r : s.races) ADD_FAILURE() << kernel::message(r);
}

}  // namespace gpuio::test_kernels
