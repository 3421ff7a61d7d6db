# ccache and mold where they are there: a second build then costs seconds.
find_program(HARNESS_CCACHE ccache)
if(HARNESS_CCACHE)
  # Precompiled headers need these two words from ccache, else it never finds anything again.
  set(CMAKE_CXX_COMPILER_LAUNCHER "${CMAKE_COMMAND}" -E env
    "CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime"
    "CCACHE_BASEDIR=${CMAKE_SOURCE_DIR}" CCACHE_NOHASHDIR=1 "${HARNESS_CCACHE}")
  set(CMAKE_C_COMPILER_LAUNCHER ${CMAKE_CXX_COMPILER_LAUNCHER})
endif()
find_program(HARNESS_MOLD mold)
if(HARNESS_MOLD)
  # norelro: mold 1.10 begins that segment one page early where the code before it ends near a page's end, and the loader
  # then refuses the program ("cannot apply additional memory protection after relocation").
  add_link_options(-fuse-ld=mold -Wl,-z,norelro)
endif()
