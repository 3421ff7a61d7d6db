harness_test(llama_test TORCH
  SOURCES families_test.cc llama_features_test.cc llama_test.cc llama_text_model_test.cc rope_test.cc score_test.cc smollm2_test.cc streamed_model_test.cc
  LINK harness_model)
harness_test(generate_test TORCH
  SOURCES generate_test.cc generate_smollm2_test.cc LINK harness_model TIMEOUT 900)
# By itself: it looks at all that the process has allocated.
harness_test(steady_memory_test TORCH SOURCES steady_memory_test.cc LINK harness_model)
