// spinquant, ostquant and aaq: what they have in common, and what tells them apart.

#include <ATen/ATen.h>
#include <gmock/gmock.h>

#include <map>

#include "harness/plugin/plugins.h"
#include "harness/quant/sites.h"
#include "tests/methods/method_support.h"
#include "tests/quant/tiny_model.h"
#include "tests/support/support.h"

void register_spinquant(harness::Plugins& plugins);
void register_ostquant(harness::Plugins& plugins);
void register_aaq(harness::Plugins& plugins);

namespace harness {
namespace {

using test::Recorded;
using test::tiny_config;
using test::tiny_model;
using testing::HasSubstr;

using Options = Value::Table;

std::unique_ptr<Method> make(const std::string& name, Options options, Problems& problems) {
  Plugins plugins;
  register_spinquant(plugins);
  register_ostquant(plugins);
  register_aaq(plugins);
  options.emplace_back("name", name);
  return plugins.methods.get(name).build(Value(options), problems);
}

/// The tiny model, and a base that is another one of its shape.
class TwoModels : public References {
 public:
  TwoModels() {
    for (auto& [name, tensor] : base_->named_tensors())
      tensor->add_(0.1 * at::randn(tensor->sizes(), at::detail::createCPUGenerator(3)));
  }
  const Model& model(Role) override { throw std::logic_error("no text model is wanted"); }
  const LlamaModel& llama(Role role) override {
    ++asked[role];
    return role == Role::aligned ? *aligned_ : *base_;
  }
  void release(Role role) override { --asked[role]; }
  std::map<Role, int> asked;  // and not released

 private:
  std::unique_ptr<LlamaModel> aligned_ = tiny_model(), base_ = tiny_model();
};

Format w16a4kv4() {
  Format format;
  format.a.bits = format.a_o.bits = format.a_down.bits = format.k.bits = format.v.bits = 4;
  return format;
}

struct Applied {
  std::unique_ptr<LlamaModel> model = tiny_model();
  Recorded record;
  TwoModels references;
};

Options few_steps(Options more = {}) {
  more.emplace_back("steps", std::int64_t{6});
  more.emplace_back("batch", std::int64_t{2});
  return more;
}

std::unique_ptr<Applied> trained_by(const std::string& name, const Options& options,
                                    const MethodFiles& files = {},
                                    const Format& format = w16a4kv4()) {
  Problems problems;
  const auto method = make(name, few_steps(options), problems);
  problems.throw_if_any();
  auto result = std::make_unique<Applied>();
  test::FixedCalibration calibration{
      at::randint(40, {4, 12}, at::detail::createCPUGenerator(2), at::kLong)};
  MethodContext context{*result->model, format, result->references, &calibration, 7, no_progress(),
                        result->record, files};
  method->apply(context);
  return result;
}

const Options kOstQuant = {{"top_k", Value(std::int64_t{8})}};
Options aaq(double alpha, const char* variant = "paper") {
  return {{"top_k", Value(std::int64_t{8})},
          {"push_top_k", Value(std::int64_t{5})},
          {"alpha", Value(alpha)},
          {"variant", Value(variant)}};
}

void expect_equal_weights(LlamaModel& a, LlamaModel& b) {
  const auto ours = a.named_tensors(), theirs = b.named_tensors();
  ASSERT_EQ(ours.size(), theirs.size());
  for (std::size_t i = 0; i < ours.size(); ++i)
    EXPECT_TRUE(at::equal(*ours[i].second, *theirs[i].second)) << ours[i].first;
}

TEST(TransformMethods, LeaveTheUnquantizedFunctionAsItIs) {
  const at::Tensor tokens = test::tiny_tokens(), expected = tiny_model()->logits(tokens);
  for (const auto& [name, options] : std::vector<std::pair<std::string, Options>>{
           {"spinquant", {}}, {"ostquant", kOstQuant}, {"aaq", aaq(0.75)}}) {
    const auto applied = trained_by(name, options);
    EXPECT_LT((applied->model->logits(tokens) - expected).abs().max().item<double>(), 1e-3) << name;
    EXPECT_FALSE(
        at::equal(applied->model->blocks()[0].q.weight, tiny_model()->blocks()[0].q.weight));
    EXPECT_EQ(applied->record.curves.at("loss").size(), 6u) << name;
    EXPECT_EQ(applied->record.metrics.count("gradient_norm_end"), 1u) << name;
    EXPECT_LT(applied->record.metrics.at("orthogonality"), 1e-5) << name;
  }
}

TEST(TransformMethods, AaqWithoutAPushIsOstquantToTheBit) {
  for (bool renormalise : {true, false}) {
    Options ost = kOstQuant, zero = aaq(0);
    ost.emplace_back("renormalise", Value(renormalise));
    zero.emplace_back("renormalise", Value(renormalise));
    const auto a = trained_by("ostquant", ost), b = trained_by("aaq", zero);
    expect_equal_weights(*a->model, *b->model);
    EXPECT_EQ(a->record.curves, b->record.curves);
    EXPECT_EQ(b->references.asked.count(References::Role::base), 0u);
  }
}

TEST(TransformMethods, VariantsAndAlphaTrainOtherTransforms) {
  const auto paper = trained_by("aaq", aaq(0.75)),
             released = trained_by("aaq", aaq(0.75, "released")),
             weak = trained_by("aaq", aaq(0.1));
  EXPECT_FALSE(at::equal(paper->model->embedding(), released->model->embedding()));
  EXPECT_FALSE(at::equal(paper->model->embedding(), weak->model->embedding()));
  EXPECT_EQ(paper->record.curves.count("push"), 1u);
  const auto& curves = paper->record.curves;
  EXPECT_NEAR(curves.at("loss").at(3), curves.at("pull").at(3) - 0.75 * curves.at("push").at(3),
              1e-9);
}

TEST(TransformMethods, LoadedModelsAreReleased) {
  const auto applied = trained_by("aaq", aaq(0.75));
  EXPECT_EQ(applied->references.asked.at(References::Role::aligned), 0);
  EXPECT_EQ(applied->references.asked.at(References::Role::base), 0);
}

TEST(TransformMethods, SpinquantAndRotationOnlyHaveNoScales) {
  Options rotation_only = kOstQuant;
  rotation_only.emplace_back("smoothing", Value(false));
  const auto ones = at::ones({32});
  EXPECT_TRUE(at::equal(trained_by("spinquant", {})->model->blocks()[1].input_norm, ones));
  EXPECT_TRUE(
      at::equal(trained_by("ostquant", rotation_only)->model->blocks()[1].input_norm, ones));
  EXPECT_FALSE(at::equal(trained_by("ostquant", kOstQuant)->model->blocks()[1].input_norm, ones));
}

TEST(TransformMethods, MixDownsInputAndQuantizedKAtRunTime) {
  Format keeps_k = w16a4kv4();
  keeps_k.k.bits = 16;
  for (const auto& [name, options] : std::vector<std::pair<std::string, Options>>{
           {"spinquant", {}}, {"ostquant", kOstQuant}, {"aaq", aaq(0.75)}}) {
    const Transform all = trained_by(name, options)->record.transformed;
    EXPECT_TRUE(all.online_down) << name;
    EXPECT_TRUE(all.online_qk) << name;
    EXPECT_FALSE(all.online_heads) << name;
    EXPECT_FALSE(trained_by(name, options, {}, keeps_k)->record.transformed.online_qk) << name;
    Options without = options;
    without.emplace_back("online_down", Value(false));
    EXPECT_FALSE(trained_by(name, without)->record.transformed.online_down) << name;
  }
}

TEST(TransformMethods, SpinquantBeginsAtARandomHadamardMatrixAndTheOthersAtPrincipalAxes) {
  auto begins = [](const std::string& name, Options options) {
    options.emplace_back("lr_rotation", Value(1e-9));  // where it begins it stays
    const at::Tensor r = trained_by(name, options)->record.transformed.r_res;
    const double most = r.abs().max().item<double>(), least = r.abs().min().item<double>();
    return most - least < 1e-4;  // all of one magnitude, as a Hadamard matrix is
  };
  EXPECT_TRUE(begins("spinquant", {}));
  EXPECT_FALSE(begins("ostquant", kOstQuant));
  EXPECT_FALSE(begins("aaq", aaq(0.75)));
}

TEST(TransformMethods, AFinishedStageIsNotTrainedAgain) {
  const test::TemporaryFolder folder;
  const MethodFiles files{folder.path() / "stages", "stage", "inputs"};
  const auto first = trained_by("aaq", aaq(0.5), files);
  const auto second = trained_by("aaq", aaq(0.5), files);
  expect_equal_weights(*first->model, *second->model);
  EXPECT_EQ(first->record.curves, second->record.curves);
  EXPECT_TRUE(second->references.asked.empty());  // the targets were there too
  const MethodFiles other_arm{files.folder, "another stage", "inputs"};
  const auto third = trained_by("aaq", aaq(0.75), other_arm);
  EXPECT_TRUE(third->references.asked.empty());
  EXPECT_FALSE(at::equal(third->model->embedding(), first->model->embedding()));
}

TEST(TransformMethods, SayWhatTheyNeed) {
  Problems problems;
  EXPECT_TRUE(make("ostquant", {}, problems)->traits().uses_seed);
  EXPECT_TRUE(make("aaq", aaq(0.5), problems)->traits().needs_base);
  EXPECT_FALSE(make("aaq", aaq(0), problems)->traits().needs_base);
  for (const char* name : {"spinquant", "ostquant", "aaq"}) {
    EXPECT_TRUE(make(name, {}, problems)->traits().needs_calibration);
    EXPECT_TRUE(make(name, {}, problems)->traits().transforms);
  }
}

std::vector<std::string> problems_of(const std::string& name, const Options& options,
                                     const Format& format = w16a4kv4()) {
  Problems problems;
  if (const auto method = make(name, options, problems))
    method->check(format, tiny_config(), problems);
  return problems.texts();
}

TEST(TransformMethods, WhatCanBeKnownToBeWrongIsAProblem) {
  EXPECT_THAT(problems_of("aaq", aaq(-0.5)), testing::ElementsAre(HasSubstr("alpha is -0.5")));
  EXPECT_THAT(problems_of("aaq", {{"top_k", Value(std::int64_t{8})}}),
              testing::ElementsAre(HasSubstr("push_top_k is 500, but the vocabulary has 40")));
  EXPECT_THAT(problems_of("ostquant", {}),
              testing::ElementsAre(HasSubstr("top_k is 1000, but the vocabulary has 40")));
  EXPECT_THAT(problems_of("spinquant", {}, Format()),
              testing::ElementsAre(HasSubstr("nothing to learn")));
  EXPECT_THAT(problems_of("ostquant", {{"init", Value("zero")}}),
              testing::ElementsAre(HasSubstr("pca-hadamard")));
  EXPECT_TRUE(problems_of("ostquant", kOstQuant).empty());
}

}  // namespace
}  // namespace harness
