#include "harness/run/text_calibration.h"

#include <ATen/ATen.h>

#include "harness/core/hash.h"
#include "harness/core/rng.h"
#include "harness/data/sampling.h"
#include "harness/data/text.h"

namespace harness {

TextCalibration::TextCalibration(CalibrationSpec spec, std::string data_dir,
                                 const Tokenizer& tokenizer, std::uint64_t seed)
    : spec_(std::move(spec)), data_dir_(std::move(data_dir)), tokenizer_(tokenizer), seed_(seed) {}

const at::Tensor& TextCalibration::tokens() {
  if (tokens_.defined()) return tokens_;
  TextCorpus corpus = load_text(spec_.text, data_dir_);
  std::vector<std::int64_t> ids = tokenizer_.encode(corpus.text, /*special=*/true);
  Philox random(seed_, "calibration", "offsets");
  std::vector<std::int64_t> offsets =
      sample_windows(static_cast<std::int64_t>(ids.size()), spec_.samples, spec_.length, random);
  tokens_ = at::empty({spec_.samples, spec_.length}, at::kLong);
  for (std::int64_t i = 0; i < spec_.samples; ++i)
    std::copy_n(ids.begin() + offsets[i], spec_.length,
                tokens_.data_ptr<std::int64_t>() + i * spec_.length);
  return tokens_;
}

std::string TextCalibration::digest() {
  const at::Tensor& all = tokens();
  return Sha256().update(all.data_ptr<std::int64_t>(), all.nbytes()).hex();
}

}  // namespace harness
