#pragma once

#include <functional>
#include <string>
#include <vector>

#include "harness/core/provenance.h"
#include "harness/store/result_store.h"

namespace harness {

/// What every attempt says of the machine and the libraries.
ProvenanceRow library_provenance();

/// One attempt at a stage, from its row in the database to how it ended.
class Attempt {
 public:
  Attempt(ResultStore& store, const std::string& run_key, const std::string& stage_key,
          const ProvenanceRow& provenance);

  std::int64_t id() const { return id_; }
  /// Does the work and measures it. Nothing is thrown: a failure and Interrupted are outcomes.
  AttemptOutcome run(const std::function<void()>& body) const;
  void finish(const AttemptOutcome& outcome, const std::vector<MetricRow>& metrics = {},
              const std::vector<ItemRow>& items = {});

 private:
  ResultStore& store_;
  std::int64_t id_;
};

/// Sends the curves of a running attempt to the database, some points at a time: a transaction for
/// each would take longer than a small model's step.
class CurveWriter {
 public:
  CurveWriter(ResultStore& store, std::int64_t attempt) : store_(store), attempt_(attempt) {}
  void add(const std::string& series, std::int64_t step, double value);
  void flush();

 private:
  ResultStore& store_;
  std::int64_t attempt_;
  std::vector<CurvePoint> points_;
};

}  // namespace harness
