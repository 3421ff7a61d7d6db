#include "harness/train/train_file.h"

#include <fmt/format.h>

#include <map>

#include "harness/core/paths.h"
#include "harness/data/file.h"
#include "harness/data/text.h"
#include "harness/model/chat.h"
#include "harness/model/tokenizer.h"
#include "harness/train/chat_source.h"
#include "harness/train/loss_criterion.h"
#include "harness/train/pair.h"
#include "harness/train/text_source.h"
#include "harness/train/world_source.h"

namespace harness {
namespace {

/// What a phase reads text with: a checkpoint's tokenizer, chat template and files.
struct Language {
  std::shared_ptr<const Tokenizer> tokenizer;
  std::optional<ChatTemplate> chat_template;
  CheckpointTexts texts;
};

Language open_language(const std::string& reference) {
  return {open_tokenizer(reference), read_chat_template(reference),
          read_tokenizer_texts(reference)};
}

/// Makes a file's phases into a recipe, one after the other.
class RecipeMaker {
 public:
  RecipeMaker(const TrainFile& file, Problems& problems) : file_(file), problems_(problems) {
    recipe_.name = file.name;
    recipe_.seed = file.seed;
  }

  void add(const PhaseOptions& options) {
    TrainPhase phase;
    phase.name = options.name;
    phase.options = options.train;
    phase.save_dtype = options.save_dtype;
    const std::string where = fmt::format("phase {}", options.name);
    const std::size_t before = problems_.texts().size();
    std::optional<Language> language;
    problems_.collect([&] { language = start(options, where, phase); });
    if (!language) return;
    languages_[options.name] = *language;
    phase.texts = language->texts;
    phase.source = source(options.data, *language, where, "data");
    if (options.criterion) {
      phase.criterion_required = options.criterion->loss_below > 0;
      if (auto held_out = source(options.criterion->data, *language, where, "criterion"))
        phase.criterion = std::make_shared<LossCriterion>(
            std::move(held_out), options.criterion->batches, options.criterion->loss_below);
    }
    if (problems_.texts().size() == before) recipe_.phases.push_back(std::move(phase));
  }

  TrainRecipe take() { return std::move(recipe_); }

 private:
  /// Where the weights come from, and the language that comes with them.
  Language start(const PhaseOptions& options, const std::string& where, TrainPhase& phase) {
    if (options.from.empty() == !options.model)
      throw Error(where, options.model ? "both from and model" : "neither from nor model",
                  "an earlier phase or a checkpoint to start from, or a new model");
    if (const auto earlier = languages_.find(options.from); earlier != languages_.end()) {
      phase.from_phase = options.from;
      return earlier->second;
    }
    if (options.model) {
      Language language =
          open_language(local_model(options.model->tokenizer, file_.data_dir, no_progress()));
      phase.new_model =
          NewModel{new_config(*options.model, *language.tokenizer, where), options.model->init};
      return language;
    }
    const std::string checkpoint = local_model(options.from, file_.data_dir, no_progress());
    phase.from_checkpoint = open_checkpoint(checkpoint);
    return open_language(checkpoint);
  }

  static LlamaConfig new_config(const ModelOptions& model, const Tokenizer& tokenizer,
                                const std::string& where) {
    LlamaConfig config;
    config.hidden_size = model.hidden_size;
    config.intermediate_size = model.intermediate_size;
    config.num_hidden_layers = model.num_hidden_layers;
    config.num_attention_heads = model.num_attention_heads;
    config.num_key_value_heads = model.num_key_value_heads.value_or(model.num_attention_heads);
    if (!model.head_dim && model.hidden_size % model.num_attention_heads != 0)
      throw Error(where,
                  fmt::format("hidden_size {} is not a multiple of num_attention_heads {}",
                              model.hidden_size, model.num_attention_heads),
                  "a multiple, or head_dim");
    config.head_dim = model.head_dim.value_or(model.hidden_size / model.num_attention_heads);
    config.vocab_size = tokenizer.vocabulary_size();
    config.max_position_embeddings = model.max_position_embeddings;
    config.rms_norm_eps = model.rms_norm_eps;
    config.rope_theta = model.rope_theta;
    config.tie_word_embeddings = model.tie_word_embeddings;
    config.bos_token_id = tokenizer.bos();
    if (tokenizer.eos()) config.eos_token_ids = {*tokenizer.eos()};
    check_config(config, where);
    check_init(config, model.init);
    return config;
  }

  /// Null when there are problems.
  std::shared_ptr<const ExampleSource> source(const std::vector<DataOptions>& list,
                                              const Language& language, const std::string& where,
                                              const char* key) {
    std::vector<std::shared_ptr<const ExampleSource>> sources;
    for (const DataOptions& data : list)
      problems_.collect([&] {
        const int given = !data.text.empty() + !data.chat.empty() + !data.world.empty();
        if (given != 1)
          throw Error(fmt::format("{}, {}", where, key),
                      fmt::format("{} of text, chat and world", given == 0 ? "none" : "several"),
                      "one of them in each table");
        sources.push_back(!data.world.empty() ? world_source(data, language)
                          : data.text.empty() ? chat_source(data, language)
                                              : text_source(data, language));
      });
    if (list.empty())
      problems_.add(
          Error(where, fmt::format("{} is empty", key), "at least one { text, chat or world }"));
    if (sources.size() != list.size() || sources.empty()) return nullptr;
    if (sources.size() == 1) return sources.front();
    return std::make_shared<MixedSource>(std::move(sources));
  }

  std::shared_ptr<const ExampleSource> text_source(const DataOptions& data,
                                                   const Language& language) const {
    const TextCorpus corpus = load_text(data.text, file_.data_dir);
    return std::make_shared<TextSource>(language.tokenizer->encode(corpus.text, /*special=*/true),
                                        data.sequences, data.length, file_.seed);
  }

  std::shared_ptr<const ExampleSource> world_source(const DataOptions& data,
                                                    const Language& language) const {
    if (language.tokenizer->encode("anna lives in", /*special=*/false) !=
        world_ids("anna lives in"))
      throw Error("data", "documents of the world for another tokenizer", "the world's own",
                  "from or tokenizer = \"pair:world/base\"");
    return std::make_shared<WorldSource>(
        data.world == "base" ? WorldRole::base : WorldRole::aligned, data.dialogues, data.sequences,
        data.length, file_.seed);
  }

  static ChatFormat open_format(const Language& language) {
    if (!language.chat_template)
      throw Error("data", "chat examples for a checkpoint without a chat template",
                  "format = \"NAME\" beside them", "name one, such as chatml");
    return open_chat_format(*language.chat_template, *language.tokenizer);
  }

  std::shared_ptr<const ExampleSource> chat_source(const DataOptions& data,
                                                   const Language& language) const {
    const std::filesystem::path path = find_data_file(data.chat, file_.data_dir);
    const auto conversations = read_chat_lines(path);
    const ChatFormat format =
        data.format.empty() ? open_format(language) : chat_format(data.format);
    std::vector<ChatExample> examples;
    for (const auto& messages : conversations)
      examples.push_back(tokenize_chat(
          messages, format, *language.tokenizer, {data.prompt_tokens, data.answer_tokens},
          fmt::format("{}, example {}", path.string(), examples.size() + 1)));
    return std::make_shared<ChatSource>(std::move(examples), data.sequences, file_.seed);
  }

  const TrainFile& file_;
  Problems& problems_;
  TrainRecipe recipe_;
  std::map<std::string, Language> languages_;
};

}  // namespace

TrainFile parse_train_file(const std::string& toml, const std::string& name) {
  const Value table = parse_toml(toml, name);
  TrainFile file;
  file.toml = toml;
  Problems problems;
  read_config(table, "the training file", problems, file);
  problems.throw_if_any();
  return file;
}

TrainFile read_train_file(const std::filesystem::path& path, const std::string& data_dir) {
  TrainFile file = parse_train_file(read_text_file(path), path.string());
  if (!data_dir.empty()) file.data_dir = data_dir;
  return file;
}

TrainRecipe make_recipe(const TrainFile& file) {
  Problems problems;
  RecipeMaker maker(file, problems);
  for (const PhaseOptions& options : file.phase) maker.add(options);
  TrainRecipe recipe = maker.take();
  if (recipe.phases.size() == file.phase.size()) check_recipe(recipe, problems);
  problems.throw_if_any();
  return recipe;
}

}  // namespace harness
