#include "harness/train/pair.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <system_error>
#include <thread>

#include "harness/core/error.h"
#include "harness/core/hash.h"
#include "harness/core/paths.h"
#include "harness/core/text.h"
#include "harness/model/json.h"
#include "harness/train/world_pair.h"

namespace harness {
namespace fs = std::filesystem;
namespace {

constexpr const char* kRecord = "training.json";

[[noreturn]] void refuse_cache(const fs::path& path, const std::string& found) {
  throw Error(path.string(), found, "a folder that can be written",
              "make it one, or name another cache with HARNESS_CACHE");
}

void make_folder(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) refuse_cache(folder, "it cannot be made: " + error.message());
}

/// An exclusive lock on a file, held until destruction; the system drops it when a process dies.
class FileLock {
 public:
  FileLock(const fs::path& path, const std::string& what)
      : file_(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666)) {
    if (file_ < 0) refuse_cache(path, std::strerror(errno));
    bool told = false;
    while (::flock(file_, LOCK_EX | LOCK_NB) != 0) {
      if (errno != EWOULDBLOCK && errno != EINTR) {
        const std::string reason = std::strerror(errno);
        ::close(file_);
        refuse_cache(path, reason);
      }
      if (!told) log_info(fmt::format("{}: another process is training it; waiting", what));
      told = true;
      try {
        check_interrupted();
      } catch (...) {
        ::close(file_);
        throw;
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(200));
    }
  }
  ~FileLock() { ::close(file_); }
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;

 private:
  int file_;
};

void write_record(const fs::path& path, const PairRecord& record) {
  nlohmann::json json;
  json["metrics"] = nlohmann::json::array();
  for (const auto& [name, value] : record.metrics) json["metrics"].push_back({name, value});
  json["curve"] = nlohmann::json::array();
  for (const CurveValue& point : record.curve)
    json["curve"].push_back({point.series, point.step, point.value});
  std::ofstream out(path);
  out << json.dump(1) << "\n";
  if (!out.flush()) refuse_cache(path, "it cannot be written");
}

PairRecord read_record(const fs::path& path) {
  std::ifstream in(path);
  std::ostringstream text;
  text << in.rdbuf();
  PairRecord record;
  try {
    const nlohmann::json json = parse_json(text.str(), path.string());
    for (const auto& metric : json.at("metrics"))
      record.metrics.emplace_back(metric.at(0).get<std::string>(), metric.at(1).get<double>());
    for (const auto& point : json.at("curve"))
      record.curve.push_back({point.at(0).get<std::string>(), point.at(1).get<std::int64_t>(),
                              point.at(2).get<double>()});
  } catch (const nlohmann::json::exception& error) {
    throw Error(path.string(), error.what(), "the record that the training wrote",
                "remove its folder: the pair is then trained again");
  }
  return record;
}

}  // namespace

Pair::Pair(std::string name, std::uint64_t seed, LlamaConfig config, std::string canonical)
    : name_(std::move(name)),
      seed_(seed),
      config_(std::move(config)),
      canonical_(std::move(canonical)),
      digest_(sha256(canonical_)) {}

fs::path Pair::home() const {
  return cache_folder() / "pairs" / fmt::format("{}-{}-{}", name_, seed_, digest_.substr(0, 16));
}

fs::path Pair::folder(const std::string& role) const { return home() / role; }

bool Pair::ready() const { return fs::exists(home() / kRecord); }

PairRecord Pair::make(const PairHooks& hooks) const {
  const fs::path home = this->home();
  if (!ready()) {
    make_folder(home.parent_path());
    const FileLock lock(home.string() + ".lock", fmt::format("pair {} (seed {})", name_, seed_));
    if (!ready()) {
      const fs::path unfinished = home.string() + ".unfinished";
      make_folder(unfinished);
      const PairRecord record = train_or_discard(unfinished, hooks);
      write_record(unfinished / kRecord, record);
      std::error_code error;
      fs::rename(unfinished, home, error);
      if (error) refuse_cache(home, "the trained pair cannot be moved there: " + error.message());
      return record;
    }
  }
  const PairRecord record = read_record(home / kRecord);
  for (const CurveValue& point : record.curve) hooks.curve(point);
  return record;
}

PairRecord Pair::train_or_discard(const fs::path& folder, const PairHooks& hooks) const {
  try {
    return train(folder, hooks);
  } catch (const Interrupted&) {
    throw;  // the next call goes on from here
  } catch (...) {
    std::error_code ignored;
    fs::remove_all(folder, ignored);
    throw;
  }
}

const std::vector<std::string>& pair_names() {
  static const std::vector<std::string> names = {"world"};
  return names;
}

std::shared_ptr<const Pair> open_pair(const PairReference& reference, const std::string&) {
  if (reference.pair == "world") return world_pair(reference.seed);
  throw Error("model", fmt::format("pair \"{}\"", reference.pair),
              fmt::format("one of {}", fmt::join(pair_names(), ", ")),
              did_you_mean(reference.pair, pair_names()));
}

}  // namespace harness
