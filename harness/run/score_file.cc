#include "harness/run/score_file.h"

#include <fmt/format.h>

#include <cstring>
#include <fstream>
#include <sstream>
#include <string_view>
#include <utility>

#include "harness/core/hash.h"
#include "harness/core/log.h"

namespace harness {

namespace {

constexpr std::size_t kDigest = 64;

void put(std::string& bytes, std::uint64_t number) {
  bytes.append(reinterpret_cast<const char*>(&number), sizeof number);
}

/// A batch: its digest, how many bytes of scores, the scores, SHA-256 of all that.
std::string record(const std::string& digest, const std::vector<Score>& scores) {
  std::string body;
  put(body, scores.size());
  for (const Score& score : scores) {
    put(body, score.greedy);
    put(body, score.tokens.size());
    body.append(reinterpret_cast<const char*>(score.tokens.data()),
                score.tokens.size() * sizeof(float));
  }
  std::string bytes = digest;
  put(bytes, body.size());
  bytes += body;
  return bytes + sha256(bytes);
}

/// Takes what stands at the front of some bytes; they are long enough.
std::string_view take(std::string_view& bytes, std::size_t count) {
  const std::string_view taken = bytes.substr(0, count);
  bytes.remove_prefix(count);
  return taken;
}

std::uint64_t take_number(std::string_view& bytes) {
  std::uint64_t number;
  std::memcpy(&number, take(bytes, sizeof number).data(), sizeof number);
  return number;
}

std::vector<Score> take_scores(std::string_view body) {
  std::vector<Score> scores(take_number(body));
  for (Score& score : scores) {
    const bool greedy = take_number(body) != 0;
    std::vector<float> tokens(take_number(body));
    const std::string_view values = take(body, tokens.size() * sizeof(float));
    std::memcpy(tokens.data(), values.data(), values.size());
    for (const float log_p : tokens) score.add(log_p, greedy);
    score.greedy = greedy;
  }
  return scores;
}

}  // namespace

ScoreFile::ScoreFile(std::filesystem::path path) : path_(std::move(path)) { read(); }

void ScoreFile::read() {
  std::ifstream file(path_, std::ios::binary);
  if (!file) return;
  std::stringstream text;
  text << file.rdbuf();
  const std::string bytes = text.str();
  std::string_view left = bytes;
  while (left.size() >= kDigest + sizeof(std::uint64_t)) {
    std::string_view rest = left;
    const std::string digest(take(rest, kDigest));
    const std::uint64_t size = take_number(rest);
    if (rest.size() < kDigest || size > rest.size() - kDigest) break;
    const std::size_t whole = kDigest + sizeof(std::uint64_t) + size;
    if (sha256(left.substr(0, whole)) != left.substr(whole, kDigest)) break;
    batches_[digest] = take_scores(take(rest, size));
    left.remove_prefix(whole + kDigest);
  }
  file.close();
  std::error_code failed;  // then nothing can be added either
  if (left.empty()) return;
  log_info(fmt::format("{}: its last {} bytes are not whole and are computed anew", path_.string(),
                       left.size()));
  std::filesystem::resize_file(path_, bytes.size() - left.size(), failed);
}

std::optional<std::vector<Score>> ScoreFile::find(const std::string& digest) const {
  const auto found = batches_.find(digest);
  return found == batches_.end() ? std::nullopt : std::optional(found->second);
}

void ScoreFile::add(const std::string& digest, const std::vector<Score>& scores) {
  if (!writable_) return;
  std::error_code failed;
  std::filesystem::create_directories(path_.parent_path(), failed);
  std::ofstream file(path_, std::ios::binary | std::ios::app);
  const std::string bytes = record(digest, scores);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  file.close();
  writable_ = static_cast<bool>(file);
  if (!writable_)
    log_warning(
        fmt::format("{} cannot be written: an interrupted eval will begin anew", path_.string()));
}

void ScoreFile::remove() {
  std::error_code failed;
  std::filesystem::remove(path_, failed);
}

}  // namespace harness
