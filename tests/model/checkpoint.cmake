harness_test(model_config_test SOURCES config_test.cc LINK harness_model)
harness_test(model_checkpoint_test TORCH
  SOURCES checkpoint_test.cc checkpoint_writer_test.cc damaged_files_test.cc gguf_test.cc kept_tensors_test.cc npy_test.cc
    safetensors_test.cc
  LINK harness_model)
target_include_directories(model_checkpoint_test SYSTEM PRIVATE "${NLOHMANN_INCLUDE}")
