#include "harness/run/stored_items.h"

#include <fmt/format.h>

#include "harness/data/json_value.h"

namespace harness {
namespace {

const char* name_of(ItemsOf of) {
  switch (of) {
    case ItemsOf::run:
      return "the run's model";
    case ItemsOf::aligned:
      return "the aligned model";
    case ItemsOf::base:
      return "the base";
  }
  return "";
}

}  // namespace

std::vector<EvalItem> StoredItems::items(ItemsOf of) const {
  const std::string& stage = stages_.at(of);
  if (!store_.stage_done(stage))
    throw Error(where_, fmt::format("what it reads of {} is not stored", name_of(of)),
                "an eval that succeeded", "see above why it failed");
  std::vector<EvalItem> items;
  for (ItemRow& row : store_.items(stage))
    items.push_back({std::move(row.id), row.score, std::move(row.cluster),
                     parse_json_value(row.detail_json, where_)});
  return items;
}

}  // namespace harness
