#include "harness/train/pair.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <system_error>
#include <thread>

#include "harness/core/error.h"
#include "harness/core/hash.h"
#include "harness/core/paths.h"
#include "harness/core/text.h"
#include "harness/train/smollm2_pair.h"
#include "harness/train/world_pair.h"

namespace harness {
namespace fs = std::filesystem;
namespace {

[[noreturn]] void refuse_cache(const fs::path& path, const std::string& found) {
  throw Error(path.string(), found, "a folder that can be written",
              "make it one, or name another cache with HARNESS_CACHE");
}

/// An open file, closed at the end.
struct File {
  int descriptor;
  ~File() { ::close(descriptor); }
};

}  // namespace

Pair::Pair(std::string name, TrainRecipe recipe, std::optional<PairBase> base)
    : name_(std::move(name)),
      recipe_(std::move(recipe)),
      base_(std::move(base)),
      canonical_(phase_canonical(recipe_, recipe_.phases.size() - 1)),
      digest_(sha256(canonical_)),
      home_(cache_folder() / "pairs" /
            fmt::format("{}-{}-{}", name_, recipe_.seed, digest_.substr(0, 16))) {}

const LlamaConfig& Pair::config() const { return phase_config(recipe_, recipe_.phases.size() - 1); }

std::string Pair::reference(const std::string& role) const {
  return trains(role) ? folder(role).string() : base_->reference;
}

bool Pair::ready() const {
  for (std::size_t phase = 0; phase < recipe_.phases.size(); ++phase)
    if (!find_trained_phase(recipe_, phase, home_)) return false;
  return true;
}

void Pair::locked(const std::function<void()>& body) const {
  std::error_code failed;
  fs::create_directories(home_, failed);
  if (failed) refuse_cache(home_, "it cannot be made: " + failed.message());
  // The system drops the lock when a process dies.
  const fs::path path = home_ / "lock";
  const File file{::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666)};
  if (file.descriptor < 0) refuse_cache(path, std::strerror(errno));
  bool told = false;
  while (::flock(file.descriptor, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK && errno != EINTR) refuse_cache(path, std::strerror(errno));
    if (!told)
      log_info(fmt::format("pair {}, seed {}: another process is training it; waiting", name_,
                           recipe_.seed));
    told = true;
    check_interrupted();
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
  }
  ::futimens(file.descriptor, nullptr);  // used now: `harness cache gc` looks at it
  body();
}

void Pair::make(Progress& progress) const {
  TrainHooks hooks;
  hooks.progress = &progress;
  locked([&] { train_recipe(recipe_, home_, hooks); });
}

const std::vector<std::string>& pair_names() {
  static const std::vector<std::string> names = {"world", "smollm2-safety"};
  return names;
}

std::shared_ptr<const Pair> open_pair(const PairReference& reference, const std::string& data_dir) {
  if (reference.pair == "world")
    return std::make_shared<Pair>("world", world_recipe(reference.seed, reference.steps));
  if (reference.pair == "smollm2-safety")
    return std::make_shared<Pair>(
        "smollm2-safety", smollm2_recipe(reference.seed, reference.steps, data_dir),
        PairBase{kSmolLm2Checkpoint, {kChatMlTemplate, "the pair smollm2-safety"}});
  throw Error("model", fmt::format("pair \"{}\"", reference.pair),
              fmt::format("one of {}", fmt::join(pair_names(), ", ")),
              did_you_mean(reference.pair, pair_names()));
}

std::string local_model(const std::string& reference, const std::string& data_dir,
                        Progress& progress) {
  const ModelReference model(reference);
  if (!model.pair) return reference;
  const std::shared_ptr<const Pair> pair = open_pair(*model.pair, data_dir);
  if (pair->trains(model.pair->role) && !pair->ready()) pair->make(progress);
  return pair->reference(model.pair->role);
}

std::optional<ChatTemplate> local_chat_template(const std::string& reference,
                                                const std::string& data_dir) {
  const ModelReference model(reference);
  if (!model.pair) return read_chat_template(reference);
  const std::shared_ptr<const Pair> pair = open_pair(*model.pair, data_dir);
  if (!pair->trains(model.pair->role)) return pair->base()->chat_template;
  return read_chat_template(pair->reference(model.pair->role));
}

}  // namespace harness
