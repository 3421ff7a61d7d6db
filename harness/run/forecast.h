#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "harness/run/plan.h"
#include "harness/store/result_store.h"

namespace harness {

/// What running a plan would do, before anything runs.
struct RunForecast {
  std::string label, model;
  std::int64_t seed = 0;
  int stages = 0;         // trainings of pairs, load, methods, evals, and evals of other models
  int stored = 0;         // of them
  bool complete = false;  // every eval is stored: the run is not run
  double seconds = 0;     // that are left, as far as known; what an earlier run of the plan does is
                          // not counted again
  int untimed = 0;        // stages without which that is
  std::int64_t bytes = 0;       // of memory at the most: as measured earlier, else from the shape
  bool bytes_measured = false;  // by earlier attempts at each of its stages
};

struct Forecast {
  std::vector<RunForecast> runs;
  int stages = 0;  // distinct ones
  int shared = 0;  // of them, by two runs or more
  int stored = 0;  // of them
};

/// Times are those of earlier attempts: at the same stage, else at stages of the same plugin and
/// protocol on the same model (the median), else on other models, by their numbers of weights.
/// Memory, where no such attempt is stored, is what memory_needs.h has of evals and GPTQ.
/// @param store null where there is no database yet
Forecast forecast(const Plan& plan, const ResultStore* store);

}  // namespace harness
