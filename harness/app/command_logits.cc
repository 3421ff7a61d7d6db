#include <ATen/ATen.h>
#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "harness/app/commands.h"
#include "harness/model/npy.h"
#include "harness/quant/integer_execution.h"
#include "harness/quant/quantized_folder.h"
#include "harness/run/device.h"

namespace harness {

void add_logits(CLI::App& app, Session&) {
  auto* command = app.add_subcommand("logits", "Write the logits of a sequence as a .npy file");
  auto model = std::make_shared<ModelArgument>();
  auto tokens = std::make_shared<std::vector<std::int64_t>>();
  auto out = std::make_shared<std::string>();
  auto dtype = std::make_shared<std::string>("fp32");
  auto device = std::make_shared<std::string>("cpu");
  auto memory_limit = std::make_shared<std::string>();
  auto execution = std::make_shared<std::string>("simulated");
  model->add_to(*command, "a checkpoint; it needs no tokenizer");
  command->add_option("--tokens", *tokens, "token ids, comma-separated")
      ->required()
      ->delimiter(',');
  command->add_option("--out", *out, "file to write: float32 [tokens, vocabulary]")->required();
  command->add_option("--dtype", *dtype, "fp32, bf16, fp16 or fp64 of the computation")
      ->capture_default_str();
  command->add_option("--device", *device, "auto, cpu, cuda or cuda:N")->capture_default_str();
  command->add_option(
      "--memory-limit", *memory_limit,
      "memory for weights, such as \"8 GiB\"; a model with more goes block by block");
  command
      ->add_option("--execution", *execution,
                   "of a quantized model that `harness quantize` wrote: simulated or integer")
      ->check(CLI::IsMember({"simulated", "integer"}))
      ->capture_default_str();
  command->footer("Example:\n  harness logits model.gguf --tokens 1,2,3 --out logits.npy");
  command->callback([=] {
    auto checkpoint = open_checkpoint(model->find());
    auto llama =
        load_as_stored(*checkpoint, resolve_dtype(*dtype), resolve_device(*device, "--device"),
                       resolve_memory_limit(*memory_limit, "--memory-limit"));
    c10::InferenceMode no_gradients;
    if (*execution == "integer") {
      const std::optional<StoredRuntime> runtime = checkpoint->runtime();
      execute_as_integers(
          *llama, runtime ? runtime->format : Format(),
          [&](const std::string& name) { return checkpoint->codes(name).value().weight; });
    }
    at::Tensor logits = llama->logits(at::tensor(*tokens, at::kLong).unsqueeze(0));
    write_npy(*out, logits.squeeze(0).to(at::kCPU, at::kFloat));
    fmt::print("{}: float32 [{}, {}]\n", *out, tokens->size(), logits.size(-1));
  });
}

}  // namespace harness
