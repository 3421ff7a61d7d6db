# harness_embed_texts(TARGET HEADER FILE=SYMBOL...): files, named from the root, as texts of the program, which works
# without a checkout. HEADER declares the symbols.
function(harness_embed_texts target header)
  set(script "${CMAKE_SOURCE_DIR}/harness/cmake/embed_text.cmake")
  foreach(text IN LISTS ARGN)
    string(REPLACE "=" ";" parts ${text})
    list(POP_FRONT parts file symbol)
    get_filename_component(name "${file}" NAME)
    string(REPLACE "." "_" name "${name}")
    set(file "${CMAKE_SOURCE_DIR}/${file}")
    set(source "${CMAKE_BINARY_DIR}/generated/${name}.cc")
    add_custom_command(OUTPUT "${source}"
      COMMAND "${CMAKE_COMMAND}" -DSOURCE=${file} -DSYMBOL=${symbol} -DHEADER=${header} -DOUT=${source} -P "${script}"
      DEPENDS "${file}" "${script}" VERBATIM)
    set_source_files_properties("${source}" PROPERTIES SKIP_PRECOMPILE_HEADERS ON)  # reading it is all the time they take
    target_sources(${target} PRIVATE "${source}")
  endforeach()
endfunction()
