harness_test(tokenizer_test SOURCES tokenizer_test.cc LINK harness_tokenizer)
harness_test(tokenizer_golden_test
  SOURCES tokenizer_golden_test.cc tokenizer_strings.cc LINK harness_tokenizer)
target_include_directories(tokenizer_golden_test SYSTEM PRIVATE "${NLOHMANN_INCLUDE}")
harness_test(gguf_reader_test SOURCES gguf_reader_test.cc LINK harness_gguf)
harness_test(chat_test SOURCES chat_test.cc LINK harness_tokenizer)
target_include_directories(chat_test SYSTEM PRIVATE "${NLOHMANN_INCLUDE}")
