#include "harness/run/attempt.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/version.h>

#include <chrono>

#include "harness/core/error.h"
#include "harness/core/log.h"
#include "harness/data/arrow_table.h"
#include "harness/kernels/ops.h"

namespace harness {
namespace {

constexpr std::size_t kCurveBatch = 100;

std::string message_of(const std::exception& error) {
  if (const auto* torch_error = dynamic_cast<const c10::Error*>(&error))
    return torch_error->what_without_backtrace();
  return error.what();
}

}  // namespace

ProvenanceRow library_provenance() {
  ProvenanceRow rows = machine_provenance();
  rows.emplace_back("libtorch.version", TORCH_VERSION);
  rows.emplace_back("arrow.version", arrow_version());
  rows.emplace_back("sqlite.version", sqlite_version());
  rows.emplace_back("threads", std::to_string(at::get_num_threads()));
  rows.emplace_back("cpu.kernels", cpu_implementation());
  return rows;
}

Attempt::Attempt(ResultStore& store, const std::string& run_key, const std::string& stage_key,
                 const ProvenanceRow& provenance)
    : store_(store), id_(store.begin_attempt(run_key, stage_key, provenance)) {}

AttemptOutcome Attempt::run(const std::function<void()>& body) const {
  reset_peak_memory();
  const auto start = std::chrono::steady_clock::now();
  const double cpu_start = cpu_seconds();
  AttemptOutcome outcome;
  try {
    check_interrupted();
    body();
  } catch (const Interrupted&) {
    outcome.status = AttemptStatus::interrupted;
  } catch (const std::exception& error) {
    outcome.status = AttemptStatus::failed;
    outcome.message = message_of(error);
  }
  outcome.wall_seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  outcome.cpu_seconds = cpu_seconds() - cpu_start;
  outcome.peak_memory_bytes = peak_memory_bytes();
  return outcome;
}

void Attempt::finish(const AttemptOutcome& outcome, const std::vector<MetricRow>& metrics,
                     const std::vector<ItemRow>& items) {
  store_.finish_attempt(id_, outcome, metrics, items);
}

void CurveWriter::add(const std::string& series, std::int64_t step, double value) {
  points_.push_back({series, step, value});
  if (points_.size() >= kCurveBatch) flush();
}

void CurveWriter::flush() {
  if (!points_.empty()) store_.add_curve_points(attempt_, points_);
  points_.clear();
}

}  // namespace harness
