#include "harness/model/npy.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>

#include <cstring>

#include "tests/support/support.h"

namespace harness {
namespace {

using testing::HasSubstr;

// What numpy 2.4.6 writes: np.save(f, np.array([[1, 2, 3], [4, 5, 6]], dtype="<f4")).
TEST(Npy, MatrixIsWhatNumpyWrites) {
  test::TemporaryFolder folder;
  write_npy(folder / "x.npy", at::arange(1, 7, at::kDouble).reshape({2, 3}));
  std::string header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }";
  std::string expected = std::string("\x93NUMPY\x01\x00v\x00", 10) + header;
  expected.append(127 - expected.size(), ' ');
  expected += '\n';
  for (float value : {1.f, 2.f, 3.f, 4.f, 5.f, 6.f})
    expected.append(reinterpret_cast<const char*>(&value), sizeof value);
  EXPECT_EQ(test::read_file(folder / "x.npy"), expected);
}

TEST(Npy, AVectorsShapeKeepsItsComma) {
  test::TemporaryFolder folder;
  write_npy(folder / "x.npy", at::zeros({5}));
  EXPECT_THAT(test::read_file(folder / "x.npy"), HasSubstr("'shape': (5,), }"));
}

TEST(Npy, AViewIsWrittenRowMajor) {
  test::TemporaryFolder folder;
  at::Tensor matrix = at::arange(6, at::kFloat).reshape({2, 3});
  write_npy(folder / "a.npy", matrix.t());
  write_npy(folder / "b.npy", matrix.t().contiguous());
  EXPECT_EQ(test::read_file(folder / "a.npy"), test::read_file(folder / "b.npy"));
}

TEST(Npy, AMissingFolderIsNamed) {
  test::TemporaryFolder folder;
  std::string text = test::error_of([&] { write_npy(folder / "no/x.npy", at::zeros({1})); });
  EXPECT_THAT(text, testing::AllOf(HasSubstr("no/x.npy"), HasSubstr("No such file")));
}

TEST(Npy, AFullDiskIsAnError) {
  test::TemporaryFolder folder;
  std::filesystem::create_symlink("/dev/full", folder / "x.npy.partial");
  std::string text = test::error_of([&] { write_npy(folder / "x.npy", at::zeros({4096})); });
  EXPECT_THAT(text, testing::AllOf(HasSubstr("x.npy"), HasSubstr("No space left")));
}

}  // namespace
}  // namespace harness
