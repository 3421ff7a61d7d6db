#include "harness/core/format.h"

#include <gmock/gmock.h>

namespace harness {
namespace {

const char* const kDown = "model.layers.3.mlp.down_proj";

Format with_weights(int bits) {
  Format format;
  format.w.bits = bits;
  return format;
}

TEST(FormatTest, DefaultTouchesNothing) {
  Format format;
  EXPECT_FALSE(format.quantizes_weights());
  EXPECT_FALSE(format.quantizes_activations());
  EXPECT_EQ(format.label(), "none");
}

TEST(FormatTest, OverridesMatchLayersAndNamesAndTheLaterWins) {
  Format format = with_weights(4);
  format.overrides = {{"layers 2-3", {{Site::w, {8, 0, true, 1.0}}}},
                      {"*.down_proj", {{Site::w, {3, 0, true, 1.0}}}},
                      {"layers 5", {{Site::k, {2, 0, false, 1.0}}}}};
  EXPECT_EQ(format.at(Site::w, 3, "model.layers.3.mlp.up_proj").bits, 8);
  EXPECT_EQ(format.at(Site::w, 3, kDown).bits, 3);
  EXPECT_EQ(format.at(Site::w, 4, "model.layers.4.mlp.up_proj").bits, 4);
  EXPECT_EQ(format.at(Site::k, 5, kDown).bits, 2);
  EXPECT_EQ(format.at(Site::k, 15, kDown).bits, 16);
  EXPECT_TRUE(format.quantizes_activations());
}

TEST(FormatTest, OverrideAloneQuantizesWeights) {
  Format format;
  format.overrides = {{"layers 0", {{Site::w, {8, 0, true, 1.0}}}}};
  EXPECT_TRUE(format.quantizes_weights());
}

TEST(FormatTest, LabelsSayWhatTheShortFormSays) {
  Format format = with_weights(4);
  EXPECT_EQ(format.label(), "w4a16");
  format.w.group = 64;
  EXPECT_EQ(format.label(), "w4a16g64");
  format = with_weights(4);
  format.a.bits = format.a_o.bits = format.a_down.bits = format.k.bits = format.v.bits = 4;
  EXPECT_EQ(format.label(), "w4a4kv4");
  format.a_o.group = 128;
  format.k.bits = 16;
  EXPECT_EQ(format.label(), "w4a4 (a_o g128, v4)");
}

}  // namespace
}  // namespace harness
