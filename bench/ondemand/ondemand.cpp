// On-demand arrays of kernels that run natively on the CPU: warm against plain arrays, cold against the
// engine, waiting against yielding, and what a run costs that has nothing to bring.
//
//   bench_ondemand [--pairs N] [--smoke]     see bench/README.md
#include "ondemand.hpp"

int main(int count, char** words) {
  gpuio::bench::Report report(count, words);
  gpuio::bench::warm_cases(report);
  gpuio::bench::cold_cases(report);
  gpuio::bench::run_cases(report);
  return report.print();
}
